"""Published tables for the engines' tests."""

from __future__ import annotations

import polars as pl
import pytest

from tests.workers.engines.tpch import Tpch
from workers.ids import new_run_id
from workers.lake.publish import publish
from workers.lake.stage import Staging
from workers.schema import columns_of
from workers.specs import TableInput, TableTarget


@pytest.fixture(params=["polars", "duckdb"])
def engine(request):
    return request.param


@pytest.fixture(scope="session")
def lake(tmp_path_factory):
    return tmp_path_factory.mktemp("lake")


@pytest.fixture(scope="session")
def load(lake):
    """Publish a frame; returns it as the input of a query. Names are taken once in a session."""

    def make(name: str, rows: pl.DataFrame) -> TableInput:
        target = TableTarget(dataset=f"silver.test.{name}", uri=f"{lake}/silver/test/{name}")
        run_id = str(new_run_id())
        with Staging(target, run_id) as staging:
            staging.sink(rows.lazy())
            columns = columns_of(rows.schema)
            done = publish(target, staging.files, run_id=run_id, mode="overwrite", columns=columns)
        return TableInput(dataset=target.dataset, alias=name, uri=target.uri, version=done.version)

    return make


@pytest.fixture(scope="session")
def tpch(tmp_path_factory):
    """TPC-H at scale 0.1, published: 600,000 line items. The 22 queries are in `tpch.QUERIES`."""
    return Tpch.make(tmp_path_factory.mktemp("tpch"), 0.1)
