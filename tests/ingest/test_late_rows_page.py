"""What the pages tell of watermarks and late rows."""

import json

import pytest
from django.urls import reverse

from ingest import late_rows
from ingest.models import IngestRun, WatermarkChange
from tests.factories import make_ingest_job
from workers.ids import new_run_id

PLACE = "/workflows/shop/ingest-jobs/orders/"


@pytest.fixture
def orders(shop):
    return make_ingest_job(
        shop,
        incremental_mode="incremental",
        watermark_column="at",
        watermark_lag="10m",
        last_watermark_value="2026-11-02T10:00:00",
    )


def ran(job, written: int, **late) -> IngestRun:
    last = job.runs.order_by("-pk").values_list("pk", flat=True).first()
    facts = {"rows_written": written, "facts": {"late": late}}
    return IngestRun.objects.create(id=new_run_id(after=last), job=job, status="success", **facts)


@pytest.fixture
def late_runs(orders):
    ran(orders, 1500, caught=1, missed=1, max_seconds=2820.0, buckets={"300": 1, "3600": 1}, missed_buckets={"3600": 1})
    ran(orders, 1497, caught=3, missed=2, max_seconds=1800.0, buckets={"300": 3, "3600": 2}, missed_buckets={"3600": 2})


@pytest.mark.django_db
def test_lateness_is_summed_up_over_the_runs_and_missed_rows_counted_once(orders, late_runs):
    told = late_rows.of_job(orders)
    assert (told.caught, told.missed, told.rows, told.advice) == (4, 2, 2999, "1h")
    assert [(bar.rows, bar.missed) for bar in told.bars if bar.rows] == [(4, 0), (2, 2)]
    assert told.sentence == "0.2 % of the rows came up to 47 min late; the lag is 10m; 1 h would have caught all."


@pytest.mark.django_db
def test_a_lag_that_is_long_enough_is_told_so(orders):
    ran(orders, 10, caught=1, missed=0, max_seconds=90.0, buckets={"300": 1})
    assert late_rows.of_job(orders).sentence.endswith("up to 1.5 min late; the lag is 10m; it caught all of them.")


@pytest.mark.django_db
def test_nothing_is_told_where_nothing_was_measured(orders):
    assert late_rows.of_job(orders) is None


@pytest.mark.django_db
def test_the_page_shows_the_meter(client, engineer, orders, late_runs):
    client.force_login(engineer)
    shown = client.get(f"{PLACE}late-rows/").content.decode()
    assert "1 h would have caught all" in shown
    assert shown.count("<rect") == 8
    assert "2 at the source are in no table yet" in shown


@pytest.mark.django_db
def test_the_page_shows_the_history_and_sets_the_watermark_back(client, engineer, orders):
    WatermarkChange.objects.create(job=orders, value="2026-11-02T10:00:00", previous=None, cause="run", table_version=3)
    client.force_login(engineer)
    assert "looks 10m back" in client.get(f"{PLACE}watermarks/").content.decode()
    shown = client.post(f"{PLACE}rewind/", {"value": "2026-11-01T00:00:00", "reason": "gap"}).content.decode()
    assert "2026-11-01T00:00:00" in shown
    assert "gap" in shown
    change = orders.watermarks.first()
    assert (change.value, change.changed_by, change.reason) == ("2026-11-01T00:00:00", engineer, "gap")
    client.post(f"{PLACE}rewind/", {"value": ""})
    orders.refresh_from_db()
    assert orders.last_watermark_value is None


@pytest.mark.django_db
def test_a_rewind_that_cannot_be_is_explained_on_the_page(client, engineer, orders):
    IngestRun.objects.create(job=orders, status="running")
    client.force_login(engineer)
    assert "is running" in client.post(f"{PLACE}rewind/", {"value": ""}).content.decode()
    assert not orders.watermarks.exists()


@pytest.mark.django_db
def test_who_may_not_change_jobs_has_no_form_for_it(client, django_user_model, orders):
    client.force_login(django_user_model.objects.create_user("viewer"))
    assert "<form" not in client.get(f"{PLACE}watermarks/").content.decode()
    assert client.post(f"{PLACE}rewind/", {"value": ""}).status_code == 403


@pytest.mark.django_db
def test_a_value_that_is_written_in_the_admin_is_a_change_like_any_other(client, engineer, orders):
    client.force_login(engineer)
    address = reverse("admin:ingest_ingestjob_change", args=[orders.pk])
    shown = client.get(address).context["adminform"].form
    values = {name: shown.get_initial_for_field(field, name) for name, field in shown.fields.items()}
    values = {name: value for name, value in values.items() if value not in (None, False)}
    values = {name: value if isinstance(value, str | bool) else json.dumps(value) for name, value in values.items()}
    answer = client.post(address, values | {"last_watermark_value": '"2026-11-01T00:00:00"'})
    assert answer.status_code == 302, answer.context["adminform"].form.errors
    assert [(change.value, change.changed_by) for change in orders.watermarks.all()] == [
        ("2026-11-01T00:00:00", engineer)
    ]
