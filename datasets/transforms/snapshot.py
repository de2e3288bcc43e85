"""What was true at the end of each period."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from .base import Alias, ColumnName, Options, Transform


class SnapshotOptions(Options):
    base: Alias
    as_of: str | dict[str, str] = Field("run_date", description="run_date, or {start_date, end_date}")
    grain: Literal["day", "week", "month"] = "day"
    effective_from_column: ColumnName | None = None
    effective_to_column: ColumnName | None = None
    event_time_column: ColumnName | None = None
    key_columns: list[ColumnName] = []


class Snapshot(Transform):
    name, layers, options, aliases = "snapshot", ("gold",), SnapshotOptions, ("base",)
