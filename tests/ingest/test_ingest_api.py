"""Ingest jobs over HTTP."""

import pytest

from catalog.models import Dataset
from ingest.models import ContractChange, IngestJob, IngestRun, WatermarkChange
from ops.models import Workflow

JOB = {"name": "orders", "source_type": "file_local", "config": {"file": {"path": "/inbox/orders-*.csv"}}}
JOBS = "/api/workflows/shop/ingest-jobs/"
ORDERS = f"{JOBS}orders/"


def errors(answer, status=400):
    body = answer.json()
    assert answer.status_code == status, body
    return {error["attr"]: error["code"] for error in body["errors"]}


@pytest.fixture
def orders(shop, api):
    answer = api.post(JOBS, JOB)
    assert answer.status_code == 201, answer.json()
    return answer.json()


def test_a_job_has_the_defaults_of_the_contract(orders):
    assert {
        "force_to_parquet": True,
        "format": "csv",
        "schema_mode": "infer",
        "user_schema": [],
        "partition_mode": "date",
        "partition_pattern": "yyyy/MM/dd",
        "compression": "snappy",
        "incremental_mode": "full",
        "watermark_column": "",
        "last_watermark_value": None,
        "write_mode": "overwrite",
        "error_handling": "fail",
        "quarantine_path": None,
        "bad_row_threshold": 0.05,
        "is_reference": False,
        "enabled": True,
        "description": "",
        "workflow": "shop",
    }.items() <= orders.items()
    assert orders["config"] == JOB["config"]


def test_write_mode_is_append_by_default_for_incremental_jobs(shop, api):
    body = {**JOB, "incremental_mode": "incremental", "watermark_column": "at"}
    assert api.post(JOBS, body).json()["write_mode"] == "append"


def test_what_a_get_shows_can_be_put_back_unchanged(orders, api):
    before = api.get(ORDERS).json()
    answer = api.put(ORDERS, before)
    assert answer.status_code == 200, answer.json()
    assert {**answer.json(), "updated_at": None} == {**before, "updated_at": None}


def test_a_quarantine_path_is_filled_in_when_left_out(shop, api):
    body = {**JOB, "error_handling": "quarantine"}
    assert api.post(JOBS, body).json()["quarantine_path"] == "quarantine/shop/orders"


@pytest.mark.parametrize("empty", ["", None])
def test_an_explicit_empty_quarantine_path_is_refused(shop, api, empty):
    body = {**JOB, "error_handling": "quarantine", "quarantine_path": empty}
    assert errors(api.post(JOBS, body)) == {"quarantine_path": "required"}


def test_switching_to_quarantine_fills_the_path_in(orders, api):
    assert api.patch(ORDERS, {"error_handling": "quarantine"}).json()["quarantine_path"] == "quarantine/shop/orders"


def test_a_patch_leaves_the_rest_alone(orders, api):
    api.patch(ORDERS, {"incremental_mode": "incremental", "watermark_column": "at", "write_mode": "overwrite"})
    changed = api.patch(ORDERS, {"description": "Orders of the shop"}).json()
    assert (changed["description"], changed["write_mode"]) == ("Orders of the shop", "overwrite")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"colour": "red"}, {"colour": "unknown_field"}),
        ({"source_type": "ftp"}, {"source_type": "invalid_choice"}),
        ({"config": {"file": {"path": "/inbox/a.csv", "csv": {"delimiter": "ab"}}}}, {"config.file.csv.delimiter"}),
        ({"source_type": "database"}, {"config.db", "config.file"}),
        ({"user_schema": [{"name": "id", "type": "uuid"}]}, {"user_schema.0.type": "unknown_type"}),
        ({"bad_row_threshold": 1.5}, {"bad_row_threshold": "max_value"}),
        ({"bad_row_threshold": -0.1}, {"bad_row_threshold": "min_value"}),
        ({"name": "Orders!"}, {"name": "invalid_slug"}),
        ({"incremental_mode": "incremental"}, {"watermark_column": "required"}),
    ],
)
def test_a_refusal_names_the_field_and_saves_nothing(shop, api, change, expected):
    found = errors(api.post(JOBS, {**JOB, **change}))
    assert (set(found) if isinstance(expected, set) else found) == expected
    assert not IngestJob.objects.exists()


def test_missing_fields_are_named(shop, api):
    assert errors(api.post(JOBS, {})) == {"name": "required", "source_type": "required", "config": "required"}


def test_a_name_can_be_sent_again_but_not_changed(orders, api):
    assert api.patch(ORDERS, {"name": "orders"}).status_code == 200
    assert errors(api.patch(ORDERS, {"name": "sales"})) == {"name": "immutable"}


def test_a_name_is_taken_once_in_a_workflow(orders, api):
    assert errors(api.post(JOBS, JOB)) == {"name": "unique"}
    Workflow.objects.create(slug="other", name="Other")
    assert api.post("/api/workflows/other/ingest-jobs/", JOB).status_code == 201


def test_a_job_of_another_workflow_is_not_found_here(orders, api):
    Workflow.objects.create(slug="other", name="Other")
    assert api.get("/api/workflows/other/ingest-jobs/orders/").status_code == 404
    assert api.get("/api/workflows/nothing/ingest-jobs/").status_code == 404


def test_a_saved_job_is_in_the_catalog(orders):
    landing, bronze = Dataset.objects.order_by("-layer")
    assert (landing.name, landing.path) == ("landing.shop.orders", "landing/shop/orders")
    assert (bronze.name, bronze.path) == ("bronze.shop.orders", "bronze/shop/orders")
    assert [edge.upstream for edge in bronze.edges_up.all()] == [landing]


def test_declared_columns_are_in_the_catalog_with_those_that_assay_adds(orders, api):
    columns = [{"name": "id", "type": "int64", "nullable": False}]
    api.patch(ORDERS, {"schema_mode": "user", "user_schema": columns})
    found = Dataset.objects.get(name="bronze.shop.orders").columns
    assert [column["name"] for column in found] == ["id", "_ingested_at", "_run_id", "_source_file", "_ingest_date"]


def test_a_deleted_job_that_never_ran_leaves_the_catalog(orders, api):
    assert api.delete(ORDERS).status_code == 204
    assert not Dataset.objects.exists()


def test_a_job_that_runs_cannot_be_deleted_nor_run_again(orders, api):
    assert api.post(f"{ORDERS}run/").status_code == 202
    assert errors(api.post(f"{ORDERS}run/"), 409) == {None: "job_is_running"}
    assert errors(api.delete(ORDERS), 409) == {None: "job_is_running"}


def test_a_run_is_queued_and_can_be_looked_up(orders, api):
    run = api.post(f"{ORDERS}run/").json()
    assert (run["job"], run["status"], run["trigger"]) == ("orders", "queued", "api")
    assert api.get(f"/api/ingest-runs/{run['id']}/").json()["id"] == run["id"]
    assert api.get(f"/api/pipeline-runs/{run['pipeline_run_id']}/").json()["jobs"][0]["run_id"] == run["id"]


def test_waiting_ends_with_202_when_the_time_is_over(orders, api):
    answer = api.post(f"{ORDERS}run/?wait=0.1")
    assert (answer.status_code, answer.json()["status"]) == (202, "queued")


@pytest.mark.parametrize("wait", ["soon", "-1", "1e9", "nan"])
def test_a_wait_that_is_no_time_is_refused(orders, api, wait):
    assert errors(api.post(f"{ORDERS}run/?wait={wait}")) == {"wait": "invalid"}


def test_history_tells_who_changed_what(orders, api):
    api.patch(ORDERS, {"description": "new"})
    api.patch(ORDERS, {"description": "new"})
    newest, first = api.get(f"{ORDERS}history/").json()["results"]
    assert (first["version"], first["change"], newest["version"], newest["change"]) == (1, "created", 2, "changed")
    assert newest["changes"] == [{"field": "description", "old": "", "new": "new"}]


def test_lists_take_the_same_few_queries_however_long_they_are(orders, api, django_assert_max_num_queries):
    job = IngestJob.objects.get()
    for number in range(30):
        IngestJob.objects.create(workflow=job.workflow, **{**JOB, "name": f"orders-{number}"})
        IngestRun.objects.create(job=job)
    with django_assert_max_num_queries(4):
        assert api.get(JOBS).json()["count"] == 31
    with django_assert_max_num_queries(5):
        assert api.get(f"{ORDERS}runs/").json()["count"] == 30
    with django_assert_max_num_queries(4):
        assert api.get("/api/ingest-runs/").json()["count"] == 30


def test_what_hangs_on_a_job_takes_the_same_few_queries_too(orders, api, django_assert_max_num_queries):
    job, run = IngestJob.objects.get(), IngestRun.objects.create(job=IngestJob.objects.get())
    for number in range(30):
        WatermarkChange.objects.create(job=job, run=run, value=number, cause="run")
        ContractChange.objects.create(job=job, run=run, column=f"c{number}", change="added", new="int64")
    for name, queries in {"watermarks": 5, "contract-changes": 8}.items():
        with django_assert_max_num_queries(queries):
            assert api.get(f"{ORDERS}{name}/").json()["count"] == 30


@pytest.mark.parametrize("name", ["files", "watermarks", "contract-changes", "quarantine", "runs", "history"])
def test_a_misspelt_filter_of_what_hangs_on_a_job_is_refused(orders, api, name):
    answer = api.get(f"{ORDERS}{name}/?statsu=pending")
    assert answer.status_code == 400
    assert answer.json()["errors"][0] | {"detail": ""} == {"code": "unknown_field", "detail": "", "attr": "statsu"}


def test_a_person_who_is_not_logged_in_sees_nothing(orders, client):
    for address in (JOBS, ORDERS, "/api/ingest-runs/", "/api/uploads/"):
        assert client.get(address).status_code == 401


def test_reading_is_not_changing(orders, django_user_model):
    from rest_framework.test import APIClient

    viewer = APIClient()
    viewer.force_authenticate(django_user_model.objects.create_user("viewer"))
    assert viewer.get(ORDERS).status_code == 200
    for answer in (viewer.patch(ORDERS, {"enabled": False}), viewer.delete(ORDERS), viewer.post(f"{ORDERS}run/")):
        assert answer.status_code == 403
