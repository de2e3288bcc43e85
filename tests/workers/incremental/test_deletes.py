"""Rows that are gone at the source are marked, removed or left, as the job says; never because a source is broken."""

import io
from pathlib import Path

import polars as pl
import pytest

from workers.errors import TooManyDeletes, UnreadableSource
from workers.executors.ingest.run import run_ingest
from workers.lake.landing import Landing
from workers.lake.table import open_table

FIRST = [(1, 10, "a"), (2, 20, "b"), (3, 30, "c")]


@pytest.fixture
def full(merging):
    merging.watermark = None
    return merging


def marked(job) -> dict[int, bool]:
    rows = open_table(job.target.uri).scan().select("id", pl.col("_deleted_at").is_not_null()).collect()
    return dict(sorted(rows.rows()))


def test_hard_removes_what_a_full_load_no_longer_has(full):
    job = full.but(delete_detection="hard")
    job.run(FIRST)
    result = job.run([(1, 10, "a"), (3, 31, "C")])
    assert job.rows == [(1, 10, "a"), (3, 31, "C")]
    assert (result.deleted_rows, result.rows_written, result.skipped) == (1, 1, {"unchanged": 1})


def test_off_leaves_it(full):
    full.run(FIRST)
    assert full.run([(1, 10, "a")]).deleted_rows == 0
    assert full.rows == FIRST


def test_soft_marks_it_once_and_takes_the_mark_back_when_the_key_returns(full):
    job = full.but(delete_detection="soft")
    job.run(FIRST)
    assert job.run([(1, 10, "a"), (3, 30, "c")]).deleted_rows == 1
    assert marked(job) == {1: False, 2: True, 3: False}
    again = job.run([(1, 10, "a"), (3, 30, "c")])
    assert (again.deleted_rows, again.skipped) == (0, {"unchanged": 2})
    returned = job.run(FIRST)
    assert (returned.rows_written, returned.skipped) == (1, {"unchanged": 2})
    assert marked(job) == {1: False, 2: False, 3: False}
    assert job.rows == FIRST


def test_a_source_that_is_empty_all_at_once_removes_nothing(full):
    job = full.but(delete_detection="hard")
    job.run(FIRST)
    with pytest.raises(TooManyDeletes, match="more likely a fault of the source"):
        job.run([])
    assert job.rows == FIRST


@pytest.mark.parametrize(("left", "is_refused"), [(99, True), (100, False)])
def test_more_than_half_of_a_larger_table_does_not_go_at_once(full, left, is_refused):
    job, rows = full.but(delete_detection="hard"), [(number, 0, "x") for number in range(200)]
    job.run(rows)
    if is_refused:
        with pytest.raises(TooManyDeletes):
            job.run(rows[:left])
    else:
        assert job.run(rows[:left]).deleted_rows == 100


def test_a_row_that_was_set_aside_is_still_at_the_source(full):
    job = full.but(delete_detection="hard")
    job.run(FIRST)
    result = job.run("id,at,note\n1,10,a\n2,unreadable,b\n")
    assert (result.quarantined_rows, result.deleted_rows) == (1, 1)
    assert job.rows == [(1, 10, "a"), (2, 20, "b")]


@pytest.mark.parametrize("broken", ["x,10,a", "1,2,3,4,5"])
def test_where_a_key_cannot_be_read_nobody_looks_for_deleted_rows(full, broken):
    job = full.but(delete_detection="hard")
    job.run(FIRST)
    result = job.run(f"id,at,note\n1,10,a\n{broken}\n")
    assert result.deleted_rows == 0
    assert "not known" in result.facts["deletes_not_looked_for"]
    assert job.rows == FIRST


def test_an_incremental_run_compares_with_the_keys_that_the_source_told(merging):
    job = merging.but(delete_detection="hard")
    job.run(FIRST)
    keys = pl.DataFrame({"ID": [1, 3]}, schema={"ID": pl.Int32})
    result = job.run_with([(4, 40, "in the rows, and too new for the keys")], "keys", keys)
    assert result.deleted_rows == 1
    assert [row[0] for row in job.rows] == [1, 3, 4]
    assert result.rows_read == 1


def test_an_incremental_run_without_such_keys_removes_nothing(merging):
    job = merging.but(delete_detection="hard")
    job.run(FIRST)
    assert job.run([(4, 40, "d")]).deleted_rows == 0
    assert len(job.rows) == 4


def test_keys_that_are_no_keys_of_the_table_remove_nothing(merging):
    job = merging.but(delete_detection="soft")
    job.run(FIRST)
    with pytest.raises(UnreadableSource, match="are null or do not fit"):
        job.run_with([], "keys", pl.DataFrame({"id": [1, None, 3]}))
    assert marked(job) == {1: False, 2: False, 3: False}


def test_a_source_that_was_not_read_to_its_end_removes_nothing(full):
    job = full.but(delete_detection="hard")
    job.run(FIRST)
    spec = job.spec(FIRST[:2])
    landing = Landing(spec.landing_uri, spec.run_id, spec.ingested_at)
    landing.add("rows.csv", io.BytesIO(Path(spec.source.files[0].uri).read_bytes()), source="test")
    landing.finish(cut_at_max_pages=1)
    result = run_ingest(spec)
    assert (result.deleted_rows, job.rows) == (0, FIRST)
    assert "deletes_not_looked_for" in result.facts
