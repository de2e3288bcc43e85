"""Metrics in a real browser: the form reviews while it is filled in, the chart is drawn and drawn anew."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from datasets.models import MetricDefinition
from ops.models import Workflow
from tests.datasets.metric_tables import publish_orders, run_job
from tests.factories import make_dataset_job

DATASET = "silver.shop.orders"
# Whether something was drawn: a chart that failed leaves the canvas empty.
IS_DRAWN = """() => {
  const canvas = document.querySelector("#metrics canvas");
  const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  return pixels.some((value) => value !== 0);
}"""


@pytest.fixture
def daily(transactional_db):
    workflow = Workflow.objects.create(slug="shop", name="Shop")
    publish_orders()
    MetricDefinition.objects.create(
        name="net_revenue", title="Net revenue", dataset=DATASET, expression="sum(amount)", unit="EUR"
    )
    config = {
        "base": "orders",
        "time_column": "ordered_on",
        "dimensions": ["country"],
        "metrics": [{"metric": "net_revenue"}, {"name": "mean", "expression": "avg(amount)"}],
    }
    job = make_dataset_job(
        workflow, "daily", "gold", transform_type="metrics_aggregate", config=config, sql_text="",
        dataset_type="metric_table",
    )  # fmt: skip
    job.inputs = [{"dataset": DATASET, "alias": "orders"}]
    job.save()
    run_job()


@pytest.mark.parametrize("options", [{}, {"color_scheme": "dark", "viewport": {"width": 390, "height": 844}}])
def test_the_chart_is_drawn_and_drawn_anew_for_another_metric(daily, visit, options):
    page = visit(**options)
    page.goto("/workflows/shop/gold-jobs/daily/")
    canvas = page.locator("#metrics canvas")
    expect(canvas).to_have_attribute("aria-label", "Net revenue by day, 5 periods")
    page.wait_for_function(IS_DRAWN)
    page.get_by_label("One line for each").select_option("country")
    expect(page.locator("#metrics details th").nth(1)).to_have_text("DE")
    page.get_by_label("Metric", exact=True).select_option("mean")
    expect(page.locator("#metrics")).to_contain_text("Its values are never summed.")
    page.wait_for_function(IS_DRAWN)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_a_choice_made_the_moment_the_chart_arrives_is_not_lost(daily, page):
    page.goto("/workflows/shop/gold-jobs/daily/")
    expect(page.locator("#metrics canvas")).to_be_visible()
    page.evaluate("""() => document.addEventListener("htmx:afterRequest", () => {
      const choice = document.querySelector("#metrics select[name=metric]");
      choice.value = "mean";
      choice.dispatchEvent(new Event("change", { bubbles: true }));
    }, { once: true })""")
    page.get_by_label("One line for each").select_option("country")
    expect(page.locator("#metrics")).to_contain_text("Its values are never summed.")


def test_the_form_shows_what_a_change_would_do_before_it_is_saved(daily, page):
    page.goto("/metrics/net_revenue/edit/")
    review = page.locator("#metric-review")
    expect(review).to_contain_text("No value would be another one")
    page.get_by_label("Only where").fill("status = 'paid'")
    page.get_by_label("Only where").press("Tab")
    expect(review).to_contain_text("3 of 3 periods would have another value")
    page.get_by_label("Expression").fill("amount")
    page.get_by_label("Expression").press("Tab")
    expect(review).to_contain_text("does not aggregate")
    page.get_by_label("Expression").fill("sum(amount)")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("body")).to_contain_text("net_revenue is saved")
    page.goto("/metrics/")
    expect(page.locator("table")).to_contain_text("status = 'paid'")
