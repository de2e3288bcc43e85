"""The same on an object store: comparing, merging, windows, deletes, the watermark in the commit."""

import polars as pl
import pytest

from workers.specs import Window

from .conftest import Loading

pytestmark = pytest.mark.s3
COLUMNS = {"id": "int64", "at": "date", "note": "string"}
FIRST = [(1, "2026-11-01", "a"), (2, "2026-11-02", "b"), (3, "2026-11-03", "c")]


def notes(job) -> list[str]:
    return sorted(row[2] for row in job.rows)


def test_an_append_is_compared_replaced_by_days_and_rolled_back(tmp_path, s3_lake):
    job = Loading(tmp_path, COLUMNS, lake=s3_lake).but(partitioned=True)
    job.run(FIRST)
    assert job.run([FIRST[2], (4, "2026-11-04", "d")]).skipped == {"already_loaded": 1}
    job.run([(9, "2026-11-02", "instead")], window=Window(start_date="2026-11-02", end_date="2026-11-02"))
    assert (notes(job), job.last) == (["a", "c", "d", "instead"], "2026-11-04")
    job.roll_back(0)
    assert (notes(job), job.last) == (["a", "b", "c"], "2026-11-03")


def test_a_merge_replaces_rows_and_removes_those_whose_key_is_gone(tmp_path, s3_lake):
    changes = {"write_mode": "merge", "key_columns": ("id",), "delete_detection": "hard"}
    job = Loading(tmp_path, COLUMNS, lake=s3_lake, changes=changes)
    job.run(FIRST)
    result = job.run_with([(2, "2026-11-05", "B")], "keys", pl.DataFrame({"id": [2, 3]}))
    assert (result.rows_written, result.deleted_rows) == (1, 1)
    assert (notes(job), job.last) == (["B", "c"], "2026-11-05")
