"""What pages, API and `apply` do with metric definitions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from assay.common.columns import as_columns
from assay.common.policy import visible_rows
from catalog import services as catalog
from catalog.models import Dataset
from workers.errors import AssayError, TableMissing
from workers.specs import TableInput

from . import uses
from .models import MetricDefinition
from .resolving import as_metric

if TYPE_CHECKING:
    from datasets.models import DatasetJob

MAX_PERIODS = 50
GRAINS = ("day", "week", "month")
TIMES = ("date", "timestamp", "timestamptz")


class MetricInUse(AssayError):
    code = "metric_in_use"


class NoTimeColumn(AssayError):
    """The dataset has no date or time that periods could be made of."""

    code = "no_time_column"


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """What a change would do to the values of the last periods, the newest first."""

    dataset: str
    version: int
    time_column: str
    grain: str
    rows: tuple[dict[str, Any], ...]  # {period, old, new, changed}

    @property
    def changed(self) -> int:
        return sum(row["changed"] for row in self.rows)


def delete_metric(definition: MetricDefinition, user) -> None:
    """Raises `MetricInUse` where jobs name it or ratios are made of it."""
    if told := uses.told(definition.name, user):
        hint = "Take it out of them first, or delete them."
        raise MetricInUse(f"{definition.name} is used by {told}.", hint=hint)
    definition.delete()


def with_changes(definition: MetricDefinition, changes: Mapping[str, Any], author) -> MetricDefinition:
    """Another record with the changed fields; the definition stays as it is. Raises Django's ValidationError."""
    candidate = MetricDefinition(
        **{f.attname: getattr(definition, f.attname) for f in definition._meta.concrete_fields}
    )
    candidate.author = author
    for name, value in changes.items():
        setattr(candidate, name, value)
    candidate.full_clean(validate_unique=False, validate_constraints=False)
    return candidate


def review(
    old: MetricDefinition | None,
    new: MetricDefinition,
    user,
    *,
    grain: str = "month",
    periods: int = 12,
    time_column: str = "",
) -> Review:
    """Old and new values for each of the last periods, over the newest version of the dataset.

    Computed in a child process with limits; without `old` its values are null.
    Periods are those of UTC. Raises `TableMissing`, `NoTimeColumn`,
    `InvalidConfig` for a time column that the dataset lacks, and what a
    preview raises.
    """
    from workers.engines.preview import preview_sql
    from workers.engines.statement import quoted
    from workers.executors.metrics.run import plan_of, to_sql

    dataset = Dataset.objects.visible_to(user).filter(name=new.dataset).first()
    if dataset is None:
        raise TableMissing(f"There is no dataset “{new.dataset}”.", hint="Name one that you may see.")
    columns = as_columns(dataset.columns)
    version = catalog.latest_version(dataset.name)
    if version is None:
        raise TableMissing(f"{dataset.name} was never published.", hint="Run the job that makes it first.")
    formulas = {"assay_old": as_metric(old or new), "assay_new": as_metric(new)}
    config = {
        "base": "rows",
        "time_column": time_column or _time_column(new, columns, user),
        "time_grain": grain,
        "metrics": [{"name": name, **formula} for name, formula in formulas.items()],
    }
    inputs = {"rows": columns}
    time = quoted(plan_of(config, inputs).time_column)
    newest = f"SELECT * FROM ({to_sql(config, inputs)}) AS found WHERE {time} IS NOT NULL ORDER BY {time} DESC"  # noqa: S608
    pinned = TableInput(dataset=dataset.name, alias="rows", uri=catalog.lake_uri(dataset.name), version=version)
    preview = preview_sql(f"{newest} LIMIT {int(periods)}", (pinned,), "duckdb", limit=periods)
    found = visible_rows(user, dataset.name, preview.rows)
    rows = tuple(_compared(tuple(row.values()), is_new=old is None) for row in found)
    return Review(dataset=dataset.name, version=version, time_column=config["time_column"], grain=grain, rows=rows)


def _compared(row: tuple[Any, Any, Any], *, is_new: bool) -> dict[str, Any]:
    period, old, new = row
    return {"period": period, "old": None if is_new else old, "new": new, "changed": is_new or old != new}


def _time_column(definition: MetricDefinition, columns, user) -> str:
    """The one that jobs over the dataset measure by; else its first."""
    timed = [column.name for column in columns if column.type.lower() in TIMES]
    if not timed:
        raise NoTimeColumn(f"{definition.dataset} has no date or time column: there are no periods to compare.")
    return next((name for name in _used_time_columns(definition.dataset, user) if name in timed), timed[0])


def _used_time_columns(dataset: str, user) -> list[str]:
    from datasets.models import DatasetJob, TransformType

    jobs = DatasetJob.objects.visible_to(user).filter(transform_type=TransformType.METRICS_AGGREGATE)
    return [
        str(config.get("time_column"))
        for inputs, config in jobs.values_list("inputs", "config")
        if {"dataset": dataset, "alias": config.get("base")} in inputs
    ]


def jobs_that_break(definition: MetricDefinition, user) -> dict[str, str]:
    """Jobs, of those that the person may see, that would be refused with the definition as it is: `{name: why}`."""
    from datasets.checking import where_and_what
    from datasets.models import DatasetJob, TransformType

    named = {use.job for use in uses.uses_of([definition.name], user)[definition.name]}
    jobs = DatasetJob.objects.filter(transform_type=TransformType.METRICS_AGGREGATE).select_related("workflow")
    found: dict[str, str] = {}
    for job in jobs:
        name = f"{job.workflow.slug}.{job.name}"
        if name in named:
            try:
                _check_with(job, definition)
            except AssayError as error:
                found[name] = where_and_what(error)
    return found


def _check_with(job: DatasetJob, definition: MetricDefinition) -> None:
    from datasets.checking import engine_of
    from datasets.inputs import columns_by_alias
    from datasets.transforms import TRANSFORMS
    from workers.engines.sql import check_sql
    from workers.executors.metrics.run import to_sql

    inputs = columns_by_alias(job)
    if not all(inputs.values()):
        return  # nobody knows its columns before its inputs have run
    resolved = TRANSFORMS[job.transform_type].resolved(job, definition)
    check_sql(to_sql(resolved.config, inputs), inputs, engine_of(job), as_columns(job.target_schema) or None)
