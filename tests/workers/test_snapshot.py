"""Snapshots: what was true at the end of each period, against plain Python, period by period and row by row."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from types import SimpleNamespace

import polars as pl
import pytest

from tests.workers.published import published
from workers.errors import AuditFailed, InvalidSpec
from workers.executors import run_dataset
from workers.executors.snapshot.periods import Calendar, Retention, expired, periods
from workers.ids import new_run_id
from workers.lake.table import open_table
from workers.specs import Column, TableTarget, Window, to_json
from workers.template_specs import SnapshotSpec

NOW = datetime(2026, 3, 18, 10, 30, tzinfo=UTC)  # a Wednesday
SINCE, UNTIL = "effective_from", "effective_to"
DIMENSION = {"effective_from_column": SINCE, "effective_to_column": UNTIL}
EVENTS = {"event_time_column": "at", "key_columns": ("id",)}


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def utc(text: str) -> datetime:
    return at(text).replace(tzinfo=UTC)


def history(*rows: tuple, kind: pl.DataType | None = None) -> pl.DataFrame:
    """Rows of id, status, since, until."""
    kind = kind or pl.Datetime("us", "UTC")
    return pl.DataFrame(rows, schema={"id": pl.Int64, "status": pl.String, SINCE: kind, UNTIL: kind}, orient="row")


def events(*rows: tuple, kind: pl.DataType | None = None) -> pl.DataFrame:
    kind = kind or pl.Datetime("us", "UTC")
    return pl.DataFrame(rows, schema={"id": pl.Int64, "status": pl.String, "at": kind}, orient="row")


@pytest.fixture(params=["polars", "duckdb"])
def engine(request):
    return request.param


@pytest.fixture
def snapshot(tmp_path, engine):
    """Runs a snapshot of these rows; {(day, id): status} as the table then has it, and the facts of the run."""

    def run(rows: pl.DataFrame, **changes) -> SimpleNamespace:
        given = published(tmp_path, "silver.test.base", rows)
        mode = changes.pop("refresh_mode", "overwrite_partition")
        columns = (Column(name="snapshot_date", type="date"), *open_table(given.uri).columns)
        facts = {
            "run_id": str(new_run_id()),
            "workflow": "test",
            "job": "daily",
            "inputs": (given,),
            "sql": "",
            "base": "base",
            "columns": columns,
            "engine": engine,
            "refresh_mode": mode,
            "target": TableTarget(
                dataset="gold.test.daily",
                uri=f"{tmp_path}/gold/test/daily",
                partition_by=("snapshot_date",) if mode == "overwrite_partition" else (),
            ),
            "run_time": NOW,
        }
        spec = SnapshotSpec(**facts | changes)
        result = run_dataset(to_json(spec))
        table = open_table(spec.target.uri).scan().collect()
        found = table.select("snapshot_date", "id", "status").rows()
        assert len({row[:2] for row in found}) == len(found)
        return SimpleNamespace(
            states={(str(day), key): status for day, key, status in found},
            facts=result.facts["snapshot"],
            version=result.published.version,
            columns=table.columns,
        )

    return run


# --- which instant counts -------------------------------------------------------------------


def test_what_begins_at_midnight_belongs_to_the_day_that_begins(snapshot):
    rows = history(
        (1, "old", utc("2026-03-01"), utc("2026-03-11")),
        (1, "new", utc("2026-03-11"), None),
        (2, "only", utc("2026-03-10T23:59:59.999999"), utc("2026-03-11T00:00:00.000001")),
    )
    found = snapshot(rows, **DIMENSION, window=Window(start_date="2026-03-10", end_date="2026-03-11"))
    assert found.states == {("2026-03-10", 1): "old", ("2026-03-10", 2): "only", ("2026-03-11", 1): "new"}


def test_an_event_at_the_last_microsecond_counts_and_one_at_midnight_does_not(snapshot):
    rows = events(
        (1, "a", utc("2026-03-10T12:00")),
        (1, "b", utc("2026-03-10T23:59:59.999999")),
        (1, "c", utc("2026-03-11T00:00")),
        (2, "d", utc("2026-03-11T00:00")),
    )
    found = snapshot(rows, **EVENTS, window=Window(start_date="2026-03-10", end_date="2026-03-11"))
    assert found.states == {("2026-03-10", 1): "b", ("2026-03-11", 1): "c", ("2026-03-11", 2): "d"}


def test_a_day_that_is_not_over_shows_what_is_true_at_the_run_s_time(snapshot):
    rows = events((1, "before", NOW - timedelta(hours=1)), (1, "now", NOW), (1, "after", NOW + timedelta(seconds=1)))
    found = snapshot(rows, **EVENTS)
    assert found.states == {("2026-03-18", 1): "now"}
    assert (found.facts["built"], found.facts["as_of"]) == (1, NOW.isoformat())


def test_open_ends_last_for_ever_on_both_sides(snapshot):
    found = snapshot(history((1, "always", None, None), (2, "gone", None, utc("2026-03-18T10:30"))), **DIMENSION)
    assert found.states == {("2026-03-18", 1): "always"}


def test_days_end_where_the_time_zone_says_also_when_clocks_change(snapshot):
    # Berlin: 2026-03-28 ends at 23:00 UTC, the 29th, when clocks go forward, at 22:00 UTC.
    rows = events(
        (1, "28th", utc("2026-03-28T22:59:59")),
        (1, "29th", utc("2026-03-29T21:59:59")),
        (1, "30th", utc("2026-03-29T22:00:00")),
    )
    found = snapshot(
        rows,
        **EVENTS,
        time_zone="Europe/Berlin",
        run_time=utc("2026-04-02"),
        window=Window(start_date="2026-03-28", end_date="2026-03-30"),
    )
    assert found.states == {("2026-03-28", 1): "28th", ("2026-03-29", 1): "29th", ("2026-03-30", 1): "30th"}


@pytest.mark.parametrize("kind", [pl.Date, pl.Datetime("us")])
def test_dates_and_times_without_a_zone_are_taken_as_they_stand(snapshot, kind):
    rows = history(
        (1, "a", at("2026-03-01"), at("2026-03-11")), (1, "b", at("2026-03-11"), None), kind=pl.Datetime("us")
    ).cast({SINCE: kind, UNTIL: kind})
    found = snapshot(
        rows, **DIMENSION, time_zone="America/New_York", window=Window(start_date="2026-03-10", end_date="2026-03-11")
    )
    assert found.states == {("2026-03-10", 1): "a", ("2026-03-11", 1): "b"}


def test_of_events_at_one_instant_the_greatest_wins_on_every_engine(snapshot):
    same = utc("2026-03-18T08:00")
    assert snapshot(events((1, "b", same), (1, "a", same)), **EVENTS).states == {("2026-03-18", 1): "b"}


def test_events_without_a_time_or_a_key_are_left_out_and_counted(snapshot):
    found = snapshot(events((1, "a", utc("2026-03-18")), (None, "b", utc("2026-03-18")), (3, "c", None)), **EVENTS)
    assert found.states == {("2026-03-18", 1): "a"}
    assert found.facts["without_time_or_key"] == 2


# --- which periods ---------------------------------------------------------------------------


def test_weeks_and_months_are_named_by_their_last_day(snapshot):
    rows = events((1, "a", utc("2026-02-10")), (1, "b", utc("2026-03-15T12:00")))
    week = snapshot(rows, **EVENTS, grain="week", window=Window(start_date="2026-03-09", end_date="2026-03-18"))
    assert week.states == {("2026-03-15", 1): "b", ("2026-03-22", 1): "b"}
    month = snapshot(
        rows, **EVENTS, grain="month", refresh_mode="full_refresh", start_date=date(2026, 1, 20), end_date=None
    )
    assert month.states == {("2026-02-28", 1): "a", ("2026-03-31", 1): "b"}


def test_a_week_may_begin_on_sunday(snapshot):
    found = snapshot(
        events((1, "saturday", utc("2026-03-14")), (1, "sunday", utc("2026-03-15"))),
        **EVENTS,
        grain="week",
        week_start="sunday",
        window=Window(start_date="2026-03-14", end_date="2026-03-15"),
    )
    assert found.states == {("2026-03-14", 1): "saturday", ("2026-03-21", 1): "sunday"}


def test_days_to_come_are_not_built(snapshot):
    window = Window(start_date="2026-03-17", end_date="2026-03-30")
    found = snapshot(history((1, "a", None, None)), **DIMENSION, window=window)
    assert [day for day, _ in sorted(found.states)] == ["2026-03-17", "2026-03-18"]


def test_the_run_s_date_is_that_of_the_time_zone(snapshot):
    late = utc("2026-03-18T23:30")
    assert list(snapshot(history((1, "a", None, None)), **DIMENSION, run_time=late, time_zone="Asia/Tokyo").states) == [
        ("2026-03-19", 1)
    ]


def test_periods_that_were_not_over_can_be_built_again(snapshot):
    rows = events((1, "morning", utc("2026-03-17T08:00")), (1, "evening", utc("2026-03-17T20:00")))
    snapshot(rows, **EVENTS, run_time=utc("2026-03-17T10:00"))
    found = snapshot(rows, **EVENTS, run_time=utc("2026-03-18T10:00"), rebuild_previous=1)
    assert found.states == {("2026-03-17", 1): "evening", ("2026-03-18", 1): "evening"}


# --- runs beside each other ------------------------------------------------------------------


def test_a_repeated_run_replaces_its_own_date_and_no_other(snapshot):
    for day in ("2026-03-16", "2026-03-17"):
        snapshot(history((1, "a", None, None), (2, "b", None, None)), **DIMENSION, run_time=utc(f"{day}T08:00"))
    found = snapshot(history((1, "changed", None, None)), **DIMENSION, run_time=utc("2026-03-17T20:00"))
    assert found.states == {("2026-03-16", 1): "a", ("2026-03-16", 2): "b", ("2026-03-17", 1): "changed"}


def test_a_date_for_which_nothing_is_true_any_more_is_emptied(snapshot):
    snapshot(history((1, "a", None, None)), **DIMENSION)
    assert snapshot(history((1, "a", None, utc("2026-01-01"))), **DIMENSION).states == {}


def test_old_periods_are_dropped_in_the_commit_that_adds_the_new_one(snapshot):
    rows = history((1, "a", None, None), (2, "b", None, None))
    before = snapshot(rows, **DIMENSION, window=Window(start_date="2026-03-12", end_date="2026-03-17"))
    found = snapshot(rows, **DIMENSION, keep=3)
    assert sorted({day for day, _ in found.states}) == ["2026-03-16", "2026-03-17", "2026-03-18"]
    assert found.version == before.version + 1
    assert (found.facts["dropped_periods"], found.facts["dropped_rows"]) == (4, 8)
    assert found.facts["dropped"] == ["2026-03-12", "2026-03-13", "2026-03-14", "2026-03-15"]


def test_a_window_beyond_retention_builds_nothing_and_says_so(snapshot):
    rows = history((1, "a", None, None))
    snapshot(rows, **DIMENSION, keep=3)
    found = snapshot(rows, **DIMENSION, keep=3, window=Window(start_date="2026-03-01", end_date="2026-03-02"))
    assert list(found.states) == [("2026-03-18", 1)]
    assert (found.facts["built"], found.facts["beyond_retention"]) == (0, 2)


def test_a_range_is_built_whole_in_as_many_queries_as_it_needs(snapshot):
    rows = history((1, "a", None, utc("2025-12-01")), (1, "b", utc("2025-12-01"), None))
    found = snapshot(rows, **DIMENSION, refresh_mode="full_refresh", start_date=date(2025, 8, 1))
    assert len(found.states) == found.facts["built"] == (NOW.date() - date(2025, 8, 1)).days + 1
    assert [found.states[(day, 1)] for day in ("2025-11-29", "2025-11-30", "2025-12-01")] == ["a", "a", "b"]


def test_a_range_of_too_many_days_is_refused(snapshot):
    with pytest.raises(InvalidSpec, match="more than 10,000 days"):
        snapshot(history((1, "a", None, None)), **DIMENSION, start_date=date(1900, 1, 1))


def test_a_dimension_with_two_rows_of_a_key_at_one_time_publishes_nothing(snapshot):
    with pytest.raises(AuditFailed, match=r"1 keys have more than one row at the end of a period, such as .*id 1"):
        snapshot(history((1, "a", None, None), (1, "b", None, None)), **DIMENSION, key_columns=("id",))


# --- against plain Python ----------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_random_histories_and_events_are_as_in_plain_python(snapshot, seed):
    chance = random.Random(seed)
    start = utc("2026-03-01")
    moments = [start + timedelta(hours=6 * n) for n in range(72)]
    rows = [(chance.randrange(8), chance.choice("abc"), chance.choice(moments)) for _ in range(60)]
    wanted_days = [date(2026, 3, n) for n in range(1, 19)]
    window = Window(start_date="2026-03-01", end_date="2026-03-18")
    by_key: dict[int, list] = {}
    for key, status, moment in sorted(rows, key=lambda row: (row[2], row[1])):
        by_key.setdefault(key, []).append((moment, status))
    expected = {}
    for day in wanted_days:
        end = min(datetime.combine(day, datetime.min.time(), UTC) + timedelta(days=1), NOW + timedelta(microseconds=1))
        for key, states in by_key.items():
            if seen := [status for moment, status in states if moment < end]:
                expected[(str(day), key)] = seen[-1]
    assert snapshot(events(*rows), **EVENTS, window=window).states == expected
    versions = [
        (key, status, moment, following[0] if following else None)
        for key, states in by_key.items()
        for (moment, status), following in zip(states, [*states[1:], None], strict=True)
    ]
    assert snapshot(history(*versions), **DIMENSION, window=window, key_columns=("id",)).states == expected


def test_midnights_that_clocks_skip_or_repeat_still_part_the_days():
    cairo = Calendar(time_zone="Africa/Cairo")  # on 2026-04-24 clocks go from 00:00 to 01:00
    assert cairo.midnight(date(2026, 4, 24)) == utc("2026-04-23T22:00")
    havana = Calendar(time_zone="America/Havana")  # on 2026-11-01 clocks go from 01:00 back to 00:00
    assert havana.midnight(date(2026, 11, 1)) == utc("2026-11-01T04:00")
    for calendar in (cairo, havana, Calendar(time_zone="Pacific/Apia"), Calendar()):
        found = periods(calendar, date(2026, 1, 1), date(2026, 12, 31), utc("2027-01-05"))
        assert [each.day for each in found] == [date(2026, 1, 1) + timedelta(days=n) for n in range(365)]
        assert all(one.instant < other.instant for one, other in pairwise(found))


@pytest.mark.parametrize("grain", ["day", "week", "month"])
def test_a_range_at_the_end_of_the_calendar_has_no_periods_yet(grain):
    now = utc("2026-11-22")
    assert periods(Calendar(grain=grain), date(9999, 12, 31), date.max, now) == []
    assert periods(Calendar(grain=grain), date(2026, 11, 22), date.max, now)[-1].day >= date(2026, 11, 22)


@pytest.mark.parametrize("grain", ["day", "week", "month"])
def test_a_range_that_begins_after_it_ends_has_no_periods(grain):
    assert periods(Calendar(grain=grain), date(2026, 3, 20), date(2026, 3, 18), NOW) == []


def test_month_ends_stay_longer_than_other_days():
    days = [date(2025, 1, 1) + timedelta(days=n) for n in range(442)]
    gone = expired(Calendar(), days, date(2026, 3, 18), Retention(keep=7, keep_month_ends=3))
    kept = sorted(set(days) - set(gone))
    assert kept == [date(2026, 1, 31), date(2026, 2, 28), *(date(2026, 3, 12) + timedelta(days=n) for n in range(7))]
