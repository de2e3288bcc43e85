"""Runs of an index in child processes, killed where it hurts: the index is as before, and the next try is right."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from workers.executors.vector_index.run import output_columns
from workers.executors.vector_index.run import run as run_index
from workers.ids import new_run_id
from workers.lake.publish import publish
from workers.lake.stage import Staging
from workers.lake.table import open_table
from workers.schema import columns_of
from workers.specs import TableInput, TableTarget, to_json
from workers.template_specs import VectorIndexSpec

ROOT = Path(__file__).parents[2]
STEPS = {
    "once it has compared": ("workers.executors.vector_index.run", "compare", "after"),
    "while it embeds": ("workers.executors.vector_index.chunks", "Chunker._add", "after"),
    "while it writes files anew": ("workers.executors.vector_index.run", "rewrite", "after"),
    "just before it commits": ("deltalake", "DeltaTable.create_write_transaction", "before"),
    "once it has committed": ("deltalake", "DeltaTable.create_write_transaction", "after"),
}


def publish_articles(lake: Path, bodies: dict[int, str]) -> TableInput:
    rows = pl.DataFrame({"id": list(bodies), "body": list(bodies.values())})
    target = TableTarget(dataset="silver.help.articles", uri=f"{lake}/silver/help/articles")
    run_id, columns = str(new_run_id()), columns_of(rows.schema)
    with Staging(target, run_id) as staging:
        staging.sink(rows.lazy())
        done = publish(target, staging.files, run_id=run_id, mode="overwrite", columns=columns)
    return TableInput(dataset=target.dataset, alias="articles", uri=target.uri, version=done.version)


def spec_over(lake: Path, source: TableInput, name: str = "search") -> VectorIndexSpec:
    return VectorIndexSpec(
        run_id=str(new_run_id()),
        workflow="help",
        job="search",
        inputs=(source,),
        columns=output_columns("int64", ()),
        target=TableTarget(dataset=f"gold.help.{name}", uri=f"{lake}/gold/help/{name}"),
        run_time=datetime(2026, 11, 22, tzinfo=UTC),
        id_column="id",
        text_column="body",
        embedding_model="embedded:hash",
    )


def rows_of(spec: VectorIndexSpec) -> pl.DataFrame:
    return open_table(spec.target.uri).scan().sort("chunk_id").collect()


def run_in_child(spec: VectorIndexSpec, kill: tuple[str, str, str]) -> int:
    job = json.dumps({"steps": [{"kind": "dataset", "spec": to_json(spec)}], "kill": kill})
    environment = os.environ | {"PYTHONPATH": str(ROOT), "POLARS_MAX_THREADS": "1"}
    script = str(Path(__file__).with_name("executor.py"))
    return subprocess.run([sys.executable, script, job], capture_output=True, env=environment).returncode


@pytest.mark.parametrize("step", STEPS)
def test_a_killed_run_leaves_the_index_whole_and_its_next_try_is_right(tmp_path, step):
    bodies = {number: f"text of article {number}" for number in range(20)}
    run_index(spec_over(tmp_path, publish_articles(tmp_path, bodies)))
    source = publish_articles(tmp_path, bodies | {3: "another text", 30: "a new one"})
    spec = spec_over(tmp_path, source)
    before = rows_of(spec)
    assert run_in_child(spec, STEPS[step]) == -9
    assert step == "once it has committed" or rows_of(spec).equals(before)
    result = run_index(spec)
    fresh = spec_over(tmp_path, source, "fresh")
    run_index(fresh)
    assert rows_of(spec).equals(rows_of(fresh))
    assert result.facts["embedded_chunks"] + result.facts["resumed_chunks"] == 2
    again = run_index(replace(spec, run_id=str(new_run_id())))
    assert again.facts["unchanged_documents"] == 21
