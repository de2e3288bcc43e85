"""Values of databases as Arrow arrays: checked, and as exact text where they do not fit."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from ...readers.typed import as_text
from .base import Misfit

DAY_MICROSECONDS = 86_400_000_000
_DAYS = ((date(1, 1, 1) - date(1970, 1, 1)).days, (date(9999, 12, 31) - date(1970, 1, 1)).days)
_MICROSECONDS = (_DAYS[0] * DAY_MICROSECONDS, (_DAYS[1] + 1) * DAY_MICROSECONDS - 1)
_ERA_DAYS = 146_097  # of 400 years


def limits(kind: pa.DataType) -> tuple[int, int]:
    """The first and last number that stand for a moment people have a calendar for: the years 1 to 9999."""
    if pa.types.is_date(kind):
        return _DAYS
    return (0, DAY_MICROSECONDS - 1) if pa.types.is_time(kind) else _MICROSECONDS


def numbers(values: pa.Array) -> pa.Array:
    """The numbers behind dates, times and timestamps."""
    return values.view(pa.int32() if pa.types.is_date(values.type) else pa.int64())


def in_calendar(values: pa.Array) -> pa.Array:
    """The values, if all of them lie within the years 1 to 9999 or within a day. Raises `Misfit`."""
    bounds, (low, high) = pc.min_max(numbers(values)), limits(values.type)
    if bounds["min"].is_valid and (bounds["min"].as_py() < low or bounds["max"].as_py() > high):
        raise Misfit
    return values


def moment_texts(values: pa.Array, spell: Callable[[int, pa.DataType], str]) -> pa.Array:
    """ISO 8601, and for what lies outside of the calendar what `spell` makes of its number."""
    kind, raw = values.type, pl.Series(numbers(values))
    low, high = limits(kind)
    is_odd = ~raw.is_between(low, high).fill_null(True)
    plain = pl.select(pl.when(~is_odd).then(raw)).to_series()
    usual = pl.Series(plain.to_arrow().cast(numbers(values).type).view(kind))
    texts = usual.to_frame("v").select(as_text(pl.col("v"), usual.dtype)).to_series()
    odd = [spell(value, kind) if strange else None for value, strange in zip(raw, is_odd, strict=True)]
    told = texts.zip_with(~is_odd, pl.Series(odd, dtype=pl.String))
    return told.to_arrow(compat_level=pl.CompatLevel.oldest()).cast(pa.string())


def far_moment(value: int, kind: pa.DataType) -> str:
    """A date or timestamp of any year, from its days or microseconds since 1970: `0044-03-15 BC`."""
    if pa.types.is_time(kind):
        seconds, fraction = divmod(value, 1_000_000)
        clock = f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
        return clock + (f".{fraction:06d}" if fraction else "")
    days, rest = (value, None) if pa.types.is_date(kind) else divmod(value, DAY_MICROSECONDS)
    eras, day = divmod(days, _ERA_DAYS)
    near = date(1970, 1, 1) + timedelta(days=day)
    year = near.year + 400 * eras
    era = " BC" if year < 1 else ""
    text = f"{year if year > 0 else 1 - year:04d}-{near:%m-%d}"
    if rest is not None:
        text += f" {far_moment(rest, pa.time64('us'))}" + ("+00:00" if kind.tz else "")
    return text + era


def json_texts(values: pa.Array) -> pa.Array:
    """Lists as JSON."""
    return pa.array(
        [None if value is None else json.dumps(value, default=_json) for value in values.to_pylist()], pa.string()
    )


def _json(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime | date) else str(value)
