"""A run that died in the middle goes on from its place; and the look at the first page that a form offers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from tests.http_server import HERE, LOCAL, api_spec, landed_records
from workers.access import Access
from workers.errors import Cancelled
from workers.executors.ingest.run import land, run_ingest
from workers.sources.api import try_request
from workers.specs import to_json

ROOT = Path(__file__).parents[3]
WAYS = {
    "cursor": ("cursor", {"type": "cursor", "next_token_path": "meta.next"}),
    "page": ("page1", {"type": "page", "page_size": 3}),
    "offset": ("offset", {"type": "offset", "page_size": 3}),
    "link": ("link/header", {"type": "link_header"}),
}


@pytest.mark.parametrize(("way", "dies_at"), [("cursor", 3), ("cursor", 17), ("page", 25), ("link", 30)])
def test_a_killed_run_goes_on_without_gaps_or_doubles(tmp_path, api_server, way, dies_at):
    path, pagination = WAYS[way]
    api_server.records, api_server.delay = [{"id": number} for number in range(100)], 0.08
    spec = api_spec(tmp_path, {"url": f"{api_server.url}/{path}", "pagination": pagination})
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.workers.sources.api_child", json.dumps(to_json(spec))],
        cwd=ROOT,
        stdout=subprocess.PIPE,
    )
    api_server.at_page = lambda number: os.kill(child.pid, signal.SIGKILL) if number == dies_at else None
    child.communicate(timeout=60)
    assert child.returncode == -signal.SIGKILL
    before = len(api_server.pages_asked)
    assert before == dies_at
    result = run_ingest(spec, access=HERE)
    assert result.rows_read == 100
    rows = pl.read_delta(spec.target.uri)
    assert sorted(rows["id"]) == list(range(100))
    assert rows["_source_file"].n_unique() == 34
    # 35 requests are all there are; a place is kept every second, in which a dozen pages come.
    again = len(api_server.pages_asked) - (35 if way == "page" else 34)
    assert again <= min(dies_at, 15)


@pytest.mark.parametrize("way", WAYS)
def test_the_place_leads_on_and_holds_no_secret(tmp_path, api_server, monkeypatch, way):
    monkeypatch.setattr("workers.sources.api.PLACE_SECONDS", 0)
    api_server.auth = "api_key_query"  # the API writes the key into its links
    path, pagination = WAYS[way]
    auth = {"type": "api_key", "name": "key", "location": "query"}
    spec = api_spec(tmp_path, {"url": f"{api_server.url}/{path}", "pagination": pagination, "auth": auth})
    access = Access(http=LOCAL, secrets={"api.auth.value": "k3y-s3cret"})

    def stop(phase: str, **_: object) -> None:
        if list(tmp_path.rglob("page-00003.json")):
            raise Cancelled("Somebody cancelled the run.")

    with pytest.raises(Cancelled):
        land(spec, access, stop)
    place = next(tmp_path.rglob("place.json")).read_text()
    assert json.loads(place)["place"]["next"]["number"] == 4
    assert "s3cret" not in place
    before = len(api_server.pages_asked)
    landed = land(spec, access)
    assert landed_records(landed) == api_server.records
    assert len(api_server.pages_asked) - before == (2 if way in ("page", "offset") else 1)
    assert landed.facts["pages"] == len(landed.files)
    assert "s3cret" not in next(tmp_path.rglob("manifest.json")).read_text() + json.dumps(landed.facts)


def test_a_look_at_the_first_page_tells_what_came_and_what_would_come_next(tmp_path, api_server):
    api_server.auth = "api_key_query"
    auth = {"type": "api_key", "name": "key", "location": "query"}
    pagination = {"type": "cursor", "next_token_path": "meta.next"}
    source = {"url": f"{api_server.url}/cursor", "pagination": pagination, "auth": auth, "params": {"a": "b"}}
    access = Access(http=LOCAL, secrets={"api.auth.value": "k3y-s3cret"})
    told = try_request(api_spec(tmp_path, source), access)
    assert (told["status"], told["records"], told["lists"]) == (200, 3, {"data.items": 3})
    assert told["url"] == f"{api_server.url}/cursor?a=b"
    assert told["next"] == f"GET {api_server.url}/cursor?a=b&cursor=at-3"
    assert json.loads(told["body_start"])["data"]["items"] == api_server.records[:3]
    assert "s3cret" not in json.dumps(told)
    assert len(api_server.seen) == 1


def test_a_look_offers_the_lists_that_there_are_where_the_path_leads_to_none(tmp_path, api_server):
    pagination = {"type": "cursor", "next_token_path": "meta"}
    source = {"url": f"{api_server.url}/cursor", "pagination": pagination}
    told = try_request(api_spec(tmp_path, source, records_path="rows"), HERE)
    assert told["lists"] == {"data.items": 3}
    assert "has nothing at rows" in told["error"]["message"]
    told = try_request(api_spec(tmp_path, source), HERE)
    assert told["records"] == 3
    assert told["error"]["message"].endswith("has no text or number at meta.")


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("{}/nowhere", "source_missing"),
        ("http://127.0.0.1:1/", "source_unavailable"),
        ("http://", "invalid_spec"),
        ("http://169.254.169.254/latest", "address_refused"),
    ],
)
def test_a_look_that_fails_says_why(tmp_path, api_server, url, code):
    api_server.faults = ["404"]
    spec = api_spec(tmp_path, {"url": url.format(api_server.url), "limits": {"max_retries": 0}})
    assert try_request(spec, HERE)["error"]["code"] == code
