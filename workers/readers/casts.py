"""From text to typed values, one expression a column; what does not fit becomes null and is told apart."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import polars as pl

from ..errors import InvalidSpec
from ..schema import parse_type
from .typed import as_text, converted

_VARIABLE = re.compile(r"%\.f|%#z")
TRUE = ("true", "True", "TRUE", "t", "T", "yes", "Yes", "YES", "y", "Y", "1")
FALSE = ("false", "False", "FALSE", "f", "F", "no", "No", "NO", "n", "N", "0")
EXACT_BELOW = 2**53  # a float64 holds every whole number up to here
GROUPED = r"^[+-]?\d{1,3}(?:\.\d{3})+(?:,\d*)?$"  # with a decimal comma
_DEFAULT_FORMATS = {"date": "%Y-%m-%d", "timestamp": "%Y-%m-%dT%H:%M:%S%.f", "timestamptz": "%Y-%m-%dT%H:%M:%S%.f%#z"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnPlan:
    """How one column of text becomes values; settled once, from the sample, for the whole run."""

    name: str
    type: str
    nullable: bool = True
    formats: tuple[str, ...] = ()  # of a date or timestamp, in Polars' strptime language; the first that fits counts
    decimal: str = "."  # with a comma, points part thousands: 1.234,5
    strip: bool = False  # blanks around the values are padding
    is_parsed: bool = False  # the format's own reader has already typed it: JSON numbers, structs, lists
    source: pl.DataType | None = None  # of a format whose columns have types: what its values are; None: text
    is_exact: bool = False  # a number must keep all it says: 007 is none, nor what a float64 would round
    is_refused: bool = False  # no value is read: a person has to decide first what they become

    @property
    def is_nested(self) -> bool:
        return parse_type(self.type).is_nested()

    @property
    def is_text(self) -> bool:
        """Whether the values are taken as they come."""
        if self.is_refused:
            return False
        if self.source is not None:
            return self.source == parse_type(self.type)
        return self.is_parsed or parse_type(self.type) == pl.String

    @property
    def is_typed(self) -> bool:
        """Whether the values come as another type than text."""
        return self.source is not None and self.source != pl.String

    @property
    def can_fail(self) -> bool:
        return not self.is_text


def source(plan: ColumnPlan) -> pl.Expr:
    """The text that is parsed."""
    text = pl.col(plan.name)
    return text.str.strip_chars(" \t") if plan.strip else text


def typed(plan: ColumnPlan) -> pl.Expr:
    """The value, named like the column; null where the text does not fit. Raises `InvalidSpec` for a nested type."""
    if plan.is_text:
        return pl.col(plan.name)
    dtype, text = parse_type(plan.type), source(plan)
    if plan.is_refused:
        return pl.lit(None, dtype=dtype).alias(plan.name)
    if plan.is_typed:
        return converted(text, plan.source, dtype).alias(plan.name)
    if dtype.is_nested():
        raise InvalidSpec(
            f"{plan.name}: a {plan.type} cannot be read from text.", hint="Declare the column as json or string."
        )
    return _parsed(text, dtype, plan).alias(plan.name)


def unfit(plan: ColumnPlan) -> pl.Expr:
    """Whether there is a value (a text that is not blank) that is none of the column's type."""
    return is_misfit(plan, typed(plan))


def is_misfit(plan: ColumnPlan, value: pl.Expr) -> pl.Expr:
    """`unfit`, where the typed value is at hand."""
    text = source(plan)
    is_there = text.is_not_null() if plan.is_typed else text.is_not_null() & (text != "")
    return value.is_null() & is_there


def shown(plan: ColumnPlan) -> pl.Expr:
    """The column's values before they are cast, as text."""
    return as_text(pl.col(plan.name), plan.source) if plan.is_typed else pl.col(plan.name).cast(pl.String)


def json_field(plan: ColumnPlan) -> pl.Expr:
    """The same as Polars can write it into a JSON record."""
    holds_bytes = plan.is_typed and "Binary" in str(plan.source)
    return shown(plan).alias(plan.name) if holds_bytes else pl.col(plan.name)


def _parsed(text: pl.Expr, dtype: pl.DataType, plan: ColumnPlan) -> pl.Expr:
    formats = plan.formats or (_DEFAULT_FORMATS.get(plan.type.lower(), ""),)
    if dtype == pl.Boolean:
        # Spelled out: to lower the case of every value would cost more than all the rest of the cast.
        return pl.when(text.is_in(TRUE)).then(True).when(text.is_in(FALSE)).then(False)
    if dtype == pl.Date:
        days = ((text.str.to_date(fmt, strict=False, cache=False), fmt) for fmt in formats)
        return pl.coalesce(_of_full_year(day, text, dtype, fmt) for day, fmt in days)
    if dtype == pl.Time:
        return text.str.to_time("%H:%M:%S%.f", strict=False)
    if isinstance(dtype, pl.Datetime):
        return _first_moment(text, dtype, formats)
    if plan.decimal == ",":
        text = _with_point(text)
    if plan.is_exact:
        text = pl.when(~_is_code(text)).then(text)
    if isinstance(dtype, pl.Decimal):
        # Polars would round what has more digits behind the point than the column.
        inexact = text.str.contains(rf"\.\d{{{dtype.scale}}}\d*[1-9]|[eE]-")
        return pl.when(~inexact).then(text.cast(dtype, strict=False))
    value = text.cast(dtype, strict=False)
    return pl.when(~_is_rounded(text, value)).then(value) if plan.is_exact and dtype == pl.Float64 else value


def _is_code(text: pl.Expr) -> pl.Expr:
    """Whether the text has digits behind a leading zero. Only what begins with one is looked at closely."""
    begins = text.str.starts_with("0") & (text.str.len_bytes() > 1) & ~text.str.starts_with("0.")
    return pl.when(begins).then(text).str.contains(r"^0\d").fill_null(False)


def _is_rounded(text: pl.Expr, value: pl.Expr) -> pl.Expr:
    """Whether the digits before the point are others as a number than the text has; below 2⁵³ they never are."""
    large, whole = value.abs() >= EXACT_BELOW, pl.Decimal(38, 0)
    digits = pl.when(large).then(text).str.split_exact(".", 1).struct.field("field_0")
    return (digits.cast(whole, strict=False) != pl.when(large).then(value).cast(whole, strict=False)).fill_null(False)


def _with_point(text: pl.Expr) -> pl.Expr:
    """1.234,5 as 1234.5; null where a point stands that parts no thousands."""
    plain = text.str.replace_all(".", "", literal=True).str.replace(",", ".", literal=True)
    has_groups = text.str.contains(GROUPED)
    return pl.when(has_groups | ~text.str.contains(".", literal=True)).then(plain)


def _first_moment(text: pl.Expr, dtype: pl.Datetime, formats: Sequence[str]) -> pl.Expr:
    """What the first format that fits makes of the text; each is tried only on what those before it have left."""
    read = _of_full_year(_moment(text, dtype, formats[0]), text, dtype, formats[0])
    for fmt in formats[1:]:
        moment = _moment(pl.when(read.is_null()).then(text), dtype, fmt)
        read = pl.coalesce(read, _of_full_year(moment, text, dtype, fmt))
    return read


def _of_full_year(moment: pl.Expr, text: pl.Expr, dtype: pl.DataType, fmt: str) -> pl.Expr:
    """The moment, unless %Y took a year of two digits for one of antiquity: 31/12/26 is not of the year 26."""
    if "%Y" not in fmt:
        return moment
    is_modern = moment >= pl.lit(date(1000, 1, 1)).cast(dtype)
    has_full_year = pl.when(~is_modern).then(text).str.contains(r"\d{4}")
    return pl.when(is_modern | has_full_year).then(moment)


def _moment(text: pl.Expr, dtype: pl.Datetime, fmt: str) -> pl.Expr:
    fixed = _fixed_widths(fmt)
    if not fixed:
        return _read_moment(text, dtype, fmt)
    fitting = (_read_moment(pl.when(text.str.len_bytes() == fixed[f]).then(text), dtype, f) for f in fixed)
    quick = pl.coalesce(*fitting)
    return pl.coalesce(quick, _read_moment(pl.when(quick.is_null()).then(text), dtype, fmt))


def _fixed_widths(fmt: str) -> dict[str, int]:
    """For a format with parts of any width, those that read most of its texts, and how long these texts are.

    Polars is seven times as fast where each part has its width, and as slow as ever for a text that does not fit.
    """
    if not _VARIABLE.search(fmt):
        return {}
    zulu = fmt.replace("%#z", "Z")
    formats = [zulu.replace("%.f", part) for part in ("", ".%3f", ".%6f")] if "%.f" in fmt else [zulu]
    return {f: len(re.sub("%[a-zA-Z]", "00", re.sub(r"%(\d)f", _digits, f.replace("%Y", "0000")))) for f in formats}


def _digits(part: re.Match[str]) -> str:
    return "0" * int(part[1])


def _read_moment(text: pl.Expr, dtype: pl.Datetime, fmt: str) -> pl.Expr:
    has_zone = "%#z" in fmt or "%z" in fmt
    # To remember what has been parsed pays only where parsing is slow.
    is_slow, zone = bool(_VARIABLE.search(fmt)), "UTC" if has_zone else None
    moment = text.str.to_datetime(fmt, strict=False, time_unit="us", time_zone=zone, cache=is_slow)
    return moment.dt.replace_time_zone("UTC") if dtype.time_zone and not has_zone else moment
