"""Metrics by time grain and dimensions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from assay.common.problems import Problem
from workers.errors import InvalidConfig
from workers.specs import DatasetSpec

from .base import Alias, Check, ColumnName, Inputs, Options, Transform

NAME = r"^[A-Za-z_][A-Za-z0-9_]*$"


class Metric(Options):
    name: str = Field(pattern=NAME, max_length=63)
    expression: str = Field(min_length=1, description="an aggregate: `sum(amount)`")
    filter: str | None = Field(None, min_length=1, description="a condition on the rows it counts: `status = 'paid'`")


class MetricUse(Options):
    """A metric that is defined for all jobs."""

    metric: str = Field(min_length=1, max_length=63, description="name of a metric definition")
    name: str | None = Field(None, pattern=NAME, max_length=63, description="of the column; default: the metric's")


class MetricRatio(Options):
    """One measure of the list divided by another: null where there is nothing to divide by."""

    name: str = Field(pattern=NAME, max_length=63)
    numerator: str = Field(min_length=1, description="name of a measure in this list")
    denominator: str = Field(min_length=1, description="name of a measure in this list")


def _kind(given: Any) -> str:
    if not isinstance(given, Mapping):
        return "ratio" if isinstance(given, MetricRatio) else "use" if isinstance(given, MetricUse) else "measure"
    if "metric" in given:
        return "use"
    return "ratio" if {"numerator", "denominator"} & set(given) else "measure"


AnyMetric = Annotated[
    Annotated[Metric, Tag("measure")] | Annotated[MetricUse, Tag("use")] | Annotated[MetricRatio, Tag("ratio")],
    Discriminator(_kind),
]


class MetricsOptions(Options):
    base: Alias = Field(description="alias of the input that is aggregated")
    time_column: ColumnName
    time_grain: Literal["hour", "day", "week", "month", "quarter", "year"] = "day"
    time_zone: str = Field("UTC", description="IANA name: periods begin when its clocks say so; for times with a zone")
    week_start: Literal["monday", "sunday", "saturday"] = "monday"
    dimensions: list[ColumnName] = []
    metrics: list[AnyMetric] = Field(min_length=1)
    fill_gaps: bool = Field(False, description="a row also for a period in which nothing happened")


class MetricsAggregate(Transform):
    name, layers, options = "metrics_aggregate", ("gold",), MetricsOptions
    aliases = ("base",)
    refresh_modes = ("full_refresh", "overwrite_partition", "merge")  # appended, a period would stand there twice
    needs_columns = True

    def unknown_references(self, options: MetricsOptions, job, path: str) -> Iterator[Problem]:
        from datasets.metrics.resolving import unknown_definitions

        return unknown_definitions(options, path, job.author)

    def sql(self, job, inputs: Inputs) -> str:
        """The days of a run are parameters where it makes only its own partitions anew."""
        from workers.executors.metrics.run import to_sql

        resolved = self.resolved(job)
        window = ("start_date", "end_date") if self._is_by_period(job) else ()
        with _told_at_their_definition(resolved.uses):
            return to_sql(resolved.config, inputs, window)

    def spec(self, job, found: Check, common: Mapping[str, Any]) -> DatasetSpec:
        """With the definitions' expressions as they are now, so that a repetition does the same."""
        from datasets.inputs import columns_by_alias
        from workers.executors.metrics.periods import whole_periods
        from workers.executors.metrics.run import plan_of, to_sql
        from workers.template_specs import MetricsSpec

        resolved, inputs = self.resolved(job), columns_by_alias(job)
        with _told_at_their_definition(resolved.uses):
            plan = plan_of(resolved.config, inputs)
        window = common["window"]
        sides = [side for side in ("start_date", "end_date") if getattr(window, side) and self._is_by_period(job)]
        if sides:
            window = whole_periods(window, plan.grain, plan.week_start)
        return MetricsSpec(
            **{**common, "window": window},
            sql=to_sql(resolved.config, inputs, sides),
            time_column=plan.time_column,
            time_grain=plan.grain,
            time_zone=plan.time_zone,
            week_start=plan.week_start,
            dimensions=tuple(plan.dimensions),
            metrics=resolved.facts(plan),
        )

    def resolved(self, job, changed=None):
        """The config with definitions in place of their names; `changed` as it is here, and not as it was saved."""
        from datasets.metrics.resolving import resolve

        options = self.read(job)
        dataset = next((each["dataset"] for each in job.inputs if each["alias"] == options.base), "")
        return resolve(options, dataset, changed, job.author)

    def _is_by_period(self, job) -> bool:
        return job.refresh_mode == "overwrite_partition" and self.read(job).time_column in job.partition_by


@contextmanager
def _told_at_their_definition(uses: Mapping[int, str]) -> Iterator[None]:
    """Faults in what a definition says are shown where the job names it."""
    try:
        yield
    except InvalidConfig as error:
        for fault in error.facts.get("problems", ()):
            _move(fault, uses)
        raise


def _move(fault: dict[str, str], uses: Mapping[int, str]) -> None:
    parts = fault["field"].split(".")
    if parts[:2] != ["config", "metrics"] or len(parts) < 4 or int(parts[2]) not in uses or parts[3] == "name":
        return
    fault["message"] = f"The metric {uses[int(parts[2])]} does not fit: {fault['message']}"
    fault["field"] = ".".join([*parts[:3], "metric"])
