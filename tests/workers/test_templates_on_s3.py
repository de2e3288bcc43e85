"""Runs that look at the table they change, with the lake on a real S3 server: merges, conformed sources, snapshots."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial

import polars as pl
import pytest

from tests.workers.conforming import conforming
from tests.workers.published import published
from tests.workers.test_conform import CONFIG, CRM, SHOP
from tests.workers.test_run_sql_merge import COLUMNS, FIRST, MERGED, SECOND
from tests.workers.test_snapshot import DIMENSION, NOW, history
from workers.executors import run_dataset
from workers.ids import new_run_id
from workers.lake.table import open_table
from workers.specs import Column, SqlSpec, TableTarget, to_json
from workers.template_specs import SnapshotSpec

pytestmark = pytest.mark.s3


def frame_of(rows: list[tuple]) -> pl.DataFrame:
    schema = {"order_id": pl.Int64, "day": pl.Date, "status": pl.String, "amount": pl.Decimal(10, 2)}
    return pl.DataFrame(rows, schema=schema, orient="row")


TABLES = {"shop": SHOP, "crm": CRM}


@pytest.fixture
def made(s3_lake):
    """Runs a spec of this class into `silver.test.made`; the run's result, and the table's rows."""

    def run(kind, partition_by=(), **facts):
        target = TableTarget(dataset="silver.test.made", uri=f"{s3_lake}/silver/test/made", partition_by=partition_by)
        common = {"run_id": str(new_run_id()), "workflow": "test", "job": "made", "target": target, "engine": "polars"}
        spec = kind(**common, **{"run_time": datetime(2026, 11, 22, tzinfo=UTC)} | facts)
        result = run_dataset(to_json(spec))
        return result, open_table(target.uri).scan().collect()

    return run


@pytest.mark.parametrize("partition_by", [(), ("day",)])
def test_two_merges_meet_by_their_keys(s3_lake, made, partition_by):
    for rows in (FIRST, SECOND):
        orders = published(s3_lake, "bronze.test.orders", frame_of(rows))
        facts = {"inputs": (orders,), "sql": "select * from orders"}
        result, table = made(
            SqlSpec, partition_by, columns=COLUMNS, refresh_mode="merge", merge_keys=("order_id",), **facts
        )
    assert result.facts == {"merge": {"inserted": 1, "updated": 2, "unchanged": 1}}
    assert set(table.select([column.name for column in COLUMNS]).rows()) == MERGED


def test_sources_conform_and_every_row_is_accounted_for(s3_lake, made):
    result, table = made(partial(conforming, s3_lake, config=CONFIG | {"fill_nulls": True}, tables=TABLES))
    assert set(table.select("id", "email", "city", "source_system").rows()) == {
        (1, "ann@x.org", "Bonn", "crm"), (2, "bob@x.org", "Kiel", "crm"), (3, "cy@x.org", None, "web shop"),
        (5, "eve@x.org", "Trier", "crm"),
    }  # fmt: skip
    assert [result.facts["conform"][name] for name in ("rows", "keys", "merged", "without_key")] == [9, 4, 4, 1]


def test_a_snapshot_lets_old_periods_go(s3_lake, made):
    base = published(s3_lake, "silver.test.base", history((1, "a", None, None)))
    columns = (Column(name="snapshot_date", type="date"), *open_table(base.uri).columns)
    for day in (16, 17, 18):
        result, table = made(
            SnapshotSpec, ("snapshot_date",), inputs=(base,), sql="", base="base", columns=columns, **DIMENSION,
            refresh_mode="overwrite_partition", run_time=NOW.replace(day=day), keep=2,
        )  # fmt: skip
    assert sorted(map(str, table["snapshot_date"])) == ["2026-03-17", "2026-03-18"]
    assert result.facts["snapshot"]["dropped"] == ["2026-03-16"]
