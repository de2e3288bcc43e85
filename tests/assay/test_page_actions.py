"""What people set going on the pages: runs of a part, deleting."""

from datetime import date

import pytest

from assay.common.runs import RunStatus
from catalog.models import Dataset
from datasets.models import DatasetJob
from ingest.models import IngestJob
from ops.models import PipelineRun, Workflow
from tests.factories import make_dataset_job, make_ingest_job, make_run, make_step, make_workflow

pytestmark = pytest.mark.django_db


@pytest.fixture
def page(client, engineer):
    client.force_login(engineer)
    return client


@pytest.fixture
def shop():
    workflow = make_workflow()
    make_ingest_job(workflow)
    make_ingest_job(workflow, "weather")
    make_dataset_job(workflow)
    return workflow


def _steps(run: PipelineRun) -> set[str]:
    return set(run.steps.values_list("job_name", flat=True))


# --- runs with options --------------------------------------------------------------------


def test_a_run_may_have_some_jobs_and_a_window(page, shop):
    fields = {"what": "some", "only": ["orders", "weather"], "start_date": "2026-11-01", "end_date": "2026-11-07"}
    page.post("/workflows/shop/run/", fields)
    run = PipelineRun.objects.get()
    assert _steps(run) == {"orders", "weather"}
    assert (run.start_date, run.end_date) == (date(2026, 11, 1), date(2026, 11, 7))


def test_jobs_that_were_ticked_do_not_count_when_all_are_asked_for(page, shop):
    page.post("/workflows/shop/run/", {"what": "all", "only": ["orders"]})
    assert _steps(PipelineRun.objects.get()) == {"orders", "weather", "orders_fact"}


def test_a_run_may_go_on_from_what_failed(page, shop):
    failed = make_run(shop, RunStatus.FAILED)
    make_step(failed, IngestJob.objects.get(name="orders"))
    make_step(failed, DatasetJob.objects.get(), RunStatus.FAILED, "silver", "silver")
    assert f"What run #{failed.pk} did not get done" in page.get("/workflows/shop/").content.decode()
    page.post("/workflows/shop/run/", {"what": "failed"})
    run = PipelineRun.objects.latest("id")
    assert run.retry_of == failed
    assert _steps(run) == {"orders_fact"}


REFUSED = [
    ({"what": "some"}, "Jobs: Choose at least one."),
    ({"what": "some", "only": ["nothing"]}, "nothing is not one of the available choices"),
    ({"start_date": "soon"}, "From: Enter a valid date."),
    ({"start_date": "2026-11-02", "end_date": "2026-11-01"}, "before it starts"),
    ({"what": "failed"}, "has not run yet"),
]


@pytest.mark.parametrize(("fields", "words"), REFUSED)
def test_a_run_that_makes_no_sense_is_explained_and_not_started(page, shop, fields, words):
    assert words in page.post("/workflows/shop/run/", fields, follow=True).content.decode()
    assert not PipelineRun.objects.exists()


# --- deleting ---------------------------------------------------------------------------------

JOBS = ["/workflows/shop/ingest-jobs/weather/", "/workflows/shop/silver-jobs/orders_fact/"]


@pytest.mark.parametrize("job", JOBS)
def test_a_job_is_deleted_from_its_form(page, shop, job):
    assert f'action="{job}delete/"' in page.get(f"{job}edit/").content.decode()
    assert page.post(f"{job}delete/").url == "/workflows/shop/"
    assert page.get(job).status_code == 404


def test_a_workflow_is_deleted_with_its_jobs_from_its_form(page, shop):
    assert 'action="/workflows/shop/delete/"' in page.get("/workflows/shop/edit/").content.decode()
    page.post("/workflows/shop/delete/")
    assert not Workflow.objects.exists()
    assert not IngestJob.objects.exists()
    assert not Dataset.objects.exists()


def test_what_is_running_is_not_deleted(page, shop):
    page.post("/workflows/shop/ingest-jobs/orders/run/")
    for address in ("/workflows/shop/delete/", "/workflows/shop/ingest-jobs/orders/delete/"):
        assert "Cancel" in page.post(address, follow=True).content.decode()
    assert IngestJob.objects.filter(name="orders").exists()


@pytest.mark.parametrize("address", ["/workflows/shop/", *JOBS])
def test_nobody_deletes_without_the_permission_or_by_following_a_link(client, page, shop, address, django_user_model):
    assert page.get(f"{address}delete/").status_code == 405
    client.force_login(django_user_model.objects.create_user("viewer", password="secret"))
    assert client.post(f"{address}delete/").status_code == 403
    assert IngestJob.objects.count() == 2


def test_names_that_are_part_of_an_address_are_refused(page, shop):
    text = page.post("/workflows/new/", {"name": "New", "slug": "new"}).content.decode()
    assert "is part of an address" in text
