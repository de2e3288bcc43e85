"""What spans several records or the data plane: a job's place in the catalog, its spec, its SQL, its preview."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.conf import settings
from django.utils import timezone

from assay.common.columns import as_columns
from assay.common.policy import visible_rows
from assay.common.runs import KEPT_FIELDS
from catalog import services as catalog
from ops.connections import services as connections
from ops.models import Step
from workers.access import Access
from workers.embeddings import connection_of
from workers.errors import InvalidSpec, NotAvailableYet, SqlRejected, TableMissing
from workers.ids import new_run_id
from workers.results import Preview, StepResult
from workers.specs import DatasetSpec, SqlSpec, TableInput, TableTarget, Window, to_json

from .checking import check, chosen_engine, engine_of
from .models import DatasetJob, DatasetRun
from .transforms import TRANSFORMS, Check

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser

ENGINES = ("polars", "duckdb", "spark")


def declare(job: DatasetJob) -> None:
    """Tell the catalog of the dataset that the job makes, and of what it is made from."""
    catalog.declare(
        job.dataset_name,
        layer=job.layer,
        workflow=job.workflow.slug,
        type=job.dataset_type,
        description=job.description,
        grain=job.grain,
        columns=as_columns(job.target_schema),
        path=f"{job.layer}/{job.workflow.slug}/{job.name}",
        upstream=[given["dataset"] for given in job.inputs],
        job=job.name,
    )


def retire(job: DatasetJob) -> None:
    catalog.retire(job.dataset_name)


# --- the SQL -------------------------------------------------------------------------


def generated_sql(job: DatasetJob) -> dict[str, Any]:
    """`{sql, engines: [{engine, statement, error}], columns, warnings}`: what each engine would run."""
    from workers.engines.sql import laid_out  # slow to import, and most processes never need it

    found, own = check(job), engine_of(job)
    return {
        "sql": laid_out(found.sql) if found.sql else "",
        "engines": [_told(own, found) if engine == own else _statement(job, engine) for engine in ENGINES],
        "columns": [to_json(column) for column in found.columns],
        "warnings": list(found.warnings),
    }


def _statement(job: DatasetJob, engine: str) -> dict[str, str | None]:
    """What this engine runs, or why it cannot run it."""
    try:
        return _told(engine, check(job, engine))
    except (SqlRejected, InvalidSpec) as error:
        return {"engine": engine, "statement": None, "error": f"{error.message} {error.hint}".strip()}


def _told(engine: str, found: Check) -> dict[str, str | None]:
    return {"engine": engine, "statement": found.checked and found.checked.statement, "error": None}


# --- running -------------------------------------------------------------------------


def spec_of(job: DatasetJob, run_id: str, window: Window | None = None) -> DatasetSpec:
    """What exactly a run of the job does, the versions of its inputs pinned.

    Raises `NotAvailableYet` for what is valid but cannot run, `TableMissing`
    for an input that was never published, `SqlRejected` where an input changed.
    """
    inputs = tuple(_pinned(given["dataset"], given["alias"]) for given in job.inputs)
    found = check(job)
    engine, why = chosen_engine(job, found, inputs)
    common = {
        "run_id": run_id,
        "workflow": job.workflow.slug,
        "job": job.name,
        "inputs": inputs,
        "columns": found.columns,
        "engine": engine,
        "target": TableTarget(
            dataset=job.dataset_name,
            uri=catalog.lake_uri(job.dataset_name),
            partition_by=tuple(job.partition_by),
            compression=job.compression,
        ),
        "refresh_mode": job.refresh_mode,
        "merge_keys": tuple(job.merge_keys),
        "window": window or Window(),
        "run_time": timezone.now(),
        "memory_limit_mb": settings.ASSAY_STEP_MEMORY_MB,
        "settings": _settings_of(engine) | ({"engine_chosen": why} if why else {}),
    }
    if job.data_quality:
        raise NotAvailableYet("Rules of a job are not checked yet.", hint="Empty data_quality.")
    return TRANSFORMS[job.transform_type].spec(job, found, common)


def _settings_of(engine: str) -> dict[str, Any]:
    """What the engine must know of this installation."""
    if engine != "spark":
        return {}
    return {
        "spark": {
            "master": settings.ASSAY_SPARK_MASTER,
            "memory_mb": settings.ASSAY_SPARK_MEMORY_MB,
            "options": settings.ASSAY_SPARK_OPTIONS,
        }
    }


def access_for(spec: Mapping[str, Any]) -> Access:
    """What the run may reach beside the lake: the connection that its spec names, with its secrets."""
    name = spec.get("connection")
    found = connections.for_worker(name) if name else None
    return Access(
        connections={name: found} if found else {},
        http=connections.http_policy(),
        services=connections.network_policy(),
    )


def access_for_model(dataset: str, model: str) -> Access:
    """What the embedding model of an index is reached with, when the index is searched.

    The model's name stands in the rows, where any query may write any name: a
    connection is handed out only while the job that makes the dataset names this model.
    """
    layer, workflow, name = dataset.split(".")
    jobs = DatasetJob.objects.filter(layer=layer, workflow__slug=workflow, name=name, transform_type="vector_index")
    is_named = bool(connection_of(model)) and jobs.filter(config__embedding_model=model).exists()
    return access_for({"connection": connection_of(model)} if is_named else {})


def _pinned(name: str, alias: str) -> TableInput:
    version = catalog.latest_version(name)
    if version is None:
        raise TableMissing(f"{name} was never published.", hint="Run the job that makes it first.")
    return TableInput(dataset=name, alias=alias, uri=catalog.lake_uri(name), version=version)


def spec_of_run(run: DatasetRun) -> DatasetSpec:
    """The run's spec; the run keeps the versions of its inputs.

    A repetition does exactly what the run before it did: its configuration,
    its versions, its window, its time.
    """
    if run.repeat_of_id:
        spec = replace(_stored_spec(run.repeat_of), run_id=str(run.pk))
    else:
        spec = spec_of(run.job, str(run.pk), _window_of(run.step_id))
        spec = TRANSFORMS[run.job.transform_type].with_options(spec, run.options)
    run.input_versions = {given.dataset: given.version for given in spec.inputs}
    DatasetRun.objects.filter(pk=run.pk).update(input_versions=run.input_versions)
    return spec


def _stored_spec(run: DatasetRun) -> DatasetSpec:
    from workers.executors import spec_from_json

    return spec_from_json(run.spec)


def _window_of(step_id: int | None) -> Window:
    step = Step.objects.select_related("pipeline_run").filter(pk=step_id).first()
    if step is None:
        return Window()
    return Window(start_date=_text(step.pipeline_run.start_date), end_date=_text(step.pipeline_run.end_date))


def _text(day: date | None) -> str | None:
    return day.isoformat() if day else None


def preview(job: DatasetJob, user: AbstractBaseUser) -> Preview:
    """The first rows of what the job would write, as this person may see them; nothing is written.

    They are made in a child process with limits. The job need not be saved.
    Raises what a run would raise, and `ResourceLimit`.
    """
    from workers.engines.preview import preview_sql
    from workers.executors.preview import preview_template

    spec = spec_of(job, str(new_run_id()))
    if isinstance(spec, SqlSpec):
        found = preview_sql(spec.sql, spec.inputs, spec.engine, spec.columns)
    else:
        found = preview_template(spec)
    return replace(found, rows=tuple(visible_rows(user, job.dataset_name, found.rows)))


def record_run(run: DatasetRun, result: StepResult) -> None:
    """Take over what the data plane did: the run's row, then the catalog's."""
    run.keep(result)
    run.facts = result.facts
    run.save(update_fields=[*KEPT_FIELDS, "facts"])
    job = run.job
    catalog.record_version(
        job.dataset_name, run_id=UUID(str(run.pk)), published=result.published, columns=result.columns
    )
    if not job.target_schema:
        # Its inputs had no columns when it was saved. From now on the job has the types, not the engine.
        job.target_schema = [to_json(column) for column in result.columns]
        job.save(update_fields=["target_schema", "updated_at"])
