"""What spans several records or the data plane: a job's place in the catalog, its spec, its SQL, its preview."""

from __future__ import annotations

from datetime import date
from typing import Any
from uuid import UUID

from django.conf import settings
from django.utils import timezone

from assay.common.columns import as_columns
from assay.common.runs import KEPT_FIELDS
from catalog import services as catalog
from ops.models import Step
from workers.errors import NotAvailableYet, SqlRejected, TableMissing
from workers.ids import new_run_id
from workers.results import Preview, StepResult
from workers.specs import SqlSpec, TableInput, TableTarget, Window, to_json

from .checking import check, engine_of
from .models import DatasetJob, DatasetRun
from .transforms import TRANSFORMS

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

    found = check(job)
    return {
        "sql": laid_out(found.sql) if found.sql else "",
        "engines": [_statement(job, engine) for engine in ENGINES],
        "columns": [to_json(column) for column in found.columns],
        "warnings": list(found.warnings),
    }


def _statement(job: DatasetJob, engine: str) -> dict[str, str | None]:
    """What this engine runs, or why it cannot run it."""
    try:
        checked = check(job, engine).checked
    except SqlRejected as error:
        return {"engine": engine, "statement": None, "error": f"{error.message} {error.hint}".strip()}
    return {"engine": engine, "statement": checked and checked.statement, "error": None}


# --- running -------------------------------------------------------------------------


def spec_of(job: DatasetJob, run_id: str, window: Window | None = None) -> SqlSpec:
    """What exactly a run of the job does, the versions of its inputs pinned.

    Raises `NotAvailableYet` for what is valid but cannot run, `TableMissing`
    for an input that was never published, `SqlRejected` where an input changed.
    """
    refuse_what_cannot_run(job)
    inputs = tuple(_pinned(given["dataset"], given["alias"]) for given in job.inputs)
    found = check(job)
    return SqlSpec(
        run_id=run_id,
        workflow=job.workflow.slug,
        job=job.name,
        inputs=inputs,
        sql=found.sql,
        columns=found.columns,
        engine=engine_of(job),
        target=TableTarget(
            dataset=job.dataset_name,
            uri=catalog.lake_uri(job.dataset_name),
            partition_by=tuple(job.partition_by),
            compression=job.compression,
        ),
        refresh_mode=job.refresh_mode,
        merge_keys=tuple(job.merge_keys),
        window=window or Window(),
        run_time=timezone.now(),
        memory_limit_mb=settings.ASSAY_STEP_MEMORY_MB,
    )


def refuse_what_cannot_run(job: DatasetJob) -> None:
    transform = TRANSFORMS[job.transform_type]
    if not transform.available:
        transform.sql(job, {})
    if job.data_quality:
        raise NotAvailableYet("Rules of a job are not checked yet.", hint="Empty data_quality.")


def _pinned(name: str, alias: str) -> TableInput:
    version = catalog.latest_version(name)
    if version is None:
        raise TableMissing(f"{name} was never published.", hint="Run the job that makes it first.")
    return TableInput(dataset=name, alias=alias, uri=catalog.lake_uri(name), version=version)


def spec_of_run(run: DatasetRun) -> SqlSpec:
    """The run's spec; the run keeps the versions of its inputs."""
    spec = spec_of(run.job, str(run.pk), _window_of(run.step_id))
    run.input_versions = {given.dataset: given.version for given in spec.inputs}
    DatasetRun.objects.filter(pk=run.pk).update(input_versions=run.input_versions)
    return spec


def _window_of(step_id: int | None) -> Window:
    step = Step.objects.select_related("pipeline_run").filter(pk=step_id).first()
    if step is None:
        return Window()
    return Window(start_date=_text(step.pipeline_run.start_date), end_date=_text(step.pipeline_run.end_date))


def _text(day: date | None) -> str | None:
    return day.isoformat() if day else None


def preview(job: DatasetJob) -> Preview:
    """The first rows of what the job would write, made in a child process with limits; nothing is written.

    The job need not be saved. Raises what a run would raise, and `ResourceLimit`.
    """
    from workers.engines.preview import preview_sql

    spec = spec_of(job, str(new_run_id()))
    return preview_sql(spec.sql, spec.inputs, spec.engine, spec.columns)


def record_run(run: DatasetRun, result: StepResult) -> None:
    """Take over what the data plane did: the run's row, then the catalog's."""
    run.keep(result)
    run.save(update_fields=KEPT_FIELDS)
    job = run.job
    catalog.record_version(
        job.dataset_name, run_id=UUID(str(run.pk)), published=result.published, columns=result.columns
    )
    if not job.target_schema:
        # Its inputs had no columns when it was saved. From now on the job has the types, not the engine.
        job.target_schema = [to_json(column) for column in result.columns]
        job.save(update_fields=["target_schema", "updated_at"])
