"""Real tables in a temporary folder, and the few steps that nearly every test of the lake takes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from itertools import count
from pathlib import Path
from uuid import UUID

import polars as pl
import pytest

from workers.lake.publish import publish
from workers.lake.stage import Staging
from workers.lake.table import open_table
from workers.schema import columns_of
from workers.specs import TableTarget

ROOT = Path(__file__).parents[3]
_numbers = count(1_700_000_000_000)


def new_id() -> str:
    """A run id later than every one before it, also within one millisecond."""
    return str(UUID(int=next(_numbers) << 80 | 0x7 << 76 | 0x2 << 62 | int.from_bytes(os.urandom(4))))


def frame_of(rows) -> pl.LazyFrame:
    return rows.lazy() if isinstance(rows, pl.DataFrame | pl.LazyFrame) else pl.LazyFrame(rows)


def load(target: TableTarget, rows, mode="append", run_id=None, columns=None, **options):
    """Stage and publish rows as one run."""
    frame, run_id = frame_of(rows), run_id or new_id()
    with Staging(target, run_id) as staging:
        staging.sink(frame)
        columns = columns or columns_of(staging.scan().collect_schema())
        return publish(target, staging.files, run_id=run_id, mode=mode, columns=columns, **options)


def rows_of(target: TableTarget, version=None) -> list[tuple]:
    rows = open_table(target.uri, version).scan().collect()
    return sorted(rows.rows(), key=repr)


def start_writer(runs, kill=None) -> subprocess.Popen:
    """A child process that publishes `runs` one after another (see writer.py)."""
    job = json.dumps({"runs": runs, "kill": kill})
    environment = os.environ | {"PYTHONPATH": str(ROOT), "POLARS_MAX_THREADS": "1"}
    script = str(Path(__file__).with_name("writer.py"))
    return subprocess.Popen([sys.executable, script, job], stdout=subprocess.PIPE, env=environment, text=True)


def told_by(writer: subprocess.Popen) -> list[dict]:
    """How each run of a writer ended, once it is done."""
    output, _ = writer.communicate(timeout=60)
    assert writer.returncode == 0, output
    return [json.loads(line) for line in output.splitlines()]


def run_of(target: TableTarget, rows, mode="append", run_id=None, **more) -> dict:
    place = {"dataset": target.dataset, "uri": target.uri, "partition_by": target.partition_by}
    return {"target": place, "rows": rows, "mode": mode, "run_id": run_id or new_id(), **more}


@pytest.fixture
def target(tmp_path):
    return TableTarget(dataset="bronze.shop.orders", uri=str(tmp_path / "orders"))


@pytest.fixture
def by_day(tmp_path):
    return TableTarget(dataset="bronze.shop.orders", uri=str(tmp_path / "by_day"), partition_by=("day",))
