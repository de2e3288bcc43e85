"""Whoever may see nothing sees nothing, at every address of the document: a new one without the policy fails here."""

import sqlite3

import pytest
from rest_framework.test import APIClient

# Addresses that show nothing that belongs to anybody.
OPEN = {"/api/schema/", "/api/auth/token/"}
# What only jobs of one template have; a job of another one has none of it: 404.
OF_ONE_TEMPLATE = ("/card/", "/card.md", "/timeline/")


@pytest.fixture
def things(shop, upload, make, settings):
    """Something behind every kind of address: `{prefix: the value of its last parameter}`."""
    file = upload("orders.csv", b"id,day\n1,2026-11-01\n")
    job = {"name": "orders", "source_type": "file_upload", "config": {"file": {"upload": file}}}
    make(f"{shop}/ingest-jobs/", job)
    ingested = make(f"{shop}/ingest-jobs/orders/run/?wait=30", {}, 200)
    assert ingested["status"] == "success", ingested
    job = {
        "name": "fact",
        "dataset_type": "fact",
        "inputs": [{"dataset": "bronze.shop.orders"}],
        "sql_text": "select id from orders",
    }
    make(f"{shop}/silver-jobs/", job)
    made = make(f"{shop}/silver-jobs/fact/run/?wait=30", {}, 200)
    mart = {**job, "name": "mart", "dataset_type": "mart", "sql_text": "select id from fact"}
    make(f"{shop}/gold-jobs/", {**mart, "inputs": [{"dataset": "silver.shop.fact"}]})
    make("/api/metrics/", {"name": "orders", "dataset": "bronze.shop.orders", "expression": "count(*)"})
    daily = {"base": "orders", "time_column": "day", "metrics": [{"metric": "orders"}]}
    job = {**job, "name": "daily", "dataset_type": "metric_table", "config": daily, "sql_text": ""}
    make(f"{shop}/gold-jobs/", {**job, "transform_type": "metrics_aggregate"})
    make(f"{shop}/gold-jobs/daily/run/?wait=30", {}, 200)
    database = settings.ASSAY_LOCAL_SOURCE_ROOTS[0] / "shop.sqlite"
    sqlite3.connect(database).execute("CREATE TABLE orders (id INTEGER)").connection.close()
    make("/api/connections/", {"name": "local", "kind": "sqlite", "database": str(database)})
    return {
        "/api/connections/": "local",
        "/api/metrics/": "orders",
        "/api/workflows/{slug}/gold-jobs/{name}/series/": "daily",
        "/api/workflows/{slug}/ingest-jobs/": "orders",
        "/api/workflows/{slug}/silver-jobs/": "fact",
        "/api/workflows/{slug}/gold-jobs/": "mart",
        "/api/ingest-runs/": ingested["id"],
        "/api/dataset-runs/": made["id"],
        "/api/pipeline-runs/": ingested["pipeline_run_id"],
        "/api/uploads/": file,
        "/api/catalog/datasets/": "bronze.shop.orders",
    }


def addresses(document, things):
    """Every address that can be read, with what is there in place of its parameters."""
    for path, operations in document["paths"].items():
        if "get" not in operations or path in OPEN:
            continue
        real = next((str(value) for prefix, value in things.items() if path.startswith(prefix)), "")
        asked = [each["name"] for each in operations["get"].get("parameters", ()) if _is_asked(each)]
        query = "?" * bool(asked) + "&".join(f"{name}={real}" for name in asked)
        yield path.replace("{slug}", "shop").replace("{name}", real).replace("{id}", real) + query


def _is_asked(parameter) -> bool:
    """Whether the address is nothing without it: another thing of the same kind."""
    return parameter["in"] == "query" and parameter.get("required", False)


def test_every_address_shows_its_thing_to_those_who_may_see_it(things, api):
    found = list(addresses(api.get("/api/schema/?format=json").json(), things))
    assert len(found) > 25
    for address in found:
        answer = api.get(address)
        if address.endswith(OF_ONE_TEMPLATE):
            assert answer.status_code == 404, f"{address}: {answer.content}"
            continue
        if "/search/?" in address:  # the dataset is there, and has no vectors
            assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, "no_vector_index")
            continue
        assert answer.status_code == 200, f"{address}: {answer.content}"


def test_no_address_shows_anything_to_somebody_who_may_see_nothing(things, api, django_user_model):
    # The policy shows nothing to a person who is not active; here such a person is past the log-in.
    nobody = APIClient()
    nobody.force_authenticate(django_user_model.objects.create_user("nobody", is_active=False))
    for address in addresses(api.get("/api/schema/?format=json").json(), things):
        answer = nobody.get(address)
        is_empty = answer.status_code == 200 and answer.json().get("count") == 0
        assert is_empty or answer.status_code in (403, 404), f"{address}: {answer.status_code} {answer.content[:200]}"
