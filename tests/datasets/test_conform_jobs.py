"""Conformed sources as a job: through the API, run by the orchestrator, told on its page."""

import polars as pl
import pytest

from catalog import services as catalog
from catalog.models import Dataset
from datasets.models import DatasetJob
from ops import services
from ops.local import run_in_process
from tests.workers.published import published
from workers.lake.table import open_table

pytestmark = pytest.mark.django_db

PAGE = "/workflows/shop/silver-jobs/customers/conform/"
CONFIG = {
    "sources": [
        {"alias": "crm", "source_system": "crm", "priority": 1, "mappings": {"id": "id", "mail": "lower(email)"}},
        {"alias": "web", "source_system": "web", "priority": 2, "mappings": {"id": "user_id", "mail": "mail"}},
    ],
    "key_columns": ["id"],
    "conflict_resolution": "source_priority",
    "source_system_column": "source_system",
}
JOB = {
    "name": "customers",
    "dataset_type": "dim",
    "transform_type": "conform_sources",
    "inputs": [{"dataset": "bronze.shop.crm", "alias": "crm"}, {"dataset": "bronze.shop.web", "alias": "web"}],
    "config": CONFIG,
}


def put(settings, name: str, rows: pl.DataFrame) -> None:
    """The rows as a dataset that the catalog knows."""
    dataset = f"bronze.shop.{name}"
    given = published(settings.ASSAY_LAKE_URL, dataset, rows)
    columns = open_table(given.uri).columns
    catalog.declare(
        dataset, layer="bronze", workflow="shop", type="", path=f"bronze/shop/{name}", columns=columns, job=name
    )
    Dataset.objects.filter(name=dataset).update(version=given.version)


@pytest.fixture
def sources(shop, settings):
    put(settings, "crm", pl.DataFrame({"id": [1, 2, None], "email": ["A@x.org", None, "ghost@x.org"]}))
    put(settings, "web", pl.DataFrame({"user_id": [1, 3], "mail": ["other@x.org", "c@x.org"]}))


@pytest.fixture
def customers(sources, api):
    answer = api.post("/api/workflows/shop/silver-jobs/", JOB, format="json")
    assert answer.status_code == 201, answer.json()
    return DatasetJob.objects.get(name="customers")


def run(job):
    started = services.start_job_run(job.layer, job, send=False)
    run_in_process(started)
    return job.runs.latest("created_at")


def test_the_columns_are_proposed_and_keys_are_never_null(customers):
    assert customers.target_schema == [
        {"name": "id", "type": "int64", "nullable": False},
        {"name": "mail", "type": "string", "nullable": True},
        {"name": "source_system", "type": "string", "nullable": False},
    ]


def test_a_run_makes_the_records_and_tells_where_they_came_from(customers, settings):
    done = run(customers)
    assert done.status == "success", done.error
    rows = open_table(f"{settings.ASSAY_LAKE_URL}/silver/shop/customers").scan().sort("id").collect().rows()
    assert rows == [(1, "a@x.org", "crm"), (2, None, "crm"), (3, "c@x.org", "web")]
    facts = done.facts["conform"]
    assert (facts["keys"], facts["in_several"], facts["without_key"]) == (3, 1, 1)
    assert facts["conflicts"] == {"mail": 1}


def test_the_page_tells_it_in_a_table_with_few_queries(customers, client, engineer, django_assert_max_num_queries):
    client.force_login(engineer)
    assert "The first run will tell" in client.get(PAGE).text
    run(customers)
    with django_assert_max_num_queries(8):
        text = client.get(PAGE).text
    assert "3 records out of 5 rows" in text
    assert "Sources disagree on" in text
    assert "about_conform" not in client.get("/workflows/shop/silver-jobs/customers/").text
    assert PAGE in client.get("/workflows/shop/silver-jobs/customers/").text


def test_a_preview_shows_the_first_records(customers, api):
    answer = api.post("/api/workflows/shop/silver-jobs/customers/preview/")
    assert answer.status_code == 200, answer.json()
    assert sorted(row["id"] for row in answer.json()["rows"]) == [1, 2, 3]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"sources": [{**CONFIG["sources"][0], "alias": "erp"}]}, "config.sources.0.alias"),
        ({"sources": [{**CONFIG["sources"][0], "mappings": {"id": "idd"}}]}, "config.sources.0.mappings.id"),
        ({"key_columns": ["nr"]}, "config.sources.0.mappings"),
        ({"column_rules": {"mail": {"order": ["erp"]}}}, "config.column_rules.mail.order.0"),
        ({"conflict_resolution": "latest"}, "config.updated_at_column"),
        ({"column_rules": {"mail": {"resolution": "newest"}}}, "config.column_rules.mail.resolution"),
    ],
)
def test_what_is_wrong_is_told_at_its_field(sources, api, changes, field):
    answer = api.post("/api/workflows/shop/silver-jobs/", {**JOB, "config": {**CONFIG, **changes}}, format="json")
    assert answer.status_code == 400
    assert field in [error["attr"] for error in answer.json()["errors"]]
