"""Whoever acts before a slow server has answered loses nothing: the last choice wins, no old answer overwrites it."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import psycopg
import pytest
from playwright.sync_api import expect

from catalog.models import Dataset
from ingest.models import IngestJob
from tests.datasets.metric_tables import publish_orders, run_job
from tests.factories import make_connection, make_dataset_job, make_ingest_job, make_run, make_step, make_workflow

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def shop():
    workflow = make_workflow()
    make_ingest_job(workflow)
    make_dataset_job(workflow)
    return workflow


class Held:
    """Requests of parts of pages whose address matches wait on their way, until they are let go."""

    def __init__(self, page, address: str) -> None:
        self.page, self._waiting, self._free = page, [], False
        page.route(re.compile(address), self._take)

    def _take(self, route) -> None:
        if self._free or route.request.headers.get("hx-request") != "true":
            route.continue_()
        else:
            self._waiting.append(route)

    def wait_for(self, number: int) -> None:
        while len(self._waiting) < number:
            self.page.wait_for_timeout(20)

    def let_all_go(self) -> None:
        self._free = True
        for route in self._waiting:
            route.continue_()
        self._waiting.clear()


@pytest.fixture
def daily(shop):
    publish_orders()
    config = {
        "base": "orders",
        "time_column": "ordered_on",
        "dimensions": ["country"],
        "metrics": [{"name": "net", "expression": "sum(amount)"}, {"name": "mean", "expression": "avg(amount)"}],
    }
    job = make_dataset_job(
        shop, "daily", "gold", transform_type="metrics_aggregate", config=config, sql_text="",
        dataset_type="metric_table",
    )  # fmt: skip
    job.inputs = [{"dataset": "silver.shop.orders", "alias": "orders"}]
    job.save()
    run_job()


def test_two_choices_made_while_the_chart_is_drawn_both_hold(daily, page):
    page.goto("/workflows/shop/gold-jobs/daily/")
    expect(page.locator("#metrics canvas")).to_be_visible()
    held = Held(page, "/metrics/")
    page.get_by_label("One line for each").select_option("country")
    held.wait_for(1)
    page.get_by_label("From").fill("2024-02-01")
    page.get_by_label("From").press("Tab")
    held.let_all_go()
    expect(page.locator("#metrics canvas")).to_have_attribute("aria-label", re.compile("3 periods"))
    expect(page.get_by_label("One line for each")).to_have_value("country")


def test_details_asked_for_while_the_live_part_is_on_its_way_are_shown(shop, page):
    run = make_run(shop, status="running")
    make_step(run, IngestJob.objects.get(), status="running")
    held = Held(page, f"/runs/{run.pk}/")
    page.goto(f"/runs/{run.pk}/")
    held.wait_for(1)
    page.get_by_label("Details of orders").click()
    held.let_all_go()
    expect(page.locator("#run-live")).to_contain_text("Nothing was logged yet")
    expect(page).to_have_url(re.compile(r"\?step="))


def test_a_search_for_a_table_wins_over_the_list_that_was_on_its_way(shop, page, postgres_url):
    with psycopg.connect(postgres_url) as database:
        database.execute("create table orders (id int); create table customers (id int)")
    parts = urlsplit(postgres_url)
    make_connection(host=parts.hostname, port=parts.port, database=parts.path.strip("/"), username=parts.username)
    held = Held(page, "/connections/erp/tables/")
    page.goto("/connections/erp/")
    held.wait_for(1)
    with page.expect_request(re.compile("search=cust")):
        page.get_by_label("Find a table").fill("cust")
    held.let_all_go()
    expect(page.locator("#connection-tables summary")).to_have_count(1)
    expect(page.locator("#connection-tables")).to_contain_text("customers")


def test_enter_goes_to_what_was_typed_and_not_to_what_was_found_before(shop, page):
    make_workflow("weather")
    page.keyboard.press("Control+k")
    search = page.get_by_label("Search workflows, jobs, datasets and runs")
    search.fill("shop")
    expect(page.locator("#as-command-results li[aria-selected=true]")).to_contain_text("Shop")
    held = Held(page, "/search/")
    search.fill("weather")
    page.keyboard.press("Enter")
    held.let_all_go()
    expect(page).to_have_url(re.compile("/workflows/weather/$"))


def test_of_two_files_the_one_that_was_chosen_last_is_kept(shop, page, tmp_path):
    for name in ("first", "second"):
        (tmp_path / f"{name}.csv").write_text("id\n1\n")
    page.goto("/workflows/shop/ingest-jobs/new/")
    held = Held(page, "/upload/")
    page.get_by_label("File to upload").set_input_files(tmp_path / "first.csv")
    held.wait_for(1)
    page.get_by_label("File to upload").set_input_files(tmp_path / "second.csv")
    held.let_all_go()
    expect(page.locator("#upload-state")).to_contain_text("second.csv")
    expect(page.locator("#id_name")).to_have_value("second")


def test_a_type_typed_while_the_preview_is_on_its_way_is_not_overwritten(shop, page, settings):
    (settings.ASSAY_LOCAL_SOURCE_ROOTS[0] / "prices.csv").write_text("amount\n1\n")
    page.goto("/workflows/shop/ingest-jobs/new/")
    page.locator(".as-choice", has_text="Folder on the server").click()
    page.locator("#id_path").fill("prices.csv")
    page.locator("#id_path").press("Tab")
    types = page.locator("#columns-editor").get_by_label("Type of the column")
    expect(types).to_have_value("int64")
    held = Held(page, "/preview/")
    page.get_by_role("button", name="Preview").click()
    held.wait_for(1)
    types.fill("decimal(10,2)")
    held.let_all_go()
    expect(page.locator("#preview-wait")).not_to_have_class(re.compile("htmx-request"))
    page.locator("#id_name").fill("prices")
    expect(page.locator("#preview")).to_contain_text("1.00")
    expect(types).to_have_value("decimal(10,2)")


def test_a_column_renamed_while_the_check_is_on_its_way_is_not_overwritten(shop, page):
    columns = [{"name": name, "type": "string", "nullable": True} for name in ("order_id", "status")]
    Dataset.objects.filter(name="bronze.shop.orders").update(columns=columns)
    page.goto("/workflows/shop/silver-jobs/orders_fact/edit/")
    expect(page.locator("#check")).to_contain_text("This can be saved.")
    held = Held(page, "/check/")
    page.evaluate("ace.edit(document.querySelector('.as-ace')).setValue('select order_id as n from orders', 1)")
    held.wait_for(1)
    types = page.locator("#columns-editor [name=column_type]")
    types.first.fill("int64")
    held.let_all_go()
    expect(page.locator("#check-wait")).not_to_have_class(re.compile("htmx-request"))
    expect(types.first).to_have_value("int64")
