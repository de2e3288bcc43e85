"""Pages and their parts share addresses: none is taken for the other, and a part is never the log-in page."""

import pytest
from django.test import Client

from tests.factories import make_workflow

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true", "HX-Current-URL": "http://testserver/workflows/shop/?page=2"}


@pytest.fixture
def page(client, engineer):
    client.force_login(engineer)
    make_workflow()
    return client


def test_caches_are_told_that_a_part_is_not_the_page(page):
    for headers in ({}, HTMX):
        assert "HX-Request" in page.get("/workflows/shop/", headers=headers)["Vary"]


def test_a_page_that_htmx_restores_from_its_history_comes_whole(page):
    part = page.get("/datasets/", headers=HTMX).content.decode()
    whole = page.get("/datasets/", headers={**HTMX, "HX-History-Restore-Request": "true"}).content.decode()
    assert "<html" not in part
    assert "<html" in whole


def test_whoever_was_logged_out_is_led_to_the_log_in_and_back(client, db):
    response = client.get("/workflows/shop/", headers=HTMX)
    assert response.status_code == 401
    assert response["HX-Redirect"] == "/admin/login/?next=%2Fworkflows%2Fshop%2F%3Fpage%3D2"


def test_whoever_was_logged_out_while_writing_is_not_sent_away(client, db):
    response = client.post("/workflows/shop/ingest-jobs/preview/", headers=HTMX)
    assert response.status_code == 401
    assert "HX-Redirect" not in response


def test_a_form_from_before_another_log_in_is_explained(engineer):
    client = Client(enforce_csrf_checks=True)
    client.force_login(engineer)
    response = client.post("/workflows/new/", {"name": "Shop"})
    assert response.status_code == 403
    assert "This form is out of date" in response.content.decode()
