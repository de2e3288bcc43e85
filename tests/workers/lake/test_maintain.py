import os
import time
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from workers.errors import InvalidSpec, TableMissing
from workers.lake.maintain import vacuum
from workers.lake.publish import publish, restore
from workers.lake.stage import Staging
from workers.lake.table import open_table
from workers.specs import Column

from .conftest import load, new_id, rows_of

ODD = {"id": [1], "day": [date(2026, 11, 22)]}


def stage(target, rows):
    staging = Staging(target, new_id())
    staging.sink(pl.LazyFrame(rows))
    return staging.files


def age(target, hours):
    """Make every file of the table that old."""
    then = time.time() - hours * 3600
    for path in Path(target.uri).rglob("*.parquet"):
        os.utime(path, (then, then))


def test_only_files_that_no_commit_names_are_removed(by_day):
    load(by_day, ODD)
    load(by_day, {"id": [2], "day": [None]}, mode="overwrite")
    (orphan,) = stage(by_day, ODD)
    Path(by_day.uri, "notes.txt").write_text("mine")
    age(by_day, 200)

    assert vacuum(by_day.uri, dry_run=True).orphans == (orphan.path,)
    assert Path(orphan.uri).exists()
    report = vacuum(by_day.uri)
    assert (report.orphans, report.expired, report.bytes_freed) == ((orphan.path,), (), orphan.size)
    assert not Path(orphan.uri).exists()
    assert Path(by_day.uri, "notes.txt").exists()
    assert rows_of(by_day, version=0) == [(1, ODD["day"][0])]
    assert vacuum(by_day.uri).orphans == ()


def test_what_a_running_job_has_staged_is_left_alone(by_day):
    load(by_day, ODD)
    age(by_day, 200)
    files = stage(by_day, {"id": [2], "day": ODD["day"]})
    assert vacuum(by_day.uri, retention_hours=1).orphans == ()
    columns = (Column(name="id", type="int64"), Column(name="day", type="date"))
    publish(by_day, files, run_id=new_id(), mode="append", columns=columns)
    assert len(rows_of(by_day)) == 2


def test_odd_characters_in_a_path_do_not_make_a_live_file_an_orphan(tmp_path, by_day):
    rows = {"id": [1, 2], "day": ["a/b c%", "ü ?*"]}
    load(by_day, rows)
    age(by_day, 200)
    assert vacuum(by_day.uri).orphans == ()
    assert len(rows_of(by_day)) == 2


def test_files_of_old_versions_go_only_when_history_may_be_forgotten(target):
    load(target, {"id": [1]})
    load(target, {"id": [2]}, mode="overwrite")
    old = open_table(target.uri, 0).files()[0]
    age(target, 200)
    assert vacuum(target.uri).expired == ()
    report = vacuum(target.uri, history_hours=0)
    assert [f"{target.uri}/{path}" for path in report.expired] == [old]
    assert not Path(old).exists()
    assert rows_of(target) == [(2,)]


def test_a_restored_file_is_live_again(target):
    load(target, {"id": [1]})
    load(target, {"id": [2]}, mode="overwrite")
    restore(target, 0, new_id())
    age(target, 200)
    vacuum(target.uri, history_hours=0)
    assert rows_of(target) == [(1,)]


def test_names_that_only_a_checkpoint_still_tells_are_known(target):
    load(target, {"id": [0]})
    load(target, {"id": [1]}, mode="overwrite")
    load(target, {"id": [2]})
    open_table(target.uri).delta.create_checkpoint()
    for version in (0, 1):
        Path(target.uri, "_delta_log", f"{version:020d}.json").unlink()
    age(target, 200)
    assert vacuum(target.uri).orphans == ()
    assert rows_of(target) == [(1,), (2,)]


def test_a_missing_table_or_a_negative_retention_is_refused(target):
    with pytest.raises(TableMissing):
        vacuum(target.uri)
    with pytest.raises(InvalidSpec):
        vacuum(target.uri, retention_hours=-1)
