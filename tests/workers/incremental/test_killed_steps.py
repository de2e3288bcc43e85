"""kill -9 at every step of an append, a merge, a window and a run with deletes: the table is as before or as after."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from workers.executors.ingest.run import run_ingest
from workers.lake.maintain import vacuum
from workers.specs import IngestSpec, Watermark, Window, to_json

from .conftest import Loading

ROOT = Path(__file__).parents[3]
KILLED = -9
DAYS = {"id": "int64", "at": "date", "note": "string"}
FIRST = [(1, "2026-11-01", "a"), (2, "2026-11-02", "b"), (3, "2026-11-03", "c")]
COMMITTED = ("once it has committed", "once it knows")
STEPS = {
    "while it lands": ("workers.lake.landing", "Landing.add", "after"),
    "once it has read": ("workers.executors.ingest.run", "stage_rows", "after"),
    "once the files are checked": ("workers.lake.publish", "check_staged", "after"),
    "just before it commits": ("deltalake", "DeltaTable.create_write_transaction", "before"),
    "once it has committed": ("deltalake", "DeltaTable.create_write_transaction", "after"),
    "once it knows": ("workers.lake.publish", "_record", "after"),
}
COMPARES = {"once it has compared": ("workers.executors.ingest.change", "RunChange._stage_unseen", "after")}
MERGES = {
    "once it has compared": ("workers.lake.merge", "_compare", "after"),
    "once old rows are written anew": ("workers.lake.merge", "_rewrite", "after"),
}
REWRITES = {"once old rows are written anew": ("workers.executors.ingest.change", "rewrite", "after")}


@dataclass(frozen=True)
class Way:
    changes: dict[str, Any]
    rows: list[tuple]
    after: list[tuple[int, str]]  # id and note
    watermark: str | None  # after the run
    steps: dict[str, tuple[str, str, str]]
    is_incremental: bool = True


MERGE = {"write_mode": "merge", "key_columns": ("id",)}
WAYS = {
    "append": Way(
        {},
        [(3, "2026-11-03", "c"), (3, "2026-11-03", "at the border"), (4, "2026-11-04", "d")],
        [(1, "a"), (2, "b"), (3, "at the border"), (3, "c"), (4, "d")],
        "2026-11-04",
        STEPS | COMPARES,
    ),
    "merge": Way(
        MERGE,
        [(2, "2026-11-03", "B"), (4, "2026-11-04", "d"), (3, "2026-11-03", "c")],
        [(1, "a"), (2, "B"), (3, "c"), (4, "d")],
        "2026-11-04",
        STEPS | MERGES,
    ),
    "window": Way(
        {"window": Window(start_date="2026-11-02", end_date="2026-11-02")},
        [(8, "2026-11-02", "instead")],
        [(1, "a"), (3, "c"), (8, "instead")],
        "2026-11-03",
        {name: STEPS[name] for name in ("once it has read", *COMMITTED)} | REWRITES,
    ),
    "deletes": Way(
        MERGE | {"delete_detection": "hard"},
        [(1, "2026-11-01", "a"), (3, "2026-11-03", "C")],
        [(1, "a"), (3, "C")],
        None,
        {name: STEPS[name] for name in ("once it has read", *COMMITTED)} | MERGES,
        is_incremental=False,
    ),
}


def killed(spec: IngestSpec, kill: tuple[str, str, str]) -> int:
    """How a child process ended that was to carry out the run and to die on the way."""
    job = json.dumps({"steps": [{"kind": "ingest", "spec": to_json(spec)}], "kill": kill})
    environment = os.environ | {"PYTHONPATH": str(ROOT), "POLARS_MAX_THREADS": "1"}
    return subprocess.run(
        [sys.executable, str(ROOT / "tests/workers/executor.py"), job],
        env=environment,
        stdout=subprocess.DEVNULL,
        timeout=90,
    ).returncode


def notes(job: Loading) -> list[tuple[int, str]]:
    return sorted((row[0], row[2]) for row in job.rows)


@pytest.mark.chaos
@pytest.mark.parametrize(("way", "step"), [(name, step) for name, way in WAYS.items() for step in way.steps])
def test_a_kill_at_any_step_leaves_the_table_as_before_or_as_after(tmp_path, way, step):
    way = WAYS[way]
    job = Loading(tmp_path, DAYS, watermark="at" if way.is_incremental else None, changes=way.changes)
    run_ingest(replace(job.spec(FIRST), window=Window()))
    spec = job.spec(way.rows)
    assert killed(spec, way.steps[step]) == KILLED

    before = [(1, "a"), (2, "b"), (3, "c")]
    assert notes(job) == (way.after if step in COMMITTED else before)
    again = run_ingest(spec)
    assert again.published.already == (step in COMMITTED)
    assert (notes(job), again.watermark, job.last) == (way.after, way.watermark, way.watermark)
    vacuum(job.target.uri, retention_hours=0)
    assert notes(job) == way.after


@pytest.mark.chaos
@pytest.mark.parametrize("way", ["append", "merge"])
@pytest.mark.parametrize("step", ["once it has read", "once it has committed"])
def test_a_new_run_after_a_kill_loads_what_the_killed_one_had_not(tmp_path, way, step):
    way = WAYS[way]
    job = Loading(tmp_path, DAYS, changes=way.changes)
    job.run(FIRST)
    assert killed(job.spec(way.rows), way.steps[step]) == KILLED
    result = job.run(way.rows)
    assert notes(job) == way.after
    assert result.rows_written == (0 if step in COMMITTED else 2)


@pytest.mark.chaos
def test_a_killed_try_cannot_publish_what_a_later_run_has_loaded(tmp_path):
    job = Loading(tmp_path, DAYS)
    job.run(FIRST)
    rows = WAYS["append"].rows
    slow = job.spec(rows)
    assert slow.watermark == Watermark(column="at", last="2026-11-03")
    assert killed(slow, STEPS["just before it commits"]) == KILLED
    job.run(rows)
    assert killed(slow, STEPS["once it knows"]) == 0  # refused, so it never comes to its commit
    assert notes(job) == WAYS["append"].after
