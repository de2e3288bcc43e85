"""Watermarks: the greatest value of a column that is published, and from where a run reads again.

A value is JSON: a number, or a text that sorts as it is, which for dates and
timestamps is ISO 8601, those with a zone in UTC with `+00:00`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import ROUND_FLOOR, Decimal
from functools import partial
from math import isfinite
from typing import Any

from .errors import InvalidSpec
from .specs import Watermark

Value = str | int | float | None
_LAG = re.compile(r"(\d+(?:\.\d+)?)([smhdw])")
# How late rows are counted, in seconds: up to a minute, 5, 15, an hour, 6, a day, a week; what is later is “more”.
LATE_SECONDS = (60, 300, 900, 3600, 21_600, 86_400, 604_800)
LATER = "more"
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def lag_of(text: str) -> timedelta | float | None:
    """`15m`, `1d12h` or a number (for columns of numbers); None when empty. Raises `InvalidSpec`."""
    plain = text.strip().lower().replace(" ", "")
    if not plain:
        return None
    if re.fullmatch(r"\d+(\.\d+)?", plain):
        return float(plain)
    if not re.fullmatch(f"({_LAG.pattern})+", plain):
        raise InvalidSpec(f"“{text}” is no lag.", hint="Write 30s, 15m, 2h, 1d, or a number for a column of numbers.")
    return sum((timedelta(**{_UNITS[unit]: float(n)}) for n, unit in _LAG.findall(plain)), timedelta())


def lower_bound(watermark: Watermark) -> Value:
    """From where a run reads, the value itself included; None: from the beginning.

    Raises `InvalidSpec` when the lag does not go with the value.
    """
    last, lag = watermark.last, lag_of(watermark.lag)
    if last is None or not lag:
        return last
    if isinstance(lag, timedelta):
        moment = moment_of(last)
        if moment is None:
            raise InvalidSpec(
                f"A lag of {watermark.lag} needs a date or a time; {watermark.column} is at {last!r}.",
                hint="Give the lag as a number, or none.",
            )
        return _earlier(last, moment, lag)
    try:
        return json_value(Decimal(str(last)) - Decimal(str(lag))) if not isinstance(last, float) else last - lag
    except ArithmeticError as error:
        raise InvalidSpec(
            f"A lag of {watermark.lag} needs a number; {watermark.column} is at {last!r}.",
            hint="Write it as 15m or 1d.",
        ) from error


def _earlier(last: str, moment: datetime | date, lag: timedelta) -> Value:
    try:
        if not isinstance(moment, datetime):
            return json_value(moment - _whole_days(lag))
        if json_value(moment) == re.sub("Z$", "+00:00", last):
            return json_value(moment - lag)
        # A text that is spelled in its own way sorts among its like: only the day before all of them is certain.
        then = moment - lag
        return min(then.date(), (then.astimezone(UTC) if then.tzinfo else then).date()).isoformat()
    except OverflowError:  # before the year 1
        return None


def _whole_days(lag: timedelta) -> timedelta:
    return timedelta(days=-(-lag // timedelta(days=1)))


def moment_of(value: Value) -> datetime | date | None:
    """The date or timestamp that a value stands for, or None."""
    if not isinstance(value, str):
        return None
    try:
        return date.fromisoformat(value) if len(value) == 10 else datetime.fromisoformat(value)
    except ValueError:
        return None


def python_value(value: Value, kind: str, column: str) -> Any:
    """The watermark as a value of the column's type, spelled as in docs/types.md; None stays None.

    A text without a zone is UTC. Raises `InvalidSpec` when it is no such value.
    """
    if value is None:
        return None
    try:
        return _PYTHON["decimal" if kind.startswith("decimal") else kind](value)
    except (ValueError, ArithmeticError, TypeError, AttributeError) as error:
        raise InvalidSpec(
            f"The watermark of {column} is at {value!r}, which is no {kind}, the column's type.",
            hint="Set the watermark to a value of that type, or to null to start over.",
        ) from error
    except KeyError as error:
        raise InvalidSpec(
            f"{column} cannot be a watermark: it is of the type {kind}, whose values have no order that lasts.",
            hint="Choose a column of numbers, dates, timestamps or sortable text.",
        ) from error


def is_orderly(kind: str) -> bool:
    """Whether a column of this type can be a watermark."""
    return kind in _PYTHON or kind.startswith("decimal")


def _whole(bits: int, value: Value) -> int:
    number = int(Decimal(str(value)).to_integral_value(ROUND_FLOOR))
    if number >= 1 << bits - 1:
        raise ValueError
    return max(number, -(1 << bits - 1))  # a lag may reach below all that there are


def _finite(number: float | Decimal) -> float | Decimal:
    if not isfinite(number):
        raise ValueError
    return number


def _text(value: Value) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _moment(value: Value) -> datetime:
    found = moment_of(value)
    moment = found if isinstance(found, datetime) else datetime.combine(found, time())
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _day(value: Value) -> date:
    return _moment(value).date()


_PYTHON: dict[str, Callable[[Value], Any]] = {
    **{f"int{bits}": partial(_whole, bits) for bits in (8, 16, 32, 64)},
    **dict.fromkeys(("float32", "float64"), lambda value: _finite(float(value))),
    "decimal": lambda value: _finite(Decimal(str(value))),
    "string": _text,
    "date": _day,
    "timestamp": lambda value: _moment(value).astimezone(UTC).replace(tzinfo=None),
    "timestamptz": lambda value: _moment(value).astimezone(UTC),
}


def json_value(value: Any) -> Value:
    """A column's value as a watermark: exact, and in one spelling."""
    if isinstance(value, datetime):
        return (value.astimezone(UTC) if value.tzinfo else value).isoformat()
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else str(value)
    return value if value is None or isinstance(value, str | int | float) else str(value)
