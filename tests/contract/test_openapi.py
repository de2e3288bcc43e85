"""The OpenAPI document: whole, valid, and no request that it describes makes the server fail."""

import json
from urllib.parse import quote, urlencode

import pytest
import schemathesis
from django.core.management import call_command
from django.db import transaction
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.core import NotSet

pytestmark = pytest.mark.django_db


def test_the_document_is_valid_and_nothing_in_it_was_guessed(tmp_path):
    file = tmp_path / "schema.json"
    call_command("spectacular", "--format", "openapi-json", "--validate", "--fail-on-warn", "--file", str(file))
    paths = json.loads(file.read_text())["paths"]
    for path in (
        "/api/uploads/",
        "/api/workflows/{slug}/ingest-jobs/{name}/run/",
        "/api/workflows/{slug}/ingest-jobs/{name}/preview/",
        "/api/workflows/{slug}/silver-jobs/{name}/sql/",
        "/api/workflows/{slug}/gold-jobs/{name}/history/",
        "/api/ingest-runs/{id}/",
        "/api/dataset-runs/{id}/",
        "/api/catalog/datasets/{name}/rollback/",
        "/api/pipeline-runs/{id}/",
    ):
        assert path in paths, path


def test_options_of_each_source_and_template_are_in_the_document(api):
    document = json.dumps(api.get("/api/schema/?format=json").json()["components"])
    for option in ("null_values", "s3_uri", "next_token_path", "table_name", "business_key_columns", "fill_gaps"):
        assert option in document, option


# --- requests that the document describes, made up from it -------------------------------

# What is there, by the part of the path that asks for it, so that more than 404 is met.
REAL = {"ingest-jobs": "orders", "silver-jobs": "fact", "gold-jobs": "mart", "datasets": "bronze.shop.orders"}
SETTINGS = settings(
    deadline=None, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck), derandomize=True
)


@pytest.fixture
def estate(api):
    api.post("/api/workflows/", {"slug": "shop", "name": "Shop"})
    config = {"file": {"path": "/inbox/a.csv"}}
    columns = [{"name": "id", "type": "int64"}]
    job = {"name": "orders", "source_type": "file_local", "config": config}
    api.post("/api/workflows/shop/ingest-jobs/", {**job, "schema_mode": "user", "user_schema": columns})
    inputs = [{"dataset": "bronze.shop.orders", "alias": "o"}]
    for address, name, kind in (("silver", "fact", "fact"), ("gold", "mart", "mart")):
        job = {"name": name, "dataset_type": kind, "inputs": inputs, "sql_text": "select id from o"}
        assert api.post(f"/api/workflows/shop/{address}-jobs/", job).status_code == 201


def operations(document):
    """All of them but log-in, which is throttled, and previews, each of which starts a process of its own."""
    for found in schemathesis.openapi.from_dict(document).get_all_operations():
        operation = found.ok()
        if "preview" not in operation.path and "auth" not in operation.path:
            yield operation


def to_what_is_there(path, values):
    section = next((part for part in path.split("/") if part in REAL), "")
    real = {"slug": "shop", "name": REAL.get(section, "orders")}
    return {name: real.get(name, value) for name, value in values.items()}


def send(api, case):
    path = case.path
    for name, value in (case.path_parameters or {}).items():
        path = path.replace("{" + name + "}", quote(str(value), safe=""))
    address = f"{path}?{urlencode(case.query or {}, doseq=True)}"
    body = {} if isinstance(case.body, NotSet) else case.body
    if case.media_type and "multipart" in case.media_type:
        return api.generic(case.method, address, b"--x--", content_type="multipart/form-data; boundary=x")
    return api.generic(case.method, address, json.dumps(body), content_type="application/json")


def call(operation, api, examples):
    """Send made-up requests, every second one to things that exist, and undo what they did."""
    count = 0

    @settings(SETTINGS, max_examples=examples)
    @given(case=operation.as_strategy())
    def each(case):
        nonlocal count
        count += 1
        if count % 2:
            case.path_parameters = to_what_is_there(operation.path, case.path_parameters or {})
        with transaction.atomic():
            answer = send(api, case)
            transaction.set_rollback(True)
        assert answer.status_code < 500, f"{case.as_curl_command()}: {answer.content[:500]}"
        if answer.status_code >= 400:
            assert set(answer.json()) == {"type", "errors"}, answer.content[:500]

    each()


def test_no_request_that_the_document_describes_makes_the_server_fail(estate, api):
    found = list(operations(api.get("/api/schema/?format=json").json()))
    assert len(found) > 40
    for operation in found:
        call(operation, api, examples=6 if operation.method in ("post", "put", "patch") else 3)
