"""Metrics by time grain and dimensions."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from .base import Alias, ColumnName, Inputs, Options, Transform


class Metric(Options):
    name: str = Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=63)
    expression: str = Field(min_length=1, description="an aggregate: `sum(amount)`")
    filter: str | None = Field(None, min_length=1, description="a condition on the rows it counts: `status = 'paid'`")


class MetricsOptions(Options):
    base: Alias = Field(description="alias of the input that is aggregated")
    time_column: ColumnName
    time_grain: Literal["hour", "day", "week", "month", "quarter", "year"] = "day"
    dimensions: list[ColumnName] = []
    metrics: list[Metric] = Field(min_length=1)
    fill_gaps: bool = Field(False, description="a row also for a period in which nothing happened")


class MetricsAggregate(Transform):
    name, layers, options, available = "metrics_aggregate", ("gold",), MetricsOptions, True
    aliases = ("base",)
    needs_columns = True

    def sql(self, job, inputs: Inputs) -> str:
        from workers.executors.metrics_aggregate import to_sql

        return to_sql(MetricsOptions.model_validate(job.config).model_dump(exclude_none=True), inputs)
