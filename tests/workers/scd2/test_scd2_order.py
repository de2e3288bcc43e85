"""The order in which observations come, and the batches they come in, leave no trace in a dimension."""

from __future__ import annotations

import tempfile
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import duckdb
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.workers.scd2.dimension import Lake, model, rank, same
from workers.executors.scd2 import evidence, rewrite, work
from workers.lake.table import open_table
from workers.template_specs import Restatement

FIRST_DAY = datetime(2026, 1, 1)  # noqa: DTZ001
SCHEMA = {
    "id": pl.Int64,
    "city": pl.String,
    "score": pl.Float64,
    "note": pl.String,
    "at": pl.Datetime("us"),
    "gone": pl.Boolean,
}
rows = st.tuples(
    st.integers(0, 2),
    st.sampled_from([None, "Rome", "Oslo"]),
    st.sampled_from([None, float("nan"), 1.5]),
    st.sampled_from([None, "a", "b"]),
    st.integers(0, 5).map(lambda day: FIRST_DAY + timedelta(days=day)),
    st.sampled_from([None, False, False, True]),
)
# Some batches: late rows, several versions of a key in one, duplicates, ties, deletions and returns all come up.
batches = st.lists(st.lists(rows, max_size=5), min_size=1, max_size=4)


def observed(given: list[tuple]) -> list[tuple]:
    return [(key, at, None if gone else (city, score, note)) for key, city, score, note, at, gone in given]


def new_lake(**changes: object) -> Lake:
    facts = {"schema": SCHEMA, "tracked": ("city", "score"), "delete_mode": "close", "deleted_column": "gone"}
    return Lake(Path(tempfile.mkdtemp()), **facts | changes)


def read_by_duckdb(lake: Lake) -> list[tuple]:
    """The rows as an engine sees them that knows only the folder's current files."""
    files = open_table(lake.target.uri).files()
    told = duckdb.execute("select * from read_parquet($1, hive_partitioning = true, union_by_name = true)", [files])
    names = [column[0] for column in told.description]
    found = [dict(zip(names, row, strict=True)) for row in told.fetchall()]
    versions = [
        (row["id"], (row["city"], row["score"], row["note"]), row["effective_from"], row["effective_to"])
        for row in found
    ]
    return sorted(versions, key=lambda version: (rank(version[0]), version[2]))


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(batches=batches, replaces=st.booleans())
def test_any_batches_in_any_order_give_the_dimension_that_the_set_of_observations_gives(batches, replaces):
    lake = new_lake()
    for batch in batches:
        lake.put(batch, "overwrite" if replaces else "append")
        lake.run()
    wanted = model(observed([row for batch in batches for row in batch]), tracked=2)
    assert same(lake.versions(), wanted)
    assert not wanted or same(read_by_duckdb(lake), wanted)


@pytest.fixture
def tiny_files(monkeypatch):
    """Everything that is cut at millions of rows is cut at two: files, parts of a batch, evidence."""
    monkeypatch.setattr(rewrite, "ROWS_PER_FILE", 2)
    monkeypatch.setattr(rewrite, "SMALL_ROWS", 3)
    monkeypatch.setattr(rewrite, "MOST_SMALL", 1)
    monkeypatch.setattr(evidence, "MOST_FILES", 1)
    monkeypatch.setattr(evidence, "LARGE_ROWS", 3)
    monkeypatch.setattr(work, "BATCH_ROWS", 2)
    monkeypatch.setattr(work, "SAMPLE", 1)


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(batches=batches, replaces=st.booleans())
def test_a_dimension_of_many_files_read_in_many_parts_is_the_same(tiny_files, batches, replaces):
    lake = new_lake()
    for batch in batches:
        lake.put(batch, "overwrite" if replaces else "append")
        lake.run()
    assert same(lake.versions(), model(observed([row for batch in batches for row in batch]), tracked=2))


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(given=st.lists(rows, min_size=2, max_size=10), data=st.data())
def test_a_permutation_of_the_same_observations_gives_the_same_table(given, data):
    one, other = new_lake(), new_lake()
    for row in given:
        one.put([row])
    one.run()
    for row in data.draw(st.permutations(given)):
        other.put([row], "overwrite")
        other.run()
    assert same(one.versions(), other.versions())


TIMES = {
    "date": (pl.Date, [date(2026, 1, day) for day in range(1, 7)]),
    "timestamp": (pl.Datetime("us"), [datetime(2026, 1, 1, 8, 0, 0, day) for day in range(1, 7)]),  # noqa: DTZ001
    "timestamptz": (pl.Datetime("us", "UTC"), [datetime(2026, 1, day, 8, tzinfo=UTC) for day in range(1, 7)]),
}
KEYS = {
    "int": (pl.Int32, [1, 2]),
    "text": (pl.String, ["a", "b"]),
    "date": (pl.Date, [date(2020, 1, 1), date(2020, 1, 2)]),
    "moment": (pl.Datetime("us", "UTC"), [datetime(2020, 1, 1, 8, tzinfo=UTC), datetime(2020, 1, 1, 9, tzinfo=UTC)]),
    "decimal": (pl.Decimal(10, 2), [Decimal("-1.50"), Decimal("2.25")]),
    "boolean": (pl.Boolean, [False, True]),
}


@pytest.mark.parametrize("time", TIMES)
@pytest.mark.parametrize("key", KEYS)
def test_keys_and_times_of_every_type_hold_late_rows_and_several_versions(tmp_path, tiny_files, key, time):
    (key_type, keys), (time_type, times) = KEYS[key], TIMES[time]
    lake = Lake(tmp_path, {"id": key_type, "city": pl.String, "at": time_type})
    given = [[(keys[0], "A", times[1]), (keys[1], "A", times[0])], [(keys[0], "A", times[3]), (keys[0], "B", times[4])]]
    given += [[(keys[0], "C", times[2])], [(keys[1], "D", times[5]), (keys[0], "B", times[0])]]
    for batch in given:
        lake.put(batch)
        lake.run()
    assert lake.versions() == model((key, at, (city,)) for batch in given for key, city, at in batch)


@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_key_of_several_columns_is_one_key(data):
    parts = st.tuples(st.sampled_from("xy"), st.integers(1, 2), st.sampled_from("AB"), st.integers(1, 5))
    lake = Lake(
        Path(tempfile.mkdtemp()),
        {"shop": pl.String, "number": pl.Int16, "city": pl.String, "at": pl.Date},
        keys=("shop", "number"),
    )
    given = []
    for batch in data.draw(st.lists(st.lists(parts, max_size=6), min_size=1, max_size=3)):
        dated = [(shop, number, city, date(2026, 1, day)) for shop, number, city, day in batch]
        given += dated
        lake.put(dated)
        lake.run()
    assert lake.versions() == model(((shop, number), at, (city,)) for shop, number, city, at in given)


actions = st.one_of(
    st.tuples(st.just("append"), st.lists(rows, max_size=4)),
    st.tuples(st.just("overwrite"), st.lists(rows, max_size=4)),
    st.tuples(st.just("restore"), st.integers(0, 5)),
    st.tuples(st.just("restate"), st.tuples(st.integers(0, 2), st.integers(0, 5), st.integers(0, 3))),
)


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps=st.lists(actions, min_size=1, max_size=6))
def test_rollbacks_and_restatements_in_between_leave_what_the_known_observations_give(steps):
    lake, held, known, versions, is_restored = new_lake(), set(), set(), [], False
    lake.put([])
    lake.run()
    versions.append((0, frozenset()))
    for action, told in steps:
        if action == "restore":
            version, known = versions[told % len(versions)]
            lake.restore(version)
            known, is_restored = set(known), True
            versions.append((open_table(lake.target.uri).version, frozenset(known)))
            continue
        if action == "restate":
            key, first, days = told
            start, end = FIRST_DAY + timedelta(days=first), FIRST_DAY + timedelta(days=first + days)
            known = {one for one in known if one[0] != key or not start <= one[1] <= end}
            lake.run(Restatement(keys=({"id": key},), start_date=start.date(), end_date=end.date()))
            known |= {one for one in held if is_restored or (one[0] == key and start <= one[1] <= end)}
        else:
            seen = {(key, at, None if gone else (city, rank(score), note)) for key, city, score, note, at, gone in told}
            held = seen if action == "overwrite" else held | seen
            lake.put(told, action)
            lake.run()
            known |= held
        is_restored = False  # the first run after it has taken all of the input in
        versions.append((open_table(lake.target.uri).version, frozenset(known)))
    # A set needs values that equal themselves: NaN stands there by its rank, and so does the model's result.
    wanted = model(known, tracked=2)
    found = [(key, (city, rank(score), note), start, end) for key, (city, score, note), start, end in lake.versions()]
    assert found == wanted
