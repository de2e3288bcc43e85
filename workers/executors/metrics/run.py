"""Gold by declaration: a time grain, dimensions and metrics become one checked SELECT.

The template writes SQL in the canonical dialect, so it runs on every engine,
can be read by the person who configured it, and is checked like any other.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, replace
from typing import Any

from workers.access import NOTHING, Access
from workers.engines.sql import check_sql, laid_out
from workers.executors import sql
from workers.progress import Progress, silent
from workers.results import StepResult
from workers.specs import Column
from workers.template_specs import MetricsSpec

from .query import select
from .reading import Inputs, Plan, read_plan

Spec = MetricsSpec


def run(spec: MetricsSpec, progress: Progress = silent, access: Access = NOTHING) -> StepResult:
    """As the query's own run does; the facts tell what each metric is, so that nobody sums what has no sum.

    Its facts: `{metrics: [{name, title, unit, additivity, …}], time: {column, grain, time_zone, week_start},
    dimensions}`.
    """
    return replace(sql.run(spec, progress, access), facts=facts_of(spec))


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
