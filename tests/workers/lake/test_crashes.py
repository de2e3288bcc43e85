"""A worker may be killed anywhere, and another may write at the same time."""

import random
import time
from dataclasses import replace
from datetime import date

import pytest

from workers.lake.publish import restore
from workers.lake.table import open_table, table_exists
from workers.specs import TableTarget

from .conftest import load, new_id, rows_of, run_of, start_writer, told_by

KILLED = -9
STEPS = {
    "once it has staged": ("workers.lake.stage", "Staging.sink"),
    "once the files are checked": ("workers.lake.publish", "check_staged"),
    "once they are on the disk": ("workers.lake.store", "Store.sync"),
    "once it has committed": ("deltalake", "DeltaTable.create_write_transaction"),
    "once it knows": ("workers.lake.publish", "_record"),
}
DAY_1, DAY_2 = "2026-11-21", "2026-11-22"


@pytest.mark.chaos
@pytest.mark.parametrize("step", STEPS)
def test_a_kill_at_any_step_leaves_the_last_version_and_a_rerun_doubles_nothing(by_day, step):
    load(by_day, {"id": [1, 2], "day": [date(2026, 11, 21), date(2026, 11, 22)]})
    run = run_of(by_day, {"id": [3], "day": [DAY_2]}, mode="overwrite_partition")
    assert start_writer([run], kill=[*STEPS[step], "after"]).wait(60) == KILLED

    before, after = [(1, 21), (2, 22)], [(1, 21), (3, 22)]
    committed = step in ("once it has committed", "once it knows")
    assert [(number, day.day) for number, day in rows_of(by_day)] == (after if committed else before)

    again = load(by_day, {"id": [3], "day": [date(2026, 11, 22)]}, "overwrite_partition", run_id=run["run_id"])
    assert (again.version, again.already) == (1, committed)
    assert [(number, day.day) for number, day in rows_of(by_day)] == after


@pytest.mark.chaos
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_kill_while_the_first_commit_makes_the_table_is_repaired_by_a_rerun(target, when):
    run = run_of(target, {"id": [1]})
    kill = ["workers.lake.store", "Store.create", when]
    assert start_writer([run], kill=kill).wait(60) == KILLED
    assert table_exists(target.uri) == (when == "after")
    assert load(target, {"id": [1]}, run_id=run["run_id"]).already == (when == "after")
    assert rows_of(target) == [(1,)]


@pytest.mark.chaos
def test_a_kill_between_a_new_column_and_its_rows_leaves_the_old_rows_readable(target):
    load(target, {"id": [1]})
    run = run_of(target, {"id": [2], "note": ["x"]})
    assert start_writer([run], kill=["deltalake.table", "TableAlterer.add_columns", "after"]).wait(60) == KILLED
    assert rows_of(target) == [(1, None)]
    assert not load(target, {"id": [2], "note": ["x"]}, run_id=run["run_id"]).already
    assert rows_of(target) == [(1, None), (2, "x")]


@pytest.mark.chaos
def test_a_restore_that_was_killed_after_its_commit_is_not_made_twice(target):
    load(target, {"id": [1]})
    load(target, {"id": [2]}, mode="overwrite")
    run = run_of(target, {}, mode="restore", version=0)
    assert start_writer([run], kill=["deltalake", "DeltaTable.restore", "after"]).wait(60) == KILLED
    assert restore(target, 0, run["run_id"]).already
    assert open_table(target.uri).version == 2
    assert rows_of(target) == [(1,)]


@pytest.mark.chaos
def test_kills_at_random_moments_lose_and_double_nothing(target):
    dice = random.Random(7)
    runs = [run_of(target, {"id": [number]}) for number in range(30)]
    published: list[int] = []
    for _ in range(3):
        writer = start_writer(runs[len(published) :])
        writer.stdout.readline()
        time.sleep(dice.uniform(0, 0.25))
        writer.kill()
        writer.communicate()
        published = sorted(number for (number,) in rows_of(target))
        assert published == list(range(len(published)))  # in order, whole, once each
    told_by(start_writer(runs))
    assert sorted(number for (number,) in rows_of(target)) == list(range(30))
    assert open_table(target.uri).version == 29


def meet(*runs_of_each: list[dict]) -> list[list[dict]]:
    """Let several writers perform their runs at the same moments."""
    start = time.time() + 1.2
    for runs in runs_of_each:
        for number, run in enumerate(runs):
            run["at"] = start + 0.06 * number
    writers = [start_writer(runs) for runs in runs_of_each]
    return [told_by(writer) for writer in writers]


def test_of_two_writers_who_create_a_table_at_once_none_is_lost(tmp_path):
    tables = [TableTarget(dataset="bronze.shop.a", uri=str(tmp_path / str(number))) for number in range(8)]
    mine = [run_of(table, {"id": [1]}) for table in tables]
    yours = [run_of(replace(table, dataset="bronze.shop.b"), {"id": [2]}) for table in tables]
    for told in zip(*meet(mine, yours), strict=True):
        assert sorted(end["version"] for end in told) == [0, 1]
    assert all(rows_of(table) == [(1,), (2,)] for table in tables)


def test_of_two_overwrites_of_an_empty_partition_at_once_one_stays(tmp_path):
    # Delta lets both pass, and the rows are doubled.
    tables = [
        TableTarget(dataset="bronze.shop.a", uri=str(tmp_path / str(number)), partition_by=("day",))
        for number in range(8)
    ]
    for table in tables:
        load(table, {"id": [0], "day": [date(2026, 11, 21)]}, run_id=new_id())
    mine = [run_of(table, {"id": [1], "day": [DAY_2]}, "overwrite_partition") for table in tables]
    yours = [
        run_of(replace(table, dataset="bronze.shop.b"), {"id": [2], "day": [DAY_2]}, "overwrite_partition")
        for table in tables
    ]
    for table, told in zip(tables, zip(*meet(mine, yours), strict=True), strict=True):
        assert sorted(end["version"] for end in told) == [1, 2]
        last = 1 if told[0]["version"] == 2 else 2
        assert [number for number, _ in rows_of(table)] == [0, last]


def test_of_two_tries_of_one_run_at_once_one_publishes(tmp_path):
    tables = [TableTarget(dataset="bronze.shop.a", uri=str(tmp_path / str(number))) for number in range(8)]
    runs = [run_of(table, {"id": [1]}) for table in tables]
    for told in zip(*meet(runs, [dict(run) for run in runs]), strict=True):
        assert sorted((end["version"], end["already"]) for end in told) == [(0, False), (0, True)]
    assert all(rows_of(table) == [(1,)] for table in tables)


def test_of_two_runs_of_one_dataset_at_once_the_later_one_has_the_last_word(tmp_path):
    tables = [TableTarget(dataset="bronze.shop.a", uri=str(tmp_path / str(number))) for number in range(8)]
    early = [run_of(table, {"id": [1]}, "overwrite") for table in tables]
    late = [run_of(table, {"id": [2]}, "overwrite") for table in tables]
    for first, second in zip(*meet(early, late), strict=True):
        assert "version" in second
        assert first.get("error") == "stale_run" or first["version"] < second["version"]
    assert all(rows_of(table) == [(2,)] for table in tables)
