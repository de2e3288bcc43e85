"""Filters on the metadata of an index, from texts as a URL has them: equal, one of several, from … to …."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time
from decimal import Decimal, InvalidOperation
from typing import Any

import polars as pl

from .errors import AssayError
from .schema import parse_type
from .specs import Column

TRUTHS = {"true": True, "1": True, "false": False, "0": False}
ORDERED = ("int8", "int16", "int32", "int64", "float32", "float64", "date", "timestamp", "timestamptz", "time")
MOST_VALUES = 100


class BadFilter(AssayError):
    """A filter on a column that is not there, or with a value that is none of its type."""

    code = "bad_filter"


def condition(filters: Mapping[str, Sequence[str]], columns: Sequence[Column]) -> pl.Expr:
    """All of the filters together. Of one column: any of its values; `10..20`, `10..` and `..20` are ranges
    of numbers and times, both ends included; an empty value is null.

    Raises `BadFilter`.
    """
    known = {column.name: column for column in columns if column.name not in ("text", "chunk_id", "chunk_index")}
    found = pl.lit(True)
    for name, values in filters.items():
        if name not in known:
            raise _bad(name, f"There is no column “{name}” to filter by.", f"Known are {', '.join(known)}.")
        if len(values) > MOST_VALUES:
            raise _bad(name, f"{len(values)} values of {name} are too many.", f"Give at most {MOST_VALUES}.")
        found &= pl.any_horizontal(_one(known[name], value) for value in values)
    return found


def _one(column: Column, text: str) -> pl.Expr:
    value = pl.col(column.name)
    if text == "":
        return value.is_null()
    if ".." in text and _is_ordered(column):
        low, _, high = text.partition("..")
        inside = value.is_not_null()
        if low:
            inside &= value >= _literal(column, low)
        if high:
            inside &= value <= _literal(column, high)
        return inside
    return (value == _literal(column, text)).fill_null(False)


def _is_ordered(column: Column) -> bool:
    return column.type in ORDERED or column.type.startswith("decimal")


def _literal(column: Column, text: str) -> pl.Expr:
    try:
        value = _value(column.type, text)
        told = pl.Series([value], dtype=parse_type(column.type), strict=True)
    except (ValueError, KeyError, OverflowError, TypeError, InvalidOperation, pl.exceptions.PolarsError):
        what = f"{column.name} is {column.type}, and “{text[:80]}” is none."
        raise _bad(column.name, what, "Write it as in the sample of the dataset.") from None
    return pl.lit(told.item(), dtype=told.dtype)


def _value(kind: str, text: str) -> Any:
    if kind == "boolean":
        return TRUTHS[text.lower()]
    if kind.startswith("int"):
        return int(text)
    if kind.startswith("float"):
        return float(text)
    if kind.startswith("decimal"):
        return Decimal(text)
    if kind == "date":
        return date.fromisoformat(text)
    if kind == "time":
        return time.fromisoformat(text)
    if kind == "timestamp":
        return datetime.fromisoformat(text).replace(tzinfo=None)
    if kind == "timestamptz":
        moment = datetime.fromisoformat(text)
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return text


def _bad(name: str, message: str, hint: str) -> BadFilter:
    return BadFilter(message, hint=hint, attr=f"filter.{name}", http_status=400)
