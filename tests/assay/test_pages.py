"""The pages that everybody sees: they render empty and filled, in a fixed number of queries, and ask for rights."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from assay.common.runs import RunStatus
from tests.factories import make_dataset_job, make_ingest_job, make_run, make_step, make_workflow

pytestmark = pytest.mark.django_db


@pytest.fixture
def page(client, engineer):
    client.force_login(engineer)
    return client


@pytest.fixture
def shop():
    workflow = make_workflow()
    orders = make_ingest_job(workflow)
    fact = make_dataset_job(workflow)
    run = make_run(workflow, RunStatus.FAILED)
    make_step(run, orders, rows_read=1200, rows_written=1190, quarantined_rows=10)
    error = {"code": "query_failed", "message": "A cast failed.", "hint": "Look at amount."}
    make_step(run, fact, RunStatus.FAILED, "silver", "silver", error=error)
    return workflow


EMPTY = ["/", "/workflows/", "/workflows/new/", "/runs/", "/datasets/", "/admin/"]


@pytest.mark.parametrize("address", EMPTY)
def test_pages_say_what_to_do_when_there_is_nothing(page, address):
    assert page.get(address).status_code == 200


def test_home_of_a_new_installation_offers_the_first_workflow_and_the_demo(page):
    text = page.get("/").content.decode()
    assert "Create your first workflow" in text
    assert "make demo" in text


def test_home_shows_what_failed_with_its_remedy_and_a_way_there(page, shop):
    text = page.get("/").content.decode()
    step = shop.pipeline_runs.get().steps.get(status="failed")
    assert "A cast failed." in text
    assert "Look at amount." in text
    assert f"/runs/{step.pipeline_run_id}/?step={step.pk}" in text


def test_the_workflow_page_draws_every_dataset_from_source_to_gold(page, shop):
    text = page.get("/workflows/shop/").content.decode()
    for name in ("source.shop.orders", "landing.shop.orders", "bronze.shop.orders", "silver.shop.orders_fact"):
        assert f'data-id="{name}"' in text
    assert 'data-source="bronze.shop.orders" data-target="silver.shop.orders_fact"' in text


FILLED = [
    "/",
    "/workflows/",
    "/workflows/shop/",
    "/workflows/shop/edit/",
    "/workflows/shop/ingest-jobs/new/",
    "/workflows/shop/ingest-jobs/orders/",
    "/workflows/shop/ingest-jobs/orders/edit/",
    "/workflows/shop/silver-jobs/new/",
    "/workflows/shop/gold-jobs/new/",
    "/workflows/shop/silver-jobs/orders_fact/",
    "/workflows/shop/silver-jobs/orders_fact/edit/",
    "/workflows/shop/silver-jobs/orders_fact/sql/",
    "/runs/",
    "/runs/?status=failed&workflow=shop",
    "/datasets/",
    "/datasets/?q=orders&layer=bronze",
    "/datasets/bronze.shop.orders/",
    "/datasets/bronze.shop.orders/sample/",
    "/datasets/landing.shop.orders/",
]


@pytest.mark.parametrize("address", FILLED)
def test_pages_render_with_something_in_them(page, shop, address):
    response = page.get(address)
    assert response.status_code == 200
    assert "{{" not in response.content.decode()


@pytest.mark.parametrize("address", ["/", "/workflows/", "/workflows/shop/", "/runs/", "/datasets/"])
def test_pages_need_a_log_in(client, shop, address):
    assert client.get(address).url == f"/admin/login/?next={address}"


@pytest.mark.parametrize("address", ["/workflows/nothing/", "/runs/4711/", "/datasets/bronze.no.such/", "/nothing/"])
def test_what_is_not_there_is_a_404_inside_the_shell(page, address):
    response = page.get(address)
    assert response.status_code == 404
    assert "There is nothing here" in response.content.decode()
    assert "nav-sidebar" in response.content.decode()


def test_what_is_not_there_is_a_404_also_for_a_stranger(client):
    response = client.get("/nothing/")
    assert response.status_code == 404
    assert "There is nothing here" in response.content.decode()


def test_what_is_not_there_below_api_is_a_404_in_the_apis_own_form(page):
    response = page.get("/api/nothing/")
    assert response.status_code == 404
    assert response.json()["errors"][0]["code"] == "not_found"


def test_the_run_page_asks_again_until_the_run_has_ended(page, shop):
    running = make_run(shop, RunStatus.RUNNING)
    make_step(running, shop.ingestjobs.get(), RunStatus.RUNNING, progress={"phase": "read", "done": 5, "total": 9})
    assert 'hx-trigger="every 1s"' in page.get(f"/runs/{running.pk}/").content.decode()
    part = page.get(f"/runs/{running.pk}/", headers={"HX-Request": "true"}).content.decode()
    assert part.lstrip().startswith('<div id="run-live"')
    ended = shop.pipeline_runs.exclude(pk=running.pk).get()
    assert "hx-trigger" not in page.get(f"/runs/{ended.pk}/").content.decode().split('id="run-live"')[1].split(">")[0]


def test_the_log_of_a_step_stays_open_in_the_live_part(page, shop):
    step = shop.pipeline_runs.get().steps.first()
    step.logs.create(at=step.start_time, message="landed 1 file")
    text = page.get(f"/runs/{step.pipeline_run_id}/?step={step.pk}", headers={"HX-Request": "true"}).content.decode()
    assert "landed 1 file" in text


@pytest.mark.parametrize("address", ["/", "/workflows/", "/workflows/shop/", "/runs/", "/datasets/"])
def test_the_number_of_queries_does_not_grow_with_the_rows(page, shop, address):
    page.get(address)
    with CaptureQueriesContext(connection) as few:
        page.get(address)
    for number in range(5):
        other = make_workflow(f"other{number}")
        make_step(make_run(other), make_ingest_job(other))
        make_step(make_run(shop), make_ingest_job(shop, f"source{number}"))
        make_dataset_job(shop, f"silver{number}")
    with CaptureQueriesContext(connection) as many:
        page.get(address)
    assert len(many) == len(few)


def test_a_bug_shows_a_page_without_its_traceback(page, shop, monkeypatch):
    page.raise_request_exception = False
    monkeypatch.setattr("assay.views.overview", lambda user: 1 / 0)
    response = page.get("/")
    assert response.status_code == 500
    assert "Something broke" in response.content.decode()
    assert "ZeroDivisionError" not in response.content.decode()


def test_static_files_are_served_without_debug(page, settings):
    assert settings.DEBUG is False
    response = page.get("/static/assay/assay.css")
    assert response.status_code == 200
    assert response.headers["Content-Type"].startswith("text/css")
