"""Periods of time: where they begin, in SQL and in Python, and the whole periods that a window touches."""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

from workers.specs import Window

GRAINS = ("hour", "day", "week", "month", "quarter", "year")
WEEK_STARTS = {"monday": 0, "sunday": 1, "saturday": 2}  # how many days before Monday a week begins
UTC = "UTC"
_ZONE = re.compile(r"UTC|(?!posix/|right/)[A-Z][A-Za-z_]+(/[A-Za-z0-9_+-]+)+")
_TYPES = {"date": "DATE", "timestamp": "TIMESTAMP", "timestamptz": "TIMESTAMPTZ"}
_STEADY_YEARS = range(1970, 2041)


@cache
def is_zone(name: object) -> bool:
    """Whether it is the IANA name of a zone, such as `Europe/Berlin`. Abbreviations are not: engines disagree."""
    return isinstance(name, str) and bool(_ZONE.fullmatch(name)) and (name == UTC or name in available_timezones())


@cache
def hour_offsets(zone: str) -> frozenset[int]:
    """At how many minutes past UTC's hour the zone's hours begin, in any season since 1970: mostly {0}."""
    known = ZoneInfo(zone)
    offsets = (datetime(year, month, 1, tzinfo=known).utcoffset() for year in _STEADY_YEARS for month in range(1, 13))
    return frozenset(int(-offset.total_seconds()) // 60 % 60 for offset in offsets)


# --- in SQL --------------------------------------------------------------------------


def local(value: str, kind: str, zone: str) -> str:
    """A time as the zone's clocks show it. `value` is SQL, `kind` its type."""
    # The name has passed `is_zone`: it holds no quote.
    return f"({value} AT TIME ZONE '{zone}')" if kind == "timestamptz" and zone != UTC else value


def local_day(value: str, kind: str, zone: str) -> str:
    return value if kind == "date" else f"CAST({local(value, kind, zone)} AS DATE)"


def start(value: str, kind: str, grain: str, zone: str, week_start: str) -> str:
    """SQL for the start of the period that `value` lies in: a date; for hours a time of the type that `value` has.

    The hour that comes twice when clocks go back is two hours.
    """
    clock = local(value, kind, zone)
    if grain == "hour":
        return _hour(value, kind, zone)
    if grain == "week" and (shift := WEEK_STARTS[week_start]):
        day = local_day(value, kind, zone)
        return f"CAST(DATE_TRUNC('week', {day} + {shift}) AS DATE) - {shift}"
    return f"CAST(DATE_TRUNC('{grain}', {clock}) AS DATE)"


def _hour(value: str, kind: str, zone: str) -> str:
    """The instant at which the hour began. Instants tell the hour that comes twice in autumn from its twin."""
    offsets = hour_offsets(zone)
    if offsets == {0}:
        return f"CAST(DATE_TRUNC('hour', {value}) AS {_TYPES[kind]})"
    if len(offsets) == 1:
        minutes = f"INTERVAL '{min(offsets)} minutes'"
        return f"CAST(DATE_TRUNC('hour', {value} - {minutes}) AS {_TYPES[kind]}) + {minutes}"
    # The zone has been shifted by parts of an hour: what its clocks show past the hour is taken off.
    clock = local(value, kind, zone)
    return f"{value} - ({clock} - DATE_TRUNC('hour', {clock}))"


# --- in Python -----------------------------------------------------------------------


def first_day(day: date, grain: str, week_start: str = "monday") -> date:
    """The day on which the period begins that the day lies in."""
    if grain == "week":
        shift = WEEK_STARTS[week_start]
        return day - timedelta(days=(day.weekday() + shift) % 7)
    month = {"month": day.month, "quarter": (day.month - 1) // 3 * 3 + 1, "year": 1}.get(grain)
    return day if month is None else day.replace(month=month, day=1)


def last_day(day: date, grain: str, week_start: str = "monday") -> date:
    """The day on which the period ends that the day lies in."""
    longest = {"week": 7, "month": 31, "quarter": 92, "year": 366}.get(grain, 1)
    after = first_day(day, grain, week_start) + timedelta(days=longest)
    return first_day(after, grain, week_start) - timedelta(days=1)


def whole_periods(window: Window, grain: str, week_start: str = "monday") -> Window:
    """The window made so long that no period is only partly in it. A side that is open stays so."""
    begin, end = window.start_date, window.end_date
    return Window(
        start_date=begin and first_day(date.fromisoformat(begin), grain, week_start).isoformat(),
        end_date=end and last_day(date.fromisoformat(end), grain, week_start).isoformat(),
    )
