"""Whole runs of metric tables, held against counting in plain Python: any zone, gaps, windows, rows that come late."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from tempfile import TemporaryDirectory
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.workers.published import published
from workers.engines.sql import check_sql
from workers.executors import run_dataset
from workers.executors.metrics.periods import whole_periods
from workers.executors.metrics.run import to_sql
from workers.ids import new_run_id
from workers.lake.table import open_table
from workers.specs import TableTarget, Window, to_json
from workers.template_specs import MetricsSpec

FEW = settings(
    max_examples=10,
    deadline=None,
    database=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
SCHEMA = {"at": pl.Datetime("us", "UTC"), "shop": pl.String, "units": pl.Int32, "buyer": pl.String}
METRICS = [
    {"name": "sales", "expression": "count(*)"},
    {"name": "units", "expression": "sum(units)"},
    {"name": "double", "expression": "sum(units * 2 + 0)"},
    {"name": "buyers", "expression": "count(distinct buyer)"},
    {"name": "many", "expression": "count(*)", "filter": "units > 1 or shop = 'x'"},
    {"name": "most", "expression": "max(units)"},
    {"name": "each", "numerator": "units", "denominator": "buyers"},
]
# Nights on which clocks change, a day that Samoa skipped, an offset that Nepal gave up, a leap day.
NIGHTS = {
    "UTC": "2024-02-29T00:00",
    "Europe/Berlin": "2024-10-27T01:00",
    "America/Sao_Paulo": "2018-11-04T03:00",
    "Asia/Kathmandu": "1985-12-31T18:30",
    "Pacific/Apia": "2011-12-30T10:00",
}
REACH = {"hour": 5, "day": 60, "week": 500, "month": 2000, "quarter": 6000, "year": 20_000}  # hours around the night


def moments(zone: str, grain: str) -> st.SearchStrategy:
    night, minutes = datetime.fromisoformat(NIGHTS[zone]).replace(tzinfo=UTC), 60 * REACH[grain]
    around = st.integers(-minutes, minutes).map(lambda minute: night + timedelta(minutes=minute))
    return st.none() | around | st.sampled_from([night, night - timedelta(microseconds=1)])


def sales(zone: str, grain: str) -> st.SearchStrategy:
    units, buyers = st.sampled_from([None, 0, 1, 2, 2**31 - 1]), st.sampled_from([None, "ann", "bob", ""])
    row = st.tuples(moments(zone, grain), st.sampled_from([None, "x", "y"]), units, buyers)
    return st.lists(row, max_size=12)


@st.composite
def configs(draw) -> dict:
    zone, grain = draw(st.sampled_from(sorted(NIGHTS))), draw(st.sampled_from(sorted(REACH)))
    return {
        "base": "sales",
        "time_column": "at",
        "time_grain": grain,
        "time_zone": zone,
        "week_start": draw(st.sampled_from(["monday", "sunday", "saturday"])),
        "dimensions": draw(st.sampled_from([[], ["shop"]])),
        "metrics": METRICS,
        # Nepal's hours once began at half past and now at a quarter past: refused.
        "fill_gaps": draw(st.booleans()) and (zone, grain) != ("Asia/Kathmandu", "hour"),
    }


# --- plain Python -----------------------------------------------------------------------


def period_of(at: datetime | None, config: dict) -> date | datetime | None:
    if at is None:
        return None
    clock = at.astimezone(ZoneInfo(config["time_zone"]))
    if config["time_grain"] == "hour":
        return at - timedelta(minutes=clock.minute, seconds=clock.second, microseconds=clock.microsecond)
    return period_of_day(clock.date(), config)


def period_of_day(day: date, config: dict) -> date:
    grain = config["time_grain"]
    if grain == "week":
        while f"{day:%A}".lower() != config["week_start"]:
            day -= timedelta(days=1)
    month = {"month": day.month, "quarter": (day.month + 2) // 3 * 3 - 2, "year": 1}.get(grain)
    return day.replace(month=month, day=1) if month else day


def metrics_of(rows: list[tuple], is_filled: bool) -> tuple:
    units = [each for _, _, each, _ in rows if each is not None]
    buyers = len({buyer for *_, buyer in rows if buyer is not None})
    many = sum(1 for _, shop, each, _ in rows if shop == "x" or (each is not None and each > 1))
    total = sum(units) if units else 0 if is_filled else None
    each = sum(units) / buyers if units and buyers else None
    return (len(rows), total, None if total is None else total * 2, buyers, many, max(units, default=None), each)


def periods_between(first: date | datetime, last: date | datetime, config: dict) -> Iterator[date | datetime]:
    while first <= last:
        yield first
        if isinstance(first, datetime):
            first += timedelta(hours=1)
        else:
            day = first
            while period_of_day(day, config) == first:
                day += timedelta(days=1)
            first = day


def expected(rows: list[tuple], config: dict) -> dict[tuple, tuple]:
    groups: dict[tuple, list] = defaultdict(list)
    for row in rows:
        groups[(period_of(row[0], config), *([row[1]] if config["dimensions"] else []))].append(row)
    found = [period for period, *_ in groups if period is not None]
    if config["fill_gaps"] and found:
        for combination in {key[1:] for key in groups}:
            for period in periods_between(min(found), max(found), config):
                groups.setdefault((period, *combination), [])
    return {key: metrics_of(rows, config["fill_gaps"]) for key, rows in groups.items()}


# --- whole runs -------------------------------------------------------------------------


def run(lake: str, engine: str, rows: list[tuple], config: dict, window: Window | None = None, **changes) -> dict:
    """What the table holds after a run over these rows: {(period, dimensions…): metrics}."""
    given_rows = published(lake, "silver.test.sales", pl.DataFrame(rows, schema=SCHEMA, orient="row"))
    inputs = {"sales": open_table(given_rows.uri).columns}
    window = whole_periods(window or Window(), config["time_grain"], config["week_start"])
    sides = [side for side in ("start_date", "end_date") if getattr(window, side)]
    partition_by = changes.pop("partition_by", ())
    spec = MetricsSpec(
        run_id=str(new_run_id()),
        workflow="test",
        job="metrics",
        inputs=(given_rows,),
        sql=to_sql(config, inputs, sides),
        columns=check_sql(to_sql(config, inputs), inputs, engine).columns,
        engine=engine,
        target=TableTarget(dataset="gold.test.m", uri=f"{lake}/gold/test/m", partition_by=partition_by),
        run_time=datetime(2026, 11, 22, tzinfo=UTC),
        window=window,
        time_column="at",
        time_grain=config["time_grain"],
        time_zone=config["time_zone"],
        week_start=config["week_start"],
        dimensions=tuple(config["dimensions"]),
        **changes,
    )
    run_dataset(to_json(spec))
    size, held = 1 + len(config["dimensions"]), open_table(spec.target.uri).scan().collect().rows()
    found = {row[:size]: row[size:] for row in held}
    assert len(found) == len(held)
    return found


@pytest.mark.parametrize("engine", ["polars", "duckdb"])
@FEW
@given(st.data(), configs())
def test_a_metric_table_is_what_counting_row_by_row_gives(engine, data, config):
    rows = data.draw(sales(config["time_zone"], config["time_grain"]))
    with TemporaryDirectory() as lake:
        assert run(lake, engine, rows, config) == expected(rows, config)


@pytest.mark.parametrize("engine", ["polars", "duckdb"])
@FEW
@given(st.data(), configs(), st.booleans())
def test_a_window_makes_its_own_periods_as_a_full_run_would_and_leaves_all_others(engine, data, config, is_late):
    zone, grain = config["time_zone"], config["time_grain"]
    first = data.draw(sales(zone, grain))
    # Rows that come late, or a base that has lost all it had: periods without rows must go.
    then = data.draw(sales(zone, grain)) + (first if is_late else [])
    night = datetime.fromisoformat(NIGHTS[zone]).date()
    edges = [data.draw(st.none() | st.integers(-REACH[grain] // 24 - 1, REACH[grain] // 24 + 1)) for _ in range(2)]
    if None not in edges:
        edges.sort()
    days = [None if edge is None else str(night + timedelta(days=edge)) for edge in edges]
    window = Window(start_date=days[0], end_date=days[1])
    whole = whole_periods(window, grain, config["week_start"])

    def is_inside(period) -> bool:
        if period is None or not any(days):
            return not any(days)
        day = str(period.astimezone(ZoneInfo(zone)).date() if isinstance(period, datetime) else period)
        return (whole.start_date or day) <= day <= (whole.end_date or day)

    mode = {"refresh_mode": "overwrite_partition", "partition_by": ("at", *config["dimensions"])}
    with TemporaryDirectory() as lake:
        before = run(lake, engine, first, config, **mode)
        found = run(lake, engine, then, config, window, **mode)
    wanted = {key: value for key, value in expected(then, config).items() if is_inside(key[0])}
    if any(days):
        wanted |= {key: value for key, value in before.items() if not is_inside(key[0])}
    else:  # the partitions of the rows are replaced, and no others
        wanted = before | wanted
    assert found == wanted
