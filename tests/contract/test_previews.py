"""Looking before anything is written."""

from pathlib import Path

import pytest

CSV = b"id,day,amount\n1,2026-11-01,1.5\n2,2026-11-02,oops\n3,2026-11-03,2.5\n"


@pytest.fixture
def orders(shop, upload, make):
    config = {"file": {"upload": upload("orders.csv", CSV)}}
    job = {"name": "orders", "source_type": "file_upload", "config": config}
    return make(f"{shop}/ingest-jobs/", job)


def files_in(lake: str) -> list[Path]:
    return [file for file in Path(lake).rglob("*") if file.is_file()]


def test_a_preview_of_a_file_shows_schema_profile_and_rows_and_writes_nothing(shop, orders, make, settings):
    found = make(f"{shop}/ingest-jobs/orders/preview/", {}, 200)
    types = {column["name"]: column["type"] for column in found["columns"]}
    assert types["id"] == "int64"
    assert types["day"] == "date"
    assert [row["id"] for row in found["rows"]] == [1, 2, 3]
    assert {"id", "day", "amount"} <= {column["name"] for column in found["profile"]}
    assert files_in(settings.ASSAY_LAKE_URL) == []


def test_a_preview_shows_the_rows_that_would_be_refused(shop, orders, make, api):
    columns = [{"name": "id", "type": "int64"}, {"name": "day", "type": "date"}, {"name": "amount", "type": "float64"}]
    answer = api.patch(f"{shop}/ingest-jobs/orders/", {"schema_mode": "user", "user_schema": columns})
    assert answer.status_code == 200, answer.json()
    found = make(f"{shop}/ingest-jobs/orders/preview/", {}, 200)
    assert [row["id"] for row in found["rows"]] == [1, 3]
    assert [(row["_line"], row["_column"]) for row in found["rejected"]] == [(3, "amount")]


def test_a_preview_of_sql_shows_its_rows_and_writes_nothing(shop, orders, make, settings):
    make(f"{shop}/ingest-jobs/orders/run/?wait=30", {}, 200)
    make(
        f"{shop}/silver-jobs/",
        {
            "name": "fact",
            "dataset_type": "fact",
            "inputs": [{"dataset": "bronze.shop.orders", "alias": "orders"}],
            "sql_text": "select id, day from orders where id > 1",
        },
    )
    before = files_in(settings.ASSAY_LAKE_URL)
    found = make(f"{shop}/silver-jobs/fact/preview/", {}, 200)
    assert sorted(row["id"] for row in found["rows"]) == [2, 3]
    assert [column["name"] for column in found["columns"]] == ["id", "day"]
    assert files_in(settings.ASSAY_LAKE_URL) == before


def test_a_preview_without_its_file_says_what_to_do(shop, make):
    config = {"file": {"path": "/inbox/nothing.csv"}}
    make(f"{shop}/ingest-jobs/", {"name": "nothing", "source_type": "file_local", "config": config})
    body = make(f"{shop}/ingest-jobs/nothing/preview/", {}, 409)
    assert body["errors"][0]["code"] == "source_missing"
    assert "Put one into" in body["errors"][0]["detail"]
