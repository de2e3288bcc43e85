"""Reading again only what is new: which good rows go where, by the watermark or the window of the run.

Three bounds part the rows. Below the lower bound (the watermark less the
lag) a row was read long ago. From there up to the greatest value that the
table holds, a row may be in the table, so it waits to be compared. Above, it
is new for certain. A row without a value may be in the table as well.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl

from workers.errors import InvalidSpec, MissingColumns
from workers.lake.evolve import storage_type
from workers.lake.rewrite import highest
from workers.lake.table import Table
from workers.readers.casts import ColumnPlan
from workers.schema import parse_type
from workers.specs import IngestSpec
from workers.watermark import Value, is_orderly, json_value, lower_bound, python_value

# A year that stands for “never” must not end all further loading.
FAR_FUTURE = timedelta(days=3653)
POSITION = "__position"  # of a row in the run: what comes later is newer


@dataclass(frozen=True, slots=True, kw_only=True)
class Cursor:
    """The watermark's column as this run reads it."""

    name: str  # as the table spells it
    type: str
    last: Any  # of the column's type; None: nothing was read yet
    lower: Any  # from where rows count, included; None: from the beginning
    ceiling: Any  # values above it do not move the watermark; None: all do

    @property
    def dtype(self) -> pl.DataType:
        return storage_type(parse_type(self.type))

    @property
    def is_moment(self) -> bool:
        return self.type in ("date", "timestamp", "timestamptz")

    def literal(self, value: Any) -> pl.Expr:
        return pl.lit(value, dtype=self.dtype)

    def is_ahead(self, value: Any, now: datetime) -> bool:
        """Whether a value lies more than a day after now."""
        if not self.is_moment:
            return False
        tomorrow = json_value(now.astimezone(UTC) + timedelta(days=1))
        return value > python_value(tomorrow, self.type, self.name)

    def has_none(self) -> pl.Expr:
        """Whether a row has no value that could be compared."""
        value = pl.col(self.name)
        return value.is_null() | value.is_nan() if self.dtype.is_float() else value.is_null()

    def reached(self, *frames: pl.LazyFrame) -> Any:
        """The greatest value of the rows that moves the watermark, or None."""
        value, found = pl.col(self.name), []
        for frame in frames:
            rows = frame.select(value).filter(~self.has_none())
            if self.dtype.is_float():
                rows = rows.filter(value.is_finite())
            if self.ceiling is not None:
                rows = rows.filter(value <= self.literal(self.ceiling))
            found.append(rows.select(value.max()).collect(engine="streaming").item())
        return max((value for value in found if value is not None), default=None)

    def counted(self, *frames: pl.LazyFrame) -> tuple[int, int]:
        """How many rows have no value, and how many one that is too far ahead to move the watermark."""
        ahead = pl.lit(False) if self.ceiling is None else pl.col(self.name) > self.literal(self.ceiling)
        counts = [
            frame.select(self.has_none().sum(), ahead.sum().alias("ahead")).collect(engine="streaming").row(0)
            for frame in frames
        ]
        return sum(nulls for nulls, _ in counts), sum(far for _, far in counts)


def cursor_of(spec: IngestSpec, plans: Iterable[ColumnPlan], found: Iterable[str]) -> Cursor | None:
    """The run's cursor; None for a full load. `found` are the columns that the source has.

    Raises `MissingColumns`, and `InvalidSpec` when the column has no order or the watermark is no value of it.
    """
    if spec.watermark is None:
        return None
    wanted = spec.renames.get(spec.watermark.column, spec.watermark.column)
    present = list(found)
    plan = next((plan for plan in plans if plan.name.lower() == wanted.lower()), None)
    # Records that name their values leave out what they have none of, and no records name nothing.
    may_be_absent = spec.format in ("json", "ndjson")
    if plan is None or (plan.name not in present and not may_be_absent):
        raise MissingColumns(
            f"The source has no column {wanted}, the watermark of this job. It has: {', '.join(present)}.",
            hint="Choose one of the source's columns as watermark_column, or load in full.",
            missing=[wanted],
            present=present,
        )
    if not is_orderly(plan.type):
        raise InvalidSpec(
            f"{plan.name} cannot be a watermark: it is of the type {plan.type}, which has no order that lasts.",
            hint="Choose a column of numbers, dates, timestamps or sortable text.",
        )
    last = python_value(spec.watermark.last, plan.type, plan.name)
    lower = python_value(lower_bound(spec.watermark), plan.type, plan.name)
    return Cursor(name=plan.name, type=plan.type, last=last, lower=lower, ceiling=_ceiling(spec, plan.type))


def _ceiling(spec: IngestSpec, kind: str) -> Any:
    far = json_value(spec.ingested_at + FAR_FUTURE)
    return python_value(far, kind, "") if kind in ("date", "timestamp", "timestamptz") else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sieve:
    """What becomes of a pass's good rows: first who is wanted at all, then who needs no comparison."""

    wanted: pl.Expr | None = None  # the others are skipped; None: all are wanted
    rule: str = ""  # the name under which they are
    is_new: pl.Expr | None = None  # go straight to staging, the others wait in a file; None: all are new
    upper: Any = None  # the greatest value the table had when this was settled

    @property
    def has_waiting(self) -> bool:
        return self.is_new is not None


def sieve_of(spec: IngestSpec, cursor: Cursor | None, table: Table | None) -> Sieve:
    """How this run parts its rows. `table` is the version that it begins with; None: there is none."""
    wanted, rule = None, ""
    if is_window(spec):
        wanted, rule = in_window(spec, _needed(spec, cursor)), "outside_window"
    elif cursor and cursor.lower is not None:
        wanted, rule = cursor.has_none() | (pl.col(cursor.name) >= cursor.literal(cursor.lower)), "before_watermark"
    if spec.write_mode == "merge":
        return Sieve(wanted=wanted, rule=rule, is_new=pl.lit(False))
    if cursor is None or is_window(spec) or spec.write_mode == "overwrite" or table is None or not table.rows:
        return Sieve(wanted=wanted, rule=rule)
    if cursor.name not in {column.name for column in table.columns}:
        return Sieve(wanted=wanted, rule=rule, is_new=pl.lit(False))
    upper = highest(table, cursor.name, cursor.dtype)
    above = pl.lit(True) if upper is None else pl.col(cursor.name) > cursor.literal(upper)
    return Sieve(wanted=wanted, rule=rule, is_new=~cursor.has_none() & above, upper=upper)


def is_window(spec: IngestSpec) -> bool:
    """Whether the run replaces the rows of some days."""
    return bool(spec.window.start_date or spec.window.end_date)


def _needed(spec: IngestSpec, cursor: Cursor | None) -> Cursor:
    if cursor is None or not cursor.is_moment:
        what = f"{cursor.name} is of the type {cursor.type}" if cursor else "the job has no watermark_column"
        raise InvalidSpec(
            f"Only days can be replaced, and {what}.",
            hint="Run the job without from and to, or give it a date or timestamp as watermark_column.",
        )
    return cursor


def in_window(spec: IngestSpec, cursor: Cursor) -> pl.Expr:
    """Whether a row's day, in UTC, lies in the run's window."""
    low, high = window_bounds(spec, cursor)
    value = pl.col(cursor.name)
    inside = value.is_not_null()
    if low is not None:
        inside &= value >= cursor.literal(low)
    if high is not None:
        inside &= value < cursor.literal(high)
    return inside.fill_null(False)


def window_bounds(spec: IngestSpec, cursor: Cursor) -> tuple[Any, Any]:
    """The first value of the window and the first one behind it; None where it is open."""
    start, end = (date.fromisoformat(day) if day else None for day in (spec.window.start_date, spec.window.end_date))
    after = end + timedelta(days=1) if end else None
    return tuple(
        None if day is None else python_value(day.isoformat(), cursor.type, cursor.name) for day in (start, after)
    )


def next_value(spec: IngestSpec, cursor: Cursor, *frames: pl.LazyFrame) -> Value:
    """How far the table is once this run's rows are in it. A run with nothing newer, or of a window, moves nothing."""
    if is_window(spec):
        return spec.watermark.last
    reached = cursor.reached(*frames)
    if reached is None or (cursor.last is not None and reached <= cursor.last):
        return spec.watermark.last
    return json_value(reached)
