"""Two versions of a table: how many rows are the same, added, removed, changed; counted here in plain Python."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from workers.engines.difference import compare_versions, difference
from workers.ids import new_run_id
from workers.lake.publish import publish
from workers.lake.stage import Staging
from workers.lake.table import open_table
from workers.schema import columns_of
from workers.specs import TableTarget

AT = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def versions(tmp_path):
    """Publish each frame as the next version of one table; gives its address."""
    target = TableTarget(dataset="silver.test.t", uri=f"{tmp_path}/silver/test/t")

    def make(*frames: pl.DataFrame) -> str:
        for frame in frames:
            run_id = str(new_run_id())
            with Staging(target, run_id) as staging:
                staging.sink(frame.lazy())
                columns = columns_of(frame.schema)
                publish(target, staging.files, run_id=run_id, mode="overwrite", columns=columns)
        return target.uri

    return make


def frame(rows: list[tuple]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema={"id": pl.Int64, "name": pl.String, "x": pl.Float64}, orient="row")


OLD = [(1, "a", 1.5), (2, "b", None), (2, "b", None), (3, None, 0.0), (4, "NULL", float("nan")), (5, "e", 5.0)]
NEW = [(1, "a", 1.5), (2, "b", None), (3, "", 0.0), (4, None, float("nan")), (6, "f", 6.0), (5, "e", 5.0)]


def told(uri: str, keys=()):
    return difference(open_table(uri, 0), open_table(uri, 1), keys)


def test_rows_are_compared_as_often_as_they_come(versions):
    found = told(versions(frame(OLD), frame(NEW)))
    old, new = (Counter(map(repr, rows)) for rows in (OLD, NEW))
    assert found.same == (old & new).total()
    assert (found.added, found.removed) == ((new - old).total(), (old - new).total())
    assert found.changed is None
    assert not found.is_equal


def test_with_a_key_a_row_that_differs_is_changed(versions):
    found = told(versions(frame(OLD), frame(NEW)), ["id"])
    # 3 and 4 have another name, one of the two 2 is gone, 6 is new.
    assert (found.same, found.changed, found.added, found.removed) == (3, 2, 1, 1)


def test_the_order_of_rows_does_not_count_and_their_number_does(versions):
    assert told(versions(frame(OLD), frame(OLD[::-1]))).is_equal
    again = difference(*(open_table(versions(frame([*OLD, OLD[0]])), version) for version in (0, 2)))
    assert (again.is_equal, again.added, again.removed) == (False, 1, 0)


def test_versions_with_other_columns_are_compared_by_those_that_both_have(versions):
    uri = versions(frame(OLD), frame(OLD).with_columns(at=pl.lit(AT)).drop("x"))
    found = told(uri)
    assert (found.columns, found.same, found.is_equal) == (("id", "name"), 6, True)


def test_every_type_and_no_rows_can_be_compared(versions):
    rows = pl.DataFrame({"t": [AT, None], "b": [b"\x00\xff", b""], "l": [[1, None], None], "s": [{"a": "x,1:y"}, None]})
    uri = versions(rows, rows.clear())
    assert told(uri).removed == 2
    assert compare_versions(uri, 0, 0).is_equal


def test_what_cannot_be_compared_is_said(versions):
    uri = versions(frame(OLD), frame(NEW))
    assert compare_versions(uri, 0, 1, ["id"]).changed == 2
    assert "has no version 7" in compare_versions(uri, 0, 7)
    for file in open_table(uri, 0).files():
        Path(file).unlink()
    assert compare_versions(uri, 0, 1) == "1 files of version 0 were removed by maintenance."
