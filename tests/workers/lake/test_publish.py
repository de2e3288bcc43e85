from dataclasses import replace
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from workers.errors import AuditFailed, InvalidSpec, SchemaChanged, StaleRun, TableMissing
from workers.lake.publish import already_published, publish, restore
from workers.lake.stage import Staging
from workers.lake.table import open_table, table_exists
from workers.schema import columns_of
from workers.specs import Column

from .conftest import load, new_id, rows_of

DAY_1, DAY_2 = date(2026, 11, 21), date(2026, 11, 22)


def test_staged_rows_are_seen_by_nobody_before_the_commit(target):
    load(target, {"id": [1]})
    with Staging(target, new_id()) as staging:
        staging.sink(pl.LazyFrame({"id": [2]}))
        assert staging.scan().collect()["id"].to_list() == [2]
        assert rows_of(target) == [(1,)]


def test_the_first_run_makes_the_table(target):
    assert not table_exists(target.uri)
    published = load(target, {"id": [1, 2]}, mode="overwrite")
    assert (published.version, published.rows, published.table_rows, published.already) == (0, 2, 2, False)
    assert table_exists(target.uri)
    assert published.table_bytes == sum(path.stat().st_size for path in Path(target.uri).glob("*.parquet"))


def test_append_adds_and_overwrite_replaces(target):
    load(target, {"id": [1]})
    appended = load(target, {"id": [2]})
    assert (appended.rows, appended.table_rows, appended.table_files) == (1, 2, 2)
    assert rows_of(target) == [(1,), (2,)]
    load(target, {"id": [3]}, mode="overwrite")
    assert rows_of(target) == [(3,)]
    assert rows_of(target, version=1) == [(1,), (2,)]


def test_a_run_is_published_once_whatever_it_stages_later(target):
    run = new_id()
    first = load(target, {"id": [1]}, run_id=run)
    again = load(target, {"id": [1, 2, 3]}, run_id=run)
    assert again == replace(first, already=True)
    assert already_published(target, run) == again
    assert rows_of(target) == [(1,)]


def test_a_run_is_recognised_after_later_ones_with_the_facts_of_its_own_version(target):
    run = new_id()
    first = load(target, {"id": [1]}, run_id=run)
    load(target, {"id": [2, 3]})
    assert load(target, {"id": [1]}, run_id=run) == replace(first, already=True)
    assert rows_of(target) == [(1,), (2,), (3,)]


def test_a_run_that_a_later_one_has_overtaken_must_not_publish(target):
    early, late = new_id(), new_id()
    load(target, {"id": [2]}, mode="overwrite", run_id=late)
    with pytest.raises(StaleRun):
        already_published(target, early)
    with pytest.raises(StaleRun):
        load(target, {"id": [1]}, mode="overwrite", run_id=early)
    assert rows_of(target) == [(2,)]


def test_overwrite_partition_replaces_the_partitions_that_the_rows_are_in(by_day):
    load(by_day, {"id": [1, 2], "day": [DAY_1, DAY_2]})
    published = load(by_day, {"id": [3], "day": [DAY_2]}, mode="overwrite_partition")
    assert (published.rows, published.table_rows) == (1, 2)
    assert rows_of(by_day) == [(1, DAY_1), (3, DAY_2)]


def test_overwrite_partition_empties_a_partition_that_the_caller_names(by_day):
    load(by_day, {"id": [1, 2], "day": [DAY_1, DAY_2]})
    nothing = pl.DataFrame(schema={"id": pl.Int64, "day": pl.Date})
    load(by_day, nothing, mode="overwrite_partition", partitions=[{"day": DAY_1}])
    assert rows_of(by_day) == [(2, DAY_2)]
    load(by_day, nothing, mode="overwrite_partition", partitions=[{"day": "2026-11-22"}])
    assert rows_of(by_day) == []


def test_partitions_that_the_table_has_not_are_refused(target, by_day):
    with pytest.raises(InvalidSpec, match="no partitions"):
        load(target, {"id": [1]}, mode="overwrite_partition")
    with pytest.raises(InvalidSpec, match="names no partition"):
        load(by_day, {"id": [1], "day": [DAY_1]}, mode="overwrite_partition", partitions=[{"region": "eu"}])


def test_what_a_killed_creation_left_in_the_log_does_not_count_as_a_table(target):
    log = Path(target.uri, "_delta_log")
    log.mkdir(parents=True)
    (log / ".0123.part").write_text('{"commitInfo"')
    assert not table_exists(target.uri)
    assert load(target, {"id": [1]}).version == 0
    assert rows_of(target) == [(1,)]


@pytest.mark.parametrize("mode", ["append", "overwrite", "overwrite_partition"])
def test_a_run_without_rows_still_makes_a_version_and_a_table(by_day, mode):
    nothing = pl.DataFrame(schema={"id": pl.Int64, "day": pl.Date})
    run = new_id()
    assert load(by_day, nothing, mode=mode, run_id=run).version == 0
    assert load(by_day, nothing, mode=mode).version == 1
    assert rows_of(by_day) == []
    assert [column.type for column in open_table(by_day.uri).columns] == ["int64", "date"]
    assert load(by_day, nothing, mode=mode, run_id=run).already


def test_the_commit_carries_the_run_its_rows_and_what_the_caller_adds(target):
    run = new_id()
    load(target, {"id": [1, 2]}, run_id=run, metadata={"watermark": DAY_1, "evidence": {"sha256": "ab"}})
    (commit,) = open_table(target.uri).history()
    assert commit.run_id == run
    assert commit.metadata["rows"] == 2
    assert commit.metadata["dataset"] == "bronze.shop.orders"
    assert commit.metadata["watermark"] == "2026-11-21"
    assert commit.metadata["evidence"] == {"sha256": "ab"}


def test_a_staged_file_that_is_missing_or_cut_is_refused_before_the_commit(target):
    load(target, {"id": [1]})
    for damage in (Path.unlink, lambda path: path.write_bytes(b"PAR1")):
        with Staging(target, new_id()) as staging:
            staging.sink(pl.LazyFrame({"id": [2]}))
            files = staging.files
            damage(Path(files[0].uri))
            with pytest.raises(AuditFailed, match=r"gone|bytes"):
                publish(target, files, run_id=new_id(), mode="append", columns=[Column(name="id", type="int64")])
    assert rows_of(target) == [(1,)]


ID, PAY = Column(name="id", type="int64"), Column(name="pay", type="int64")


@pytest.mark.parametrize(
    ("columns", "problem"),
    [
        ((ID, replace(PAY, type="float64")), "pay is int64, not float64"),
        ((ID,), "pay is in the file"),
        ((replace(ID, nullable=False), PAY), "null in 1 rows"),
        ((ID, PAY, Column(name="at", type="date", nullable=False)), "at is required"),
    ],
)
def test_a_file_that_is_not_what_was_declared_is_refused(target, columns, problem):
    with pytest.raises(AuditFailed, match=problem):
        load(target, {"id": [1, None], "pay": [1, 2]}, columns=columns)
    assert not table_exists(target.uri)


def test_restore_brings_rows_and_schema_back_as_a_new_version(target):
    load(target, {"id": [1]})
    load(target, {"name": ["x"]}, mode="overwrite")
    run = new_id()
    restored = restore(target, 0, run)
    assert (restored.version, restored.table_rows) == (2, 1)
    assert rows_of(target) == [(1,)]
    assert open_table(target.uri).columns == (Column(name="id", type="int64"),)
    assert restore(target, 0, run) == replace(restored, already=True)
    assert open_table(target.uri).version == 2


def test_a_run_from_before_a_restore_cannot_undo_it(target):
    load(target, {"id": [1]})
    load(target, {"id": [2]}, mode="overwrite")
    slow = new_id()
    restore(target, 0, new_id())
    with pytest.raises(StaleRun):
        load(target, {"id": [2]}, mode="overwrite", run_id=slow)
    assert rows_of(target) == [(1,)]


def test_restore_refuses_a_version_that_is_not_there_or_has_lost_files(target):
    load(target, {"id": [1]})
    load(target, {"id": [2]}, mode="overwrite")
    with pytest.raises(TableMissing, match="no version 7"):
        restore(target, 7, new_id())
    Path(open_table(target.uri, 0).files()[0]).unlink()
    with pytest.raises(TableMissing, match="are gone"):
        restore(target, 0, new_id())
    assert rows_of(target) == [(2,)]


def test_an_overwrite_may_change_the_partitioning(by_day):
    load(by_day, {"id": [1], "day": [DAY_1]})
    by_id = replace(by_day, partition_by=("id",))
    load(by_id, {"id": [7], "day": [DAY_2]}, mode="overwrite")
    assert open_table(by_day.uri).partition_by == ("id",)
    assert rows_of(by_day) == [(7, DAY_2)]
    with pytest.raises(SchemaChanged, match="partitioned by"):
        load(by_day, {"id": [1], "day": [DAY_1]})


def test_discarding_leaves_no_file_behind(by_day):
    staging = Staging(by_day, new_id())
    staging.sink(pl.LazyFrame({"id": [1, 2], "day": [DAY_1, DAY_2]}))
    assert len(staging.files) == 2
    staging.discard()
    assert [path for path in Path(by_day.uri).rglob("*") if path.is_file()] == []


def test_a_failing_sink_leaves_no_file_behind(by_day):
    rows = pl.LazyFrame({"id": ["1", "x"], "day": [DAY_1, DAY_2]}).with_columns(pl.col("id").cast(pl.Int64))
    with pytest.raises(pl.exceptions.PolarsError), Staging(by_day, new_id()) as staging:
        staging.sink(rows)
    assert [path for path in Path(by_day.uri).rglob("*") if path.is_file()] == []


def test_columns_are_what_the_frame_had(target):
    rows = pl.DataFrame({"id": [1], "tags": [["a"]], "at": [DAY_1]})
    load(target, rows)
    assert open_table(target.uri).columns == columns_of(rows.schema)
