"""What a job stands on changes under it: its form by another person, its inputs, their schema, the job itself."""

import pytest
from django.contrib.auth import get_user_model

from catalog.models import Dataset
from datasets import services
from datasets.models import DatasetJob
from tests.datasets.metric_tables import publish_orders
from tests.factories import make_workflow
from workers.errors import AssayError
from workers.ids import new_run_id

pytestmark = pytest.mark.django_db

ENTITY = {"alias": "orders", "key_columns": ["order_id"], "as_of_column": "ordered_on"}
FEATURES = [{"alias": "orders", "columns": ["amount"], "time_column": "ordered_on", "prefix": "last_"}]
CONFIGS = {
    "sql": {},
    "scd2_dimension": {"business_key_columns": ["order_id"], "effective_time_column": "ordered_on"},
    "conform_sources": {
        "sources": [{"alias": "orders", "source_system": "shop", "priority": 1, "mappings": {"k": "order_id"}}],
        "key_columns": ["k"],
    },
    "metrics_aggregate": {
        "base": "orders",
        "time_column": "ordered_on",
        "metrics": [{"name": "revenue", "expression": "sum(amount)"}],
    },
    "snapshot": {"base": "orders", "event_time_column": "ordered_on", "key_columns": ["order_id"]},
    "ml_training_set": {
        "entity": ENTITY,
        "features": FEATURES,
        "label": {"alias": "orders", "column": "status"},
        "split": {"train": 0.8, "validation": 0.1, "test": 0.1, "seed": 1},
    },
    "feature_set": {"entity": ENTITY, "features": FEATURES},
    "vector_index": {"id_column": "order_id", "text_column": "status", "embedding_model": "embedded:hash"},
    "export_feed": {
        "format": "ndjson",
        "columns": ["order_id", "amount"],
        "destination": "exports/orders",
        "file_name": "orders.ndjson",
    },
}
KINDS = {"sql": "fact", "scd2_dimension": "dim", "conform_sources": "dim", "metrics_aggregate": "metric_table"}
SILVER = ("sql", "scd2_dimension", "conform_sources")


@pytest.fixture
def page(client, engineer):
    client.force_login(engineer)
    return client


@pytest.fixture
def orders():
    publish_orders()
    return make_workflow()


@pytest.fixture
def make(orders, api):
    def post(template="sql", **more):
        layer = "silver" if template in SILVER else "gold"
        body = {
            "name": "made",
            "dataset_type": KINDS.get(template, template),
            "transform_type": template,
            "inputs": [{"dataset": "silver.shop.orders"}],
            "sql_text": "select order_id, amount from orders" if template == "sql" else "",
            "config": CONFIGS[template],
            **more,
        }
        answer = api.post(f"/api/workflows/shop/{layer}-jobs/", body)
        assert answer.status_code == 201, answer.json()
        return DatasetJob.objects.get(name=body["name"])

    return post


def address(job, what=""):
    return f"/workflows/shop/{job.layer}-jobs/{job.name}/{what}"


def fields_of(job, **changed):
    """What the form of an SQL job sends."""
    return {
        "name": job.name,
        "dataset_type": job.dataset_type,
        "transform_type": job.transform_type,
        "inputs.0.dataset": "silver.shop.orders",
        "inputs.0.alias": "orders",
        "sql_text": job.sql_text,
        "engine": "default",
        "refresh_mode": "full_refresh",
        "compression": "zstd",
        "enabled": "on",
        "types_from": "query",
        **changed,
    }


# --- two people -----------------------------------------------------------------------------


def test_of_two_people_with_one_form_the_second_is_told_and_nothing_is_lost(make, page, client):
    job = make()
    opened = page.get(address(job, "edit/")).context["form"].read_at
    ann = get_user_model().objects.create_superuser("ann", "ann@example.org", "correct-horse")
    client.force_login(ann)
    client.post(address(job, "edit/"), fields_of(job, description="by Ann", read_at=opened))
    assert DatasetJob.objects.get().description == "by Ann"
    shown = client.post(address(job, "edit/"), fields_of(job, description="by Bob", read_at=opened))
    assert "ann changed this job while it was open here" in shown.content.decode()
    assert "by Bob" in shown.content.decode(), "what was typed stays"
    assert DatasetJob.objects.get().description == "by Ann"
    again = shown.context["form"].read_at
    client.post(address(job, "edit/"), fields_of(job, description="by Bob", read_at=again))
    assert DatasetJob.objects.get().description == "by Bob"


def test_a_name_that_was_taken_while_the_form_was_checked_is_said_at_its_field(make, page, monkeypatch):
    make(name="taken")
    monkeypatch.setattr("datasets.validation.name_problems", lambda job: [])  # as it was a moment before
    shown = page.post("/workflows/shop/silver-jobs/new/", fields_of(DatasetJob.objects.get(), name="taken"))
    assert "has a job of this name already" in shown.content.decode()


# --- a job that is gone -----------------------------------------------------------------------


@pytest.mark.parametrize("what", ["edit/", "run/", "delete/"])
def test_what_a_page_sends_about_a_job_that_was_deleted_is_not_found(make, page, what):
    job = make()
    sent = fields_of(job, read_at=page.get(address(job, "edit/")).context["form"].read_at)
    job.delete()
    answer = page.post(address(job, what), sent)
    assert answer.status_code == 404
    assert not DatasetJob.objects.exists()


def test_the_check_of_a_form_whose_job_was_deleted_is_not_found(make, page):
    job = make()
    job.delete()
    assert page.post("/workflows/shop/silver-form/check/?job=made", fields_of(job)).status_code == 404


# --- inputs -----------------------------------------------------------------------------------


@pytest.mark.parametrize("template", CONFIGS)
def test_a_job_whose_input_is_gone_says_so_and_does_not_run(make, page, template):
    job = make(template)
    Dataset.objects.filter(name="silver.shop.orders").delete()
    assert "there is no such dataset any more" in page.get(address(job)).content.decode()
    assert page.get(address(job, "sql/")).status_code == 200
    told = page.post(address(job, "run/"), follow=True).content.decode()
    assert "silver.shop.orders" in told
    assert not job.runs.exists()


@pytest.mark.parametrize("template", CONFIGS)
def test_a_column_that_an_input_has_lost_is_named_by_the_run_and_on_the_page(make, page, api, template):
    job = make(template)
    Dataset.objects.filter(name="silver.shop.orders").update(columns=[{"name": "other", "type": "int64"}])
    with pytest.raises(AssayError) as refused:
        services.spec_of(job, str(new_run_id()))
    named = ("order_id", "amount", "ordered_on", "status", "country")
    assert any(name in f"{refused.value.message} {refused.value.facts}" for name in named)
    assert any(name in page.get(address(job, "sql/")).content.decode() for name in named)
    assert api.get(f"/api/workflows/shop/{job.layer}-jobs/made/").status_code == 200


# --- large and foreign ------------------------------------------------------------------------


def test_a_thousand_columns_are_saved_checked_and_shown(make, page):
    names = [f"c{number}" for number in range(1000)]
    columns = [{"name": name, "type": "int64", "nullable": True} for name in names]
    Dataset.objects.filter(name="silver.shop.orders").update(columns=columns)
    job = make(sql_text="select * from orders")
    assert [column["name"] for column in job.target_schema] == names
    assert page.get(address(job, "edit/")).status_code == 200


def test_a_query_without_end_is_refused_and_not_a_fault(orders, api):
    body = {"name": "long", "dataset_type": "fact", "inputs": [{"dataset": "silver.shop.orders"}]}
    for sql in ("select " + " + ".join(["amount"] * 20_000) + " as a from orders", "select " + "(" * 5000):
        answer = api.post("/api/workflows/shop/silver-jobs/", {**body, "sql_text": sql})
        assert answer.status_code == 400
        assert answer.json()["errors"][0]["attr"] == "sql_text"


def test_names_of_any_script_go_in_and_come_out(make, page):
    job = make(sql_text='select amount as "Umsatz (€) 売上" from orders', description="“Größe” 名前 🙂")
    assert [column["name"] for column in job.target_schema] == ["Umsatz (€) 売上"]
    text = page.get(address(job)).content.decode()
    assert "Umsatz (€) 売上" in text
    assert "名前 🙂" in text
