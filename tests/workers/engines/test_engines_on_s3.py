"""The same road on a real S3 server: inputs, result and preview."""

from __future__ import annotations

from datetime import UTC, date, datetime

import polars as pl
import pytest

from tests.workers.lake.conftest import load as load_table
from workers.engines.preview import preview_sql
from workers.executors.sql import run as run_sql
from workers.ids import new_run_id
from workers.lake.table import open_table
from workers.specs import Column, SqlSpec, TableInput, TableTarget

pytestmark = pytest.mark.s3
ROWS = pl.DataFrame(
    {"day": [date(2026, 1, 1), date(2026, 1, 1), date(2026, 1, 2)], "i": [1, 2, None]}, schema_overrides={"i": pl.Int32}
)
COLUMNS = (Column(name="day", type="date"), Column(name="n", type="int64"), Column(name="total", type="int64"))
SQL = "select day, count(*) as n, sum(i) as total from orders group by day"
EXPECTED = [(date(2026, 1, 1), 2, 3), (date(2026, 1, 2), 1, None)]


def test_a_query_runs_from_s3_to_s3(s3_lake, engine):
    source = TableTarget(dataset="bronze.shop.orders", uri=f"{s3_lake}/bronze/{engine}", partition_by=("day",))
    pinned = load_table(source, ROWS)
    target = TableTarget(dataset="gold.shop.daily", uri=f"{s3_lake}/gold/{engine}", partition_by=("day",))
    inputs = (TableInput(dataset=source.dataset, alias="orders", uri=source.uri, version=pinned.version),)
    run_sql(
        SqlSpec(
            run_id=str(new_run_id()),
            workflow="shop",
            job="daily",
            inputs=inputs,
            sql=SQL,
            columns=COLUMNS,
            engine=engine,
            target=target,
            run_time=datetime(2026, 1, 3, tzinfo=UTC),
        )
    )
    assert sorted(open_table(target.uri).scan().collect().rows()) == EXPECTED
    rows = preview_sql(f"{SQL} order by day", inputs, engine, COLUMNS).rows
    assert [row["total"] for row in rows] == [3, None]
