"""Who may do what on the pages: looking asks for a log-in, changing for the permission and for POST."""

import re
from importlib import import_module

import pytest
from django.apps import apps
from django.contrib.auth.models import Permission
from django.db import connection
from django.test.utils import CaptureQueriesContext

from ops.models import PipelineRun
from tests.factories import make_connection, make_dataset_job, make_ingest_job, make_run, make_workflow

pytestmark = pytest.mark.django_db


@pytest.fixture
def shop():
    workflow = make_workflow()
    make_ingest_job(workflow)
    make_dataset_job(workflow)
    make_run(workflow)
    return workflow


@pytest.fixture
def viewer(client, django_user_model):
    client.force_login(django_user_model.objects.create_user("viewer", password="secret"))
    return client


NO_RUN = "0198f000-0000-7000-8000-000000000000"
FORMS = [
    "/workflows/new/",
    "/workflows/shop/edit/",
    "/workflows/shop/ingest-jobs/new/",
    "/workflows/shop/ingest-jobs/orders/edit/",
    "/workflows/shop/silver-jobs/new/",
    "/workflows/shop/silver-jobs/orders_fact/edit/",
]
ACTIONS = [
    "/workflows/shop/run/",
    "/workflows/shop/ingest-jobs/orders/run/",
    "/workflows/shop/silver-jobs/orders_fact/run/",
    "/workflows/shop/ingest-jobs/upload/",
    "/workflows/shop/ingest-jobs/preview/",
    "/workflows/shop/ingest-jobs/orders/look/",
    "/workflows/shop/ingest-jobs/orders/rewind/",
    "/workflows/shop/ingest-form/request/",
    "/workflows/shop/silver-jobs/preview/",
]


@pytest.mark.parametrize("address", FORMS)
def test_a_form_is_forbidden_without_the_permission(viewer, shop, address):
    response = viewer.get(address)
    assert response.status_code == 403
    assert "You may not do that" in response.content.decode()


@pytest.mark.parametrize("address", ACTIONS)
def test_an_action_is_forbidden_without_the_permission(viewer, shop, address):
    assert viewer.post(address).status_code == 403
    assert PipelineRun.objects.count() == 1


@pytest.mark.parametrize("address", ACTIONS)
def test_an_action_is_never_done_on_get(client, engineer, shop, address):
    client.force_login(engineer)
    assert client.get(address).status_code == 405
    assert PipelineRun.objects.count() == 1


def pages() -> list[str]:
    """Every address of the apps' pages, with what is there in place of its parameters."""
    real = {"slug": "shop", "name": "orders", "pk": "1", "layer": "silver", "file": "orders.csv", "run": NO_RUN}
    found = []
    for app in ("ops", "ingest", "datasets", "catalog"):
        entries = import_module(f"{app}.urls").urlpatterns
        entries = [below for entry in entries for below in getattr(entry, "url_patterns", [entry])]
        routes = [("/datasets/" if app == "catalog" else "/") + str(entry.pattern) for entry in entries]
        found += [re.sub(r"<(?:\w+:)?(\w+)>", lambda match: real[match[1]], route) for route in routes]
    return found


@pytest.mark.parametrize("address", pages())
def test_no_page_answers_somebody_who_is_not_logged_in(client, shop, address):
    make_connection("orders")
    for answer in (client.get(address), client.post(address)):
        is_sent_to_log_in = answer.status_code == 302 and answer.url.startswith("/admin/login/")
        assert is_sent_to_log_in or answer.status_code in (403, 405), f"{address}: {answer.status_code}"


@pytest.mark.parametrize("address", pages())
def test_nothing_that_a_viewer_posts_changes_anything(viewer, shop, address):
    make_connection("orders")
    before = [*map(str, apps.get_model("ingest.IngestJob").history.values()), PipelineRun.objects.count()]
    with CaptureQueriesContext(connection) as queries:
        viewer.post(address, {"name": "changed", "decision": "accept", "value": "1"})
    after = [*map(str, apps.get_model("ingest.IngestJob").history.values()), PipelineRun.objects.count()]
    assert after == before
    writes = [query["sql"] for query in queries if re.match("INSERT|UPDATE|DELETE", query["sql"])]
    assert [sql for sql in writes if "django_session" not in sql] == []


PARTS_OF_FORMS = {
    "/workflows/shop/silver-form/check/": "change_datasetjob",
    "/workflows/shop/silver-jobs/preview/": "change_datasetjob",
    "/metrics/check/": "change_metricdefinition",
    "/workflows/shop/ingest-jobs/preview/": "change_ingestjob",
    "/workflows/shop/ingest-form/request/": "change_ingestjob",
    "/workflows/shop/ingest-jobs/orders/look/": "change_ingestjob",
}


@pytest.mark.parametrize(("address", "permission"), PARTS_OF_FORMS.items())
def test_who_may_only_change_has_the_live_parts_of_forms_too(client, django_user_model, shop, address, permission):
    person = django_user_model.objects.create_user("ada", password="secret")
    person.user_permissions.add(Permission.objects.get(codename=permission))
    client.force_login(person)
    assert client.post(address, {"name": "orders"}).status_code == 200


@pytest.mark.parametrize("what", ["cancel", "retry"])
def test_runs_are_steered_by_those_who_may_change_the_workflow(viewer, shop, what):
    run = PipelineRun.objects.get()
    assert viewer.post(f"/runs/{run.pk}/{what}/").status_code == 403


def test_pages_offer_no_button_that_would_be_refused(viewer, shop):
    text = viewer.get("/workflows/shop/").content.decode()
    assert "/run/" not in text
    assert "/new/" not in text


def test_the_run_button_starts_a_run_in_the_name_of_whoever_pressed_it(client, django_user_model, shop):
    person = django_user_model.objects.create_user("ada", password="secret")
    person.user_permissions.add(Permission.objects.get(codename="change_workflow"))
    client.force_login(person)
    response = client.post("/workflows/shop/run/")
    run = PipelineRun.objects.latest("id")
    assert response.url == f"/runs/{run.pk}/"
    assert run.started_by == person


def test_a_run_that_cannot_start_is_explained_on_the_page(client, engineer):
    make_workflow("bare")
    client.force_login(engineer)
    response = client.post("/workflows/bare/run/", follow=True)
    assert "There is nothing to run in bare. Add a job, or enable one." in response.content.decode()


def test_somebody_who_is_no_staff_may_log_in_and_comes_home(client, django_user_model):
    django_user_model.objects.create_user("viewer", password="secret")
    response = client.post("/admin/login/", {"username": "viewer", "password": "secret"})
    assert response.url == "/"
    assert client.get("/admin/login/").url == "/"


def test_a_wrong_password_is_said_without_talk_of_staff(client, viewer):
    text = client.post("/admin/login/", {"username": "viewer", "password": "wrong"}).content.decode()
    assert "Please enter a correct username and password" in text
    assert "staff" not in text


def test_search_finds_nothing_for_nobody(client, shop):
    assert client.get("/admin/search/?s=shop").status_code == 302


def test_search_finds_what_was_made_a_moment_ago(viewer, shop):
    assert "Nothing that you may see" in viewer.get("/admin/search/?s=fresh").content.decode()
    make_workflow("fresh")
    assert "/workflows/fresh/" in viewer.get("/admin/search/?s=fresh").content.decode()
