"""How far a job has read: told by the table, mirrored for people, set back by them."""

import shutil
from datetime import date

import pytest
from django.core.management import call_command

from catalog import services as catalog
from catalog.models import Dataset
from ingest import watermarks
from ingest.models import IngestJob
from ops import services
from ops.models import PipelineRun
from tests.factories import make_ingest_job
from workers.lake.state import state_of
from workers.lake.table import open_table

JOBS = "/api/workflows/shop/ingest-jobs/"
ORDERS = f"{JOBS}orders/"
HEAD = "id,at,note\n"


@pytest.fixture
def orders(shop, inbox):
    """Loads what lies in the inbox, file by file, by a column of days."""
    (inbox / "orders-1.csv").write_text(HEAD + "1,2026-11-01,a\n2,2026-11-02,b\n")
    return make_ingest_job(
        shop, incremental_mode="incremental", watermark_column="at", write_mode="append", skip_loaded_files=False
    )


def load(job, **window):
    run = services.start_job_run("ingest", job, send=False, **window)
    ended = services.run_in_process(run)
    assert ended.status == "success", list(ended.steps.values("error"))
    job.refresh_from_db()
    return job.runs.latest("pk")


def days(job) -> list[int]:
    rows = open_table(catalog.lake_uri(job.bronze_name)).scan().collect()
    return sorted(rows["id"])


def history(job) -> list[tuple]:
    return [(change.cause, change.value) for change in job.watermarks.all()]


@pytest.mark.django_db
def test_each_run_goes_on_where_the_last_one_ended_and_its_value_is_in_the_history(orders, inbox):
    first = load(orders)
    assert (first.last_watermark_value, orders.last_watermark_value) == ("2026-11-02", "2026-11-02")
    (inbox / "orders-2.csv").write_text(HEAD + "3,2026-11-03,c\n")
    second = load(orders)
    assert second.skipped == {"before_watermark": 1, "already_loaded": 1}
    assert (second.rows_read, second.rows_written) == (1, 1)
    assert days(orders) == [1, 2, 3]
    assert history(orders) == [("run", "2026-11-03"), ("run", "2026-11-02")]
    assert orders.watermarks.first().run == second
    load(orders)
    assert len(history(orders)) == 2


@pytest.mark.django_db
def test_a_rollback_of_the_table_takes_the_watermark_back(orders, inbox):
    load(orders)
    (inbox / "orders-2.csv").write_text(HEAD + "3,2026-11-03,c\n")
    load(orders)
    catalog.rollback(Dataset.objects.get(name=orders.bronze_name), 0)
    assert [change.value for change in watermarks.reconcile_all()] == ["2026-11-02"]
    assert history(orders)[0] == ("rollback", "2026-11-02")
    load(orders)
    assert days(orders) == [1, 2, 3]


@pytest.mark.django_db
def test_a_mirror_that_is_wrong_decides_nothing_and_is_corrected(orders, inbox):
    load(orders)
    IngestJob.objects.update(last_watermark_value="2026-12-24")
    (inbox / "orders-2.csv").write_text(HEAD + "3,2026-11-03,c\n")
    load(orders)
    assert days(orders) == [1, 2, 3]
    assert history(orders)[1] == ("reconciled", "2026-11-02")
    assert list(watermarks.reconcile_all()) == []


@pytest.mark.django_db
def test_a_table_that_is_gone_is_loaded_again_from_the_initial_value(orders, inbox):
    load(orders)
    shutil.rmtree(catalog.lake_uri(orders.bronze_name))
    load(orders)
    assert days(orders) == [1, 2]


@pytest.mark.django_db
def test_the_initial_value_is_set_through_the_api_and_begins_the_first_run(api, orders):
    answer = api.patch(ORDERS, {"last_watermark_value": "2026-11-02"}, format="json")
    assert answer.status_code == 200
    assert history(orders) == [("initial", "2026-11-02")]
    load(orders)
    assert days(orders) == [2]


@pytest.mark.django_db
def test_writing_the_value_after_a_run_is_a_rewind(api, orders, engineer):
    load(orders)
    assert api.patch(ORDERS, {"last_watermark_value": "2026-11-01"}, format="json").status_code == 200
    change = orders.watermarks.first()
    assert (change.cause, change.value, change.previous) == ("rewind", "2026-11-01", "2026-11-02")
    assert change.changed_by == engineer
    assert state_of(catalog.lake_uri(orders.bronze_name)).watermark == {"column": "at", "value": "2026-11-01"}


@pytest.mark.django_db
def test_sending_a_job_back_as_it_was_sets_nothing_back(api, orders):
    load(orders)
    shown = api.get(ORDERS).json()
    assert api.put(ORDERS, shown, format="json").status_code == 200
    assert history(orders) == [("run", "2026-11-02")]


@pytest.mark.django_db
@pytest.mark.parametrize(("value", "kept"), [("2026-11-01T17:30:00Z", "2026-11-01"), (None, None)])
def test_a_rewind_is_audited_and_reads_again_without_doubling(api, orders, inbox, engineer, value, kept):
    load(orders)
    answer = api.post(f"{ORDERS}rewind/", {"value": value, "reason": "a file came late"}, format="json")
    assert answer.status_code == 200, answer.json()
    told = answer.json()
    assert (told["cause"], told["value"], told["changed_by"], told["reason"]) == (
        "rewind", kept, "engineer", "a file came late",
    )  # fmt: skip
    assert told["table_version"] == 1
    (inbox / "orders-0.csv").write_text(HEAD + "9,2026-11-01,late\n")
    load(orders)
    assert days(orders) == [1, 2, 9]
    page = api.get(f"{ORDERS}watermarks/").json()
    assert [one["cause"] for one in page["results"]] == ["run", "rewind", "run"]


@pytest.mark.django_db
@pytest.mark.parametrize("value", [{"a": 1}, [1], True, "soon", 17])
def test_a_value_that_is_none_of_the_column_is_refused(api, orders, value):
    load(orders)
    answer = api.post(f"{ORDERS}rewind/", {"value": value}, format="json")
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, "invalid_watermark")
    assert orders.watermarks.count() == 1


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("kind", "value"),
    [("int64", 2**63), ("int8", 128), ("float64", "1e400"), ("float64", "nan"), ("decimal(9,2)", "NaN")],
)
def test_a_value_that_no_row_can_have_is_refused_on_the_page_too(client, engineer, shop, inbox, kind, value):
    columns = [{"name": "at", "type": kind}]
    config = {"file": {"path": "/inbox/*.csv"}}
    job = make_ingest_job(
        shop,
        config=config,
        incremental_mode="incremental",
        watermark_column="at",
        schema_mode="user",
        user_schema=columns,
    )
    client.force_login(engineer)
    address = f"/workflows/shop/ingest-jobs/{job.name}/rewind/"
    page = client.post(address, {"value": value, "reason": "r" * 400}).content.decode()
    assert f"is no {kind}" in page
    assert not job.watermarks.exists()
    assert client.post(address, {"value": "-5", "reason": "r" * 400}).status_code == 200
    assert (job.watermarks.get().value, job.watermarks.get().reason) == (-5, "r" * 300)


@pytest.mark.django_db
def test_nothing_is_set_back_while_the_job_runs(api, orders):
    load(orders)
    services.start_job_run("ingest", orders, send=False)
    answer = api.post(f"{ORDERS}rewind/", {"value": None}, format="json")
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (409, "job_is_running")


@pytest.mark.django_db
def test_a_job_that_loads_in_full_has_nothing_to_set_back(api, shop, inbox):
    make_ingest_job(shop)
    assert api.post(f"{ORDERS}rewind/", {"value": 1}, format="json").json()["errors"][0]["code"] == "no_watermark"


@pytest.mark.django_db
def test_who_may_not_change_jobs_sets_nothing_back(orders, django_user_model):
    from rest_framework.test import APIClient

    client = APIClient()
    client.force_authenticate(django_user_model.objects.create_user("viewer"))
    assert client.post(f"{ORDERS}rewind/", {"value": None}, format="json").status_code == 403


@pytest.mark.django_db
def test_another_column_is_read_from_the_beginning_and_doubles_nothing(api, orders, inbox):
    load(orders)
    assert api.patch(ORDERS, {"watermark_column": "id"}, format="json").status_code == 200
    (inbox / "orders-2.csv").write_text(HEAD + "3,2026-11-01,late by day and new by number\n")
    run = load(orders)
    assert (run.skipped, run.last_watermark_value) == ({"already_loaded": 2}, 3)
    assert days(orders) == [1, 2, 3]


# --- single days ------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_a_run_of_single_days_replaces_their_rows(api, orders, inbox):
    load(orders)
    (inbox / "orders-1.csv").write_text(HEAD + "7,2026-11-02,corrected\n8,2026-11-04,not asked for\n")
    answer = api.post(f"{ORDERS}run/", {"from": "2026-11-02", "to": "2026-11-02"}, format="json")
    assert answer.status_code == 202
    assert answer.json()["window"] == {"start_date": "2026-11-02", "end_date": "2026-11-02"}
    services.run_in_process(PipelineRun.objects.latest("pk"))
    run = orders.runs.latest("pk")
    assert (run.status, run.skipped, run.deleted_rows) == ("success", {"outside_window": 1}, 1)
    assert days(orders) == [1, 7]
    orders.refresh_from_db()
    assert orders.last_watermark_value == "2026-11-02"


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("body", "attr"),
    [
        ({"from": "2026-11-03", "to": "2026-11-02"}, "to"),
        ({"from": "yesterday"}, "from"),
        ({"since": "2026-11-02"}, "since"),
    ],
)
def test_days_that_are_none_are_refused(api, orders, body, attr):
    answer = api.post(f"{ORDERS}run/", body, format="json")
    assert (answer.status_code, answer.json()["errors"][0]["attr"]) == (400, attr)
    assert not orders.runs.exists()


@pytest.mark.django_db
def test_a_job_whose_rows_have_no_days_is_not_asked_for_some(api, shop, orders):
    IngestJob.objects.update(incremental_mode="full")
    answer = api.post(f"{ORDERS}run/", {"from": "2026-11-03"}, format="json").json()
    assert "this one loads in full" in answer["errors"][0]["detail"]


@pytest.mark.django_db
def test_the_days_of_a_workflow_are_for_jobs_whose_rows_have_days(orders, shop, inbox):
    (inbox / "items-1.csv").write_text("id,number\n1,10\n")
    items = make_ingest_job(
        shop, "items", incremental_mode="incremental", watermark_column="number", write_mode="append"
    )
    plain = make_ingest_job(shop, "plain", config={"file": {"path": "items-*.csv"}})
    load(orders)
    run = services.start_run(shop, start_date=date(2026, 11, 1), end_date=date(2026, 11, 1), send=False)
    assert services.run_in_process(run).status == "success"
    windows = {job.name: job.runs.latest("pk").window for job in (orders, items, plain)}
    assert windows == {"orders": {"start_date": "2026-11-01", "end_date": "2026-11-01"}, "items": {}, "plain": {}}
    assert days(orders) == [1, 2]


# --- what is refused when a job is saved ----------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("changes", "attr"),
    [
        ({"watermark_lag": "soon"}, "watermark_lag"),
        ({"watermark_column": "_ingested_at"}, "watermark_column"),
        ({"key_columns": "id"}, "key_columns"),
        ({"key_columns": ["id", "ID"]}, "key_columns"),
        ({"key_columns": ["_run_id"]}, "key_columns"),
        ({"write_mode": "merge"}, "key_columns"),
        ({"delete_detection": "soft"}, "delete_detection"),
        ({"write_mode": "merge", "key_columns": ["id"], "delete_detection": "hard"}, "delete_detection"),
    ],
)
def test_options_that_contradict_each_other_are_told_at_their_field(api, orders, changes, attr):
    answer = api.patch(ORDERS, changes, format="json")
    assert answer.status_code == 400
    assert attr in {error["attr"] for error in answer.json()["errors"]}


@pytest.mark.django_db
def test_a_merge_with_deletes_runs_as_a_full_load(api, orders, inbox):
    changes = {"incremental_mode": "full", "watermark_column": "", "write_mode": "merge",
               "key_columns": ["id"], "delete_detection": "soft", "watermark_lag": ""}  # fmt: skip
    assert api.patch(ORDERS, changes, format="json").status_code == 200
    load(orders)
    (inbox / "orders-1.csv").write_text(HEAD + "2,2026-11-02,B\n")
    orders.refresh_from_db()
    run = load(orders)
    assert (run.deleted_rows, run.rows_written) == (1, 1)
    assert api.get(f"/api/ingest-runs/{run.pk}/").json()["deleted_rows"] == 1


@pytest.mark.django_db
def test_the_command_corrects_what_the_database_shows(orders, capsys):
    load(orders)
    IngestJob.objects.update(last_watermark_value="2026-12-24")
    call_command("reconcile_watermarks")
    assert "'2026-12-24' is '2026-11-02' in the table" in capsys.readouterr().out
    orders.refresh_from_db()
    assert orders.last_watermark_value == "2026-11-02"
