"""Runs of a dimension that are killed, and several at once: in threads, and in processes of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from datetime import datetime
from pathlib import Path

import polars as pl
import pytest

from tests.workers.scd2.dimension import Lake, model
from workers.errors import AssayError
from workers.executors.scd2.run import run
from workers.lake.maintain import vacuum
from workers.lake.table import open_table
from workers.specs import to_json

ROOT = Path(__file__).parents[3]
SCHEMA = {"id": pl.Int64, "city": pl.String, "at": pl.Datetime("us")}
EXECUTOR = str(ROOT / "tests" / "workers" / "executor.py")
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT), "POLARS_MAX_THREADS": "1"}


def day(number: int) -> datetime:
    return datetime(2026, 1, number)  # noqa: DTZ001


@pytest.fixture
def lake(tmp_path):
    return Lake(tmp_path, SCHEMA)


def observed(rows):
    return [(key, at, (city,)) for key, city, at in rows]


STEPS = {
    "once it knows what to read": ("workers.executors.scd2.change", "reading_of", "after"),
    "once the versions are made": ("workers.executors.scd2.work", "timeline", "after"),
    "once the evidence is written": ("workers.executors.scd2.evidence", "Evidence.write", "after"),
    "once the files are checked": ("workers.lake.publish", "check_staged", "after"),
    "just before it commits": ("deltalake", "DeltaTable.create_write_transaction", "before"),
    "once it has committed": ("deltalake", "DeltaTable.create_write_transaction", "after"),
}


@pytest.mark.chaos
@pytest.mark.parametrize("step", STEPS)
def test_a_run_killed_at_any_step_leaves_the_last_version_and_a_rerun_makes_it_whole(lake, step):
    old = [(1, "A", day(1)), (1, "A", day(5)), (2, "A", day(1))]
    new = [(1, "B", day(3)), (2, "A", day(4)), (3, "C", day(1))]
    lake.put(old)
    lake.run()
    lake.put(new)
    spec = lake.spec()
    job = json.dumps({"steps": [{"kind": "dataset", "spec": to_json(spec)}], "kill": STEPS[step]})
    assert subprocess.run([sys.executable, EXECUTOR, job], env=ENVIRONMENT, timeout=120).returncode == -9
    has_committed = step == "once it has committed"
    assert lake.versions() == model(observed(old + new if has_committed else old))
    assert run(spec).published.already == has_committed
    assert lake.versions() == model(observed(old + new))
    vacuum(lake.target.uri, retention_hours=0)
    lake.put([(2, "B", day(2))])
    lake.run()
    assert lake.versions() == model(observed([*old, *new, (2, "B", day(2))]))


def test_of_two_runs_at_once_none_is_lost(lake):
    lake.put([(number, "A", day(1)) for number in range(4)])
    lake.run()
    lake.put([(0, "B", day(2)), (1, "A", day(3))])
    specs = [lake.spec()]
    lake.put([(0, "C", day(4)), (1, "B", day(2)), (9, "A", day(1))])
    specs.append(lake.spec())
    errors = []

    def go(spec):
        try:
            run(spec)
        except AssayError as error:
            errors.append(error)

    threads = [threading.Thread(target=go, args=(spec,)) for spec in specs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # A run that comes too late says so; the one that stands has read all there was.
    assert all(error.code == "stale_run" for error in errors)
    rows = [(number, "A", day(1)) for number in range(4)]
    rows += [(0, "B", day(2)), (1, "A", day(3)), (0, "C", day(4)), (1, "B", day(2)), (9, "A", day(1))]
    assert lake.versions() == model(observed(rows))


def test_of_two_processes_that_race_on_one_dimension_none_loses_a_row(lake):
    given = [[(number, "A", day(5)) for number in range(4)]]
    lake.put(given[0])
    lake.run()
    specs = []
    for number in range(1, 9):  # each batch holds late rows, changes and a new key
        given.append(
            [(number % 4, f"late {number}", day(4)), (number % 3, "B", day(5 + number)), (9 + number, "A", day(1))]
        )
        lake.put(given[-1])
        specs.append(lake.spec())
    at = time.time() + 5  # by then both are there
    children = [_racing(some, at) for some in (specs[::2], specs[1::2])]
    told = [json.loads(line) for child in children for line in child.communicate(timeout=120)[0].splitlines()]
    assert [child.returncode for child in children] == [0, 0]
    assert {outcome.get("error") for outcome in told} <= {None, "stale_run"}
    assert len(told) == len(specs)
    published = [outcome["version"] for outcome in told if "version" in outcome]
    assert sorted(published) == list(range(1, len(published) + 1))
    assert lake.versions() == model(observed([row for batch in given for row in batch]))
    commit = open_table(lake.target.uri).history(1)[0]
    assert commit.run_id == specs[-1].run_id


def _racing(specs, at) -> subprocess.Popen:
    steps = [{"kind": "dataset", "spec": to_json(spec), "at": at} for spec in specs]
    job = json.dumps({"steps": steps})
    return subprocess.Popen([sys.executable, EXECUTOR, job], env=ENVIRONMENT, stdout=subprocess.PIPE, text=True)
