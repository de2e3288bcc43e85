"""Snapshots at the edges of days, in zones whose clocks change; backfills in any order make what one build makes."""

from __future__ import annotations

from calendar import monthrange
from datetime import UTC, date, datetime, time, timedelta
from tempfile import TemporaryDirectory
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.workers.published import published
from workers.executors import run_dataset
from workers.ids import new_run_id
from workers.lake.table import open_table
from workers.specs import Column, TableTarget, Window, to_json
from workers.template_specs import SnapshotSpec

FEW = settings(
    max_examples=5,
    deadline=None,
    database=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
# A leap day, nights on which clocks change (at midnight in Havana), a day that Samoa skipped.
MIDDLES = {
    "UTC": date(2024, 2, 29),
    "Europe/Berlin": date(2024, 10, 27),
    "America/Havana": date(2024, 11, 3),
    "Pacific/Apia": date(2011, 12, 30),
}
REACH = {"day": 4, "week": 15, "month": 70}  # days around the middle
LATER = datetime(2025, 6, 1, tzinfo=UTC)  # when all of it is over


def midnight(day: date, zone: str) -> datetime:
    """The first instant of the day, by looking at the clock every quarter of an hour."""
    moment = datetime.combine(day, time(), UTC) - timedelta(hours=16)
    while moment.astimezone(ZoneInfo(zone)).date() < day:
        moment += timedelta(minutes=15)
    return moment


def last_day(day: date, grain: str) -> date:
    if grain == "month":
        return day.replace(day=monthrange(day.year, day.month)[1])
    while grain == "week" and f"{day:%A}" != "Sunday":
        day += timedelta(days=1)
    return day


@st.composite
def cases(draw) -> tuple[str, str, list[tuple]]:
    """A zone, a grain, and rows (id, since, until) whose times lie on midnights and a microsecond beside them."""
    zone, grain = draw(st.sampled_from(sorted(MIDDLES))), draw(st.sampled_from(sorted(REACH)))
    days = st.integers(-REACH[grain], REACH[grain]).map(lambda number: MIDDLES[zone] + timedelta(days=number))
    beside = st.sampled_from([-1, 0, 1, 1_800_000_000])
    moments = st.builds(lambda day, tick: midnight(day, zone) + timedelta(microseconds=tick), days, beside)
    times = draw(st.lists(st.tuples(st.none() | moments, st.none() | moments), max_size=8))
    return zone, grain, [(number, *pair) for number, pair in enumerate(times)]


def span(zone: str, grain: str) -> tuple[date, date]:
    reach = timedelta(days=REACH[grain])
    return MIDDLES[zone] - reach, MIDDLES[zone] + reach


def period_days(zone: str, grain: str) -> list[date]:
    first, last = span(zone, grain)
    return sorted({last_day(first + timedelta(days=n), grain) for n in range((last - first).days + 1)})


def run(lake: str, engine: str, case: tuple, window: tuple[date, date], **columns) -> set[tuple]:
    """The table after a run over this window: {(day, id)}."""
    zone, grain, rows = case
    moment = pl.Datetime("us", "UTC")
    frame = pl.DataFrame(rows, schema={"id": pl.Int64, "since": moment, "until": moment}, orient="row")
    base = published(lake, "silver.test.base", frame)
    spec = SnapshotSpec(
        run_id=str(new_run_id()),
        workflow="test",
        job="daily",
        inputs=(base,),
        sql="",
        base="base",
        columns=(Column(name="snapshot_date", type="date"), *open_table(base.uri).columns),
        engine=engine,
        refresh_mode="overwrite_partition",
        target=TableTarget(dataset="gold.test.s", uri=f"{lake}/gold/test/s", partition_by=("snapshot_date",)),
        run_time=LATER,
        grain=grain,
        time_zone=zone,
        window=Window(start_date=str(window[0]), end_date=str(window[1])),
        **columns,
    )
    run_dataset(to_json(spec))
    found = open_table(spec.target.uri).scan().select("snapshot_date", "id", "since").collect().rows()
    assert len(set(found)) == len(found)
    return set(found)


@pytest.mark.parametrize("engine", ["polars", "duckdb"])
@FEW
@given(cases(), st.data())
def test_backfills_of_a_dimension_in_any_order_are_what_is_true_at_the_end_of_each_period(engine, case, data):
    zone, grain, rows = case
    first, last = span(zone, grain)
    cut = first + timedelta(days=data.draw(st.integers(1, (last - first).days)))
    parts = data.draw(st.permutations([(first, cut - timedelta(days=1)), (cut, last), (cut, cut)]))
    columns = {"effective_from_column": "since", "effective_to_column": "until"}
    with TemporaryDirectory() as lake:
        found = [run(lake, engine, case, part, **columns) for part in parts][-1]
    expected = set()
    for day in period_days(zone, grain):
        end = midnight(day + timedelta(days=1), zone)
        begun = [row for row in rows if row[1] is None or row[1] < end]
        expected |= {(day, key, since) for key, since, until in begun if until is None or until >= end}
    assert found == expected


@pytest.mark.parametrize("engine", ["polars", "duckdb"])
@FEW
@given(cases())
def test_of_events_the_last_before_the_end_of_each_period_counts(engine, case):
    zone, grain, rows = case
    events = [(key % 3, since, None) for key, since, _ in rows]
    with TemporaryDirectory() as lake:
        columns = {"event_time_column": "since", "key_columns": ("id",)}
        found = run(lake, engine, (zone, grain, events), span(zone, grain), **columns)
    expected = set()
    for day in period_days(zone, grain):
        end = midnight(day + timedelta(days=1), zone)
        seen = sorted((since, key) for key, since, _ in events if since is not None and since < end)
        expected |= {(day, key, since) for key, since in {key: since for since, key in seen}.items()}
    assert found == expected
