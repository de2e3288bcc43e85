"""Pages about metrics: the list, one definition, its form with its review, the chart on a job's page, the admin."""

from __future__ import annotations

import html
import json
import re

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from datasets.models import MetricDefinition
from tests.datasets.metric_tables import publish_orders, run_job

DATASET = "silver.shop.orders"


@pytest.fixture
def defined(shop):
    publish_orders()
    net = MetricDefinition.objects.create(
        name="net_revenue", title="Net revenue", dataset=DATASET, expression="sum(amount)", filter="status = 'paid'",
        unit="EUR",
    )  # fmt: skip
    count = MetricDefinition.objects.create(name="order_count", dataset=DATASET, expression="count(*)")
    return MetricDefinition.objects.create(
        name="order_value", dataset=DATASET, numerator=net, denominator=count, additivity="non_additive"
    )


@pytest.fixture
def job(defined, api):
    body = {
        "name": "daily",
        "dataset_type": "metric_table",
        "inputs": [{"dataset": DATASET, "alias": "orders"}],
        "transform_type": "metrics_aggregate",
        "config": {
            "base": "orders",
            "time_column": "ordered_on",
            "dimensions": ["country"],
            "metrics": [{"metric": "net_revenue"}, {"metric": "order_value"}],
        },
    }
    answer = api.post("/api/workflows/shop/gold-jobs/", body)
    assert answer.status_code == 201, answer.json()


@pytest.fixture
def site(client, engineer):
    client.force_login(engineer)
    return client


FORM = {"name": "big_orders", "kind": "measure", "dataset": DATASET, "expression": "count(*)", "filter": "amount > 5"}


def text_of(response) -> str:
    assert response.status_code == 200
    return html.unescape(response.content.decode())


def test_the_list_shows_formulas_and_who_uses_them(site, job):
    page = text_of(site.get("/metrics/"))
    for words in ("net_revenue", "Net revenue", "status = 'paid'", "1 job", "non-additive"):
        assert words in page
    assert "net_revenue" not in text_of(site.get("/metrics/?q=order_count")).split("<table")[1]
    assert "No metric has" in text_of(site.get("/metrics/?q=profit"))


def test_the_list_asks_as_few_questions_however_long_it_is(site, job):
    site.get("/metrics/")
    with CaptureQueriesContext(connection) as few:
        site.get("/metrics/")
    for number in range(6):
        MetricDefinition.objects.create(name=f"metric_{number}", dataset=DATASET, expression="count(*)")
    with CaptureQueriesContext(connection) as many:
        site.get("/metrics/")
    assert len(many) == len(few)


def test_a_definition_names_its_jobs_and_ratios(site, job):
    page = text_of(site.get("/metrics/net_revenue/"))
    assert "shop.daily" in page
    assert "in the ratio order_value" in page
    assert site.get("/metrics/profit/").status_code == 404


def test_a_metric_is_made_in_the_form(site, defined):
    assert site.post("/metrics/new/", FORM).url == "/metrics/big_orders/"
    made = MetricDefinition.objects.get(name="big_orders")
    assert (made.expression, made.filter, made.additivity) == ("count(*)", "amount > 5", "additive")
    assert made.history.get().history_user.username == "engineer"


def test_a_ratio_is_made_in_the_form_and_what_was_hidden_is_not_meant(site, defined):
    parts = {side: MetricDefinition.objects.get(name="order_count").pk for side in ("numerator", "denominator")}
    assert site.post("/metrics/new/", {**FORM, "kind": "ratio", **parts}).status_code == 302
    made = MetricDefinition.objects.get(name="big_orders")
    assert (made.expression, made.filter, made.dataset, made.additivity) == ("", "", DATASET, "non_additive")


def test_what_is_wrong_is_told_in_the_form(site, defined):
    page = text_of(site.post("/metrics/new/", {**FORM, "expression": "sum(amuont)"}))
    assert "no column “amuont”" in page
    assert not MetricDefinition.objects.filter(name="big_orders").exists()


def test_the_form_shows_values_before_and_after_while_it_is_filled_in(site, job):
    change = {**FORM, "name": "net_revenue", "was": "net_revenue", "expression": "sum(amount)", "filter": ""}
    part = text_of(site.post("/metrics/check/", change))
    january = re.search(r"2024-01-01.*?</tr>", part, re.DOTALL)[0]
    assert re.findall(r"[\d.]+(?=</td>|</span>)", january)[-2:] in (["17.0", "22.0"], ["17", "22"])
    assert "3 of 3 periods" in part
    assert MetricDefinition.objects.get(name="net_revenue").filter == "status = 'paid'"


def test_the_form_shows_who_uses_what_is_changed_and_nobody_of_a_new_one(site, job):
    change = {**FORM, "name": "net_revenue", "was": "net_revenue", "expression": "sum(amount)"}
    assert "Used by shop.daily, the ratio order_value." in text_of(site.post("/metrics/check/", change))
    assert "Used by" not in text_of(site.post("/metrics/check/", FORM))


def test_a_new_metric_is_checked_before_it_has_a_name(site, defined):
    assert "2024-03-01" in text_of(site.post("/metrics/check/", {**FORM, "name": ""}))
    assert "does not aggregate" in text_of(site.post("/metrics/check/", {**FORM, "expression": "amount"}))


def test_one_that_is_used_is_not_deleted_and_the_page_says_why(site, job):
    page = text_of(site.post("/metrics/net_revenue/delete/", follow=True))
    assert "net_revenue is used by shop.daily" in page
    assert site.post("/metrics/order_count/delete/").url == "/metrics/order_count/"
    assert MetricDefinition.objects.count() == 3


CHART = "/workflows/shop/gold-jobs/daily/metrics/"


def chart_in(page: str) -> dict:
    return json.loads(re.search(r'data-as-chart="(.*?)" role', page, re.DOTALL)[1])


def test_the_job_s_page_draws_its_metrics(site, job):
    assert CHART in text_of(site.get("/workflows/shop/gold-jobs/daily/"))
    assert "nothing to draw before the first run" in text_of(site.get(CHART))
    run_job()
    page = text_of(site.get(CHART))
    drawn = chart_in(page)
    assert (drawn["type"], drawn["unit"]) == ("line", "EUR")
    assert drawn["datasets"] == [{"label": "Net revenue", "data": [10.0, 7.0, 3.0, 2.0, 8.0]}]
    assert "defined as" in page
    by_country = chart_in(text_of(site.get(f"{CHART}?dimension=country&from=2024-03-01&to=&metric=net_revenue")))
    assert by_country["labels"] == ["2024-03-01", "2024-03-20"]
    assert {line["label"] for line in by_country["datasets"]} == {"DE", "FR"}
    ratio = text_of(site.get(f"{CHART}?metric=order_value&dimension="))
    assert "never summed" in ratio
    assert CHART in text_of(site.get("/datasets/gold.shop.daily/"))


def test_the_job_s_page_tells_where_a_definition_has_changed_since_the_last_run(site, job):
    run_job()
    MetricDefinition.objects.filter(name="net_revenue").update(filter="status <> 'open'")
    assert "The last run still computed sum(amount) where status = 'paid'" in text_of(site.get(CHART))


def test_a_range_that_cannot_be_is_told_in_words(site, job):
    run_job()
    assert "ends before it begins" in text_of(site.get(f"{CHART}?from=2024-02-01&to=2024-01-01"))
    assert "no period in this range" in text_of(site.get(f"{CHART}?from=2030-01-01"))


def test_other_jobs_have_no_chart(site, shop):
    assert site.get(CHART).content == b""


def test_the_admin_keeps_names_and_what_is_used(site, job):
    used, free = (MetricDefinition.objects.get(name=name).pk for name in ("net_revenue", "order_value"))
    assert site.get("/admin/datasets/metricdefinition/").status_code == 200
    page = text_of(site.get(f"/admin/datasets/metricdefinition/{used}/change/"))
    assert 'name="name"' not in page
    assert site.get(f"/admin/datasets/metricdefinition/{used}/delete/").status_code == 403
    assert site.get(f"/admin/datasets/metricdefinition/{free}/delete/").status_code == 403


FORBIDDEN = ["/metrics/new/", "/metrics/net_revenue/edit/"]


def test_those_who_may_only_look_change_nothing(client, django_user_model, job):
    client.force_login(django_user_model.objects.create_user("viewer", password="secret"))
    assert [client.get(address).status_code for address in FORBIDDEN] == [403, 403]
    actions = ["/metrics/check/", "/metrics/order_value/delete/"]
    assert [client.post(address, FORM).status_code for address in actions] == [403, 403]
    assert client.get("/metrics/net_revenue/").status_code == 200
