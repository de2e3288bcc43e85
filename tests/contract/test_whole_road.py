"""From an uploaded file to a Gold table, over HTTP only; the tables are read by a stranger."""

from datetime import date
from decimal import Decimal

import pytest
from deltalake import DeltaTable

ORDERS = b"""order_id,customer,amount,ordered_on
1,ann,10.50,2026-11-01
2,bob,20.00,2026-11-01
3,ann,not a number,2026-11-02
4,cid,5.25,2026-11-02
"""


@pytest.fixture
def lake(settings):
    return settings.ASSAY_LAKE_URL


def rows_of(lake: str, path: str) -> list[dict]:
    return DeltaTable(f"{lake}/{path}").to_pyarrow_table().to_pylist()


@pytest.fixture
def orders(shop, upload, make):
    job = {
        "name": "orders",
        "source_type": "file_upload",
        "config": {"file": {"upload": upload("orders.csv", ORDERS)}},
        "schema_mode": "user",
        "user_schema": [
            {"name": "order_id", "type": "int64", "nullable": False},
            {"name": "customer", "type": "string"},
            {"name": "amount", "type": "decimal(10,2)"},
            {"name": "ordered_on", "type": "date"},
        ],
        "error_handling": "quarantine",
        "bad_row_threshold": 0.5,
    }
    return make(f"{shop}/ingest-jobs/", job)


def test_a_csv_file_becomes_a_bronze_table_and_its_bad_row_is_set_aside(shop, orders, make, api, lake):
    run = make(f"{shop}/ingest-jobs/orders/run/?wait=30", {}, 200)
    assert run["status"] == "success", run
    assert (run["rows_read"], run["rows_written"], run["quarantined_rows"]) == (4, 3, 1)
    assert run["error"] is None
    assert run["table_version"] == 0
    rows = rows_of(lake, "bronze/shop/orders")
    assert sorted(row["order_id"] for row in rows) == [1, 2, 4]
    assert sum(row["amount"] for row in rows) == Decimal("35.75")
    assert {row["_run_id"] for row in rows} == {run["id"]}
    assert api.get(f"/api/ingest-runs/{run['id']}/").json() == run
    assert api.get(f"{shop}/ingest-jobs/orders/runs/").json()["results"] == [run]


def test_landing_keeps_the_bytes_as_received(shop, orders, make, lake):
    from pathlib import Path

    run = make(f"{shop}/ingest-jobs/orders/run/?wait=30", {}, 200)
    assert run["landing_path"].startswith("landing/shop/orders/")
    files = {file.name: file.read_bytes() for file in (Path(lake) / run["landing_path"]).iterdir()}
    assert ORDERS in files.values()
    assert "manifest.json" in files


def test_silver_by_sql_and_gold_by_metrics_add_up(shop, orders, make, api, lake):
    make(f"{shop}/ingest-jobs/orders/run/?wait=30", {}, 200)
    silver = make(
        f"{shop}/silver-jobs/",
        {
            "name": "orders_fact",
            "dataset_type": "fact",
            "grain": "one row per order",
            "inputs": [{"dataset": "bronze.shop.orders", "alias": "orders"}],
            "sql_text": "select order_id, customer, amount, ordered_on from orders where amount > 6",
        },
    )
    assert [column["name"] for column in silver["target_schema"]] == ["order_id", "customer", "amount", "ordered_on"]
    run = make(f"{shop}/silver-jobs/orders_fact/run/?wait=30", {}, 200)
    assert run["status"] == "success", run
    assert run["input_versions"] == {"bronze.shop.orders": 0}
    assert sorted(row["order_id"] for row in rows_of(lake, "silver/shop/orders_fact")) == [1, 2]

    make(
        f"{shop}/gold-jobs/",
        {
            "name": "daily_revenue",
            "dataset_type": "metric_table",
            "inputs": [{"dataset": "silver.shop.orders_fact", "alias": "orders"}],
            "transform_type": "metrics_aggregate",
            "config": {
                "base": "orders",
                "time_column": "ordered_on",
                "time_grain": "day",
                "dimensions": ["customer"],
                "metrics": [{"name": "revenue", "expression": "sum(amount)"}],
            },
        },
    )
    run = make(f"{shop}/gold-jobs/daily_revenue/run/?wait=30", {}, 200)
    assert run["status"] == "success", run
    found = {row["customer"]: row["revenue"] for row in rows_of(lake, "gold/shop/daily_revenue")}
    assert found == {"ann": Decimal("10.50"), "bob": Decimal("20.00")}


def test_a_whole_workflow_runs_in_the_order_of_its_inputs(shop, orders, make, api):
    make(
        f"{shop}/silver-jobs/",
        {
            "name": "orders_fact",
            "dataset_type": "fact",
            "inputs": [{"dataset": "bronze.shop.orders", "alias": "orders"}],
            "sql_text": "select order_id, amount from orders",
        },
    )
    started = make(f"{shop}/run/", {}, 200)
    assert started["plan"] == [
        {"job": "orders", "kind": "ingest", "after": []},
        {"job": "orders_fact", "kind": "silver", "after": ["orders"]},
    ]
    run = api.get(f"/api/pipeline-runs/{started['pipeline_run_id']}/").json()
    assert run["status"] == "success"
    assert [job["rows_written"] for job in run["jobs"]] == [3, 3]


def test_ndjson_is_typed_and_kept_whole(shop, upload, make, lake):
    lines = b'{"id": 1, "items": [{"sku": "a", "n": 2}]}\n{"id": 2, "items": []}\n'
    make(
        f"{shop}/ingest-jobs/",
        {
            "name": "lines",
            "source_type": "file_upload",
            "format": "ndjson",
            "config": {"file": {"upload": upload("lines.ndjson", lines)}},
            "partition_mode": "none",
        },
    )
    run = make(f"{shop}/ingest-jobs/lines/run/?wait=30", {}, 200)
    assert run["status"] == "success", run
    rows = sorted(rows_of(lake, "bronze/shop/lines"), key=lambda row: row["id"])
    assert [(row["id"], row["items"]) for row in rows] == [(1, [{"sku": "a", "n": 2}]), (2, [])]


def test_a_file_in_a_source_folder_is_read_by_pattern(shop, make, settings, lake):
    inbox = settings.ASSAY_LOCAL_SOURCE_ROOTS[0]
    (inbox / "orders-1.csv").write_text("id;day\n1;2026-11-01\n")
    (inbox / "orders-2.csv").write_text("id;day\n2;2026-11-02\n")
    (inbox / "other.csv").write_text("id;day\n3;2026-11-03\n")
    make(
        f"{shop}/ingest-jobs/",
        {
            "name": "orders",
            "source_type": "file_local",
            "config": {"file": {"path": "/inbox/orders-*.csv", "csv": {"delimiter": ";"}}},
        },
    )
    run = make(f"{shop}/ingest-jobs/orders/run/?wait=30", {}, 200)
    assert run["status"] == "success", run
    found = {(row["id"], row["day"]) for row in rows_of(lake, "bronze/shop/orders")}
    assert found == {(1, date(2026, 11, 1)), (2, date(2026, 11, 2))}


def test_a_bad_row_fails_a_strict_job_and_nothing_is_published(shop, orders, api, make, lake):
    answer = api.patch(f"{shop}/ingest-jobs/orders/", {"error_handling": "fail"})
    assert answer.status_code == 200, answer.json()
    run = make(f"{shop}/ingest-jobs/orders/run/?wait=30", {}, 200)
    assert run["status"] == "failed"
    assert run["error"]["code"] == "bad_rows"
    assert set(run["error"]) == {"code", "message", "hint"}
    assert "amount" in run["error"]["message"]
    assert not DeltaTable.is_deltatable(f"{lake}/bronze/shop/orders")


def test_what_is_valid_but_cannot_run_yet_says_so_when_it_is_run(shop, orders, api, make):
    answer = api.patch(f"{shop}/ingest-jobs/orders/", {"force_to_parquet": False})
    assert answer.status_code == 200, answer.json()
    run = make(f"{shop}/ingest-jobs/orders/run/?wait=30", {}, 200)
    assert (run["status"], run["error"]["code"]) == ("failed", "not_available_yet")
    assert "force_to_parquet" in run["error"]["hint"]
