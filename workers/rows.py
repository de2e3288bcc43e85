"""Rows as JSON can carry them: for samples and previews that people look at."""

from __future__ import annotations

import math
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import polars as pl


def json_rows(frame: pl.DataFrame) -> list[dict[str, Any]]:
    """A dict a row. Decimals and times become text so that no digit is lost, bytes hexadecimal, NaN and ∞ text."""
    return [json_value(row) for row in frame.iter_rows(named=True)]


def json_value(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): json_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [json_value(item) for item in value]
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Decimal | timedelta):
        return str(value)
    return value
