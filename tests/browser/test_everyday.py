"""What goes wrong on an ordinary day: the Back button, a session that ends, two tabs, typos in SQL."""

import re

import pytest
from playwright.sync_api import expect

from catalog.models import Dataset
from ops.models import PipelineRun
from tests.factories import make_dataset_job, make_ingest_job, make_workflow

pytestmark = pytest.mark.django_db(transaction=True)

REFRESH = "htmx.ajax('GET', location.pathname, {target: '#workflow-live', swap: 'outerHTML'})"


@pytest.fixture
def shop():
    workflow = make_workflow()
    make_ingest_job(workflow)
    make_dataset_job(workflow)
    columns = [{"name": name, "type": "string", "nullable": True} for name in ("order_id", "status")]
    Dataset.objects.filter(name="bronze.shop.orders").update(columns=columns)
    return workflow


def _part_is_loaded_anew(page):
    with page.expect_response(lambda response: response.request.headers.get("hx-request") == "true"):
        page.evaluate(REFRESH)


def test_the_back_button_shows_the_page_and_not_its_live_part(page, shop):
    page.goto("/workflows/shop/")
    _part_is_loaded_anew(page)
    page.goto("/runs/")
    page.go_back()
    expect(page.get_by_role("heading", name="Shop", exact=True)).to_be_visible()


def test_the_back_button_finds_a_filtered_list_as_it_was(page, shop):
    page.goto("/datasets/")
    page.get_by_label("Find a dataset").fill("orders_f")
    expect(page.locator("#dataset-table a.name")).to_have_count(1)
    page.locator("#dataset-table a.name").click()
    page.go_back()
    expect(page.get_by_label("Find a dataset")).to_have_value("orders_f")
    expect(page.locator("#dataset-table a.name")).to_have_count(1)


def test_a_live_page_leads_to_the_log_in_when_the_session_has_ended(page, shop):
    page.goto("/workflows/shop/")
    page.context.clear_cookies()
    page.evaluate(REFRESH)
    expect(page).to_have_url(re.compile(r"/admin/login/\?next=%2Fworkflows%2Fshop%2F"))


def test_a_form_survives_a_log_in_in_another_tab(page, shop):
    page.goto("/workflows/new/")
    page.get_by_label("Name").fill("Weather")
    page.context.clear_cookies()
    other = page.context.new_page()
    other.goto("/admin/login/?next=/")
    other.get_by_label("Username").fill("engineer")
    other.get_by_label("Password").fill("correct-horse")
    other.get_by_role("button", name="Log in").click()
    other.get_by_role("heading", name="Home", exact=True).wait_for()
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", name="Weather", exact=True)).to_be_visible()


def test_a_typo_is_marked_in_the_editor_where_it_is_as_one_types(page, shop):
    page.goto("/workflows/shop/silver-jobs/orders_fact/edit/")
    page.evaluate("ace.edit(document.querySelector('.as-ace')).setValue('select order_id,\\n  statuss from orders', 1)")
    expect(page.locator("#check")).to_contain_text("Did you mean status?")
    expect(page.locator(".ace_gutter-cell.ace_error")).to_have_text("2")


def test_a_part_of_the_workflow_is_run_from_the_dialog(page, shop):
    page.goto("/workflows/shop/")
    page.get_by_role("button", name="Run with options").click()
    page.get_by_label("Only some of them").check()
    page.get_by_label("orders", exact=True).check()
    page.get_by_label("From", exact=True).fill("2026-11-01")
    page.get_by_label("To", exact=True).fill("2026-11-02")
    page.get_by_role("dialog").get_by_role("button", name="Run").click()
    expect(page.locator("#run-live")).to_contain_text("2026-11-01 to 2026-11-02")
    assert list(PipelineRun.objects.get().steps.values_list("job_name", flat=True)) == ["orders"]


def test_a_job_is_deleted_only_by_who_says_yes(page, shop):
    page.goto("/workflows/shop/silver-jobs/orders_fact/edit/")
    page.once("dialog", lambda dialog: dialog.dismiss())
    page.get_by_role("button", name="Delete job").click()
    expect(page.get_by_role("button", name="Delete job")).to_be_enabled()
    page.once("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Delete job").click()
    expect(page.get_by_text("orders_fact is deleted")).to_be_visible()


def test_a_disabled_job_has_a_run_button_that_cannot_be_pressed(page, shop):
    make_ingest_job(shop, "weather", enabled=False)
    page.goto("/workflows/shop/ingest-jobs/weather/")
    expect(page.get_by_role("button", name="Run")).to_be_disabled()
