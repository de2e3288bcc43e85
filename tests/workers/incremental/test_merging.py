"""Upserts by key: one row a key, the newest state of it, and only the files that must be are written anew."""

from datetime import UTC, datetime

import polars as pl
import pytest

from workers.errors import BadRows, MissingColumns
from workers.lake.table import open_table

from .conftest import Loading

FIRST = [(1, 10, "a"), (2, 20, "b"), (3, 30, "c")]


def test_new_rows_are_added_changed_ones_replaced_and_unchanged_ones_left_alone(merging):
    merging.run(FIRST)
    result = merging.run([(2, 21, "B"), (3, 30, "c"), (4, 40, "d")], watermark=None)
    assert merging.rows == [(1, 10, "a"), (2, 21, "B"), (3, 30, "c"), (4, 40, "d")]
    assert result.skipped == {"unchanged": 1}
    assert (result.rows_read, result.rows_written) == (2, 2)


def test_what_came_is_told_from_what_was_kept(merging):
    merging.run(FIRST)
    result = merging.run([(2, 41, "B")])
    assert (result.rows_written, result.published.rows, result.published.table_rows) == (1, 1, 3)
    runs = open_table(merging.target.uri).scan().group_by("_run_id").len().collect()
    assert sorted(runs["len"]) == [1, 2]


def test_of_several_states_of_a_row_in_one_run_the_newest_counts(merging):
    result = merging.run([(1, 30, "newest"), (1, 10, "old"), (1, 30, "newest, and later in the file"), (2, 5, "b")])
    assert merging.rows == [(1, 30, "newest, and later in the file"), (2, 5, "b")]
    assert result.skipped == {"superseded": 2}


def test_without_a_watermark_the_later_row_counts(merging):
    merging.watermark = None
    merging.run([(1, 30, "first"), (1, 10, "second")])
    assert merging.rows == [(1, 10, "second")]


def test_an_older_state_than_the_tables_is_left_out(merging):
    merging.run(FIRST)
    merging.set_watermark(None)
    result = merging.run([(3, 29, "older"), (2, 20, "as new, so it counts")])
    assert merging.rows == [(1, 10, "a"), (2, 20, "as new, so it counts"), (3, 30, "c")]
    assert result.skipped == {"superseded": 1}


def test_a_row_without_its_key_is_set_aside(merging):
    result = merging.run([(None, 10, "whose?"), (2, 20, "b")])
    assert (result.rows_written, result.quarantined_rows) == (1, 1)
    assert result.reasons == {"id: key_missing": 1}


def test_a_row_without_its_key_fails_a_job_that_allows_none(merging):
    with pytest.raises(BadRows, match="a row without its key cannot be merged"):
        merging.run([(None, 10, "whose?")], error_handling="fail")


def test_a_key_that_the_source_has_not_is_named(merging):
    with pytest.raises(MissingColumns, match="has no column number"):
        merging.run(FIRST, key_columns=("number",))


def test_several_columns_may_be_the_key_and_case_does_not_count(tmp_path):
    changes = {"write_mode": "merge", "key_columns": ("SHOP", "id")}
    job = Loading(tmp_path, {"shop": "string", "id": "int64", "note": "string"}, watermark=None, changes=changes)
    job.run([("x", 1, "a"), ("y", 1, "b")])
    job.run([("y", 1, "B"), ("y", 2, "c"), (None, 1, "whose?")])
    assert job.rows == [("x", 1, "a"), ("y", 1, "B"), ("y", 2, "c")]


def test_only_files_with_a_replaced_row_are_written_anew(merging, monkeypatch):
    merging.watermark = None
    for start in (0, 1000, 2000):
        merging.run([(number, number, "x") for number in range(start, start + 1000)])
    before = merging.files()
    merging.run([(1500, 1, "changed"), (1501, 1501, "x"), (9000, 1, "new")])
    assert len(before & merging.files()) == 2
    assert open_table(merging.target.uri).rows == 3001


def test_a_run_that_changes_nothing_writes_no_file(merging):
    merging.run(FIRST)
    before = merging.files()
    result = merging.run(FIRST, watermark=None)
    assert (result.skipped, result.rows_written) == ({"unchanged": 3}, 0)
    assert merging.files() == before


def test_rows_move_to_the_partition_of_the_run_that_brought_them(tmp_path):
    changes = {"write_mode": "merge", "key_columns": ("id",), "partitioned": True}
    job = Loading(tmp_path, {"id": "int64", "note": "string"}, watermark=None, changes=changes)
    job.run([(1, "a"), (2, "b")], ingested_at=datetime(2026, 11, 20, tzinfo=UTC))
    job.run([(2, "B"), (3, "c")], ingested_at=datetime(2026, 11, 21, tzinfo=UTC))
    held = pl.read_delta(job.target.uri).sort("id")
    assert held.select("id", "note", pl.col("_ingest_date").dt.day()).rows() == [
        (1, "a", 20),
        (2, "B", 21),
        (3, "c", 21),
    ]


def test_a_new_column_counts_as_a_change_and_kept_rows_have_null_there(merging):
    merging.run([(1, 10, "a"), (2, 20, "b")])
    merging.columns = {**merging.columns, "extra": "string"}
    result = merging.run([(2, 20, "b", "new"), (3, 30, "c", None)])
    assert result.skipped == {}
    assert merging.rows == [(1, 10, "a", None), (2, 20, "b", "new"), (3, 30, "c", None)]


def test_a_wider_type_keeps_every_row_and_replaces_the_changed_ones(merging):
    merging.run([(1, 10, "a"), (2, 20, "b"), (3, 30, "c")])
    merging.columns = {"id": "decimal(20,0)", "at": "int64", "note": "string"}
    merging.run([(3, 30, "c"), (2, 31, "B"), ("12345678901234567890", 40, "d")])
    assert sorted((int(key), at, note) for key, at, note in merging.rows) == [
        (1, 10, "a"), (2, 31, "B"), (3, 30, "c"), (12345678901234567890, 40, "d"),
    ]  # fmt: skip


def test_of_rows_that_were_appended_under_one_key_one_is_left_once_one_is_replaced(merging):
    merging.but(write_mode="append").run([(1, 10, "a"), (1, 11, "a, too"), (2, 20, "b")])
    merging.run([(1, 40, "A")])
    assert merging.rows == [(1, 40, "A"), (2, 20, "b")]


def test_more_rows_than_are_compared_at_a_time(merging, monkeypatch):
    monkeypatch.setattr("workers.lake.merge.BATCH_ROWS", 10)
    merging.watermark = None
    merging.run([(number, 0, "x") for number in range(100)])
    result = merging.run([(number, 0, "x" if number % 2 else "y") for number in range(50, 150)])
    assert result.skipped == {"unchanged": 25}
    expected = [(n, 0, "x" if n < 50 or n % 2 else "y") for n in range(150)]
    assert sorted(merging.rows) == expected


def test_values_of_any_kind_are_told_apart_exactly(tmp_path):
    changes = {"write_mode": "merge", "key_columns": ("id",)}
    job = Loading(tmp_path, {"id": "string", "x": "float64", "day": "date"}, watermark=None, changes=changes)
    job.run([("nan", "nan", None), ("zero", "0.0", "2026-01-01"), ("null", None, None), ("é", "0.1", None)])
    again = job.run([("nan", "nan", None), ("zero", "-0.0", "2026-01-01"), ("null", None, None), ("é", "0.3", None)])
    assert again.skipped == {"unchanged": 3}
    assert again.rows_written == 1
