"""The shell: the graph's trace, Ctrl-K, dark mode, narrow screens."""

import re

import pytest
from playwright.sync_api import expect

from tests.factories import make_dataset_job, make_ingest_job, make_run, make_step, make_workflow

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def shop():
    workflow = make_workflow()
    orders = make_ingest_job(workflow)
    make_ingest_job(workflow, "weather")
    make_dataset_job(workflow)
    make_step(make_run(workflow), orders, rows_read=10, rows_written=10)
    return workflow


def _traced(page):
    return set(page.locator("svg .node.on").evaluate_all("nodes => nodes.map(node => node.dataset.id)"))


ORDERS_ROAD = {"source.shop.orders", "landing.shop.orders", "bronze.shop.orders", "silver.shop.orders_fact"}


def test_a_click_on_a_node_lights_up_all_that_it_comes_from_and_goes_to(page, shop):
    page.goto("/workflows/shop/")
    page.locator('[data-id="landing.shop.orders"]').click()
    assert _traced(page) == ORDERS_ROAD
    expect(page.locator("#workflow-graph-picked")).to_contain_text("landing orders")
    page.locator('[data-id="landing.shop.orders"]').click()
    assert _traced(page) == set()


def test_the_graph_can_be_used_with_the_keyboard(page, shop):
    page.goto("/workflows/shop/")
    page.locator('[data-id="bronze.shop.orders"]').focus()
    page.keyboard.press("Enter")
    assert _traced(page) == ORDERS_ROAD
    page.keyboard.press("Escape")
    assert _traced(page) == set()


def test_the_trace_and_the_view_stay_when_the_live_part_is_drawn_anew(page, shop):
    page.goto("/workflows/shop/")
    page.locator('[data-id="landing.shop.orders"]').click()
    page.get_by_role("button", name="Closer").click()
    view = page.locator("#workflow-graph svg").get_attribute("viewBox")
    with page.expect_response(lambda response: response.request.headers.get("hx-request") == "true"):
        page.evaluate("htmx.ajax('GET', location.pathname, {target: '#workflow-live', swap: 'outerHTML'})")
    expect(page.locator("svg .node.on")).to_have_count(len(ORDERS_ROAD))
    assert page.locator("#workflow-graph svg").get_attribute("viewBox") == view


def test_ctrl_k_finds_workflows_jobs_datasets_and_runs(page, shop):
    page.keyboard.press("Control+k")
    search = page.get_by_label("Search workflows, jobs, datasets and runs")
    expect(search).to_be_focused()
    search.fill("orders_f")
    results = page.locator("#as-command-results")
    expect(results).to_contain_text("silver job in shop")
    expect(results).to_contain_text("silver.shop.orders_fact")
    search.fill("shop")
    expect(results).to_contain_text("run, success")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("/workflows/shop/$"))


def test_dark_mode_follows_the_system_and_turns_the_pages_dark(visit, shop):
    page = visit(color_scheme="dark")
    expect(page.locator("html")).to_have_class("dark")
    colour = page.locator(".as-card").first.evaluate("card => getComputedStyle(card).backgroundColor")
    assert _lightness(page, colour) < 0.3


def _lightness(page, colour: str) -> float:
    """Brightness of a CSS colour, 0..1, as the browser paints it."""
    paint = """colour => {
        const canvas = new OffscreenCanvas(1, 1).getContext("2d");
        canvas.fillStyle = colour;
        canvas.fillRect(0, 0, 1, 1);
        return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3).reduce((a, b) => a + b) / 765;
    }"""
    return page.evaluate(paint, colour)


@pytest.mark.parametrize(
    "address", ["/", "/workflows/shop/", "/workflows/shop/ingest-jobs/new/", "/runs/1/", "/datasets/"]
)
def test_a_narrow_screen_scrolls_tables_and_not_the_page(visit, shop, address):
    page = visit(viewport={"width": 390, "height": 800})
    run = shop.pipeline_runs.get()
    page.goto(address.replace("/runs/1/", f"/runs/{run.pk}/"))
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
