"""Whoever may not see a dataset meets nothing of it: no job that reads or makes it, no run, metric, word or column."""

import re

import pytest
from django.urls import URLPattern

from assay.common.policy import VisibleQuerySet
from assay.common.runs import RunStatus
from catalog import services as catalog
from catalog.models import Dataset
from datasets.metrics.models import MetricDefinition
from datasets.models import DatasetJob, DatasetRun
from datasets.transforms import TRANSFORMS
from datasets.urls import urlpatterns
from tests.factories import make_workflow
from workers.specs import Column

pytestmark = pytest.mark.django_db

HIDDEN = ("bronze.shop.vault", "gold.shop.heist_mart", "gold.shop.heist_daily")
NAMES = ("clerk", "heist", "loot")  # of jobs and metrics that are not for everybody
WORDS = ("vault", "heist", "password_hint", "loot")  # of what is hidden: names, a column, a metric
COLUMNS = {"id": "int64", "amount": "float64", "day": "date"}
DATED = {"base": "orders", "time_column": "day"}
FACTS = {
    "metrics": [{"name": "loot", "expression": "sum(password_hint)"}],
    "card": {"inputs": [{"dataset": "bronze.shop.vault"}]},
    "delivery": {"files": [{"name": "heist.csv"}], "destination": "heist", "manifest": "heist.json"},
    "conform": {"keys": 1, "in_several": 0, "sources": [], "conflicts": {"password_hint": 1}, "came_from": {}},
    "snapshot": {"periods": [{"rows": 1, "period": "heist"}]},
    "digest": "loot",
}


@pytest.fixture
def shop():
    """Jobs that read or make what is hidden later (“clerk” makes what is not), their runs, and metrics."""
    workflow = make_workflow()
    _declare("bronze.shop.orders", COLUMNS)
    _declare("bronze.shop.vault", {**COLUMNS, "password_hint": "string"})
    MetricDefinition.objects.create(name="takings", dataset="bronze.shop.orders", expression="sum(amount)")
    MetricDefinition.objects.create(name="loot", dataset="bronze.shop.vault", expression="sum(amount)")
    reads_it = {"inputs": [{"dataset": "bronze.shop.vault", "alias": "vault"}], "sql_text": "select id from vault"}
    used = {**DATED, "metrics": [{"metric": "takings"}]}
    makes_it = {"inputs": [{"dataset": "bronze.shop.orders", "alias": "orders"}], "config": used}
    jobs = [
        _job(workflow, "clerk", layer="silver", dataset_type="fact", **reads_it),
        _job(workflow, "heist_mart", layer="gold", dataset_type="mart", **reads_it),
        _job(workflow, "heist_daily", layer="gold", transform_type="metrics_aggregate", **makes_it),
    ]
    return {"jobs": jobs, "runs": [run for job in jobs for run in (_run(job), _run(job))]}


def _declare(name, columns):
    layer, workflow, short = name.split(".")
    told = [Column(name=column, type=kind) for column, kind in columns.items()]
    catalog.declare(name, layer=layer, workflow=workflow, type="", path=name, columns=told, job=short)


def _job(workflow, name, **fields):
    return DatasetJob.objects.create(workflow=workflow, name=name, **fields)


def _run(job):
    spec = {"engine": "polars", "sql": "select password_hint from vault", "inputs": [{"dataset": "bronze.shop.vault"}]}
    read = {"bronze.shop.vault": 1}
    return DatasetRun.objects.create(job=job, status=RunStatus.SUCCESS, facts=FACTS, spec=spec, input_versions=read)


@pytest.fixture
def hidden(shop, monkeypatch):
    """A policy that keeps some datasets from everybody."""
    everything = VisibleQuerySet.visible_to

    def visible_to(self, user):
        seen = everything(self, user)
        return seen.exclude(name__in=HIDDEN) if self.model is Dataset else seen

    monkeypatch.setattr(VisibleQuerySet, "visible_to", visible_to)
    return shop


@pytest.fixture
def page(client, engineer):
    client.force_login(engineer)
    return client


def said(answer, *typed: str) -> list[str]:
    """What the answer gives away, each word with what stands around it; what its asker had typed is no news."""
    body = b"".join(answer.streaming_content) if answer.streaming else answer.content
    text = body.decode()
    for one in typed:
        text = text.replace(one, "")
    return [match.group() for match in re.finditer(f".{{0,40}}({'|'.join(WORDS)}).{{0,40}}", text)]


# --- every address ------------------------------------------------------------------------


def endpoints(api, shop):
    """`(method, address)` of everything that the document has about jobs, runs and metrics of datasets."""
    document = api.get("/api/schema/?format=json").json()
    for path, operations in document["paths"].items():
        methods = [method for method in ("get", "post", "put", "patch", "delete") if method in operations]
        for name, pk in _things_at(path, shop):
            query = f"?with={shop['runs'][1].pk}" if path.endswith("/compare/") else ""
            address = path.replace("{slug}", "shop").replace("{name}", name).replace("{id}", pk) + query
            yield from ((method, address) for method in methods)


def _things_at(path, shop):
    if "/silver-jobs/" in path:
        return [("clerk", "")]
    if "/gold-jobs/" in path:
        return [("heist_mart", ""), ("heist_daily", "")] if "{name}" in path else [("", "")]
    if "/dataset-runs/" in path:
        return [("", str(shop["runs"][0].pk))]
    return [("loot", "")] if path.startswith("/api/metrics/") else []


def pages(shop):
    """Every page of the app, once for each hidden job or metric."""
    for pattern in (each for each in urlpatterns if isinstance(each, URLPattern)):
        route = str(pattern.pattern)
        route = route.replace("<uuid:run>", str(shop["runs"][0].pk)).replace("<str:file>", "heist.csv")
        query = "?" + "&".join(f"run={run.pk}" for run in shop["runs"][:2]) if "compare" in route else ""
        for layer, name in (("silver", "clerk"), ("gold", "heist_mart"), ("gold", "heist_daily")):
            own = "loot" if route.startswith("metrics/") else name
            filled = re.sub(r"<slug:name>", own, route.replace("<slug:slug>", "shop").replace("<layer:layer>", layer))
            yield "/" + filled + query


def test_no_endpoint_tells_of_what_is_hidden(hidden, api):
    found = list(endpoints(api, hidden))
    assert len(found) > 50
    for method, address in found:
        answer = getattr(api, method)(address, **({} if method == "get" else {"data": {}}))
        is_about_one = any(name in address for name in (*NAMES, str(hidden["runs"][0].pk)))
        assert not is_about_one or answer.status_code == 404, f"{method} {address}: {answer.content}"
        assert said(answer) == [], f"{method} {address}: {answer.content}"
    assert DatasetJob.objects.count() == 3, "what is hidden is not deleted either"


def test_every_endpoint_has_something_to_hide(shop, api):
    for method, address in endpoints(api, shop):
        if method == "get" and not address.endswith(("/card/", "/card.md", "/timeline/", "/series/")):
            assert api.get(address).status_code in (200, 409), address  # 409: it was never published


def test_no_page_tells_of_what_is_hidden(hidden, page):
    for address in dict.fromkeys(pages(hidden)):
        for answer in (page.get(address), page.post(address)):
            assert said(answer, address, address.partition("?")[0]) == [], address
            is_about_one = any(name in address for name in NAMES) and not address.endswith("/metrics/")
            assert not is_about_one or answer.status_code in (404, 405), f"{address}: {answer.status_code}"


@pytest.mark.parametrize("model", ["datasetjob", "datasetrun", "metricdefinition"])
def test_the_admin_tells_nothing_of_what_is_hidden(hidden, page, model):
    kept = {"datasetjob": DatasetJob, "datasetrun": DatasetRun, "metricdefinition": MetricDefinition}[model]
    loot = kept.objects.filter(name="loot") if model == "metricdefinition" else kept.objects.all()
    base = f"/admin/datasets/{model}/"
    assert said(page.get(base)) == []
    for record in loot:
        for address in (f"{base}{record.pk}/change/", f"{base}{record.pk}/delete/", f"{base}{record.pk}/history/"):
            answer = page.get(address)
            assert said(answer, "loot”", 'loot"') == [], address
            assert answer.status_code in (302, 403, 404), address
    if hasattr(kept, "history"):
        past = kept.history.filter(name__in=("loot", "clerk")).first()
        assert page.get(f"{base}{past.id}/history/{past.history_id}/").status_code == 404


def test_the_forms_of_the_admin_offer_no_hidden_metric(hidden, page):
    assert said(page.get("/admin/datasets/metricdefinition/add/")) == []


def test_the_search_of_everything_finds_nothing_hidden(hidden, page):
    for term in WORDS:
        assert said(page.get("/admin/search/", {"s": term}), f'"{term}"', f"“{term}”", f">{term}<") == []


# --- writing ------------------------------------------------------------------------------


def _body(template: str) -> dict:
    """A new job of this template that would read the hidden dataset."""
    transform = TRANSFORMS[template]
    kinds = {"sql": "fact", "scd2_dimension": "dim", "conform_sources": "dim", "metrics_aggregate": "metric_table"}
    sql = "select pasword_hint from secret" if template == "sql" else ""
    return {
        "name": "curious",
        "layer": transform.layers[0],
        "dataset_type": kinds.get(template, "snapshot" if template == "snapshot" else template),
        "transform_type": template,
        "inputs": [{"dataset": "bronze.shop.vault", "alias": "secret"}],
        "sql_text": sql,
    }


@pytest.mark.parametrize("template", TRANSFORMS)
def test_a_job_of_no_template_may_read_what_its_author_may_not_see(hidden, api, page, template):
    body = _body(template)
    layer = body.pop("layer")
    answer = api.post(f"/api/workflows/shop/{layer}-jobs/", body)
    refused = {error["attr"]: error["code"] for error in answer.json()["errors"]}
    assert (answer.status_code, refused["inputs.0.dataset"]) == (400, "unknown_dataset")
    assert said(answer, "bronze.shop.vault") == []
    form = {**body, "inputs.0.dataset": "bronze.shop.vault", "inputs.0.alias": "secret"}
    for address in (f"{layer}-form/check/", f"{layer}-jobs/preview/", f"{layer}-jobs/new/"):
        shown = page.post(f"/workflows/shop/{address}", form)
        assert "There is no dataset" in shown.content.decode(), address
        assert said(shown, "bronze.shop.vault") == [], address
    assert not DatasetJob.objects.filter(name="curious").exists()


def test_a_job_is_not_turned_to_what_its_author_may_not_see(hidden, api):
    DatasetJob.objects.create(
        workflow=hidden["jobs"][0].workflow, name="plain", layer="silver", dataset_type="fact",
        inputs=[{"dataset": "bronze.shop.orders", "alias": "orders"}], sql_text="select id from orders",
    )  # fmt: skip
    turned = {"inputs": [{"dataset": "bronze.shop.vault", "alias": "orders"}], "sql_text": "select * from orders"}
    answer = api.patch("/api/workflows/shop/silver-jobs/plain/", turned)
    assert [error["code"] for error in answer.json()["errors"]] == ["unknown_dataset"]
    assert said(answer, "bronze.shop.vault") == []


def test_a_job_may_not_use_a_metric_that_its_author_may_not_see(hidden, api):
    body = {
        "name": "daily",
        "dataset_type": "metric_table",
        "transform_type": "metrics_aggregate",
        "inputs": [{"dataset": "bronze.shop.orders"}],
        "config": {**DATED, "metrics": [{"metric": "loot"}]},
    }
    answer = api.post("/api/workflows/shop/gold-jobs/", body)
    assert [error["code"] for error in answer.json()["errors"]] == ["unknown_metric"]
    assert said(answer, "“loot”") == []


def test_a_metric_is_not_measured_where_its_author_may_not_see(hidden, api, page):
    body = {"name": "curious", "dataset": "bronze.shop.vault", "expression": "max(pasword_hint)"}
    answer = api.post("/api/metrics/", body)
    assert [error["code"] for error in answer.json()["errors"]] == ["unknown_dataset"]
    assert said(answer, "bronze.shop.vault") == []
    ratio = {"name": "curious", "numerator": "loot", "denominator": "takings"}
    assert said(api.post("/api/metrics/", ratio), "loot does not exist", "=loot") == []
    for address in ("/metrics/new/", "/metrics/check/"):
        shown = page.post(address, {**body, "kind": "measure"})
        assert "There is no dataset" in shown.content.decode(), address
        assert said(shown, "bronze.shop.vault") == [], address
    assert api.patch("/api/metrics/takings/", {"dataset": "bronze.shop.vault"}).status_code == 400


def test_a_metric_that_a_hidden_job_uses_stays_and_the_job_is_not_named(hidden, api, page):
    assert said(api.get("/api/metrics/takings/")) == []
    answer = api.delete("/api/metrics/takings/")
    assert answer.json()["errors"][0]["code"] == "metric_in_use"
    assert "that you may not see" in answer.json()["errors"][0]["detail"]
    assert said(answer) == []
    assert said(page.post("/metrics/takings/delete/", follow=True)) == []
    review = {"was": "takings", "kind": "measure", "dataset": "bronze.shop.orders", "expression": "sum(day)"}
    assert said(page.post("/metrics/check/", review)) == []
    assert said(api.post("/api/metrics/takings/preview/", {"expression": "max(amount)"})) == []
