"""Metric definitions travel with the workflow that they are measured in."""

from __future__ import annotations

import pytest
import yaml

from assay.portable import Change, InvalidFile, apply, export_workflow
from datasets.models import DatasetJob, MetricDefinition
from ops.models import Workflow

pytestmark = pytest.mark.django_db

# In an order in which nothing is there when it is needed.
SHOP = """
slug: shop
name: Shop
metrics:
  - name: order_value
    title: Order value
    numerator: net_revenue
    denominator: order_count
  - {name: net_revenue, dataset: silver.shop.orders_fact, expression: sum(amount), filter: amount > 0, unit: EUR}
  - {name: order_count, dataset: silver.shop.orders_fact, expression: count(*)}
gold_jobs:
  - name: daily
    dataset_type: metric_table
    transform_type: metrics_aggregate
    inputs: [{dataset: silver.shop.orders_fact, alias: orders}]
    config:
      base: orders
      time_column: ordered_on
      metrics: [{metric: net_revenue}, {metric: order_value, name: aov}]
silver_jobs:
  - name: orders_fact
    dataset_type: fact
    inputs: [{dataset: bronze.shop.orders, alias: orders}]
    sql_text: select amount, ordered_on from orders
ingest_jobs:
  - name: orders
    source_type: file_local
    config: {file: {path: "/inbox/orders-*.csv"}}
    schema_mode: user
    user_schema: [{name: amount, type: "decimal(10,2)"}, {name: ordered_on, type: date}]
"""


def what(actions):
    return {action.name: action.what for action in actions if action.section == "metrics"}


def faults(text) -> dict[str, str]:
    with pytest.raises(InvalidFile) as refusal:
        apply(text)
    return {problem.attr: problem.code for problem in refusal.value.problems}


def test_a_file_makes_the_metrics_that_its_jobs_name():
    assert what(apply(SHOP)) == dict.fromkeys(("net_revenue", "order_count", "order_value"), "create")
    ratio = MetricDefinition.objects.get(name="order_value")
    assert (ratio.dataset, ratio.additivity) == ("silver.shop.orders_fact", "non_additive")
    job = DatasetJob.objects.get(name="daily")
    assert job.config["metrics"] == [{"metric": "net_revenue"}, {"metric": "order_value", "name": "aov"}]
    assert [column["name"] for column in job.target_schema] == ["ordered_on", "net_revenue", "aov"]


def test_applying_again_changes_nothing():
    apply(SHOP)
    versions = MetricDefinition.history.count()
    assert set(what(apply(SHOP)).values()) == {"nothing"}
    assert MetricDefinition.history.count() == versions


def test_what_is_exported_can_be_applied_elsewhere_and_exports_the_same():
    apply(SHOP)
    text = export_workflow(Workflow.objects.get())
    first, second, ratio = yaml.safe_load(text)["metrics"]
    assert (first["name"], first["filter"], second["name"]) == ("net_revenue", "amount > 0", "order_count")
    assert (ratio["numerator"], ratio["denominator"]) == ("net_revenue", "order_count")
    Workflow.objects.all().delete()
    MetricDefinition.objects.filter(name="order_value").delete()
    MetricDefinition.objects.all().delete()
    apply(text)
    assert export_workflow(Workflow.objects.get()) == text


def test_a_change_is_told_field_by_field_and_what_is_left_out_has_its_default():
    apply(SHOP)
    changed = SHOP.replace("filter: amount > 0, unit: EUR", "filter: amount > 1")
    [action] = [action for action in apply(changed) if action.name == "net_revenue"]
    assert set(action.changes) == {Change("filter", "amount > 0", "amount > 1"), Change("unit", "EUR", "")}


def test_a_dry_run_makes_none():
    assert len(what(apply(SHOP, dry_run=True))) == 3
    assert not MetricDefinition.objects.exists()


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("sum(amount)", "sum(amuont)", {"metrics.1.expression": "invalid_metric"}),
        ("denominator: order_count", "denominator: visits", {"metrics.0.denominator": "does_not_exist"}),
        ("{metric: net_revenue}", "{metric: profit}", {"gold_jobs.0.config.metrics.0.metric": "unknown_metric"}),
        ("{name: order_count, dataset: silver.shop.orders_fact", "{name: order_count, dataset: silver.shop.nothing",
         {"metrics.2.dataset": "unknown_dataset"}),
        ("title: Order value", "colour: red", {"metrics.0.colour": "unknown_field"}),
        ("metrics:\n  -", "metrics:\n  - just words\n  -", {"metrics": "wrong_type"}),
    ],
)  # fmt: skip
def test_a_fault_is_told_at_its_path_and_nothing_is_changed(old, new, expected):
    assert old in SHOP
    assert faults(SHOP.replace(old, new, 1)) == expected
    assert not MetricDefinition.objects.exists()
    assert not Workflow.objects.exists()
