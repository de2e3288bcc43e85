"""The admin: everything is there, nothing runs on GET, and who may not does not see."""

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group, Permission
from django.urls import reverse
from django.utils import timezone
from django_celery_beat.models import ClockedSchedule, CrontabSchedule, IntervalSchedule, PeriodicTask, SolarSchedule
from rest_framework.authtoken.models import Token

from catalog.models import Dataset
from datasets.models import MetricDefinition
from ingest.models import Upload
from ops.models import PipelineRun, Step
from tests.factories import make_connection, make_dataset_job, make_ingest_job, make_run, make_step, make_workflow
from workers.ids import new_run_id

pytestmark = pytest.mark.django_db

MODELS = sorted(admin.site._registry, key=lambda model: model._meta.label)


def _address(model, what, *args):
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{what}", args=args)


@pytest.fixture
def shop():
    workflow = make_workflow()
    job = make_ingest_job(workflow)
    fact = make_dataset_job(workflow)
    run = make_run(workflow)
    make_step(run, job)
    step = make_step(run, fact, kind="silver", layer="silver")
    step.logs.create(at=step.start_time, message="Published version 1.")
    run = job.runs.create(step_id=step.pk)
    job.loaded_files.create(run=run, name="orders-1.csv", size=10, sha256="0" * 64)
    job.watermarks.create(run=run, value="2026-11-22", cause="run")
    job.contract_changes.create(run=run, column="amount", change="type", old="int64", new="string")
    fact.runs.create(step_id=step.pk)
    return workflow


@pytest.fixture
def furniture(engineer):
    """One record of each kind that a workflow does not bring with it."""
    Group.objects.create(name="analysts")
    Token.objects.create(user=engineer)
    Upload.objects.create(name="orders.csv", size=10, sha256="0" * 64)
    make_connection("erp")
    dataset = Dataset.objects.create(name="gold.other.sales", layer="gold", workflow="other", path="gold/other/sales")
    dataset.versions.create(
        version=1, run_id=new_run_id(), rows=1, rows_written=1, size_bytes=1, published_at=timezone.now()
    )
    crontab = CrontabSchedule.objects.create()
    PeriodicTask.objects.create(name="reap", task="ops.tasks.reap", crontab=crontab)
    IntervalSchedule.objects.create(every=1, period="hours")
    ClockedSchedule.objects.create(clocked_time=timezone.now())
    SolarSchedule.objects.create(event="sunrise", latitude=52, longitude=13)
    MetricDefinition.objects.create(name="revenue", expression="sum(amount)")


@pytest.fixture
def nobody(client, django_user_model):
    """Somebody who may log in and has no rights at all."""
    client.force_login(django_user_model.objects.create_user("nobody", password="secret"))
    return client


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model._meta.label)
def test_every_kind_of_record_has_a_list(client, engineer, shop, model):
    client.force_login(engineer)
    assert client.get(_address(model, "changelist")).status_code == 200


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model._meta.label)
def test_every_record_can_be_opened(client, engineer, shop, furniture, model):
    client.force_login(engineer)
    record = model.objects.first()
    assert client.get(_address(model, "change", record.pk)).status_code == 200


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model._meta.label)
def test_without_the_permission_a_list_is_forbidden(nobody, shop, model):
    assert nobody.get(_address(model, "changelist")).status_code == 403


def test_the_index_names_no_record_to_somebody_without_rights(nobody, shop):
    response = nobody.get("/admin/")
    assert response.status_code == 200
    assert response.context["app_list"] == []


def test_product_pages_are_open_to_everybody_who_may_log_in(nobody, shop):
    assert nobody.get("/workflows/shop/").status_code == 200


@pytest.mark.parametrize("model", [PipelineRun, Step])
def test_what_runs_made_cannot_be_changed_by_hand(client, engineer, shop, model):
    client.force_login(engineer)
    record = model.objects.first()
    assert client.get(_address(model, "add")).status_code == 403
    assert client.post(_address(model, "delete", record.pk), {"post": "yes"}).status_code == 403
    assert client.post(_address(model, "change", record.pk), {"status": "failed"}).status_code == 403


def _run_action(workflow):
    return f"/admin/ops/workflow/{workflow.pk}/run/"


SUBMITTED = {"_form_submitted": "1"}


def test_opening_the_run_dialog_starts_nothing(client, engineer, shop):
    client.force_login(engineer)
    before = PipelineRun.objects.count()
    response = client.get(_run_action(shop))
    assert "Run this workflow now?" in response.content.decode()
    assert PipelineRun.objects.count() == before


def test_run_now_starts_the_run_and_leads_to_its_page(client, engineer, shop):
    client.force_login(engineer)
    make_dataset_job(shop, "other")
    response = client.post(_run_action(shop), SUBMITTED)
    run = PipelineRun.objects.latest("id")
    assert run.started_by == engineer
    assert response.headers["HX-Redirect"] == f"/runs/{run.pk}/"


def test_run_now_leads_back_with_the_reason_where_nothing_can_run(client, engineer):
    client.force_login(engineer)
    bare = make_workflow("bare")
    response = client.post(_run_action(bare), SUBMITTED)
    assert response.headers["HX-Redirect"] == f"/admin/ops/workflow/{bare.pk}/change/"
    assert "There is nothing to run in bare." in client.get(response.headers["HX-Redirect"]).content.decode()


def test_run_now_is_not_for_those_who_may_only_look(client, django_user_model, shop):
    viewer = django_user_model.objects.create_user("viewer", password="secret", is_staff=True)
    viewer.user_permissions.add(Permission.objects.get(codename="view_workflow"))
    client.force_login(viewer)
    before = PipelineRun.objects.count()
    assert "Run now" not in client.get(_address(type(shop), "change", shop.pk)).content.decode()
    assert client.post(_run_action(shop), SUBMITTED).status_code == 403
    assert PipelineRun.objects.count() == before


def test_a_refused_job_is_explained_at_its_field(client, engineer, shop):
    client.force_login(engineer)
    job = shop.ingestjobs.get()
    fields = {name: value for name, value in _admin_values(job).items() if value is not None}
    fields |= {"config": '{"file": {"path": "orders.csv", "csv": {"delimiter": "too long"}}}'}
    response = client.post(_address(type(job), "change", job.pk), fields)
    assert response.status_code == 200
    assert "file.csv.delimiter" in str(response.context["adminform"].form.errors["config"])


def _admin_values(job):
    plain = ("description", "source_type", "format", "schema_mode", "write_mode", "incremental_mode")
    more = ("error_handling", "partition_mode", "partition_pattern", "compression", "bad_row_threshold")
    return {name: getattr(job, name) for name in (*plain, *more)} | {"user_schema": "[]"}
