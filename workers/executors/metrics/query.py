"""A plan of metrics as one SELECT in the canonical dialect."""

from __future__ import annotations

from collections.abc import Collection

from workers.engines.statement import quoted

from .measures import Metric
from .periods import local_day, start
from .reading import Plan

SIDES = ("start_date", "end_date")


def select(plan: Plan, window: Collection[str] = ()) -> str:
    """The query. `window` names the parameters (of SIDES) that the rows of the base are held against, by their day."""
    return _filled(plan, window) if plan.fill_gaps else _grouped(plan, window)


def _period(plan: Plan, value: str) -> str:
    return start(value, plan.time_type, plan.grain, plan.time_zone, plan.week_start)


def _in_window(plan: Plan, value: str, kind: str, window: Collection[str]) -> str:
    """` WHERE …`: the days of the window, which begins and ends with a period. Nothing where there is no window."""
    day = local_day(value, kind, plan.time_zone)
    sides = [f"{day} {sign} :{name}" for name, sign in zip(SIDES, (">=", "<="), strict=True) if name in window]
    return f" WHERE {' AND '.join(sides)}" if sides else ""


def _grouped(plan: Plan, window: Collection[str]) -> str:
    time = quoted(plan.time_column)
    period = _period(plan, time)
    dimensions = [quoted(name) for name in plan.dimensions]
    metrics = [f"{metric.sql} AS {quoted(metric.name)}" for metric in plan.metrics]
    selected = ", ".join([f"{period} AS {time}", *dimensions, *metrics])
    grouped = ", ".join([period, *dimensions])
    where = _in_window(plan, time, plan.time_type, window)
    return f"SELECT {selected} FROM {quoted(plan.base)}{where} GROUP BY {grouped}"  # noqa: S608 - checked parts


def _filled(plan: Plan, window: Collection[str]) -> str:
    """The same, and a row for each period between the first and the last, for each combination of dimensions.

    Metrics that are a count or a sum are 0 where they have no value, the others
    null: a day without orders and one without a paid order look alike. The first
    and last period and the combinations are those of the whole base also where
    only a window is made anew: a day is filled in the same way whenever it is
    made. Series of numbers are made from digits, because not every engine can
    count; 100,000 days (273 years) from the first period on are filled.
    """
    time, dimensions = quoted(plan.time_column), [quoted(name) for name in plan.dimensions]
    names = [quoted(metric.name) for metric in plan.metrics]
    digits = ", ".join(f"({n})" for n in range(10))
    number = " + ".join(f"d{place}.n * {10**place}" for place in range(5))
    joins = " ".join(f"JOIN assay_digits AS d{place} ON d{place}.one = d0.one" for place in range(1, 5))
    groups = ", ".join([*dimensions, "1 AS one"])
    gaps = ", ".join(["assay_periods.start_time", *(f"assay_groups.{name}" for name in dimensions), *_nulls(plan)])
    best = ", ".join(_best(metric) for metric in plan.metrics)
    source = quoted(plan.base) if window else "assay_found"
    first, last = (_period(plan, f"{end}({time})") if window else f"{end}({time})" for end in ("MIN", "MAX"))
    kind = plan.time_type if plan.grain == "hour" else "date"
    inside = _in_window(plan, "assay_periods.start_time", kind, window)
    return f"""
        WITH assay_found AS ({_grouped(plan, window)}),
        assay_digits AS (SELECT CAST(n AS INT) AS n, 1 AS one FROM (VALUES {digits}) AS v(n)),
        assay_days AS (SELECT {number} AS n, 1 AS one FROM assay_digits AS d0 {joins}),
        assay_bounds AS (SELECT {first} AS first_time, {last} AS last_time, 1 AS one FROM {source}),
        {_periods(plan)},
        assay_groups AS (SELECT DISTINCT {groups} FROM {source}),
        assay_rows AS (
            SELECT {", ".join([time, *dimensions, *names])} FROM assay_found
            UNION ALL
            SELECT {gaps} FROM assay_periods JOIN assay_groups ON assay_groups.one = assay_periods.one{inside}
        )
        SELECT {", ".join([time, *dimensions])}, {best}
        FROM assay_rows GROUP BY {", ".join([time, *dimensions])}
    """  # noqa: S608 - made from checked parts


def _nulls(plan: Plan) -> list[str]:
    # A null of the metric's own type: engines disagree on what a bare NULL is.
    return [f"CASE WHEN assay_groups.one = 0 THEN assay_groups.one END AS {quoted(m.name)}" for m in plan.metrics]


def _best(metric: Metric) -> str:
    """Of the found row and the filler the found one; a count or a sum without a value is 0."""
    value = f"MAX({quoted(metric.name)})"
    return f"{f'COALESCE({value}, 0)' if metric.fills_with_zero else value} AS {quoted(metric.name)}"


def _periods(plan: Plan) -> str:
    """`assay_periods`: the start of each period from the first to the last, by way of their days."""
    day = "CAST(CAST(assay_bounds.first_time AS DATE) + CAST(assay_days.n AS INT) AS DATE)"
    days = f"""
        assay_calendar AS (
            SELECT {day} AS day, assay_bounds.first_time, assay_bounds.last_time, 1 AS one
            FROM assay_bounds JOIN assay_days ON assay_days.one = assay_bounds.one
            WHERE {day} <= CAST(assay_bounds.last_time AS DATE)
        )"""  # noqa: S608 - made from checked parts
    if plan.grain != "hour":
        begin = start("day", "date", plan.grain, plan.time_zone, plan.week_start)
        return f"{days}, assay_periods AS (SELECT DISTINCT {begin} AS start_time, 1 AS one FROM assay_calendar)"  # noqa: S608
    # In zones that are half an hour off, every hour begins at the minute at which the first one does.
    minute = "RIGHT('0' || CAST(EXTRACT(MINUTE FROM CAST(first_time AS TIMESTAMP)) AS VARCHAR), 2)"
    hour = f"CAST(day AS VARCHAR) || ' ' || RIGHT('0' || CAST(assay_hours.n AS VARCHAR), 2) || ':' || {minute} || ':00'"
    kind = "TIMESTAMPTZ" if plan.time_type == "timestamptz" else "TIMESTAMP"
    begin = f"CAST(STRPTIME({hour}, '%Y-%m-%d %H:%M:%S') AS {kind})"
    return f"""{days},
        assay_hours AS (SELECT n, 1 AS one FROM assay_days WHERE n < 24),
        assay_periods AS (
            SELECT {begin} AS start_time, 1 AS one
            FROM assay_calendar JOIN assay_hours ON assay_hours.one = assay_calendar.one
            WHERE {begin} BETWEEN first_time AND last_time
        )"""  # noqa: S608 - made from checked parts
