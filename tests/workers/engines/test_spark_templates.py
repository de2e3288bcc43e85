"""Templates on Spark: conformed sources, snapshots and merges, against values told in plain Python."""

from __future__ import annotations

import random
from datetime import date, timedelta
from decimal import Decimal
from functools import partial

import polars as pl
import pytest

from tests.spark_cluster import LOCAL, needs_spark
from tests.workers import test_conform, test_run_sql_merge, test_snapshot
from tests.workers.test_conform import CONFIG, CRM, DAY, SHOP, by_system
from tests.workers.test_conform_properties import Model
from tests.workers.test_run_sql_merge import COLUMNS, FIRST, MERGED, SECOND, rows_of, run_sql
from tests.workers.test_snapshot import DIMENSION, EVENTS, SINCE, UNTIL, events, history, utc
from workers.engines.spark import session
from workers.specs import Column, Window

pytestmark = needs_spark


@pytest.fixture
def engine():
    return "spark"


# The neighbours' fixtures, with this file's engine; the session is the one that all tests of Spark share.
_conform, _snapshot = test_conform.conform, test_snapshot.snapshot
load, _job = test_run_sql_merge.load, test_run_sql_merge.job


@pytest.fixture
def conform(_conform):
    return partial(_conform, settings=LOCAL)


@pytest.fixture
def snapshot(_snapshot):
    return partial(_snapshot, settings=LOCAL)


@pytest.fixture
def job(_job):
    return partial(_job, settings=LOCAL)


# --- conformed sources ----------------------------------------------------------------


def test_sources_conform_by_priority_and_fill_their_nulls(conform):
    found = conform(CONFIG | {"fill_nulls": True}, {"shop": SHOP, "crm": CRM})
    told = {key: (row["email"], row["city"], row["points"], row["source_system"]) for key, row in found.rows.items()}
    assert told == {
        1: ("ann@x.org", "Bonn", 10, "crm"),
        2: ("bob@x.org", "Kiel", 20, "crm"),
        3: ("cy@x.org", None, 30, "web shop"),
        5: ("eve@x.org", "Trier", 50, "crm"),
    }
    assert found.schema["id"] == pl.Int64
    assert by_system(found.facts, "without_key") == {"crm": 1, "web shop": 0}
    assert (found.facts["rows"], found.facts["keys"], found.facts["merged"]) == (9, 4, 4)


def test_sources_conform_by_the_latest_record(conform):
    found = conform(CONFIG | {"conflict_resolution": "latest"}, {"shop": SHOP, "crm": CRM})
    assert {key: (row["city"], row["seen"], row["source_system"]) for key, row in found.rows.items()} == {
        1: ("Köln", DAY + timedelta(1), "web shop"),
        2: (None, DAY + timedelta(2), "crm"),
        3: (None, None, "web shop"),
        5: (None, DAY, "crm"),
    }


RULES = {"a": {"order": ["s2", "s0"]}, "b": {"resolution": "latest"}}


@pytest.mark.parametrize(("latest", "rules", "fill"), [(False, RULES, False), (True, {}, True)])
def test_random_sources_conform_as_in_plain_python(conform, latest, rules, fill):
    chance, names = random.Random(7), ["s0", "s1", "s2"]
    sources = {
        name: [
            {
                "id": chance.choice([None, *range(12)]),
                "a": chance.choice([None, "x", "y", "Z"]),
                "b": chance.choice([None, "p", "q"]),
                "at": chance.choice([None, *(DAY + timedelta(days=n) for n in range(3))]),
            }
            for _ in range(20)
        ]
        for name in names
    }
    schema = {"id": pl.Int64, "a": pl.String, "b": pl.String, "at": pl.Datetime("us")}
    config = {
        "sources": [
            {"alias": n, "source_system": n, "priority": p, "mappings": {c: c for c in schema}}
            for p, n in enumerate(names)
        ],
        "key_columns": ["id"],
        "updated_at_column": "at",
        "conflict_resolution": "latest" if latest else "source_priority",
        "column_rules": rules,
        "fill_nulls": fill,
    }
    found = conform(config, {name: pl.DataFrame(rows, schema=schema) for name, rows in sources.items()})
    model = Model(config, sources, [*schema])
    assert found.rows == {key: model.row((key,)) for (key,) in model.speakers}
    told = model.report(sources)
    assert by_system(found.facts, "won") == {
        name: each["won"] for name, each in zip(names, told["sources"], strict=True)
    }
    assert found.facts["conflicts"] == told["conflicts"]


# --- snapshots --------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [pl.Date, pl.Datetime("us"), pl.Datetime("us", "UTC")])
def test_a_dimension_is_seen_at_the_end_of_each_day(snapshot, kind):
    first, second = utc("2026-03-09"), utc("2026-03-11")
    rows = history((1, "a", None, second), (1, "b", second, None), (2, "c", first, second))
    rows = rows.with_columns(pl.col(SINCE, UNTIL).cast(kind))
    window = Window(start_date="2026-03-08", end_date="2026-03-11")
    found = snapshot(rows, **DIMENSION, key_columns=("id",), window=window)
    assert found.states == {
        ("2026-03-08", 1): "a", ("2026-03-09", 1): "a", ("2026-03-09", 2): "c",
        ("2026-03-10", 1): "a", ("2026-03-10", 2): "c", ("2026-03-11", 1): "b",
    }  # fmt: skip


def test_a_dimension_is_seen_at_the_end_of_each_month_also_where_none_is_left(snapshot):
    rows = history((1, "a", utc("2025-12-31T23:59:59.999999"), utc("2026-02-28")), (2, "b", utc("2026-02-01"), None))
    options = {"grain": "month", "refresh_mode": "full_refresh", "start_date": date(2025, 11, 5)}
    found = snapshot(rows, **DIMENSION, **options)
    assert found.states == {
        ("2025-12-31", 1): "a", ("2026-01-31", 1): "a", ("2026-02-28", 2): "b", ("2026-03-31", 2): "b",
    }  # fmt: skip
    assert found.facts["built"] == 5


def test_events_count_by_the_days_of_a_time_zone(snapshot):
    # Berlin's 28th ends at 23:00 UTC, its 29th, when clocks go forward, at 22:00 UTC.
    rows = events(
        (1, "28th", utc("2026-03-28T22:59:59.999999")),
        (1, "29th", utc("2026-03-29T21:59:59.999999")),
        (1, "30th, the greater", utc("2026-03-29T22:00")),
        (1, "30th", utc("2026-03-29T22:00")),
        (2, None, utc("2026-03-29T12:00")),
        (None, "no key", utc("2026-03-29T12:00")),
        (3, "no time", None),
    )
    window = Window(start_date="2026-03-28", end_date="2026-03-30")
    found = snapshot(rows, **EVENTS, time_zone="Europe/Berlin", run_time=utc("2026-04-02"), window=window)
    assert found.states == {
        ("2026-03-28", 1): "28th", ("2026-03-29", 1): "29th", ("2026-03-30", 1): "30th, the greater",
        ("2026-03-29", 2): None, ("2026-03-30", 2): None,
    }  # fmt: skip
    assert found.facts["without_time_or_key"] == 2


def test_a_second_snapshot_replaces_its_days_and_lets_old_ones_go(snapshot):
    rows = history((1, "a", None, None), (2, "b", None, None))
    snapshot(rows, **DIMENSION, window=Window(start_date="2026-03-14", end_date="2026-03-17"))
    found = snapshot(history((1, "changed", None, None)), **DIMENSION, keep=2)
    assert found.states == {("2026-03-17", 1): "a", ("2026-03-17", 2): "b", ("2026-03-18", 1): "changed"}
    assert found.facts["dropped"] == ["2026-03-14", "2026-03-15", "2026-03-16"]


# --- merges and parameters ----------------------------------------------------------------


@pytest.mark.parametrize("partition_by", [(), ("day",)])
def test_two_merges_add_what_is_new_and_replace_what_changed(job, partition_by):
    run_sql(job(FIRST, partition_by))
    spec = job(SECOND, partition_by)
    assert run_sql(spec).facts == {"merge": {"inserted": 1, "updated": 2, "unchanged": 1}}
    assert rows_of(spec) == sorted(MERGED, key=repr)
    again = job(SECOND, partition_by)
    assert run_sql(again).facts == {"merge": {"inserted": 0, "updated": 0, "unchanged": 4}}
    assert rows_of(again) == sorted(MERGED, key=repr)


def test_parameters_are_the_run_s_own(job):
    when = (*COLUMNS, Column(name="ran_at", type="timestamptz"), Column(name="age", type="int64"))
    sql = """select *, :run_time as ran_at, date_diff('day', day, cast(:run_time as date)) as age
        from orders where day between :start_date and :end_date"""
    run_sql(job(FIRST, sql=sql, columns=when, run_time=utc("2026-02-01T01:02:03.000004"), window=Window(
        start_date="2026-01-01", end_date="2026-01-03")))  # fmt: skip
    late = [(number, day, "late", Decimal(1)) for number, day, _, _ in FIRST]
    spec = job(late, sql=sql, columns=when, run_time=utc("2026-02-02T05:00"), window=Window(
        start_date="2026-01-02", end_date="2026-01-02"))  # fmt: skip
    run_sql(spec)
    first, second = utc("2026-02-01T01:02:03.000004"), utc("2026-02-02T05:00")
    wanted = [(*row, first, (date(2026, 2, 1) - row[1]).days) for row in FIRST if row[0] != 3]
    wanted.append((3, date(2026, 1, 2), "late", Decimal("1.00"), second, 31))
    assert rows_of(spec) == sorted(wanted, key=repr)


def test_every_query_of_a_template_runs_in_the_session_that_the_job_is_set_to(conform, snapshot):
    snapshot(history((1, "a", None, None)), **DIMENSION)
    found = session._running
    assert found.settings == session.SparkSettings.of(LOCAL, 0)
    conform(CONFIG, {"shop": SHOP, "crm": CRM})
    snapshot(history((1, "a", None, None)), **DIMENSION)
    assert session._running is found
