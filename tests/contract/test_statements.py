"""The contract's statements one by one, where no other test stands for them already."""

import re
import uuid
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from deltalake import DeltaTable

CSV = b"id,day,amount\n1,2026-11-01,1.5\n2,2026-11-02,oops\n3,2026-11-03,2.5\n"
COLUMNS = [{"name": "id", "type": "int64"}, {"name": "day", "type": "date"}, {"name": "amount", "type": "float64"}]


@pytest.fixture
def orders(shop, upload, make):
    job = {
        "name": "orders",
        "source_type": "file_upload",
        "config": {"file": {"upload": upload("orders.csv", CSV)}},
        "schema_mode": "user",
        "user_schema": COLUMNS,
        "error_handling": "quarantine",
        "bad_row_threshold": 0.5,
    }
    return make(f"{shop}/ingest-jobs/", job)


@pytest.fixture
def run(shop, orders, make):
    return make(f"{shop}/ingest-jobs/orders/run/?wait=30", {}, 200)


# --- who is asking ---------------------------------------------------------------------


def test_a_token_opens_the_api(shop, client):
    answer = client.post("/api/auth/token/", {"username": "engineer", "password": "correct-horse"})
    token = answer.json()["token"]
    assert client.get("/api/workflows/", headers={"Authorization": f"Token {token}"}).status_code == 200


def test_a_browser_session_opens_the_api_too(shop, client, engineer):
    client.force_login(engineer)
    assert client.get("/api/workflows/").status_code == 200


def test_no_address_answers_somebody_who_is_not_logged_in(shop, api, client):
    paths = api.get("/api/schema/?format=json").json()["paths"]
    for path, operations in paths.items():
        if path in ("/api/auth/token/", "/api/schema/"):
            continue
        address = re.sub(r"\{[^}]+\}", "1", path)
        for method in set(operations) & {"get", "post", "put", "patch", "delete"}:
            assert getattr(client, method)(address).status_code == 401, f"{method} {path}"


# --- forms of answers --------------------------------------------------------------------


@pytest.mark.parametrize(
    "address",
    [
        "/api/workflows/",
        "/api/workflows/shop/ingest-jobs/",
        "/api/workflows/shop/ingest-jobs/orders/runs/",
        "/api/workflows/shop/ingest-jobs/orders/history/",
        "/api/workflows/shop/silver-jobs/",
        "/api/workflows/shop/gold-jobs/",
        "/api/workflows/shop/history/",
        "/api/workflows/shop/pipeline-runs/",
        "/api/catalog/datasets/",
        "/api/catalog/datasets/bronze.shop.orders/versions/",
    ],
)
def test_lists_are_pages(shop, orders, api, address):
    assert set(api.get(address).json()) == {"count", "next", "previous", "results"}


def test_a_page_leads_to_the_next(shop, orders, make, api):
    config = {"file": {"path": "/inbox/a.csv"}}
    make(f"{shop}/ingest-jobs/", {"name": "second", "source_type": "file_local", "config": config})
    first = api.get(f"{shop}/ingest-jobs/?page_size=1").json()
    assert (first["count"], len(first["results"]), first["previous"]) == (2, 1, None)
    assert api.get(first["next"]).json()["results"][0]["name"] == "second"


@pytest.mark.parametrize(
    ("method", "address", "status"),
    [
        ("get", "/api/workflows/nothing/", 404),
        ("get", "/api/workflows/shop/ingest-jobs/nothing/", 404),
        ("get", f"/api/ingest-runs/{uuid.UUID(int=7)}/", 404),
        ("get", "/api/ingest-runs/7/", 404),
        ("put", "/api/workflows/shop/ingest-jobs/", 405),
        ("post", "/api/workflows/shop/silver-jobs/", 400),
        ("get", "/api/workflows/shop/ingest-jobs/?page=99", 404),
        ("get", "/api/catalog/datasets/?layer=platinum", 400),
    ],
)
def test_every_refusal_has_one_form(shop, orders, api, method, address, status):
    answer = getattr(api, method)(address)
    assert answer.status_code == status
    body = answer.json()
    assert set(body) == {"type", "errors"}
    assert all(set(error) == {"code", "detail", "attr"} for error in body["errors"])


def test_a_body_that_is_no_json_is_refused(shop, api):
    answer = api.generic("POST", f"{shop}/ingest-jobs/", b"{name:", content_type="application/json")
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, "parse_error")


# --- names ---------------------------------------------------------------------------------


def test_an_ingest_job_makes_landing_and_bronze_and_its_table_lies_where_its_name_says(run, api, settings):
    names = [each["name"] for each in api.get("/api/catalog/datasets/").json()["results"]]
    assert names == ["bronze.shop.orders", "landing.shop.orders"]
    assert api.get("/api/catalog/datasets/bronze.shop.orders/").json()["path"] == "bronze/shop/orders"
    assert DeltaTable(f"{settings.ASSAY_LAKE_URL}/bronze/shop/orders").version() == 0


# --- runs ------------------------------------------------------------------------------------


def test_a_run_has_the_fields_of_the_contract(run):
    assert {
        "id",
        "job",
        "status",
        "trigger",
        "start_time",
        "end_time",
        "duration",
        "rows_read",
        "rows_written",
        "quarantined_rows",
        "last_watermark_value",
        "landing_path",
        "table_version",
        "schema_changes",
        "quality",
        "error",
    } <= set(run)
    assert run["rows_read"] == run["rows_written"] + run["quarantined_rows"] == 3
    assert run["duration"] > 0
    assert run["start_time"] < run["end_time"]


def test_a_run_tells_why_rows_were_set_aside(run):
    assert sum(run["quality"]["reasons"].values()) == 1
    assert all(check["passed"] for check in run["quality"]["checks"])


def test_running_an_overwriting_job_again_leaves_the_same_rows_in_a_new_version(shop, run, make, settings):
    again = make(f"{shop}/ingest-jobs/orders/run/?wait=30", {}, 200)
    assert (again["status"], again["table_version"]) == ("success", 1)
    assert DeltaTable(f"{settings.ASSAY_LAKE_URL}/bronze/shop/orders").to_pyarrow_table().num_rows == 2


@pytest.mark.parametrize(("skip_loaded_files", "rows"), [(True, 2), (False, 4)])
def test_running_an_appending_job_again_adds_a_known_file_only_if_told_to(
    shop, orders, make, api, settings, skip_loaded_files, rows
):
    change = {"write_mode": "append", "skip_loaded_files": skip_loaded_files}
    assert api.patch(f"{shop}/ingest-jobs/orders/", change).status_code == 200
    for _ in range(2):
        make(f"{shop}/ingest-jobs/orders/run/?wait=30", {}, 200)
    assert DeltaTable(f"{settings.ASSAY_LAKE_URL}/bronze/shop/orders").to_pyarrow_table().num_rows == rows


def test_too_many_bad_rows_fail_the_run_and_publish_nothing(shop, orders, make, api, settings):
    api.patch(f"{shop}/ingest-jobs/orders/", {"bad_row_threshold": 0.1})
    run = make(f"{shop}/ingest-jobs/orders/run/?wait=30", {}, 200)
    assert (run["status"], run["error"]["code"]) == ("failed", "bad_rows")
    assert not DeltaTable.is_deltatable(f"{settings.ASSAY_LAKE_URL}/bronze/shop/orders")


# --- the lake --------------------------------------------------------------------------------


def test_bronze_adds_where_each_row_came_from(run, settings):
    rows = DeltaTable(f"{settings.ASSAY_LAKE_URL}/bronze/shop/orders").to_pyarrow_table().to_pylist()
    assert set(rows[0]) == {"id", "day", "amount", "_ingested_at", "_run_id", "_source_file", "_ingest_date"}
    assert {row["_source_file"] for row in rows} == {"orders.csv"}
    assert {row["_ingest_date"] for row in rows} == {datetime.now(UTC).date()}


def test_files_lie_below_the_date_pattern_in_a_hive_segment(run, settings):
    table = DeltaTable(f"{settings.ASSAY_LAKE_URL}/bronze/shop/orders")
    today = datetime.now(UTC).date()
    folder = f"{today:%Y/%m/%d}/_ingest_date={today.isoformat()}/"
    files = [uri.split("bronze/shop/orders/")[1] for uri in table.file_uris()]
    assert files
    assert all(file.startswith(folder) and file.endswith(".parquet") for file in files)


def test_the_commit_carries_the_run(run, settings):
    history = DeltaTable(f"{settings.ASSAY_LAKE_URL}/bronze/shop/orders").history()
    assert history[0]["assay.run_id"] == run["id"]


def test_quarantine_keeps_each_refused_row_with_its_reason(run, settings):
    [file] = (Path(settings.ASSAY_LAKE_URL) / "quarantine/shop/orders").rglob("*.parquet")
    assert run["quarantine_path"].endswith(file.name)
    [row] = pl.read_parquet(file).to_dicts()
    assert {"_raw", "_line", "_column", "_reason", "_rule", "_run_id", "_source_file"} <= set(row)
    assert (row["_line"], row["_column"], row["_run_id"]) == (3, "amount", run["id"])
    assert "oops" in row["_raw"]


def test_without_partitioning_there_is_no_ingest_date(shop, orders, make, api, settings):
    assert api.patch(f"{shop}/ingest-jobs/orders/", {"partition_mode": "none"}).status_code == 200
    make(f"{shop}/ingest-jobs/orders/run/?wait=30", {}, 200)
    table = DeltaTable(f"{settings.ASSAY_LAKE_URL}/bronze/shop/orders")
    assert "_ingest_date" not in [field.name for field in table.schema().fields]
    assert table.metadata().partition_columns == []


# --- Silver and Gold --------------------------------------------------------------------------


@pytest.fixture
def fact(shop, run, make):
    job = {
        "name": "fact",
        "dataset_type": "fact",
        "inputs": [{"dataset": "bronze.shop.orders", "alias": "orders"}],
        "sql_text": "select id, day, amount from orders where day between :start_date and :end_date",
        "refresh_mode": "overwrite_partition",
        "partition_by": ["day"],
    }
    return make(f"{shop}/silver-jobs/", job)


def test_a_windowed_run_replaces_the_partitions_of_its_window_only(shop, fact, make, api, settings):
    def ids():
        return sorted(DeltaTable(f"{settings.ASSAY_LAKE_URL}/silver/shop/fact").to_pyarrow_table()["id"].to_pylist())

    for day, expected in (("2026-11-01", [1]), ("2026-11-03", [1, 3]), ("2026-11-03", [1, 3])):
        window = {"only": ["fact"], "start_date": day, "end_date": day}
        started = make(f"{shop}/run/", window, 200)
        ended = api.get(f"/api/pipeline-runs/{started['pipeline_run_id']}/").json()
        assert ended["status"] == "success", ended
        assert ids() == expected


@pytest.mark.parametrize("engine", ["polars", "duckdb", pytest.param("spark", marks=pytest.mark.spark)])
def test_every_engine_gives_the_same_table(shop, run, make, settings, engine):
    job = {
        "name": "fact",
        "dataset_type": "fact",
        "engine": engine,
        "inputs": [{"dataset": "bronze.shop.orders", "alias": "orders"}],
        "sql_text": "select count(*) as orders, sum(amount) as amount, max(day) as last_day from orders",
    }
    make(f"{shop}/silver-jobs/", job)
    done = make(f"{shop}/silver-jobs/fact/run/?wait=30", {}, 200)
    assert done["status"] == "success", done
    rows = DeltaTable(f"{settings.ASSAY_LAKE_URL}/silver/shop/fact").to_pyarrow_table().to_pylist()
    assert rows == [{"orders": 2, "amount": 4.0, "last_day": datetime(2026, 11, 3, tzinfo=UTC).date()}]


def test_a_job_saved_before_its_input_ran_gets_its_target_schema_from_its_first_run(shop, upload, make, api):
    config = {"file": {"upload": upload("orders.csv", b"id,day\n1,2026-11-01\n")}}
    make(f"{shop}/ingest-jobs/", {"name": "orders", "source_type": "file_upload", "config": config})
    job = {
        "name": "fact",
        "dataset_type": "fact",
        "inputs": [{"dataset": "bronze.shop.orders"}],
        "sql_text": "select id, day from orders",
    }
    assert make(f"{shop}/silver-jobs/", job)["target_schema"] == []
    started = make(f"{shop}/run/", {}, 200)
    assert api.get(f"/api/pipeline-runs/{started['pipeline_run_id']}/").json()["status"] == "success"
    columns = api.get(f"{shop}/silver-jobs/fact/").json()["target_schema"]
    assert [(column["name"], column["type"]) for column in columns] == [("id", "int64"), ("day", "date")]
