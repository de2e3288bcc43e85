"""Jobs with choices for nested values: what is refused, and where their child tables are known."""

from __future__ import annotations

import json
from typing import Any

import polars as pl
import pytest

from catalog import services as catalog
from catalog.models import Dataset
from ingest.models import IngestJob, IngestRun
from ingest.validation import problems_of
from ops import kinds
from ops.graph import build_plan, workflow_graph
from tests.factories import make_dataset_job, make_ingest_job
from workers.progress import silent

pytestmark = pytest.mark.django_db
ITEMS = {"path": "items", "keep_as": "child_table"}
DISCOUNTS = {"path": "items.discounts", "keep_as": "child_table"}
CHILDREN = ["bronze.shop.orders__items", "bronze.shop.orders__items_discounts"]


def job(shop, *nested: dict[str, str], **fields: Any) -> IngestJob:
    config = {"file": {"path": "/inbox/orders.ndjson", "nested": list(nested)}}
    facts = {"source_type": "file_local", "format": "ndjson", "key_columns": ["id"], "config": config}
    return IngestJob(workflow=shop, **{"name": "orders"} | facts | fields)


def faults(record: IngestJob) -> dict[str, str]:
    return {problem.attr: problem.code for problem in problems_of(record)}


def choice(path: str, keep_as: str = "json") -> dict[str, str]:
    return {"path": path, "keep_as": keep_as}


@pytest.mark.parametrize(
    "nested",
    [
        [ITEMS, DISCOUNTS],
        [choice("customer", "flatten"), choice("customer.meta")],
        [choice("*", "flatten"), choice("tags")],
        [choice(r"a\.b", "flatten")],
    ],
)
def test_sound_choices_are_taken(shop, nested):
    assert faults(job(shop, *nested)) == {}


@pytest.mark.parametrize(
    ("nested", "fields", "attr"),
    [
        ([ITEMS], {"key_columns": []}, "key_columns"),
        ([ITEMS], {"format": "csv"}, "config.file.nested"),
        ([choice("items", "table")], {}, "config.file.nested.0.keep_as"),
        ([choice("")], {}, "config.file.nested.0.path"),
        ([choice("*", "child_table")], {}, "config.file.nested.0.path"),
        ([choice("a.*")], {}, "config.file.nested.0.path"),
        ([choice("a"), choice("a", "flatten")], {}, "config.file.nested.1.path"),
        ([choice("a"), choice("a.b", "flatten")], {}, "config.file.nested.1.path"),
        ([choice("a.b", "child_table"), choice("a_b", "child_table")], {}, "config.file.nested"),
    ],
)
def test_choices_that_cannot_be_are_refused_at_their_path(shop, nested, fields, attr):
    assert attr in faults(job(shop, *nested, **fields))


def test_a_child_table_and_a_job_do_not_share_a_name(shop):
    make_ingest_job(shop, "orders__items")
    assert faults(job(shop, ITEMS)) == {"config.file.nested": "unique"}
    record = job(shop, DISCOUNTS)
    record.save()
    assert faults(job(shop, name="orders__items_discounts")) == {"name": "unique"}


def test_the_catalog_knows_the_child_tables_as_long_as_they_are_chosen(shop):
    record = job(shop, ITEMS, DISCOUNTS)
    record.save()
    assert kinds.get("ingest").outputs(record) == ["landing.shop.orders", *CHILDREN, "bronze.shop.orders"]
    lineage = catalog.lineage(Dataset.objects.get(name="landing.shop.orders"), "downstream")
    assert {edge["target"] for edge in lineage["edges"]} == {*CHILDREN, "bronze.shop.orders"}
    record.config["file"]["nested"] = [ITEMS]
    record.save()
    assert set(Dataset.objects.filter(layer="bronze", is_declared=True).values_list("name", flat=True)) == {
        "bronze.shop.orders__items",
        "bronze.shop.orders",
    }
    record.delete()
    assert not Dataset.objects.filter(is_declared=True).exists()


def test_a_silver_job_reads_a_child_table_and_waits_for_its_parents_job(shop):
    job(shop, ITEMS).save()
    reader = make_dataset_job(shop, "sold", reads=("orders__items",))
    assert [step.job.name for step in build_plan(shop).steps] == ["orders", "sold"]
    edges = {(edge["source"], edge["target"]) for edge in workflow_graph(shop)["edges"]}
    assert edges == {
        ("source.shop.orders", "landing.shop.orders"),
        ("landing.shop.orders", "bronze.shop.orders"),
        ("landing.shop.orders", "bronze.shop.orders__items"),
        ("bronze.shop.orders__items", f"silver.shop.{reader.name}"),
    }


def test_a_run_records_the_versions_of_its_child_tables(shop, inbox):
    inbox.mkdir(parents=True, exist_ok=True)
    orders = [{"id": 1, "items": [{"sku": "a"}, {"sku": "b"}]}, {"id": 2, "items": []}]
    (inbox / "orders.ndjson").write_text("\n".join(map(json.dumps, orders)))
    record = job(shop, ITEMS)
    record.save()
    kind, run = kinds.get("ingest"), IngestRun.objects.queue(job_id=record.pk, last_published=None)
    result = kind.execute(kind.to_spec(run), silent)
    kind.record(run, result)
    child = Dataset.objects.get(name=CHILDREN[0])
    assert (child.version, child.rows) == (0, 2)
    assert [column["name"] for column in child.columns][:3] == ["id", "_index", "sku"]
    assert run.facts["children"] == {"bronze.shop.orders__items": 2}
    assert pl.read_delta(catalog.lake_uri(child.name)).height == 2
