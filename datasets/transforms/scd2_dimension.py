"""A dimension that keeps its history."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from .base import ColumnName, Columns, Options, Transform


class Scd2Options(Options):
    business_key_columns: Columns
    change_detection_columns: list[ColumnName] | None = Field(None, description="none: all other columns")
    effective_time_column: ColumnName
    delete_mode: Literal["ignore", "close"] = "ignore"


class Scd2Dimension(Transform):
    name, layers, options = "scd2_dimension", ("silver",), Scd2Options
