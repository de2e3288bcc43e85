"""Whole steps in child processes: killed anywhere, or carried out by two workers at once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from tests.workers.lake.conftest import told_by
from workers.executors.ingest.run import run_ingest
from workers.executors.sql import run as run_sql
from workers.ids import new_run_id
from workers.lake.maintain import vacuum
from workers.lake.table import open_table, table_exists
from workers.specs import Column, FilesSource, IngestSpec, SourceFile, SqlSpec, TableInput, TableTarget, to_json

ROOT = Path(__file__).parents[2]
KILLED = -9
AT = datetime(2026, 11, 22, 10, 30, tzinfo=UTC)
FIRST, SECOND = b"id,amount\n1,10\n2,20\n", b"id,amount\n3,30\n4,forty\n5,50\n"
OLD, NEW = [(1, 10), (2, 20)], [(3, 30), (5, 50)]
REVENUE = [(1, 10), (2, 20), (3, 30), (5, 50)]
COMMITTED = ("once it has committed", "once it knows")
COMMIT_STEPS = {
    "once the files are checked": ("workers.lake.publish", "check_staged", "after"),
    "just before it commits": ("deltalake", "DeltaTable.create_write_transaction", "before"),
    "once it has committed": ("deltalake", "DeltaTable.create_write_transaction", "after"),
    "once it knows": ("workers.lake.publish", "_record", "after"),
}
INGEST_STEPS = {
    "while it lands": ("workers.lake.landing", "Landing.add", "after"),
    "once it has landed": ("workers.executors.ingest.run", "land", "after"),
    "once it knows the schema": ("workers.executors.ingest.run", "resolve", "after"),
    "once it has staged": ("workers.executors.ingest.run", "stage_rows", "after"),
    "once it has set bad rows aside": ("workers.executors.ingest.run", "write_quarantine", "after"),
    **COMMIT_STEPS,
}
SQL_STEPS = {
    "once the query is checked": ("workers.executors.sql", "check_query", "after"),
    "once it has staged": ("workers.executors.refresh", "_audit", "before"),
    **COMMIT_STEPS,
}

MERGED = [(1, 10), (2, 21), (3, 31), (5, 52)]
MERGE_STEPS = {
    **SQL_STEPS,
    "once the rows are compared": ("workers.lake.merge", "_compare", "after"),
    "once it has merged": ("workers.executors.refresh_merge", "merge", "after"),
}


def start(*steps: dict, kill: tuple[str, str, str] | None = None) -> subprocess.Popen:
    script, job = str(Path(__file__).with_name("executor.py")), json.dumps({"steps": steps, "kill": kill})
    environment = os.environ | {"PYTHONPATH": str(ROOT), "POLARS_MAX_THREADS": "1"}
    return subprocess.Popen([sys.executable, script, job], stdout=subprocess.PIPE, env=environment, text=True)


def step_of(spec: IngestSpec | SqlSpec) -> dict:
    return {"kind": "dataset" if isinstance(spec, SqlSpec) else "ingest", "spec": to_json(spec)}


@pytest.fixture
def ingest_of(tmp_path):
    """Makes the spec of an ingest that appends to `bronze.shop.{name}` and sets bad rows aside."""

    def make(content: bytes, name: str = "orders") -> IngestSpec:
        run_id = str(new_run_id())
        file = tmp_path / f"{run_id}.csv"
        file.write_bytes(content)
        return IngestSpec(
            run_id=run_id,
            workflow="shop",
            job=name,
            source=FilesSource(files=(SourceFile(uri=str(file), name="orders.csv"),)),
            format="csv",
            landing_uri=f"{tmp_path}/lake/landing/shop/{name}",
            quarantine_uri=f"{tmp_path}/lake/quarantine/shop/{name}",
            target=TableTarget(dataset=f"bronze.shop.{name}", uri=f"{tmp_path}/lake/bronze/shop/{name}"),
            schema_mode="user",
            columns=(Column(name="id", type="int64"), Column(name="amount", type="int64")),
            write_mode="append",
            error_handling="quarantine",
            bad_row_threshold=0.5,
            ingested_at=AT,
        )

    return make


@pytest.fixture
def query_of(tmp_path):
    """Makes the spec of a query that replaces `silver.shop.{name}` by the ids and amounts of an ingest's table."""

    def make(source: IngestSpec, name: str = "revenue", **changes) -> SqlSpec:
        pinned = open_table(source.target.uri).version
        facts = {
            "run_id": str(new_run_id()),
            "workflow": "shop",
            "job": name,
            "inputs": (
                TableInput(dataset=source.target.dataset, alias="orders", uri=source.target.uri, version=pinned),
            ),
            "sql": "select id, amount from orders",
            "columns": (Column(name="id", type="int64", nullable=False), Column(name="amount", type="int64")),
            "target": TableTarget(dataset=f"silver.shop.{name}", uri=f"{tmp_path}/lake/silver/shop/{name}"),
            "run_time": AT,
        }
        return SqlSpec(**facts | changes)

    return make


def rows_of(spec: IngestSpec | SqlSpec) -> list[tuple[int, int]]:
    return sorted(open_table(spec.target.uri).scan().select("id", "amount").collect().rows())


def set_aside(spec: IngestSpec) -> list[tuple[int, str]]:
    """Line and rule of every row in any quarantine file of the job."""
    files = sorted(Path(spec.quarantine_uri).rglob("*.*"))
    return [row for file in files for row in pl.read_parquet(file).select("_line", "_rule").rows()]


def landed(spec: IngestSpec) -> dict[str, bytes]:
    """What lies in the run's own landing folder."""
    (folder,) = Path(spec.landing_uri).glob(f"*/*/*/{spec.run_id}")
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.name != "manifest.json"}


def commits_of(spec: IngestSpec | SqlSpec) -> int:
    return Counter(commit.run_id for commit in open_table(spec.target.uri).history())[spec.run_id]


def essence(result) -> object:
    """What an ended step reports, but for how long it took and whether somebody had asked before."""
    return replace(result, phases={}, published=replace(result.published, already=False))


@pytest.mark.chaos
@pytest.mark.parametrize("step", INGEST_STEPS)
def test_an_ingest_killed_at_any_step_leaves_the_last_version_and_a_rerun_loads_every_row_once(ingest_of, step):
    run_ingest(ingest_of(FIRST))
    spec = ingest_of(SECOND)
    assert start(step_of(spec), kill=INGEST_STEPS[step]).wait(60) == KILLED
    assert rows_of(spec) == (OLD + NEW if step in COMMITTED else OLD)

    again = run_ingest(spec)
    assert again.published.already == (step in COMMITTED)
    assert (again.rows_read, again.rows_written, again.quarantined_rows) == (3, 2, 1)
    assert again.reasons == {"amount: type": 1}
    assert again.published.version == 1
    assert rows_of(spec) == OLD + NEW
    assert set_aside(spec) == [(3, "type")]
    assert landed(spec) == {"orders.csv": SECOND}
    assert commits_of(spec) == 1
    assert essence(run_ingest(spec)) == essence(again)


@pytest.mark.chaos
def test_a_first_ingest_killed_while_it_makes_the_table_is_made_good_by_a_rerun(ingest_of):
    spec = ingest_of(SECOND)
    assert start(step_of(spec), kill=("workers.lake.store", "Store.create", "before")).wait(60) == KILLED
    assert not table_exists(spec.target.uri)
    assert not run_ingest(spec).published.already
    assert rows_of(spec) == NEW
    assert set_aside(spec) == [(3, "type")]


@pytest.mark.chaos
@pytest.mark.parametrize("step", SQL_STEPS)
def test_a_query_killed_at_any_step_leaves_the_last_version_and_a_rerun_makes_it_whole(ingest_of, query_of, step):
    source = ingest_of(FIRST)
    run_ingest(source)
    run_sql(query_of(source))
    run_ingest(ingest_of(SECOND))
    spec = query_of(source)
    assert start(step_of(spec), kill=SQL_STEPS[step]).wait(60) == KILLED
    assert rows_of(spec) == (REVENUE if step in COMMITTED else OLD)

    again = run_sql(spec)
    assert again.published.already == (step in COMMITTED)
    assert (again.rows_read, again.rows_written, again.published.version) == (4, 4, 1)
    assert [check["name"] for check in again.checks] == ["rows", "not_null", "schema"]
    assert rows_of(spec) == REVENUE
    assert commits_of(spec) == 1
    assert essence(run_sql(spec)) == essence(again)


@pytest.mark.chaos
@pytest.mark.parametrize("step", MERGE_STEPS)
def test_a_merge_killed_at_any_step_leaves_the_last_version_and_a_rerun_merges_once(ingest_of, query_of, step):
    merges = {"refresh_mode": "merge", "merge_keys": ("id",)}
    source = ingest_of(FIRST)
    run_ingest(source)
    run_sql(query_of(source, **merges))
    run_ingest(ingest_of(SECOND))
    spec = query_of(source, **merges, sql="select id, amount + id // 2 as amount from orders where id > 1")
    assert start(step_of(spec), kill=MERGE_STEPS[step]).wait(60) == KILLED
    assert rows_of(spec) == (MERGED if step in COMMITTED else OLD)

    again = run_sql(spec)
    assert again.published.already == (step in COMMITTED)
    assert (again.rows_written, again.published.version) == (3, 1)
    assert again.facts == {"merge": {"inserted": 2, "updated": 1, "unchanged": 0}}
    assert rows_of(spec) == MERGED
    assert commits_of(spec) == 1
    assert essence(run_sql(spec)) == essence(again)


@pytest.mark.chaos
def test_a_duckdb_query_killed_before_its_commit_leaves_only_what_vacuum_removes(ingest_of, query_of):
    source = ingest_of(FIRST)
    run_ingest(source)
    run_sql(query_of(source))
    spec = query_of(source, engine="duckdb")
    assert start(step_of(spec), kill=COMMIT_STEPS["just before it commits"]).wait(60) == KILLED
    run_sql(spec)
    assert len(vacuum(spec.target.uri, retention_hours=0).orphans) == 1
    assert rows_of(spec) == OLD


def test_of_two_workers_with_the_same_step_one_publishes_and_the_other_hears_of_it(ingest_of, query_of):
    source = ingest_of(FIRST, "source")
    run_ingest(source)
    ingests = [ingest_of(SECOND, f"orders_{number}") for number in range(4)]
    queries = [query_of(source, f"revenue_{number}", engine=("polars", "duckdb")[number % 2]) for number in range(4)]
    begin = time.time() + 4
    steps = [step_of(spec) | {"at": begin + 0.4 * number} for number, spec in enumerate([*ingests, *queries])]
    workers = [start(*steps), start(*steps)]
    for ends in zip(*map(told_by, workers), strict=True):
        assert sorted((end["version"], end["already"], end["rows"]) for end in ends) == [(0, False, 2), (0, True, 2)]
    for spec in ingests:
        assert (rows_of(spec), set_aside(spec), commits_of(spec)) == (NEW, [(3, "type")], 1)
        assert landed(spec) == {"orders.csv": SECOND}
    for spec in queries:
        assert (rows_of(spec), commits_of(spec)) == (OLD, 1)
