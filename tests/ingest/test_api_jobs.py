"""HTTP API jobs through the platform: what is refused at the door, where secrets go, and a run to the end."""

from __future__ import annotations

import json

import polars as pl
import pytest

from assay.common.secrets import MASK
from catalog.models import Dataset
from ingest.models import IngestJob
from ingest.services import access_for, record_run, spec_of
from ingest.validation import problems_of
from tests.factories import make_connection
from workers.executors.ingest.run import run_ingest
from workers.ids import new_run_id
from workers.specs import Nested, to_json

URL = "/api/workflows/shop/ingest-jobs/"


def job(shop, **options):
    config = {"api": {"url": "https://api.example.org/orders", **options}}
    return IngestJob(workflow=shop, name="orders", source_type="api", format="json", config=config)


def faults(record):
    return {problem.attr: problem.detail for problem in problems_of(record)}


@pytest.mark.parametrize(
    ("options", "attr", "said"),
    [
        ({"url": "ftp://x/y"}, "url", "https://"),
        ({"url": "/orders"}, "url", "relative only with a connection"),
        ({"url": "https://ann:pw@x.org/"}, "url", "belong into auth"),
        ({"url": "https://x.org/{watermark}"}, "url", "use a parameter"),
        ({"url": "https://x.org/a b"}, "url", "%20"),
        ({"method": "PUT"}, "method", "POST"),
        ({"body": {"a": 1}}, "", "with POST only"),
        ({"params": {"since": "{watermrk}"}}, "params", "no “{watermrk}”"),
        ({"headers": {"a b": "x"}}, "headers", "is no header"),
        ({"headers": {"X-Api-Key": "env:ASSAY_SECRET_KEY"}}, "headers", "platform itself"),
        ({"pagination": {"type": "pages"}}, "pagination.type", "There is no “pages”. Choose one of 'none', 'page',"),
        ({"pagination": {"type": "cursor"}}, "pagination", "needs next_token_path, or next_token_header"),
        ({"pagination": {"type": "next_link"}}, "pagination.next_url_path", "needed"),
        ({"pagination": {"type": "none", "next_token_path": "a.b"}}, "pagination.next_token_path", "no option"),
        ({"pagination": {"type": "page", "next_page": "a.b"}}, "pagination.next_page", "no option"),
        ({"pagination": {"type": "page", "send_in": "body"}}, "", "Only POST"),
        ({"pagination": {"type": "none"}, "limits": {"concurrency": 2}}, "limits.concurrency", "counted"),
        ({"limits": {"max_pages": 0}}, "limits.max_pages", "greater than"),
        ({"auth": {"type": "oauth2_client_credentials", "client_id": "a", "client_secret": "b"}}, "auth.token_url", ""),
        ({"nested": [{"path": "a", "keep_as": "xml"}]}, "nested.0.keep_as", "flatten"),
        ({"watermark": {"format": "date"}}, "watermark.param_name", "needed"),
    ],
)
def test_what_cannot_work_is_refused_at_its_field(shop, options, attr, said):
    found = faults(job(shop, **options))
    path = ".".join(filter(None, ("config.api", attr)))
    assert path in found, found
    assert said in found[path]


@pytest.mark.parametrize(
    "pagination",
    [
        {"type": "none", "page_param": "page", "page_size": 100, "next_token_path": None},
        {"type": "page", "page_param": "p", "page_size_param": "", "first_page": 0, "next_token_param": "cursor"},
        {"type": "offset", "page_size": 50, "total_path": "meta.total"},
        {"type": "cursor", "next_token_path": "meta.next", "next_token_param": "after"},
        {"type": "cursor", "next_token_header": "X-Next", "page_size_param": "limit", "page_size": 10},
        {"type": "next_link", "next_url_path": "paging.next"},
        {"type": "link_header"},
        {"type": "link_header", "page_size": 5},
        {
            "type": "page",
            "page_param": "page",
            "page_size_param": "per_page",
            "page_size": 100,
            "next_token_path": "meta.next",
            "next_token_param": "cursor",
        },
    ],
)
def test_every_way_of_paging_is_sound_also_with_fields_of_the_others(shop, pagination):
    assert faults(job(shop, pagination=pagination)) == {}


def test_a_job_without_a_watermark_parameter_may_still_be_incremental(shop):
    record = job(shop)
    record.incremental_mode, record.watermark_column = "incremental", "updated_at"
    assert faults(record) == {}


def test_keys_in_headers_and_parameters_are_sealed_and_reach_the_run(shop, api):
    config = {
        "url": "https://api.example.org/orders",
        "headers": {"X-Api-Key": "h3ader-s3cret", "X-Team": "shop"},
        "params": {"access_token": "p4ram-s3cret", "page_token": "first", "since": "{watermark}"},
    }
    answer = api.post(URL, {"name": "orders", "source_type": "api", "config": {"api": config}})
    assert answer.status_code == 201, answer.json()
    shown = answer.json()["config"]["api"]
    assert shown["headers"] == {"X-Api-Key": MASK, "X-Team": "shop"}
    assert shown["params"] == {"access_token": MASK, "page_token": "first", "since": "{watermark}"}
    record = IngestJob.objects.get(name="orders")
    assert "s3cret" not in json.dumps(record.config)
    spec = spec_of(record, str(new_run_id()))
    assert "s3cret" not in json.dumps(to_json(spec))
    assert access_for(spec).secrets == {
        "api.headers.X-Api-Key": "h3ader-s3cret",
        "api.params.access_token": "p4ram-s3cret",
    }


def test_the_spec_says_how_the_pages_are_read(shop):
    record = job(shop, records_path="data.items", nested=[{"path": "customer", "keep_as": "json"}])
    record.save()
    spec = spec_of(record, str(new_run_id()))
    assert spec.records_path == "data.items"
    assert spec.nested == (Nested(path="customer", keep_as="json"),)


def test_a_job_with_a_connection_runs_from_the_api_to_bronze(shop, api, api_server, settings):
    settings.ASSAY_HTTP_ALLOW_PRIVATE = ["127.0.0.1"]
    api_server.auth = "api_key"
    make_connection(
        "erp",
        kind="http",
        host="",
        database="",
        username="",
        password="k3y-s3cret",
        options={"base_url": api_server.url, "auth": {"type": "api_key", "name": "X-Api-Key"}},
    )
    config = {
        "connection": "erp",
        "url": "/cursor",
        "records_path": "data.items",
        "pagination": {"type": "cursor", "next_token_path": "meta.next"},
    }
    answer = api.post(URL, {"name": "orders", "source_type": "api", "config": {"api": config}})
    assert answer.status_code == 201, answer.json()
    assert answer.json()["format"] == "json"
    spec = spec_of(IngestJob.objects.get(name="orders"), str(new_run_id()))
    result = run_ingest(spec, access=access_for(spec))
    assert result.rows_read == 10
    assert sorted(pl.read_delta(spec.target.uri)["id"]) == list(range(10))
    assert "s3cret" not in json.dumps(to_json(spec)) + json.dumps(to_json(result))


@pytest.mark.parametrize("incremental", [{}, {"incremental_mode": "incremental", "watermark_column": "id"}])
def test_a_run_of_an_api_without_records_is_kept_without_a_version(shop, api, api_server, settings, incremental):
    settings.ASSAY_HTTP_ALLOW_PRIVATE = ["127.0.0.1"]
    api_server.records = []
    config = {"url": f"{api_server.url}/single", "records_path": "data.items"}
    answer = api.post(URL, {"name": "orders", "source_type": "api", "config": {"api": config}, **incremental})
    assert answer.status_code == 201, answer.json()
    assert api.post(f"{URL}orders/preview/").json()["columns"] == []
    run = IngestJob.objects.get(name="orders").runs.create()
    spec = spec_of(run.job, str(run.pk))
    record_run(run, run_ingest(spec, access=access_for(spec)))
    run.refresh_from_db()
    assert (run.rows_read, run.table_version, run.last_watermark_value) == (0, None, None)
    assert Dataset.objects.get(name="bronze.shop.orders").version is None
