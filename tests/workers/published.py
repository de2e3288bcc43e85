"""Frames as published tables, for tests of whole runs."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from workers.ids import new_run_id
from workers.lake.publish import publish
from workers.lake.stage import Staging
from workers.schema import columns_of
from workers.specs import TableInput, TableTarget


def published(lake: Path | str, dataset: str, rows: pl.DataFrame, alias: str = "") -> TableInput:
    """The rows replace the dataset; its new version as the input of a job."""
    target = TableTarget(dataset=dataset, uri=f"{lake}/{dataset.replace('.', '/')}")
    run_id = str(new_run_id())
    with Staging(target, run_id) as staging:
        staging.sink(rows.lazy())
        done = publish(target, staging.files, run_id=run_id, mode="overwrite", columns=columns_of(rows.schema))
    name = alias or dataset.rpartition(".")[2]
    return TableInput(dataset=dataset, alias=name, uri=target.uri, version=done.version)
