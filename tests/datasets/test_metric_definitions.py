"""Metric definitions over HTTP: what is kept, what is refused, who uses them, and what a change would do."""

from __future__ import annotations

from datetime import date

import polars as pl
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from assay.common.policy import VisibleQuerySet as DatasetQuerySet
from catalog import services as catalog
from catalog.models import Dataset
from datasets import services
from datasets.metrics import services as metrics
from datasets.models import DatasetRun, MetricDefinition
from tests.datasets.metric_tables import ORDERS, publish_orders, run_job
from workers.errors import TableMissing
from workers.specs import Column

METRICS = "/api/metrics/"
GOLD = "/api/workflows/shop/gold-jobs/"
NET = {
    "name": "net_revenue",
    "title": "Net revenue",
    "dataset": "silver.shop.orders",
    "expression": "sum(amount)",
    "filter": "status = 'paid'",
    "unit": "EUR",
}
COUNT = {"name": "order_count", "dataset": "silver.shop.orders", "expression": "count(*)", "unit": "orders"}
AOV = {"name": "order_value", "numerator": "net_revenue", "denominator": "order_count", "unit": "EUR"}
DAILY = {
    "name": "daily",
    "dataset_type": "metric_table",
    "inputs": [{"dataset": "silver.shop.orders", "alias": "orders"}],
    "transform_type": "metrics_aggregate",
    "config": {
        "base": "orders",
        "time_column": "ordered_on",
        "time_grain": "day",
        "dimensions": ["country"],
        "metrics": [{"metric": "net_revenue"}, {"metric": "order_value", "name": "aov"}],
    },
}


@pytest.fixture(autouse=True)
def orders(shop):
    return publish_orders()


@pytest.fixture
def make(api):
    def create(body, address=METRICS):
        answer = api.post(address, body)
        assert answer.status_code == 201, answer.json()
        return answer.json()

    return create


@pytest.fixture
def defined(make):
    return [make(body) for body in (NET, COUNT, AOV)]


def errors(answer, status=400):
    body = answer.json()
    assert answer.status_code == status, body
    return {error["attr"]: error["code"] for error in body["errors"]}


# --- keeping ----------------------------------------------------------------------------


def test_a_measure_is_kept_as_it_was_said(make, api):
    made = make({**NET, "description": "What customers paid.", "owner": "engineer"})
    assert {**made, "used_by": [], "ratios": []} == api.get(f"{METRICS}net_revenue/").json()
    assert {**NET, "owner": "engineer", "additivity": "additive", "numerator": None}.items() <= made.items()


def test_a_ratio_is_measured_where_its_parts_are_and_never_summed(defined):
    assert (defined[2]["dataset"], defined[2]["additivity"]) == ("silver.shop.orders", "non_additive")


def test_lists_can_be_filtered_and_searched(defined, api):
    def found(query):
        return [each["name"] for each in api.get(f"{METRICS}?{query}").json()["results"]]

    assert found("additivity=non_additive") == ["order_value"]
    assert found("search=revenue") == ["net_revenue"]
    assert found("dataset=silver.shop.other") == []
    assert found("owner=nobody") == []
    assert errors(api.get(f"{METRICS}?colour=red")) == {"colour": "unknown_field"}


def test_a_list_takes_the_same_few_queries_however_long_it_is(defined, make, api):
    api.get(METRICS)
    with CaptureQueriesContext(connection) as few:
        api.get(METRICS)
    for number in range(5):
        make({**AOV, "name": f"ratio_{number}", "owner": "engineer"})
    with CaptureQueriesContext(connection) as many:
        api.get(METRICS)
    assert len(many) == len(few) <= 3


def test_its_history_tells_what_changed(defined, api):
    assert api.patch(f"{METRICS}net_revenue/", {"filter": "status <> 'open'"}).status_code == 200
    newest = api.get(f"{METRICS}net_revenue/history/").json()["results"][0]
    assert newest["changes"] == [{"field": "filter", "old": "status = 'paid'", "new": "status <> 'open'"}]


# --- what is refused at the door --------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "refused"),
    [
        ({"name": "Net-Revenue"}, {"name": "invalid_name"}),
        ({"name": "new"}, {"name": "reserved_name"}),
        ({"dataset": "silver.shop.nothing"}, {"dataset": "unknown_dataset"}),
        ({"dataset": ""}, {"dataset": "required"}),
        ({"expression": ""}, {"expression": "required"}),
        ({"expression": "amount"}, {"expression": "invalid_metric"}),
        ({"expression": "sum(amuont)"}, {"expression": "invalid_metric"}),
        ({"expression": "sum(amount) over ()"}, {"expression": "invalid_metric"}),
        ({"expression": "max(read_text('/etc/passwd'))"}, {"expression": "invalid_metric"}),
        ({"expression": "sum(amount) from orders; drop table orders"}, {"expression": "invalid_metric"}),
        ({"filter": "sum(amount) > 1"}, {"filter": "invalid_metric"}),
        ({"expression": "count(distinct order_id)"}, {"additivity": "invalid_metric"}),
        ({"expression": "avg(amount)", "additivity": "additive"}, {"additivity": "invalid_metric"}),
        ({"numerator": "order_count"}, {"expression": "not_allowed", "filter": "not_allowed"}),
        ({"colour": "red"}, {"colour": "unknown_field"}),
        ({"owner": "nobody"}, {"owner": "does_not_exist"}),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_measure_is_told_at_its_field(make, api, change, refused):
    make(COUNT)
    found = errors(api.post(METRICS, {**NET, **change}))
    assert refused.items() <= found.items()


@pytest.mark.parametrize(
    ("change", "refused"),
    [
        ({"denominator": None}, {"denominator": "required"}),
        ({"denominator": "order_value"}, {"denominator": "not_a_measure"}),
        ({"denominator": "nothing"}, {"denominator": "does_not_exist"}),
        ({"denominator": "elsewhere"}, {"denominator": "other_dataset"}),
        ({"filter": "status = 'paid'"}, {"filter": "not_allowed"}),
        ({"additivity": "additive"}, {"additivity": "not_allowed"}),
    ],
)
def test_a_ratio_is_made_of_two_measures_of_one_dataset(defined, make, api, change, refused):
    columns = [Column(name="amount", type="float64")]
    place = {"layer": "silver", "workflow": "shop", "type": "fact", "path": "silver/shop/other", "job": "other"}
    catalog.declare("silver.shop.other", columns=columns, **place)
    make({"name": "elsewhere", "dataset": "silver.shop.other", "expression": "sum(amount)"})
    assert errors(api.post(METRICS, {**AOV, "name": "another", **change})) == refused


def test_a_name_is_taken_once_and_never_changes(defined, api):
    assert errors(api.post(METRICS, NET)) == {"name": "unique"}
    assert errors(api.patch(f"{METRICS}net_revenue/", {"name": "revenue"})) == {"name": "immutable"}


def test_a_part_of_a_ratio_cannot_become_a_ratio_itself(defined, make, api):
    make({**COUNT, "name": "other_count"})
    change = {"expression": "", "filter": "", "numerator": "order_count", "denominator": "other_count"}
    assert errors(api.patch(f"{METRICS}net_revenue/", change)) == {"numerator": "not_a_measure"}
    assert errors(api.patch(f"{METRICS}order_value/", {"numerator": "order_value"})) == {"numerator": "cycle"}


def test_without_known_columns_only_the_form_is_checked(unknown_columns, make, api):
    made = make({**NET, "dataset": "bronze.shop.new", "filter": ""})
    assert made["dataset"] == "bronze.shop.new"
    assert errors(api.post(METRICS, {**COUNT, "dataset": "bronze.shop.new", "expression": "amount"})) == {
        "expression": "invalid_metric"
    }


# --- jobs that use them -----------------------------------------------------------------


def test_a_job_names_definitions_and_its_runs_hold_what_they_said(defined, make, api):
    job = make(DAILY, GOLD)
    assert [column["name"] for column in job["target_schema"]] == ["ordered_on", "country", "net_revenue", "aov"]
    assert job["config"]["metrics"] == DAILY["config"]["metrics"]
    run = run_job()
    assert "'paid'" in run.spec["sql"]
    net, aov = run.facts["metrics"]
    assert (net["title"], net["unit"], net["additivity"]) == ("Net revenue", "EUR", "additive")
    assert (aov["name"], aov["metric"], aov["additivity"]) == ("aov", "order_value", "non_additive")
    assert "sum(amount) where status = 'paid'" in aov["expression"]
    assert run.facts["time"]["grain"] == "day"


def test_a_repetition_computes_what_the_run_did_whatever_the_definition_says_now(defined, make, api):
    make(DAILY, GOLD)
    run = run_job()
    api.patch(f"{METRICS}net_revenue/", {"expression": "sum(amount) * 2"})
    again = DatasetRun(pk=None, job=run.job, repeat_of=run)
    assert services.spec_of_run(again).sql == run.spec["sql"]
    assert "* 2" in api.get(f"{GOLD}daily/sql/").json()["sql"]


def test_a_definition_tells_which_jobs_use_it_also_through_a_ratio(defined, make, api):
    make(DAILY, GOLD)
    found = api.get(f"{METRICS}net_revenue/").json()
    assert found["ratios"] == ["order_value"]
    assert [(use["job"], use["column"], use["through"]) for use in found["used_by"]] == [
        ("shop.daily", "net_revenue", ""),
        ("shop.daily", "aov", "order_value"),
    ]


def test_what_is_used_is_not_deleted_and_the_refusal_names_who_uses_it(defined, make, api):
    make(DAILY, GOLD)
    answer = api.delete(f"{METRICS}net_revenue/")
    assert errors(answer, 409) == {None: "metric_in_use"}
    assert "shop.daily, the ratio order_value" in answer.json()["errors"][0]["detail"]
    assert api.delete(f"{GOLD}daily/").status_code == 204
    assert api.delete(f"{METRICS}order_value/").status_code == 204
    assert api.delete(f"{METRICS}net_revenue/").status_code == 204


def test_the_dataset_of_a_used_definition_stays(defined, make, api):
    make(DAILY, GOLD)
    place = {"layer": "silver", "workflow": "shop", "type": "fact", "path": "silver/shop/other", "job": "other"}
    catalog.declare("silver.shop.other", columns=[Column(name="amount", type="float64")], **place)
    change = {"dataset": "silver.shop.other", "filter": ""}
    assert errors(api.patch(f"{METRICS}net_revenue/", change)) == {"dataset": "in_use"}


@pytest.mark.parametrize(
    ("metrics", "refused"),
    [
        ([{"metric": "nothing"}], {"config.metrics.0.metric": "unknown_metric"}),
        ([{"metric": "net_revenue"}, {"metric": "net_revenue"}], {"config.metrics.1.name": "invalid_config"}),
        ([{"metric": "net_revenue", "filter": "x"}], {"config.metrics.0.filter": "unknown_field"}),
        ([{"metric": "visits"}], {"config.metrics.0.metric": "invalid_config"}),
        ([{"name": "x"}], {"config.metrics.0.expression": "required"}),
        ([{"name": "x", "numerator": "y"}], {"config.metrics.0.denominator": "required"}),
    ],
)
def test_a_job_is_refused_where_it_names_what_does_not_fit(defined, make, api, metrics, refused):
    place = {"layer": "silver", "workflow": "shop", "type": "fact", "path": "silver/shop/other", "job": "other"}
    catalog.declare("silver.shop.other", columns=[Column(name="amount", type="float64")], **place)
    make({"name": "visits", "dataset": "silver.shop.other", "expression": "count(*)"})
    body = {**DAILY, "config": {**DAILY["config"], "metrics": metrics}}
    assert errors(api.post(GOLD, body)) == refused


# --- what a change would do -------------------------------------------------------------


def by_month(keep) -> dict[str, float]:
    """The amounts of each month, added up by hand."""
    found: dict[str, float] = {}
    for day, _, status, amount in ORDERS:
        if keep(status):
            month = day.replace(day=1).isoformat()
            found[month] = found.get(month, 0) + amount
    return found


def test_a_review_shows_old_and_new_values_of_the_last_periods_and_who_uses_them(defined, make, api):
    make(DAILY, GOLD)
    answer = api.post(f"{METRICS}net_revenue/preview/", {"filter": "status <> 'open'", "periods": 2})
    assert answer.status_code == 200, answer.json()
    review = answer.json()
    old, new = by_month(lambda status: status == "paid"), by_month(lambda status: status != "open")
    months = sorted(new, reverse=True)[:2]
    assert [row["period"] for row in review["rows"]] == months
    assert [float(row["old"]) for row in review["rows"]] == [old[month] for month in months]
    assert [float(row["new"]) for row in review["rows"]] == [new[month] for month in months]
    assert review["changed"] == sum(old[month] != new[month] for month in months)
    assert {use["job"] for use in review["used_by"]} == {"shop.daily"}
    assert {use["problem"] for use in review["used_by"]} == {""}
    assert MetricDefinition.objects.get(name="net_revenue").filter == "status = 'paid'"


def test_a_review_tells_which_jobs_the_change_would_break(defined, make, api):
    make(DAILY, GOLD)
    review = api.post(f"{METRICS}net_revenue/preview/", {"expression": "max(country)", "additivity": "non_additive"})
    review = review.json()
    # The job's column is a number, and a text cannot be divided.
    assert {bool(use["problem"]) for use in review["used_by"]} == {True}


def test_a_review_of_a_ratio_divides_what_was_summed(defined, api):
    review = api.post(f"{METRICS}order_value/preview/", {"denominator": "net_revenue", "grain": "month"}).json()
    assert {row["new"] for row in review["rows"]} == {1.0}


@pytest.mark.parametrize(
    ("body", "refused", "status"),
    [
        ({"expression": "sum(nothing)"}, {"expression": "invalid_metric"}, 400),
        ({"periods": 51}, {"periods": "max_value"}, 400),
        ({"grain": "hour"}, {"grain": "invalid_choice"}, 400),
        ({"name": "other"}, {"name": "unknown_field"}, 400),
        ({"time_column": "country"}, {None: "invalid_config"}, 409),
    ],
)
def test_a_review_is_refused_as_a_change_would_be(defined, api, body, refused, status):
    assert errors(api.post(f"{METRICS}net_revenue/preview/", body), status) == refused


def test_a_definition_on_a_dataset_that_one_may_not_see_does_not_exist(defined, api, engineer, monkeypatch):
    # What a policy does: the dataset is not among those that this person may see.
    everything = DatasetQuerySet.visible_to
    hidden = "silver.shop.orders"

    def visible_to(self, user):
        seen = everything(self, user)
        return seen.exclude(name=hidden) if self.model is Dataset else seen

    monkeypatch.setattr(DatasetQuerySet, "visible_to", visible_to)
    new = MetricDefinition(name="new", dataset=hidden, expression="max(amount)", additivity="non_additive")
    with pytest.raises(TableMissing, match="no dataset"):
        metrics.review(None, new, engineer)
    assert api.get(METRICS).json()["count"] == 0
    assert api.get(f"{METRICS}net_revenue/").status_code == 404
    assert api.post(f"{METRICS}net_revenue/preview/", {}).status_code == 404


def test_the_orders_of_these_tests_are_as_they_are_told(orders):
    rows = pl.read_delta(catalog.lake_uri("silver.shop.orders"))
    assert rows["ordered_on"].max() == date(2024, 3, 20)
