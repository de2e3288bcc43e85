"""The same road with the lake in an object store: API and pages, from an upload to a rollback."""

from __future__ import annotations

import polars as pl
import pytest

from workers.lake.store import open_store
from workers.lake.table import open_table

pytestmark = pytest.mark.s3

ORDERS = (
    b"order_id,customer,amount,ordered_on\n1,ann,10.50,2026-11-01\n2,bob,20.00,2026-11-01\n3,ann,nought,2026-11-02\n"
)
MORE = b"order_id,customer,amount,ordered_on\n4,cid,5.25,2026-11-02\n"
COLUMNS = [
    {"name": "order_id", "type": "int64", "nullable": False},
    {"name": "customer", "type": "string"},
    {"name": "amount", "type": "decimal(10,2)"},
    {"name": "ordered_on", "type": "date"},
]
FACT = {
    "name": "orders_fact",
    "dataset_type": "fact",
    "inputs": [{"dataset": "bronze.shop.orders", "alias": "orders"}],
    "sql_text": "select order_id, customer, amount, ordered_on from orders",
    "target_schema": COLUMNS,
}
REVENUE = {
    "name": "daily_revenue",
    "dataset_type": "metric_table",
    "inputs": [{"dataset": "silver.shop.orders_fact", "alias": "orders"}],
    "transform_type": "metrics_aggregate",
    "config": {
        "base": "orders",
        "time_column": "ordered_on",
        "time_grain": "day",
        "metrics": [{"name": "revenue", "expression": "sum(amount)"}],
    },
}
JOBS = ["ingest-jobs/orders", "silver-jobs/orders_fact", "gold-jobs/daily_revenue"]


@pytest.fixture
def lake(s3_lake, settings):
    settings.ASSAY_LAKE_URL = s3_lake
    return s3_lake


@pytest.fixture
def jobs(lake, shop, upload, make, engine):
    """An ingest that sets bad rows aside, a query and a metric on top of it."""
    orders = {
        "name": "orders",
        "source_type": "file_upload",
        "config": {"file": {"upload": upload("orders.csv", ORDERS)}},
        "schema_mode": "user",
        "user_schema": COLUMNS,
        "error_handling": "quarantine",
        "bad_row_threshold": 0.5,
    }
    make(f"{shop}/ingest-jobs/", orders)
    make(f"{shop}/silver-jobs/", FACT | {"engine": engine})
    make(f"{shop}/gold-jobs/", REVENUE | {"engine": engine})


@pytest.fixture
def engine():
    return "polars"


@pytest.fixture
def get(api):
    def answer(address: str) -> dict:
        response = api.get(address)
        assert response.status_code == 200, response.json()
        return response.json()

    return answer


def run_all(shop: str, make) -> list[dict]:
    runs = [make(f"{shop}/{job}/run/?wait=30", {}, 200) for job in JOBS]
    assert [run["status"] for run in runs] == ["success"] * 3, runs
    return runs


def rows_of(lake: str, path: str) -> list[tuple]:
    return sorted(open_table(f"{lake}/{path}").scan().collect().rows())


@pytest.mark.parametrize("engine", ["polars", "duckdb"])
def test_the_platform_works_on_a_lake_in_an_object_store(jobs, lake, shop, upload, make, get, api, client, engineer):
    ingest, silver, gold = run_all(shop, make)
    assert (ingest["rows_read"], ingest["rows_written"], ingest["quarantined_rows"]) == (3, 2, 1)
    assert (silver["rows_written"], gold["rows_written"]) == (2, 1)
    assert [str(revenue) for _, revenue in rows_of(lake, "gold/shop/daily_revenue")] == ["30.50"]

    store = open_store(lake)
    with store.open(f"{ingest['landing_path']}orders.csv") as file:
        assert file.readall() == ORDERS
    set_aside = pl.read_parquet(store.uri_of(ingest["quarantine_path"]), storage_options=store.storage_options)
    assert set_aside.select("_line", "_column", "_rule").rows() == [(4, "amount", "type")]

    config = {"file": {"upload": upload("more.csv", MORE)}}
    assert api.patch(f"{shop}/ingest-jobs/orders/", {"config": config}).status_code == 200
    previews = [make(f"{shop}/{job}/preview/", {}, 200) for job in JOBS[:2]]
    assert [len(preview["rows"]) for preview in previews] == [1, 2]
    assert [run["table_version"] for run in run_all(shop, make)] == [1, 1, 1]
    look_at_the_catalog(get, make, lake)
    look_at_the_pages(client, engineer)


def look_at_the_catalog(get, make, lake: str) -> None:
    bronze = "/api/catalog/datasets/bronze.shop.orders/"
    assert [row["customer"] for row in get(f"{bronze}sample/")["rows"]] == ["cid"]
    assert [version["rows"] for version in get(f"{bronze}versions/")["results"]] == [1, 2]
    edges = get(f"{bronze}lineage/?direction=both&depth=3")["edges"]
    assert {(edge["source"], edge["target"]) for edge in edges} == {
        ("landing.shop.orders", "bronze.shop.orders"),
        ("bronze.shop.orders", "silver.shop.orders_fact"),
        ("silver.shop.orders_fact", "gold.shop.daily_revenue"),
    }
    assert make(f"{bronze}rollback/", {"version": 0}, 200)["version"] == 2
    assert [row[0] for row in rows_of(lake, "bronze/shop/orders")] == [1, 2]
    assert {row["customer"] for row in get(f"{bronze}sample/")["rows"]} == {"ann", "bob"}


def look_at_the_pages(client, engineer) -> None:
    client.force_login(engineer)
    pages = {
        "/datasets/bronze.shop.orders/": "orders_fact",
        "/datasets/bronze.shop.orders/sample/": "bob",
        "/datasets/gold.shop.daily_revenue/sample/": "5.25",
        "/workflows/shop/ingest-jobs/orders/": "more.csv",
        "/workflows/shop/ingest-jobs/orders/quarantine/": "nought",
        "/workflows/shop/": "daily_revenue",
    }
    for address, seen in pages.items():
        answer = client.get(address)
        assert answer.status_code == 200, address
        assert seen in answer.content.decode(), address


def test_a_lake_that_does_not_answer_is_told_and_costs_no_page(jobs, shop, make, api, client, engineer, monkeypatch):
    make(f"{shop}/ingest-jobs/orders/run/?wait=30", {}, 200)
    monkeypatch.setenv("ASSAY_S3_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setattr("workers.lake.store.TIMEOUT_SECONDS", 1)
    answer = api.get("/api/catalog/datasets/bronze.shop.orders/sample/")
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (503, "lake_unavailable")
    client.force_login(engineer)
    assert client.get("/datasets/bronze.shop.orders/").status_code == 200
    answer = client.get("/workflows/shop/ingest-jobs/orders/quarantine/")
    assert answer.status_code == 200
    assert "cannot be read" in answer.content.decode()
