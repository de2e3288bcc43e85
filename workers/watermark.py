"""Watermarks: the greatest value of a column that is published, and from where a run reads again.

A value is JSON: a number, or a text that sorts as it is, which for dates and
timestamps is ISO 8601, those with a zone in UTC with `+00:00`.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from .errors import InvalidSpec
from .specs import Watermark

Value = str | int | float | None
_LAG = re.compile(r"(\d+(?:\.\d+)?)([smhdw])")
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
        return json_value(moment - lag) if isinstance(moment, datetime) else json_value(moment - _whole_days(lag))
    if isinstance(last, str):
        raise InvalidSpec(
            f"A lag of {watermark.lag} needs a number; {watermark.column} is at {last!r}.",
            hint="Write it as 15m or 1d.",
        )
    return last - (int(lag) if isinstance(last, int) and lag == int(lag) else lag)


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


def json_value(value: Any) -> Value:
    """A column's value as a watermark: exact, and in one spelling."""
    if isinstance(value, datetime):
        return (value.astimezone(UTC) if value.tzinfo else value).isoformat()
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else str(value)
    return value if value is None or isinstance(value, str | int | float) else str(value)
