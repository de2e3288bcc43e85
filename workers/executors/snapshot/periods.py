"""The periods of a snapshot: which there are, when each ends, and which are old enough to go."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

Grain = Literal["day", "week", "month"]
ONE_DAY, TICK = timedelta(days=1), timedelta(microseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Calendar:
    grain: Grain = "day"
    time_zone: str = "UTC"
    week_start: Literal["monday", "sunday"] = "monday"

    def start(self, day: date) -> date:
        """The first day of the period that the day lies in."""
        if self.grain == "month":
            return day.replace(day=1)
        if self.grain == "week":
            return day - timedelta(days=day.weekday() if self.week_start == "monday" else day.isoweekday() % 7)
        return day

    def end(self, day: date) -> date:
        """The last day of the period that the day lies in: it names the period."""
        start = self.start(day)
        if self.grain == "month":
            return (start + timedelta(days=31)).replace(day=1) - ONE_DAY
        return start + timedelta(days=6 if self.grain == "week" else 0)

    def midnight(self, day: date) -> datetime:
        """The instant at which the day begins here; where clocks skip midnight, the first instant after."""
        return datetime.combine(day, time(), ZoneInfo(self.time_zone)).astimezone(UTC)

    def today(self, now: datetime) -> date:
        return now.astimezone(ZoneInfo(self.time_zone)).date()

    def age(self, day: date, latest: date) -> int:
        """How many periods the one named `day` lies before that named `latest`."""
        if self.grain == "month":
            return (latest.year - day.year) * 12 + latest.month - day.month
        return (latest - day).days // (7 if self.grain == "week" else 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """The bounds are the first instant that no longer counts, for each kind of column."""

    day: date  # the last day of the period
    instant: datetime  # aware, UTC
    clock: datetime  # what clocks show then, without a zone
    date: date
    is_finished: bool


def periods(calendar: Calendar, first: date, last: date, now: datetime) -> list[Period]:
    """The periods that have a day from `first` to `last` (both included) and have begun by `now`.

    One that is not over by then is looked at as it is now: what begins at this
    very instant counts. None where `last` is before `first`, as it is of a
    range that begins after the run's date.
    """
    if last < first:
        return []
    found, start = [], calendar.start(first)
    while start <= last and calendar.midnight(start) <= now:
        found.append(period_at(calendar, start, now))
        start = calendar.end(start) + ONE_DAY
    return found


def period_at(calendar: Calendar, day: date, now: datetime) -> Period:
    """The period that the day lies in, as it is looked at when it is `now`."""
    day = calendar.end(day)
    after = day + ONE_DAY
    if calendar.midnight(after) <= now:
        return Period(
            day=day,
            instant=calendar.midnight(after),
            clock=datetime.combine(after, time()),
            date=after,
            is_finished=True,
        )
    here = now.astimezone(ZoneInfo(calendar.time_zone)).replace(tzinfo=None)
    return Period(
        day=day,
        instant=now.astimezone(UTC) + TICK,
        clock=here + TICK,
        date=here.date() + ONE_DAY,  # a date is its whole day
        is_finished=False,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    keep: int  # periods, the newest included
    keep_month_ends: int = 0  # months, of which the last period stays longer


def expired(calendar: Calendar, days: Collection[date], latest: date, retention: Retention) -> list[date]:
    """Those of the days that name a period which is no longer kept once `latest` is there."""
    return sorted(day for day in days if not _is_kept(calendar, day, latest, retention))


def _is_kept(calendar: Calendar, day: date, latest: date, retention: Retention) -> bool:
    if calendar.age(day, latest) < retention.keep:
        return True
    ends_month = calendar.end(day + ONE_DAY).month != day.month
    months = (latest.year - day.year) * 12 + latest.month - day.month
    return ends_month and months < retention.keep_month_ends
