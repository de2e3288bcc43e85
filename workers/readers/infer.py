"""Types that people agree with, from a sample of texts.

A type is taken when every value fits, or all but `tolerance` of them; of
equal fits the narrowest wins. Digits behind a leading zero are a code, not a
number; 03/04/2025 is a date only if other values prove which number is the month.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from ..schema import parse_type
from .casts import ColumnPlan, typed

BOOLEANS = ("true", "false", "True", "False", "TRUE", "FALSE")
INTEGER = r"^-?(?:0|[1-9]\d*)$"
FLOAT = r"^-?(?:0|[1-9]\d*)?(?:\.\d+|\d\.)?(?:[eE][+-]?\d{1,3})?$|^[+-]?(?i:nan|inf|infinity)$"
LEADING_ZERO = r"^-?0\d"
DATES = (
    "%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m-%d-%Y",
    "%d %b %Y", "%d-%b-%Y", "%d %B %Y", "%b %d, %Y", "%B %d, %Y",
)  # fmt: skip
TIMES = ("%H:%M:%S", "%H:%M:%S%.f", "%H:%M")
ZONE = "%#z"
LOOKS_DATED = r"\d{4}[-/.]\d|\d[-/.]\d{1,2}[-/.]\d{4}|[A-Za-z]{3,9}[ -]\d|\d[ -][A-Za-z]{3}"


def infer(texts: pl.Series, tolerance: float = 0.0) -> ColumnPlan:
    """How the column is best read; as text when nothing fits or it has no value at all."""
    name, values = texts.name, texts.drop_nulls()
    values = values.filter(values != "")
    strip = _has_padding(values)
    trimmed = values.str.strip_chars(" \t") if strip else values
    for kind in (_boolean, _number, _moment):
        if plan := kind(name, trimmed, tolerance):
            return ColumnPlan(name=name, type=plan[0], format=plan[1], strip=strip)
    return ColumnPlan(name=name, type="string")


def infer_moment(texts: pl.Series, tolerance: float = 0.0) -> ColumnPlan:
    """A date or timestamp if the texts are one, else text: what is a number in quotes stays as it is."""
    moment = _moment(texts.name, texts.drop_nulls(), tolerance)
    type_, format_ = moment or ("string", None)
    return ColumnPlan(name=texts.name, type=type_, format=format_)


def plan_for(name: str, type_: str, texts: pl.Series | None, *, nullable: bool = True) -> ColumnPlan:
    """How to read a column whose type is settled: the date format and the padding come from the sample."""
    plan = ColumnPlan(name=name, type=type_, nullable=nullable)
    if texts is None or plan.is_text:
        return plan
    values = texts.drop_nulls()
    strip = _has_padding(values)
    trimmed = values.str.strip_chars(" \t") if strip else values
    best = _best_format(trimmed, _formats(type_)) if _formats(type_) else None
    return ColumnPlan(name=name, type=type_, nullable=nullable, strip=strip, format=best)


def fitting_share(texts: pl.Series, plan: ColumnPlan) -> float:
    """The share (0..1) of the values that the plan can read; 1 when there are none."""
    values = texts.drop_nulls()
    values = values.filter(values != "")
    if values.is_empty():
        return 1.0
    return 1 - values.to_frame(plan.name).select(typed(plan).null_count()).item() / len(values)


def _has_padding(values: pl.Series) -> bool:
    return values.str.contains(r"^[ \t]|[ \t]$").any()


def _share(values: pl.Series, pattern: str) -> float:
    return values.str.contains(pattern).mean() or 0.0


def _boolean(name: str, values: pl.Series, tolerance: float) -> tuple[str, None] | None:
    fits = len(values) > 0 and values.is_in(BOOLEANS).mean() >= 1 - tolerance
    return ("boolean", None) if fits else None


def _number(name: str, values: pl.Series, tolerance: float) -> tuple[str, None] | None:
    if values.is_empty() or values.str.contains(LEADING_ZERO + r"\d*$").any():
        return None
    integers, floats = _share(values, INTEGER), _share(values, FLOAT)
    if floats < 1 - tolerance:
        return None
    if integers < floats:
        return "float64", None
    digits = values.filter(values.str.contains(INTEGER))
    if digits.cast(pl.Int64, strict=False).null_count() == 0:
        return "int64", None
    return ("decimal(38,0)", None) if digits.str.len_bytes().max() <= 38 else None


def _moment(name: str, values: pl.Series, tolerance: float) -> tuple[str, str] | None:
    if values.is_empty() or _share(values, LOOKS_DATED) < 1 - tolerance:
        return None
    for type_ in ("date", "timestamp", "timestamptz"):
        best = _best_format(values, _formats(type_), tolerance)
        if best:
            return type_, best
    return None


def _formats(type_: str) -> Sequence[str]:
    if type_ == "date":
        return DATES
    stamps = [f"{day}{gap}{time}" for day in DATES for gap in ("T", " ") for time in TIMES]
    if type_ == "timestamp":
        return stamps
    if type_ == "timestamptz":
        return [stamp + gap + ZONE for stamp in stamps for gap in ("", " ")]
    return ()


def _best_format(values: pl.Series, formats: Sequence[str], tolerance: float = 1.0) -> str | None:
    """The format that reads most values; None when two read as many and disagree on what they mean."""
    probe = values.head(20)
    likely = [fmt for fmt in formats if _parse(probe, fmt).null_count() < max(len(probe), 1)]
    parsed = {fmt: _parse(values, fmt) for fmt in likely}
    best = sorted(likely, key=lambda fmt: parsed[fmt].null_count())
    if not best or parsed[best[0]].null_count() > tolerance * len(values):
        return None
    ties = [fmt for fmt in best if parsed[fmt].null_count() == parsed[best[0]].null_count()]
    agree = all(parsed[fmt].equals(parsed[ties[0]], check_dtypes=False, null_equal=True) for fmt in ties[1:])
    return ties[0] if agree else None


def _parse(values: pl.Series, fmt: str) -> pl.Series:
    if "%H" not in fmt:
        return values.str.to_date(fmt, strict=False)
    return values.str.to_datetime(fmt, strict=False, time_unit="us", time_zone="UTC" if ZONE in fmt else None)


def type_rank(type_: str) -> int:
    """The place of a type on the road int → wider int → float or decimal → string; -1 when it is not on it."""
    order = ("int8", "int16", "int32", "int64", "float64", "string")
    if type_.startswith("decimal"):
        return order.index("float64")
    return order.index(type_) if type_ in order else -1


def is_wider(new: str, old: str) -> bool:
    """Whether every value of `old` has a place in `new`."""
    if new == "string":
        return parse_type(old) != pl.String
    return -1 < type_rank(old) < type_rank(new)
