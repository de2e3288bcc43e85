"""What the tests of training and feature sets share: tables in a lake, and specs over them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import polars as pl
import pytest

from workers.executors.point_in_time.plan import plan_of
from workers.ids import new_run_id
from workers.lake.publish import publish
from workers.lake.stage import Staging
from workers.lake.table import open_table
from workers.schema import columns_of
from workers.specs import TableInput, TableTarget
from workers.template_specs import Entity, Feature, PointInTimeSpec

RUN_TIME = datetime(2026, 11, 22, 10, 30, tzinfo=UTC)


@pytest.fixture
def lake(tmp_path) -> str:
    return f"{tmp_path}/lake"


@pytest.fixture
def load(lake) -> Callable[..., TableInput]:
    """Publish a frame as a table; returns it as an input."""

    def make(alias: str, rows: pl.DataFrame, mode: str = "overwrite") -> TableInput:
        target = TableTarget(dataset=f"silver.shop.{alias}", uri=f"{lake}/silver/shop/{alias}")
        run_id = str(new_run_id())
        with Staging(target, run_id) as staging:
            staging.sink(rows.lazy())
            done = publish(target, staging.files, run_id=run_id, mode=mode, columns=columns_of(rows.schema))
        return TableInput(dataset=target.dataset, alias=alias, uri=target.uri, version=done.version)

    return make


@pytest.fixture
def make_spec(lake) -> Callable[..., PointInTimeSpec]:
    """A spec over these inputs; its columns are those that come out."""

    def make(inputs: list[TableInput], entity: Entity, features: list[Feature], **changes) -> PointInTimeSpec:
        name = changes.pop("name", "examples")
        partition_by = changes.pop("partition_by", ())
        columns = {each.alias: open_table(each.uri, each.version).columns for each in inputs}
        plan = plan_of(entity, features, changes.get("label"), changes.get("split"), columns)
        facts = {
            "run_id": str(new_run_id()),
            "workflow": "shop",
            "job": name,
            "inputs": tuple(inputs),
            "columns": plan.columns,
            "target": TableTarget(
                dataset=f"gold.shop.{name}", uri=f"{lake}/gold/shop/{name}", partition_by=partition_by
            ),
            "entity": entity,
            "features": tuple(features),
            "run_time": RUN_TIME,
        }
        return PointInTimeSpec(**(facts | changes))

    return make
