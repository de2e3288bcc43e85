"""Types that people agree with, from a sample of texts.

A type is taken when every value fits, or all but `tolerance` of them; of
equal fits the narrowest wins. Digits behind a leading zero are a code, not a
number; 03/04/2025 is a date only if other values prove which number is the month.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal, InvalidOperation

import polars as pl

from ..specs import CsvOptions
from .casts import GROUPED, ColumnPlan
from .date_formats import formats_for, given_formats, known_formats

BOOLEANS = ("true", "false", "True", "False", "TRUE", "FALSE")
INTEGER = r"^-?(?:0|[1-9]\d*)$"
FLOAT = r"^-?(?:(?:0|[1-9]\d*)(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,3})?$|^[+-]?(?i:nan|inf|infinity)$"
LEADING_ZERO = r"^-?0\d+$"
TIME = r"^\d{1,2}:\d{2}:\d{2}(?:\.\d{1,6})?$"
LOOKS_DATED = r"\d{4}[-/.]\d|\d[-/.]\d{1,2}[-/.]\d{4}|[A-Za-z]{3,9}[ -]\d|\d[ -][A-Za-z]{3}"
MAX_DIGITS = 38  # of a decimal
DEFAULTS = CsvOptions()
SURE_DIGITS = 15  # so many every float64 keeps


def infer(texts: pl.Series, tolerance: float = 0.0, options: CsvOptions = DEFAULTS) -> ColumnPlan:
    """How the column is best read; as text when nothing fits or it has no value at all.

    Of the options the decimal sign counts, and the formats of dates, which
    are asked before anything else.
    """
    name, values = texts.name, _values(texts)
    strip = _has_padding(values)
    trimmed = values.str.strip_chars(" \t") if strip else values
    if values.is_empty():
        return ColumnPlan(name=name, type="string")
    if told := _moment(trimmed, tolerance, options.date_formats, is_told=True):
        return ColumnPlan(name=name, type=told[0], formats=told[1], strip=strip)
    if _is_boolean(trimmed, tolerance):
        return ColumnPlan(name=name, type="boolean", strip=strip)
    if number := _number(trimmed, tolerance, options.decimal):
        return ColumnPlan(name=name, type=number, decimal=options.decimal, strip=strip)
    if _is_time(trimmed, tolerance):
        return ColumnPlan(name=name, type="time", strip=strip)
    if moment := _moment(trimmed, tolerance, options.date_formats):
        return ColumnPlan(name=name, type=moment[0], formats=moment[1], strip=strip)
    return ColumnPlan(name=name, type="string")


def infer_moment(texts: pl.Series, tolerance: float = 0.0) -> ColumnPlan:
    """A date or timestamp if the texts are one, else text: what is a number in quotes stays as it is."""
    type_, formats = _moment(_values(texts), tolerance) or ("string", ())
    return ColumnPlan(name=texts.name, type=type_, formats=formats)


def plan_for(
    name: str, type_: str, texts: pl.Series | None, options: CsvOptions = DEFAULTS, *, nullable: bool = True
) -> ColumnPlan:
    """How to read a column whose type is settled: the date formats and the padding come from the sample."""
    plan = ColumnPlan(name=name, type=type_, nullable=nullable, decimal=options.decimal)
    if plan.is_text:
        return plan
    values = _values(texts) if texts is not None else pl.Series(dtype=pl.String)
    strip = _has_padding(values)
    trimmed = values.str.strip_chars(" \t") if strip else values
    formats = formats_for(trimmed, type_, given_formats(options.date_formats, type_), tolerance=1.0)
    return ColumnPlan(name=name, type=type_, nullable=nullable, strip=strip, formats=formats, decimal=options.decimal)


def _values(texts: pl.Series) -> pl.Series:
    values = texts.drop_nulls()
    return values.filter(values != "")


def _has_padding(values: pl.Series) -> bool:
    return values.str.contains(r"^[ \t]|[ \t]$").any()


def _share(values: pl.Series, pattern: str) -> float:
    return values.str.contains(pattern).mean() or 0.0


def _is_boolean(values: pl.Series, tolerance: float) -> bool:
    return values.is_in(BOOLEANS).mean() >= 1 - tolerance


def _number(values: pl.Series, tolerance: float, decimal: str) -> str | None:
    if values.str.contains(LEADING_ZERO).any():
        return None
    if decimal == ",":
        values = _with_points(values)
    integers, floats = _share(values, INTEGER), _share(values, FLOAT)
    if floats < 1 - tolerance:
        return None
    if integers < floats:
        return _fraction(values.filter(values.str.contains(FLOAT)))
    digits = values.filter(values.str.contains(INTEGER))
    if digits.cast(pl.Int64, strict=False).null_count() == 0:
        return "int64"
    return "decimal(38,0)" if digits.str.strip_chars_start("-").str.len_bytes().max() <= MAX_DIGITS else None


def _with_points(values: pl.Series) -> pl.Series:
    """Numbers with a decimal comma as if with a point; what is none gets a sign that no number has."""
    plain = values.str.replace_all(".", "", literal=True).str.replace(",", ".", literal=True)
    is_sound = values.str.contains(GROUPED) | ~values.str.contains(".", literal=True)
    return pl.select(pl.when(is_sound).then(plain).otherwise(pl.lit("?"))).to_series()


def _fraction(values: pl.Series) -> str | None:
    """`float64`, unless a value would lose digits in it: then a decimal, or nothing where that is too short, too."""
    long = values.filter(values.str.count_matches(r"\d") > SURE_DIGITS)
    if all(_survives(text) for text in long):
        return "float64"
    if _share(values, r"^-?\d*\.?\d*$") < 1:
        return None
    parts = values.str.strip_chars_start("-").str.split_exact(".", 1).struct
    whole = parts.field("field_0").str.len_bytes().max()
    scale = parts.field("field_1").fill_null("").str.len_bytes().max()
    return f"decimal({MAX_DIGITS},{scale})" if whole + scale <= MAX_DIGITS else None


def _survives(text: str) -> bool:
    """Whether the float nearest to the text is written with the same digits."""
    try:
        return Decimal(repr(float(text))) == Decimal(text)
    except InvalidOperation:
        return False


def _is_time(values: pl.Series, tolerance: float) -> bool:
    if _share(values, TIME) < 1 - tolerance:
        return False
    return values.str.to_time("%H:%M:%S%.f", strict=False).null_count() <= tolerance * len(values)


def _moment(
    values: pl.Series, tolerance: float, told: Sequence[str] = (), *, is_told: bool = False
) -> tuple[str, tuple[str, ...]] | None:
    """The narrowest type of a moment, and its formats. With `is_told` only formats that the job names count."""
    if values.is_empty() or (not told and _share(values, LOOKS_DATED) < 1 - tolerance):
        return None
    for type_ in ("date", "timestamp", "timestamptz"):
        given = given_formats(told, type_)
        known = () if is_told else known_formats(type_)
        if formats := formats_for(values, type_, given, known, tolerance=tolerance):
            return type_, formats
    return None
