"""Every way of paging, with every kind of credentials: each record arrives once, in order."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from tests.http_server import HERE, LOCAL, QUICK, ApiServer, api_spec, landed_records
from workers.access import Access, Connection
from workers.errors import SourceRefused, UnreadableSource
from workers.executors.ingest.preview import preview
from workers.executors.ingest.run import land, run_ingest
from workers.lake.table import table_exists
from workers.specs import Column, Watermark, Window

WAYS = {
    "none": ("single", {"type": "none"}),
    "page from 1": ("page1", {"type": "page", "page_size": 3}),
    "page from 0": ("page0", {"type": "page", "page_size": 3, "first_page": 0}),
    "page with total": ("page1", {"type": "page", "page_size": 3, "total_pages_path": "meta.pages"}),
    "page with more": ("page1", {"type": "page", "page_size": 3, "has_more_path": "meta.more"}),
    "page until a short one": ("page1", {"type": "page", "page_size": 3, "stop_at": "short_page"}),
    "offset": ("offset", {"type": "offset", "page_size": 3}),
    "offset with total": ("offset", {"type": "offset", "page_size": 3, "total_path": "meta.total"}),
    "cursor": ("cursor", {"type": "cursor", "next_token_path": "meta.next"}),
    "cursor with more": ("cursor", {"type": "cursor", "next_token_path": "meta.next", "has_more_path": "meta.more"}),
    "cursor in header": ("cursor/header", {"type": "cursor", "next_token_header": "X-Next"}),
    "cursor sent as header": (
        "cursor",
        {"type": "cursor", "next_token_path": "meta.next", "send_in": "header", "next_token_param": "X-Cursor"},
    ),
    "cursor that is an address": ("link/absolute", {"type": "cursor", "next_token_path": "paging.next"}),
    "next link": ("link", {"type": "next_link", "next_url_path": "paging.next"}),
    "link header": ("link/header", {"type": "link_header"}),
}
OAUTH = {"type": "oauth2_client_credentials", "client_id": "client"}
CREDENTIALS = {
    "": ({}, {}),
    "basic": ({"type": "basic", "username": "ann"}, {"api.auth.password": "päss:w"}),
    "bearer": ({"type": "bearer"}, {"api.auth.token": "b3arer-s3cret"}),
    "api_key": ({"type": "api_key", "name": "X-Api-Key"}, {"api.auth.value": "k3y-s3cret"}),
    "api_key_query": ({"type": "api_key", "name": "key", "location": "query"}, {"api.auth.value": "k3y-s3cret"}),
    "oauth2": (OAUTH, {"api.auth.client_secret": "cl1ent-s3cret/"}),
}


OF_SOURCE = ("auth", "body", "method", "limits", "connection", "url")


def job(lake, server: ApiServer, path: str, pagination: dict | None = None, **changes):
    source = {"url": f"{server.url}/{path}", "pagination": pagination or {}}
    source |= {name: changes.pop(name) for name in OF_SOURCE if name in changes}
    return api_spec(lake, source, **changes)


@pytest.mark.parametrize("kind", CREDENTIALS)
@pytest.mark.parametrize("way", WAYS)
def test_every_record_arrives_once_and_in_order(tmp_path, api_server, way, kind):
    path, pagination = WAYS[way]
    auth, secrets = CREDENTIALS[kind]
    api_server.auth = kind
    if kind == "oauth2":
        auth = auth | {"token_url": f"{api_server.url}/token"}
    spec = job(tmp_path, api_server, path, pagination, auth=auth)
    landed = land(spec, Access(http=LOCAL, secrets=secrets))
    assert landed_records(landed) == api_server.records
    assert landed.facts["requests"] == len(api_server.pages_asked)
    told = json.dumps(landed.facts) + Path(landed.path, "manifest.json").read_text()
    assert not [secret for secret in secrets.values() if secret in told]


def test_the_rows_of_all_pages_are_in_the_table_with_their_page(tmp_path, api_server):
    spec = job(tmp_path, api_server, *WAYS["cursor"])
    result = run_ingest(spec, access=HERE)
    assert result.rows_read == 10
    rows = pl.read_delta(spec.target.uri).sort("id")
    assert rows["id"].to_list() == list(range(10))
    assert rows["_source_file"].to_list() == ["page-00001.json"] * 3 + ["page-00002.json"] * 3 + [
        "page-00003.json"
    ] * 3 + ["page-00004.json"]


def test_landing_has_each_page_byte_for_byte(tmp_path, api_server):
    api_server.packs = True
    landed = land(job(tmp_path, api_server, *WAYS["next link"]), HERE)
    first = {"data": {"items": api_server.records[:3]}, "paging": {"next": "/link?start=3"}}
    assert Path(landed.files[0].uri).read_bytes() == json.dumps(first).encode()
    assert [file.name for file in landed.files] == [f"page-0000{number}.json" for number in (1, 2, 3, 4)]


@pytest.mark.parametrize("path", ["page1", "offset"])
def test_an_api_with_smaller_pages_than_asked_for_loses_no_record(tmp_path, api_server, path):
    api_server.largest_page = 2
    spec = job(tmp_path, api_server, path, {"type": path.rstrip("1"), "page_size": 100})
    assert landed_records(land(spec, HERE)) == api_server.records


@pytest.mark.parametrize("beyond", ["empty", "404"])
@pytest.mark.parametrize(("path", "type_"), [("page1", "page"), ("offset", "offset")])
def test_counted_pages_are_fetched_at_once_and_kept_in_order(tmp_path, api_server, path, type_, beyond):
    api_server.records = [{"id": number} for number in range(43)]
    api_server.beyond, api_server.delay = beyond, 0.05
    limits = {**QUICK, "concurrency": 4}
    landed = land(job(tmp_path, api_server, path, {"type": type_, "page_size": 4}, limits=limits), HERE)
    assert landed_records(landed) == api_server.records
    assert 1 < api_server.most_at_once <= 4
    assert len(api_server.pages_asked) <= 12 + 3


def test_with_a_total_no_page_is_asked_for_that_is_not_there(tmp_path, api_server):
    pagination = {"type": "page", "page_size": 3, "total_pages_path": "meta.pages"}
    limits = {**QUICK, "concurrency": 4}
    assert len(land(job(tmp_path, api_server, "page1", pagination, limits=limits), HERE).files) == 4
    assert sorted(seen.query["page"] for seen in api_server.pages_asked) == ["1", "2", "3", "4"]


def test_maximum_page_is_the_last_that_is_asked_for(tmp_path, api_server):
    spec = job(tmp_path, api_server, "page1", {"type": "page", "page_size": 3, "maximum_page": 2})
    assert landed_records(land(spec, HERE)) == api_server.records[:6]


@pytest.mark.parametrize(
    ("path", "pagination", "said"),
    [
        ("cursor/loop", WAYS["cursor"][1], "leads back to a page that was read before"),
        ("link/loop", WAYS["next link"][1], "leads back to a page that was read before"),
        ("stuck", {"type": "page", "page_size": 3}, "has the same records as the page before it"),
        ("stuck", {"type": "offset", "page_size": 3}, "has the same records as the page before it"),
    ],
)
def test_pages_that_go_round_in_a_circle_fail_the_run(tmp_path, api_server, path, pagination, said):
    with pytest.raises(UnreadableSource, match=said):
        land(job(tmp_path, api_server, path, pagination), HERE)
    assert len(api_server.pages_asked) <= 7


def test_more_pages_than_allowed_fail_the_run_or_are_cut_off_as_the_job_says(tmp_path, api_server):
    with pytest.raises(UnreadableSource, match="has more than 2 pages"):
        land(job(tmp_path, api_server, *WAYS["cursor"], limits={**QUICK, "max_pages": 2}), HERE)
    limits = {**QUICK, "max_pages": 2, "on_max_pages": "stop"}
    landed = land(job(tmp_path, api_server, *WAYS["cursor"], limits=limits), HERE)
    assert landed_records(landed) == api_server.records[:6]
    assert landed.facts["cut_at_max_pages"] == 2
    spec = job(tmp_path, api_server, *WAYS["cursor"], limits=limits)
    with pytest.raises(UnreadableSource, match="has more than 2 pages"):  # half a window would replace all of it
        land(replace(spec, window=Window(start_date="2026-01-01")), HERE)


def test_a_post_sends_its_parameters_in_the_body(tmp_path, api_server):
    pagination = {
        "type": "cursor",
        "next_token_path": "meta.next",
        "send_in": "body",
        "next_token_param": "paging.cursor",
    }
    body = {"query": "all", "paging": {"order": "id"}}
    landed = land(job(tmp_path, api_server, "cursor", pagination, method="POST", body=body), HERE)
    assert landed_records(landed) == api_server.records
    assert [seen.body for seen in api_server.pages_asked][:2] == [
        body,
        {"query": "all", "paging": {"order": "id", "cursor": "at-3"}},
    ]


@pytest.mark.parametrize(
    ("path", "records"),
    [("data.items", 10), ("data", 1), ("", 1)],
)
def test_a_single_object_is_one_record(tmp_path, api_server, path, records):
    spec = job(tmp_path, api_server, "single", records_path=path)
    assert run_ingest(spec, access=HERE).rows_read == records


def test_a_list_at_the_top_needs_no_path(tmp_path, api_server):
    assert run_ingest(job(tmp_path, api_server, "list", records_path=""), access=HERE).rows_read == 10


@pytest.mark.parametrize("answer", [[], {"data": {"items": []}}, {"data": None}, b""])
@pytest.mark.parametrize("watermark", [None, Watermark(column="id", last=3)])
def test_an_api_without_records_makes_no_table_until_it_has_some(tmp_path, api_server, answer, watermark):
    path = "" if answer == [] else "data.items"
    api_server.answers = [answer, answer, api_server.records if answer == [] else {"data": {"items": [{"id": 4}]}}]

    def spec(**changes):
        return job(
            tmp_path, api_server, "fixed", records_path=path, watermark=watermark, write_mode="append", **changes
        )

    assert preview(spec(), HERE).columns == ()
    result = run_ingest(spec(), access=HERE)
    assert (result.rows_read, result.published, result.watermark) == (0, None, 3 if watermark else None)
    assert not table_exists(spec().target.uri)
    assert run_ingest(spec(), access=HERE).published.version == 0
    assert 4 in pl.read_delta(spec().target.uri)["id"]


@pytest.mark.parametrize("answer", [[], b""])
def test_a_full_load_of_an_api_that_has_no_records_any_more_leaves_an_empty_table(tmp_path, api_server, answer):
    api_server.answers = [api_server.records, answer]

    def spec():
        return job(tmp_path, api_server, "fixed", records_path="", write_mode="overwrite")

    run_ingest(spec(), access=HERE)
    assert run_ingest(spec(), access=HERE).rows_read == 0
    assert pl.read_delta(spec().target.uri).is_empty()


def test_pages_of_csv_and_of_lines_are_counted_too(tmp_path, api_server):
    api_server.records = [{"id": number, "name": f"a,{number}"} for number in range(7)]
    spec = job(
        tmp_path / "c", api_server, "csv", {"type": "page", "page_size_param": ""}, format="csv", records_path=""
    )
    assert run_ingest(spec, access=HERE).rows_read == 7
    lines = {"type": "offset", "page_size": 3}
    spec = job(tmp_path / "n", api_server, "ndjson", lines, format="ndjson", records_path="")
    assert run_ingest(spec, access=HERE).rows_read == 7


def test_what_the_run_is_about_is_filled_in(tmp_path, api_server):
    spec = api_spec(
        tmp_path,
        {
            "url": f"{api_server.url}/single",
            "params": {"since": "{watermark}", "day": "{run_date}", "until": "{end_date}", "n": 5, "deep": True},
            "headers": {"X-Since": "after {watermark}"},
            "watermark": {"param_name": "changed", "format": "epoch_seconds"},
        },
        watermark=Watermark(column="at", last="2026-01-01T00:00:10+00:00", lag="10s"),
    )
    land(spec, HERE)
    seen = api_server.pages_asked[0]
    assert seen.query == {"since": "1767225600", "changed": "1767225600", "day": "2026-11-22", "n": "5", "deep": "true"}
    assert seen.headers["X-Since"] == "after 1767225600"


@pytest.mark.parametrize(
    ("format_", "last", "sent"),
    [
        ("", "2026-01-01T00:00:00.5+00:00", "2026-01-01T00:00:00.5+00:00"),
        ("", 41, "41"),
        ("iso", "2026-01-01T00:00:00.5+00:00", "2026-01-01T00:00:00.500000Z"),
        ("date", "2026-01-01T23:00:00+00:00", "2026-01-01"),
        ("epoch_milliseconds", "2026-01-01T00:00:00.500900+00:00", "1767225600500"),
        ("epoch_seconds", "2026-01-01", "1767225600"),
        ("iso", None, None),
    ],
)
def test_the_watermark_is_written_as_the_api_wants_it(tmp_path, api_server, format_, last, sent):
    watermark = {"param_name": "since", "format": format_}
    source = {"url": f"{api_server.url}/single", "watermark": watermark, "params": {"mine": "{watermark}"}}
    land(api_spec(tmp_path, source, watermark=Watermark(column="at", last=last)), HERE)
    expected = {} if sent is None else {"since": sent, "mine": sent}
    assert api_server.pages_asked[0].query == expected


def test_a_window_is_sent_instead_of_the_watermark(tmp_path, api_server):
    watermark = {"param_name": "from", "end_param_name": "to", "format": "iso"}
    source = {"url": f"{api_server.url}/single", "watermark": watermark}
    window = Window(start_date="2026-01-01", end_date="2026-01-31")
    land(api_spec(tmp_path, source, watermark=Watermark(column="at", last="2026-05-05"), window=window), HERE)
    assert api_server.pages_asked[0].query == {"from": "2026-01-01T00:00:00Z", "to": "2026-02-01T00:00:00Z"}


def test_a_connection_lends_address_headers_and_credentials(tmp_path, api_server):
    api_server.auth = "bearer"
    options = {"base_url": f"{api_server.url}/", "headers": {"X-Team": "sh0p-s3cret"}, "auth": {"type": "bearer"}}
    connection = Connection(name="erp", kind="http", password="b3arer-s3cret", options=options)
    access = Access(http=LOCAL, connections={"erp": connection})
    spec = job(tmp_path, api_server, "cursor", WAYS["cursor"][1], connection="erp", url="/cursor")
    assert landed_records(land(spec, access)) == api_server.records
    assert api_server.pages_asked[0].headers["X-Team"] == "sh0p-s3cret"


def test_a_preview_reads_the_first_page_only(tmp_path, api_server):
    shown = preview(job(tmp_path, api_server, *WAYS["cursor"]), HERE)
    assert [row["id"] for row in shown.rows] == [0, 1, 2]
    assert len(api_server.pages_asked) == 1


def test_a_page_without_the_records_says_what_it_has(tmp_path, api_server):
    with pytest.raises(UnreadableSource, match=r"page 1 of .* has nothing at data\.rows. It has: data"):
        land(job(tmp_path, api_server, "single", records_path="data.rows"), HERE)


def test_an_address_that_leads_elsewhere_than_its_connection_is_refused(tmp_path, api_server):
    connection = Connection(name="erp", kind="http", password="s3cret", options={"base_url": "https://api.example.org"})
    spec = job(tmp_path, api_server, "cursor", connection="erp")
    with pytest.raises(Exception, match=r"is not at https://api\.example\.org"):
        land(spec, Access(http=LOCAL, connections={"erp": connection}))
    assert not api_server.seen


def test_a_secret_that_is_not_there_is_named(tmp_path, api_server):
    with pytest.raises(SourceRefused, match=r"auth\.token of this API is not set"):
        land(job(tmp_path, api_server, "single", auth={"type": "bearer"}), HERE)


def test_null_in_the_place_of_records_is_none_and_a_dot_in_a_key_is_escaped(tmp_path, api_server):
    api_server.answers = [
        {"a.b": {"items": [{"id": 1}]}, "next": 2},
        {"a.b": {"items": None}, "next": 3},
        {"a.b": None},
    ]
    pagination = {"type": "cursor", "next_token_path": "next"}
    spec = job(tmp_path, api_server, "fixed", pagination, records_path="a\\.b.items")
    assert run_ingest(spec, access=HERE).rows_read == 1
    assert len(api_server.pages_asked) == 3


def test_a_value_that_does_not_fit_is_set_aside_with_its_page_and_its_line_there(tmp_path, api_server):
    wrong = [{"id": 1, "x": {"n": 1}}, {"id": "two", "x": None}], ["three", {"id": 4, "x": {"n": "?"}}, {"id": 5}]
    api_server.answers = [{"data": {"items": page}, "next": number} for number, page in enumerate(wrong)]
    api_server.answers.append({"data": {"items": [{"id": "six"}]}})
    spec = job(
        tmp_path,
        api_server,
        "fixed",
        {"type": "cursor", "next_token_path": "next"},
        schema_mode="user",
        columns=(Column(name="id", type="int64"), Column(name="x", type="struct<n: int64>")),
        error_handling="quarantine",
        bad_row_threshold=1.0,
    )
    result = run_ingest(spec, access=HERE)
    assert (result.rows_read, result.rows_written) == (6, 2)
    kept = pl.read_parquet(Path(spec.quarantine_uri, f"2026/11/22/{spec.run_id}.parquet"))
    assert sorted(kept.select("_source_file", "_line", "_rule").rows()) == [
        ("page-00001.json", 2, "type"),
        ("page-00002.json", 1, "json"),
        ("page-00002.json", 2, "type"),
        ("page-00003.json", 1, "type"),
    ]
    rows = pl.read_delta(spec.target.uri).select("id", "_source_file").sort("id").rows()
    assert rows == [(1, "page-00001.json"), (5, "page-00002.json")]
