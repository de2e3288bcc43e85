"""What dlt does with the same data: each function one load into a Delta table. Runs in an environment of dlt's own.

The fastest road that dlt documents for each source: Arrow batches where it
takes them, no nested tables for nested JSON. `environments.py` makes the
environment; nothing of Assay is imported here.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import dlt
import pyarrow as pa
from dlt.sources.helpers.rest_client.paginators import PageNumberPaginator
from dlt.sources.rest_api import rest_api_source
from dlt.sources.sql_database import sql_table
from pyarrow import csv

BATCH_RECORDS = 10_000


def load_csv(path: str, folder: str) -> None:
    def batches() -> Iterator[pa.Table]:
        with csv.open_csv(path) as reader:
            for batch in reader:
                yield pa.Table.from_batches([batch])

    _load(dlt.resource(batches, name="orders"), folder)


def load_ndjson(path: str, folder: str) -> None:
    def records() -> Iterator[list[dict[str, Any]]]:
        with open(path, encoding="utf-8") as file:  # noqa: PTH123
            lines = map(json.loads, file)
            while some := list(islice(lines, BATCH_RECORDS)):
                yield some

    _load(dlt.resource(records, name="orders", max_table_nesting=0), folder)


def load_table(url: str, table: str, folder: str, backend: str = "pyarrow") -> None:
    """A whole table; `url` as SQLAlchemy wants it, with its driver: `postgresql+psycopg2://…`."""
    _load(sql_table(url, table=table, backend=backend, reflection_level="full_with_precision"), folder)


def load_table_since(url: str, table: str, folder: str, column: str, since: Any) -> None:
    """The rows from `since` (ISO text or number) on: what an incremental load reads when its state says so."""
    start = dlt.common.pendulum.parse(since) if isinstance(since, str) else since
    increment = dlt.sources.incremental(column, initial_value=start)
    rows = sql_table(url, table=table, backend="pyarrow", reflection_level="full_with_precision", incremental=increment)
    _load(rows, folder, "append")


def load_api(url: str, folder: str) -> None:
    """The API of `apis.py`: pages by number from 1, records at `data.items`, and an empty page behind the last."""
    base, _, path = url.rpartition("/")
    endpoint = {"path": path, "data_selector": "data.items", "params": {"per_page": 500}}
    endpoint["paginator"] = PageNumberPaginator(page_param="page", base_page=1, total_path=None)
    client, resource = {"base_url": f"{base}/"}, {"name": "records", "endpoint": endpoint, "max_table_nesting": 0}
    source = rest_api_source({"client": client, "resources": [resource]})
    _load(source.resources["records"], folder)


def _load(rows: Iterable[Any], folder: str, disposition: str = "replace") -> None:
    """In a place of its own each time: what dlt keeps of an earlier load must not help or hinder."""
    with tempfile.TemporaryDirectory(dir=folder) as place:
        pipeline = dlt.pipeline(
            "bench", destination=dlt.destinations.filesystem(f"file://{place}/lake"), pipelines_dir=f"{place}/state"
        )
        pipeline.run(rows, table_format="delta", write_disposition=disposition).raise_on_failed_jobs()
