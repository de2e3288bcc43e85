"""Gold by declaration: a time grain, dimensions and metrics become one checked SELECT.

The template writes SQL in the canonical dialect, so it runs on every engine,
can be read by the person who configured it, and is checked like any other.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, replace
from datetime import date, datetime
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

from workers.access import NOTHING, Access
from workers.engines.sql import check_sql, laid_out
from workers.executors import sql
from workers.lake.stage import Staging
from workers.lake.table import open_table, table_exists
from workers.progress import Progress, silent
from workers.results import StepResult
from workers.specs import Column
from workers.template_specs import MetricsSpec

from .query import select
from .reading import Inputs, Plan, read_plan

Spec = MetricsSpec


def run(spec: MetricsSpec, progress: Progress = silent, access: Access = NOTHING) -> StepResult:
    """As the query's own run does; the facts tell what each metric is, so that nobody sums what has no sum.

    A run with a window replaces the periods that begin in it, also those that
    have no rows any more, and no others. Its facts: `{metrics: [{name, title,
    unit, additivity, …}], time: {column, grain, time_zone, week_start},
    dimensions}`.
    """
    has_window = bool(spec.window.start_date or spec.window.end_date)
    by_period = spec.refresh_mode == "overwrite_partition" and spec.time_column in spec.target.partition_by
    replaced = partial(_periods_of_window, spec) if has_window and by_period else None
    return replace(sql.run(spec, progress, access, replaced), facts=facts_of(spec))


def _periods_of_window(spec: MetricsSpec, staging: Staging) -> sql.Partitions:
    """The partitions of the staged rows, and those of the window that the table has."""
    staged = tuple(file.partition_values for file in staging.files)
    if not table_exists(spec.target.uri):
        return staged
    first, last = spec.window.start_date or str(date.min), spec.window.end_date or str(date.max)
    held = (file.partition_values for file in open_table(spec.target.uri).data_files)
    return staged + tuple(values for values in held if first <= _day_of(spec, values[spec.time_column]) <= last)


def _day_of(spec: MetricsSpec, period: date | str | None) -> str:
    """The day on which a period begins: an hour is an instant, which has its day where the zone's clocks are."""
    if isinstance(period, datetime) and period.tzinfo and spec.time_grain == "hour":
        period = period.astimezone(ZoneInfo(spec.time_zone))
    return str(period)[:10] if period is not None else ""


def facts_of(spec: MetricsSpec) -> dict[str, Any]:
    time = {"column": spec.time_column, "grain": spec.time_grain}
    time |= {"time_zone": spec.time_zone, "week_start": spec.week_start}
    return {
        "metrics": [asdict(metric) for metric in spec.metrics],
        "time": time,
        "dimensions": list(spec.dimensions),
    }


def to_sql(config: Mapping[str, Any], inputs: Inputs, window: Collection[str] = ()) -> str:
    """The SELECT that the configuration stands for, laid out for reading.

    It returns the time column, which keeps its name and holds the start of its
    period (a date; for hours a timestamp), the dimensions, and the metrics.
    Rows without a time keep a group of their own. With `window`, names of
    `start_date` and `end_date`, only rows of those days are looked at. Raises
    `InvalidConfig` with every problem and its field, such as
    `config.metrics.0.expression`.
    """
    return laid_out(select(plan_of(config, inputs), window))


def plan_of(config: Mapping[str, Any], inputs: Inputs) -> Plan:
    """The configuration, read and checked. Raises `InvalidConfig`."""
    return read_plan(config, inputs)


def output_columns(config: Mapping[str, Any], inputs: Inputs) -> tuple[Column, ...]:
    """The target schema that the configuration suggests; sums of decimals have 38 digits."""
    return check_sql(to_sql(config, inputs), inputs, "duckdb").columns
