"""Dimensions as jobs: what may be saved, what they run, the SQL that explains them, timelines and restatement."""

from __future__ import annotations

from datetime import datetime

import duckdb
import polars as pl
import pytest
from django.urls import reverse
from polars.testing import assert_frame_equal

from assay.common.runs import RunStatus
from catalog import services as catalog
from datasets.kind import SilverKind
from datasets.models import DatasetJob, DatasetRun
from datasets.scd2 import services as scd2
from datasets.scd2.views import _key
from ops.models import PipelineRun, Workflow
from tests.factories import make_step
from workers.errors import InvalidSpec
from workers.ids import new_run_id
from workers.lake.publish import publish
from workers.lake.stage import Staging
from workers.lake.table import open_table, table_exists
from workers.progress import silent
from workers.schema import columns_of
from workers.specs import TableTarget

SILVER = "/api/workflows/shop/silver-jobs/"
SOURCE = "bronze.shop.customers"
SCHEMA = {
    "id": pl.Int64,
    "city": pl.String,
    "score": pl.Float64,
    "updated_at": pl.Datetime("us"),
    "_deleted_at": pl.Datetime("us", "UTC"),
    "_run_id": pl.String,
}
JOB = {
    "name": "customers",
    "dataset_type": "dim",
    "change_pattern": "scd2",
    "transform_type": "scd2_dimension",
    "inputs": [{"dataset": SOURCE, "alias": "c"}],
    "config": {"business_key_columns": ["id"], "effective_time_column": "updated_at", "delete_mode": "close"},
}


def day(number: int) -> datetime:
    return datetime(2026, 1, number)  # noqa: DTZ001


ROWS = [
    (1, "Rome", 1.0, day(1), None, "x"),
    (1, "Oslo", 1.0, day(5), None, "y"),
    (2, "Rome", None, day(1), None, "x"),
    (2, "Rome", None, day(2), day(8).replace(tzinfo=None), "y"),
    (3, "Bern", float("nan"), day(1), None, "x"),
    (3, "Bern", float("nan"), day(4), None, "x"),
    (3, "Basel", 0.5, day(4), None, "x"),
    (1, "Rome", 1.0, day(9), None, "z"),
]


def put(rows, mode="append") -> None:
    frame = pl.DataFrame(
        [(*row[:4], row[4] and row[4].isoformat(), row[5]) for row in rows],
        schema={**SCHEMA, "_deleted_at": pl.String},
        orient="row",
    ).with_columns(pl.col("_deleted_at").str.to_datetime(time_unit="us").dt.replace_time_zone("UTC"))
    put_frame(frame, mode)


def put_frame(frame: pl.DataFrame, mode: str = "append") -> None:
    target, run_id = TableTarget(dataset=SOURCE, uri=catalog.lake_uri(SOURCE)), str(new_run_id())
    columns = columns_of(frame.schema)
    with Staging(target, run_id) as staging:
        staging.sink(frame.lazy())
        done = publish(target, staging.files, run_id=run_id, mode=mode, columns=columns)
    path, columns = "bronze/shop/customers", open_table(target.uri).columns
    catalog.declare(SOURCE, layer="bronze", workflow="shop", type="", path=path, columns=columns, job="customers")
    catalog.record_version(SOURCE, run_id=run_id, published=done, columns=columns)


@pytest.fixture
def customers(db):
    Workflow.objects.create(slug="shop", name="Shop")
    put(ROWS)


@pytest.fixture
def job(customers, api):
    answer = api.post(SILVER, JOB, format="json")
    assert answer.status_code == 201, answer.json()
    return DatasetJob.objects.get(name="customers")


def run_of(job: DatasetJob, **options) -> DatasetRun:
    """What a worker does for one step of the job, here and now."""
    kind = SilverKind()
    pipeline_run = PipelineRun.objects.create(workflow=job.workflow, status=RunStatus.RUNNING)
    step = make_step(pipeline_run, job, kind="silver", layer="silver")
    run = DatasetRun.objects.create(job=job, step_id=step.pk, status=RunStatus.RUNNING, options=options)
    run.spec = kind.to_spec(run)
    result = kind.execute(run.spec, silent)
    kind.record(run, result)
    DatasetRun.objects.filter(pk=run.pk).update(status=RunStatus.SUCCESS)
    return DatasetRun.objects.get(pk=run.pk)


def address(job: DatasetJob, name: str) -> str:
    return reverse(f"datasets:{name}", args=["shop", "silver", job.name])


# --- saving and running ------------------------------------------------------------------


def test_a_job_as_the_contract_has_it_declares_the_columns_of_its_dimension(job):
    assert job.partition_by == ["is_current"]
    assert [(column["name"], column["type"], column["nullable"]) for column in job.target_schema] == [
        ("id", "int64", False),
        ("city", "string", True),
        ("score", "float64", True),
        ("effective_from", "timestamp", False),
        ("effective_to", "timestamp", True),
        ("is_current", "boolean", False),
    ]


@pytest.mark.parametrize("refresh_mode", ["full_refresh", "merge"])
def test_either_refresh_mode_keeps_the_dimension_up_to_date(customers, api, refresh_mode):
    assert api.post(SILVER, JOB | {"refresh_mode": refresh_mode}, format="json").status_code == 201
    job = DatasetJob.objects.get(name="customers")
    run_of(job)
    put([(1, "Paris", 1.0, day(3), None, "z")])
    run = run_of(job)
    assert (run.facts["input_files"], run.facts["late_keys"]) == (1, 1)
    rows = open_table(catalog.lake_uri(job.dataset_name)).scan().filter(pl.col("id") == 1).sort("effective_from")
    assert rows.select("city").collect().to_series().to_list() == ["Rome", "Paris", "Oslo", "Rome"]


def test_the_sql_that_explains_the_dimension_gives_the_same_rows(job, api):
    run_of(job)
    told = api.get(f"{SILVER}customers/sql/").json()
    connection = duckdb.connect()
    connection.execute("set timezone = 'UTC'")
    files = open_table(catalog.lake_uri(SOURCE)).files()
    connection.execute(f"create view c as select * from read_parquet({files})")
    wanted = connection.execute(told["sql"]).pl()
    found = open_table(catalog.lake_uri(job.dataset_name)).scan().select(wanted.columns).collect()
    order = ["id", "effective_from"]
    assert_frame_equal(found.sort(order), wanted.sort(order))  # NaN equals NaN
    errors = {each["engine"]: each["error"] for each in told["engines"]}
    assert errors["polars"] is None
    assert "built by Polars" in errors["duckdb"]


@pytest.mark.parametrize(
    ("change", "attr"),
    [
        ({"business_key_columns": ["nothing"]}, "config.business_key_columns.0"),
        ({"business_key_columns": ["score"]}, "config.business_key_columns.0"),
        ({"business_key_columns": ["id", "id"]}, "config.business_key_columns.1"),
        ({"effective_time_column": "city"}, "config.effective_time_column"),
        ({"effective_time_column": "id"}, "config.effective_time_column"),
        ({"change_detection_columns": ["city", "nothing"]}, "config.change_detection_columns.1"),
        ({"change_detection_columns": ["id"]}, "config.change_detection_columns.0"),
        ({"change_detection_columns": ["_run_id"]}, "config.change_detection_columns.0"),
        ({"deleted_column": "city"}, "config.deleted_column"),
        ({"delete_mode": "forget"}, "config.delete_mode"),
    ],
)
def test_what_is_wrong_with_the_config_is_told_at_its_field(customers, api, change, attr):
    answer = api.post(SILVER, JOB | {"config": JOB["config"] | change}, format="json")
    assert answer.status_code == 400
    assert attr in {error["attr"] for error in answer.json()["errors"]}


@pytest.mark.parametrize(
    ("fields", "attr"),
    [
        ({"engine": "duckdb"}, "engine"),
        ({"refresh_mode": "append"}, "refresh_mode"),
        ({"partition_by": ["city"]}, "partition_by"),
        ({"inputs": [{"dataset": SOURCE, "alias": "a"}, {"dataset": SOURCE, "alias": "b"}]}, "inputs"),
    ],
)
def test_what_a_dimension_does_not_do_is_refused(customers, api, fields, attr):
    answer = api.post(SILVER, JOB | fields, format="json")
    assert answer.status_code == 400
    assert attr in {error["attr"] for error in answer.json()["errors"]}


def test_an_input_with_a_column_that_the_dimension_adds_is_refused(customers, api):
    catalog.declare(
        "bronze.shop.other",
        layer="bronze",
        workflow="shop",
        type="",
        path="bronze/shop/other",
        columns=columns_of(pl.Schema({**SCHEMA, "is_current": pl.Boolean})),
        job="other",
    )
    answer = api.post(SILVER, JOB | {"inputs": [{"dataset": "bronze.shop.other"}]}, format="json")
    assert "Rename it" in str(answer.json())


def test_a_preview_shows_the_first_versions(job, api):
    rows = api.post(f"{SILVER}customers/preview/").json()["rows"]
    assert {row["id"] for row in rows} == {1, 2, 3}
    assert not table_exists(catalog.lake_uri(job.dataset_name))


def test_a_column_that_the_input_gets_later_waits_for_the_target_schema(job, api):
    run_of(job)
    wider = pl.DataFrame(
        {"id": [1], "city": ["Rome"], "score": [2.0], "updated_at": [day(20)], "phone": ["123"]},
        schema_overrides={"updated_at": pl.Datetime("us")},
    )
    put_frame(wider)
    assert run_of(job).facts["versions_added"] == 2
    assert "phone" in api.get(f"{SILVER}customers/sql/").json()["warnings"][0]

    kept = api.get(f"{SILVER}customers/").json()["target_schema"]
    schema = [*kept[:3], {"name": "phone", "type": "string"}, *kept[3:]]
    assert api.patch(f"{SILVER}customers/", {"target_schema": schema}, format="json").status_code == 200
    run = run_of(DatasetJob.objects.get(pk=job.pk))
    assert run.facts["read"] == "its configuration changed"
    rows = open_table(catalog.lake_uri(job.dataset_name)).scan().filter("is_current", pl.col("id") == 1)
    assert rows.select("score", "phone").collect().rows() == [(2.0, "123")]


# --- timelines ---------------------------------------------------------------------------


def test_a_timeline_tells_the_versions_of_a_key_and_what_changed(job, api):
    run_of(job)
    found = api.get(f"{SILVER}customers/timeline/?key=1").json()
    assert found == api.get(f"{SILVER}customers/timeline/?id=1").json()
    assert found["key"] == {"id": 1}
    assert [version["values"]["city"] for version in found["versions"]] == ["Rome", "Oslo", "Rome"]
    assert found["versions"][1]["changed"] == [{"column": "city", "before": "Rome", "after": "Oslo"}]
    assert [version["is_current"] for version in found["versions"]] == [False, False, True]
    closed = api.get(f"{SILVER}customers/timeline/?key=2").json()["versions"]
    assert [version["effective_to"] for version in closed] == ["2026-01-08T00:00:00"]
    assert api.get(f"{SILVER}customers/timeline/?key=99").json()["versions"] == []


@pytest.mark.parametrize(
    ("query", "status", "attr"), [("", 400, "id"), ("?key=one", 400, "id"), ("?key=1&color=red", 400, "color")]
)
def test_a_key_that_is_none_is_refused_at_its_parameter(job, api, query, status, attr):
    run_of(job)
    answer = api.get(f"{SILVER}customers/timeline/{query}")
    assert answer.status_code == status
    assert attr in {error["attr"] for error in answer.json()["errors"]}


def test_a_dimension_that_never_ran_has_no_timeline(job, api):
    answer = api.get(f"{SILVER}customers/timeline/?key=1")
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (409, "table_missing")


def test_other_jobs_have_no_timeline(job, api):
    sql = {"name": "plain", "dataset_type": "dim", "inputs": JOB["inputs"], "sql_text": "select id from c"}
    assert api.post(SILVER, sql, format="json").status_code == 201
    assert api.get(f"{SILVER}plain/timeline/?key=1").status_code == 404
    assert api.post(f"{SILVER}plain/restate/", {"keys": [{"id": 1}]}, format="json").status_code == 404


def test_the_values_of_a_timeline_and_of_a_restatement_go_through_the_policy(job, api, monkeypatch):
    run_of(job)
    put(CORRECTED, "overwrite")
    hidden = lambda user, dataset, rows: ({**row, "city": "•"} for row in rows)  # noqa: E731
    monkeypatch.setattr(scd2, "visible_rows", hidden)
    versions = api.get(f"{SILVER}customers/timeline/?key=1").json()["versions"]
    assert [version["values"]["city"] for version in versions] == ["•", "•", "•"]
    assert [version["changed"] for version in versions] == [[], [], []]
    given = {"keys": [{"id": 1}], "preview": True}
    (example,) = api.post(f"{SILVER}customers/restate/", given, format="json").json()["examples"]
    assert (example["before"]["city"], example["after"]["city"]) == ("•", "•")


# --- restating ---------------------------------------------------------------------------

CORRECTED = [*ROWS[:1], (1, "Lima", 1.0, day(5), None, "y"), *ROWS[2:]]


def test_a_restatement_is_looked_at_before_it_is_run(job, api):
    run_of(job)
    put(CORRECTED, "overwrite")
    given = {"keys": [{"id": 1}], "start_date": "2026-01-05", "end_date": "2026-01-05"}
    preview = api.post(f"{SILVER}customers/restate/", given | {"preview": True}, format="json").json()
    assert (preview["changed"], preview["added"], preview["removed"]) == (1, 0, 0)
    (example,) = preview["examples"]
    assert (example["before"]["city"], example["after"]["city"]) == ("Oslo", "Lima")
    assert open_table(catalog.lake_uri(job.dataset_name)).version == 0

    answer = api.post(f"{SILVER}customers/restate/", given, format="json")
    assert answer.status_code == 202
    waiting = DatasetRun.objects.get(pk=answer.json()["id"])
    assert waiting.options == {"restate": given}
    waiting.delete()
    run = run_of(job, restate=given)
    assert run.facts["restatement"]["keys"] == [{"id": 1}]
    cities = [version["values"]["city"] for version in api.get(f"{SILVER}customers/timeline/?key=1").json()["versions"]]
    assert cities == ["Rome", "Lima", "Rome"]


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"keys": [{"name": "x"}]},
        {"keys": [{"id": "one"}]},
        {"start_date": "2026-02-01", "end_date": "2026-01-01"},
        {"start_date": "yesterday"},
        {"key": 1},
    ],
)
def test_a_restatement_that_says_nothing_sound_is_refused(job, api, given):
    run_of(job)
    answer = api.post(f"{SILVER}customers/restate/", given, format="json")
    assert answer.status_code in (400, 409)
    assert DatasetRun.objects.filter(status=RunStatus.QUEUED).count() == 0


@pytest.mark.parametrize("line", ['{"id": 1', '{"id": ' * 100_000])
def test_a_line_of_the_dialog_that_is_no_key_is_refused_in_words(line):
    with pytest.raises(InvalidSpec, match="no JSON object"):
        _key(line, ["id"])


# --- pages -------------------------------------------------------------------------------


@pytest.fixture
def browser(client, engineer):
    client.force_login(engineer)
    return client


def test_the_page_of_a_dimension_draws_the_timeline_of_a_key(job, browser):
    assert "run the job first" in browser.get(address(job, "job-dimension")).content.decode()
    run_of(job)
    page = browser.get(address(job, "job-detail")).content.decode()
    assert address(job, "job-dimension") in page
    assert "1 file of the input" in page
    assert "Restate" in browser.get(address(job, "job-dimension")).content.decode()
    found = browser.get(address(job, "job-timeline"), {"id": "1"}).content.decode()
    assert found.count('<rect class="version') == 3
    assert "<del>Rome</del> <ins>Oslo</ins>" in found
    assert "has no version" in browser.get(address(job, "job-timeline"), {"id": "99"}).content.decode()
    assert "is no int64" in browser.get(address(job, "job-timeline"), {"id": "<b>"}).content.decode()


def test_the_dialog_shows_what_a_restatement_changes_and_starts_it(job, browser):
    run_of(job)
    put(CORRECTED, "overwrite")
    shown = browser.post(address(job, "job-restate-preview"), {"keys": "1\n2", "start_date": ""}).content.decode()
    assert "<del>Oslo</del> <ins>Lima</ins>" in shown
    assert "is no int64" in browser.post(address(job, "job-restate-preview"), {"keys": "x"}).content.decode()
    answer = browser.post(address(job, "job-restate"), {"keys": "1"})
    run = DatasetRun.objects.get(status=RunStatus.QUEUED)
    assert run.options == {"restate": {"keys": [{"id": "1"}]}}
    assert answer.status_code == 302


def test_who_may_not_change_the_workflow_may_not_restate(job, client, django_user_model):
    run_of(job)
    client.force_login(django_user_model.objects.create_user("guest"))
    assert client.post(address(job, "job-restate"), {"keys": "1"}).status_code in (403, 404)
    assert DatasetRun.objects.filter(status=RunStatus.QUEUED).count() == 0
