"""A metric over time, read from its published table: at most so many points, and nothing summed that has no sum."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

import polars as pl

from workers.errors import AssayError
from workers.lake.table import Table

from .periods import WEEK_STARTS

MAX_POINTS = 2_000
MAX_SERIES = 50
NO_VALUE = "(none)"  # of a dimension that is null
OTHERS = "Others"
BETWEEN = " · "  # values of several dimensions
# What whole periods add up to, the finest first: weeks lie across months.
_COARSER = {
    "hour": ("day", "week", "month", "quarter", "year"),
    "day": ("week", "month", "quarter", "year"),
    "week": (),
    "month": ("quarter", "year"),
    "quarter": ("year",),
    "year": (),
}
_CUT = {"week": "1w", "month": "1mo", "quarter": "1q", "year": "1y"}


class NotAdditive(AssayError):
    """Values of this metric may not be summed, and without that there is no such series."""

    code = "not_additive"


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked of a metric table. The names of columns are those that its run told."""

    metric: str
    additivity: str
    time_column: str
    grain: str
    time_zone: str = "UTC"
    week_start: str = "monday"
    dimensions: tuple[str, ...] = ()  # all that the table has
    by: tuple[str, ...] = ()  # those that make series
    values: tuple[str, ...] = ()  # labels of the series that are wanted; none: the largest
    start: date | None = None  # inclusive, on the zone's calendar
    end: date | None = None  # inclusive
    top: int = 8
    points: int = MAX_POINTS


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    label: str  # values of the dimensions; empty: there is one line for all
    values: tuple[float | int | None, ...]  # one for each period
    is_others: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Lines:
    periods: tuple[str, ...]  # ISO 8601: the first day, for hours the instant on the zone's clocks
    grain: str  # coarser than the table's where there were too many periods
    lines: tuple[Line, ...]
    labels: tuple[str, ...] = ()  # of all lines there could be, the largest first; at most MAX_SERIES
    more_lines: int = 0  # left out: not shown, and in no sum
    earlier_periods: int = 0  # left out because there were too many


def read_lines(table: Table, asked: Question) -> Lines:
    """The metric as one line for each value of `by`: the largest ones, and the others as one where they add up.

    Dimensions that are not asked for are summed over; non-additive metrics
    have no sum: raises `NotAdditive`. Too many periods are added up to longer
    ones, where that is exact and the metric is additive; else the latest are
    shown. The table is read in a stream.
    """
    summed = [name for name in asked.dimensions if name not in asked.by]
    if summed and asked.additivity == "non_additive":
        raise NotAdditive(
            f"{asked.metric} cannot be summed over {', '.join(summed)}.",
            hint=f"Ask for each {' and '.join(asked.dimensions)}.",
            http_status=400,
            attr="dimension",
        )
    rows = _rows(table, asked)
    labels = _labels(rows) if asked.by else pl.Series([""])
    wanted = (labels.filter(labels.is_in(asked.values)) if asked.values else labels.head(asked.top)).to_list()
    adds_up = asked.additivity != "non_additive"
    has_others = adds_up and not asked.values and len(labels) > len(wanted)
    found, grain = _bounded(_of_lines(rows, wanted, has_others), asked, len(wanted) + has_others)
    periods = sorted(set(found["period"]))
    most = max(1, asked.points // max(1, len(wanted) + has_others))
    kept = periods[-most:]
    values = {(row["label"], row["period"]): row["value"] for row in found.iter_rows(named=True)}
    names = [*wanted, *([None] if has_others else [])]
    return Lines(
        periods=tuple(period.isoformat() for period in kept),
        grain=grain,
        lines=tuple(
            Line(
                label=OTHERS if name is None else name,
                values=tuple(_number(values.get((name, period))) for period in kept),
                is_others=name is None,
            )
            for name in names
        ),
        labels=tuple(labels.head(MAX_SERIES)) if asked.by else (),
        more_lines=0 if has_others else len(labels) - len(wanted),
        earlier_periods=len(periods) - len(kept),
    )


def _rows(table: Table, asked: Question) -> pl.LazyFrame:
    """`period, label, value`, one row for each group of the table that lies in the range."""
    rows, time = table.scan(), pl.col(asked.time_column)
    kind = rows.collect_schema()[asked.time_column]
    if isinstance(kind, pl.Datetime) and kind.time_zone:
        time = time.dt.convert_time_zone(asked.time_zone)
    day = time.dt.date() if isinstance(kind, pl.Datetime) else time
    rows = rows.filter(time.is_not_null())
    if asked.start:
        rows = rows.filter(day >= asked.start)
    if asked.end:
        rows = rows.filter(day <= asked.end)
    parts = [pl.col(name).cast(pl.String).fill_null(NO_VALUE) for name in asked.by]
    label = pl.concat_str(parts, separator=BETWEEN) if parts else pl.lit("")
    return rows.select(period=time, label=label, value=pl.col(asked.metric))


def _labels(rows: pl.LazyFrame) -> pl.Series:
    """All labels, those with the largest values first."""
    size = pl.col("value").cast(pl.Float64).abs().sum().alias("size")
    found = rows.group_by("label").agg(size).sort("size", "label", descending=[True, False])
    return found.select("label").collect(engine="streaming")["label"]


def _of_lines(rows: pl.LazyFrame, wanted: Sequence[str], has_others: bool) -> pl.LazyFrame:
    """With the label null for the others, or without them."""
    is_wanted = pl.col("label").is_in(list(wanted))
    if not has_others:
        return rows.filter(is_wanted)
    return rows.with_columns(label=pl.when(is_wanted).then("label"))


def _bounded(rows: pl.LazyFrame, asked: Question, lines: int) -> tuple[pl.DataFrame, str]:
    """One row for each period and line, in periods long enough that there are not too many; and their grain."""
    most = max(1, asked.points // max(1, lines))
    count = rows.select(pl.col("period").n_unique()).collect(engine="streaming").item()
    grain = asked.grain
    if asked.additivity == "additive":
        for coarser in _COARSER[asked.grain]:
            if count <= most:
                break
            grain = coarser
            cut = rows.with_columns(period=_start(grain, asked.week_start))
            count = cut.select(pl.col("period").n_unique()).collect(engine="streaming").item()
    if grain != asked.grain:
        rows = rows.with_columns(period=_start(grain, asked.week_start))
    # A sum of nothing is nothing, not 0. Of a metric without a sum each group has one row.
    total = pl.when(pl.col("value").count() > 0).then(pl.col("value").sum())
    value = pl.col("value").last() if asked.additivity == "non_additive" else total
    return rows.group_by("period", "label").agg(value=value).collect(engine="streaming"), grain


def _start(grain: str, week_start: str) -> pl.Expr:
    day = pl.col("period").cast(pl.Date)
    if grain == "day":
        return day
    shift = WEEK_STARTS[week_start] if grain == "week" else 0
    return day.dt.offset_by(f"{shift}d").dt.truncate(_CUT[grain]).dt.offset_by(f"-{shift}d")


def _number(value: Any) -> float | int | None:
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
