"""Snapshots as a job: what is filled in, what a backfill builds, what the page tells."""

from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest

from datasets.models import DatasetJob
from ops import services
from ops.local import run_in_process
from tests.datasets.test_conform_jobs import put
from workers.lake.table import open_table

pytestmark = pytest.mark.django_db

PAGE = "/workflows/shop/gold-jobs/daily/snapshots/"
JOB = {
    "name": "daily",
    "dataset_type": "snapshot",
    "transform_type": "snapshot",
    "inputs": [{"dataset": "bronze.shop.status", "alias": "status"}],
    "config": {"base": "status", "grain": "day", "event_time_column": "at", "key_columns": ["id"]},
}


@pytest.fixture
def status(shop, settings):
    at = [datetime(2026, 3, day, 12, tzinfo=UTC) for day in (1, 2, 4)]
    put(settings, "status", pl.DataFrame({"id": [1, 1, 2], "status": ["new", "paid", "new"], "at": at}))


def post(api, **changes):
    return api.post("/api/workflows/shop/gold-jobs/", {**JOB, **changes}, format="json")


@pytest.fixture
def daily(status, api):
    answer = post(api)
    assert answer.status_code == 201, answer.json()
    return DatasetJob.objects.get(name="daily")


def run(job, **window):
    run_in_process(services.start_job_run("gold", job, send=False, **window))
    done = job.runs.latest("created_at")
    assert done.status == "success", done.error
    return done


def rows(settings):
    found = open_table(f"{settings.ASSAY_LAKE_URL}/gold/shop/daily").scan().sort("snapshot_date", "id").collect()
    return found.select("snapshot_date", "id", "status").rows()


def test_it_is_kept_by_days_without_anybody_saying_so(daily):
    assert (daily.refresh_mode, daily.partition_by) == ("overwrite_partition", ["snapshot_date"])
    assert [column["name"] for column in daily.target_schema] == ["snapshot_date", "id", "status", "at"]


def test_a_backfill_builds_the_days_of_its_window(daily, settings):
    run(daily, start_date=date(2026, 3, 1), end_date=date(2026, 3, 4))
    assert rows(settings) == [
        (date(2026, 3, 1), 1, "new"),
        (date(2026, 3, 2), 1, "paid"),
        (date(2026, 3, 3), 1, "paid"),
        (date(2026, 3, 4), 1, "paid"),
        (date(2026, 3, 4), 2, "new"),
    ]


def test_a_run_without_a_window_builds_the_day_it_runs_on(daily, settings, client, engineer):
    done = run(daily)
    today = datetime.now(UTC).date()
    assert {row[0] for row in rows(settings)} <= {today, today - timedelta(days=1)}
    assert done.facts["snapshot"]["built"] == 1
    client.force_login(engineer)
    assert "Not over yet" in client.get(PAGE).text
    assert PAGE in client.get("/workflows/shop/gold-jobs/daily/").text


def test_a_range_may_be_made_anew(status, api, settings):
    config = {**JOB["config"], "as_of": {"start_date": "2026-03-01", "end_date": "2026-03-02"}}
    answer = post(api, config=config, refresh_mode="full_refresh")
    assert (answer.status_code, answer.json()["partition_by"]) == (201, [])
    run(DatasetJob.objects.get(name="daily"))
    assert rows(settings) == [(date(2026, 3, 1), 1, "new"), (date(2026, 3, 2), 1, "paid")]


def test_the_sql_and_a_preview_show_what_a_run_would_do(daily, api):
    told = api.get("/api/workflows/shop/gold-jobs/daily/sql/").json()
    assert "assay_periods" in told["sql"]
    answer = api.post("/api/workflows/shop/gold-jobs/daily/preview/")
    assert answer.status_code == 200, answer.json()
    assert {row["id"] for row in answer.json()["rows"]} == {1, 2}


@pytest.mark.parametrize(
    ("config", "field"),
    [
        ({"event_time_column": None}, "config.event_time_column"),
        ({"event_time_column": "status"}, "config.event_time_column"),
        ({"event_time_column": "when"}, "config.event_time_column"),
        ({"key_columns": []}, "config.key_columns"),
        ({"key_columns": ["nr"]}, "config.key_columns.0"),
        ({"effective_from_column": "at"}, "config.event_time_column"),
        (
            {"event_time_column": None, "effective_from_column": "at", "effective_to_column": "at"},
            "config.effective_to_column",
        ),
        ({"snapshot_column": "status"}, "config.snapshot_column"),
        ({"time_zone": "Mars/Olympus"}, "config.time_zone"),
        ({"as_of": {"start_date": "2026-03-02", "end_date": "2026-03-01"}}, "config.as_of"),
        ({"as_of": {"start_date": "1026-03-02", "end_date": "2026-03-01"}}, "config.as_of"),
        ({"as_of": {"start_date": "2026-13-02"}}, "config.as_of.start_date"),
        ({"retention": {"keep": 0}}, "config.retention.keep"),
    ],
)
def test_what_is_wrong_is_told_at_its_field(status, api, config, field):
    answer = post(api, config={**JOB["config"], **config})
    assert answer.status_code == 400
    assert field in [error["attr"] for error in answer.json()["errors"]]


def test_other_partitions_than_its_own_are_refused(status, api):
    answer = post(api, partition_by=["status"])
    assert [(error["attr"]) for error in answer.json()["errors"]] == ["partition_by"]
