"""An API that fails in the middle: what passes is tried again, what does not says what to do, and no record is lost."""

from __future__ import annotations

import json
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.http_server import HERE, LOCAL, QUICK, ApiServer, api_spec, landed_records
from workers.access import Access
from workers.errors import (
    AddressRefused,
    AssayError,
    Cancelled,
    SourceMissing,
    SourceRefused,
    SourceUnavailable,
    UnreadableSource,
)
from workers.executors.ingest.run import land
from workers.network import NetworkPolicy

CURSOR = {"type": "cursor", "next_token_path": "meta.next"}
LINK = {"type": "link_header"}
PASSING = ("500", "502", "503", "429", "408", "drop", "refuse", "broken", "html", "truncated")


def job(lake, server: ApiServer, path: str = "cursor", pagination: dict | None = None, **source):
    return api_spec(lake, {"url": f"{server.url}/{path}", "pagination": pagination or CURSOR, **source})


@pytest.mark.parametrize("fault", PASSING)
def test_a_page_that_fails_is_asked_for_again(tmp_path, api_server, fault):
    api_server.faults = ["fine", fault, fault, "fine"]
    landed = land(job(tmp_path, api_server), HERE)
    assert landed_records(landed) == api_server.records
    assert (landed.facts["requests"], landed.facts["retries"]) == (6, 2)


def test_a_page_that_stalls_is_asked_for_again(tmp_path, api_server):
    api_server.faults = ["fine", "stall"]
    landed = land(job(tmp_path, api_server, limits={**QUICK, "timeout_seconds": 1}), HERE)
    assert landed_records(landed) == api_server.records
    assert landed.facts["retries"] >= 1  # more where the machine stalls too


@pytest.mark.parametrize(
    ("fault", "tries", "kind", "said"),
    [
        ("503", 4, SourceUnavailable, "page 2 of .* cannot be had: it answered 503 .trouble 503., 4 times"),
        ("drop", 4, SourceUnavailable, "the connection broke off, 4 times"),
        ("refuse", 4, SourceUnavailable, "page 2 of .* cannot be had: the connection"),
        ("broken", 3, UnreadableSource, "page 2 of .* cannot be had: it is no JSON .*, 3 times"),
        ("html", 3, UnreadableSource, "page 2 of .* cannot be had: it is no JSON"),
        ("400", 1, SourceRefused, "did not take the request for page 2 of .*: it answered 400: trouble 400"),
        ("422", 1, SourceRefused, "it answered 422"),
        ("403", 1, SourceRefused, "Page 2 of .* was refused with 403: trouble 403"),
        ("401", 1, SourceRefused, "Page 2 of .* was refused with 401"),
        ("404", 1, SourceMissing, "Page 2 of .* is not there: the API answered 404"),
        ("304", 1, SourceRefused, "which is no page"),
    ],
)
def test_a_fault_that_stays_ends_the_run_in_plain_words(tmp_path, api_server, fault, tries, kind, said):
    api_server.faults = ["fine", *[fault] * 10]
    with pytest.raises(kind, match=f"(?i){said}") as caught:
        land(job(tmp_path, api_server, limits={**QUICK, "max_retries": 3}), HERE)
    assert caught.value.hint
    assert len(api_server.pages_asked) == 1 + tries


def test_retry_after_is_honoured_up_to_a_limit(tmp_path, api_server):
    api_server.faults = ["429:0.3", "fine", "503:3600"]
    landed = land(job(tmp_path, api_server, limits={**QUICK, "max_wait_seconds": 0.4}), HERE)
    assert landed_records(landed) == api_server.records
    assert landed.facts["waited_seconds"] == pytest.approx(0.7, abs=0.01)


def test_retry_after_may_be_a_date(tmp_path, api_server):
    at = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    api_server.faults = [f"429:{at}"]
    landed = land(job(tmp_path, api_server, limits={**QUICK, "max_wait_seconds": 0.4}), HERE)
    assert landed.facts["waited_seconds"] == pytest.approx(0.4, abs=0.01)


def test_requests_are_spread_over_the_minute(tmp_path, api_server):
    limits = {**QUICK, "rate_limit_per_minute": 600, "concurrency": 4}
    pages = {"type": "page", "page_size": 1}
    began = time.monotonic()
    land(job(tmp_path, api_server, "page1", pages, limits=limits), HERE)
    waits = [seen.at - began for seen in api_server.pages_asked]
    assert len(waits) >= 11
    # A slow machine may send a request late, none may send it early: one in a tenth of a second.
    assert all(wait >= number / 10 for number, wait in enumerate(waits))


def test_a_gzip_bomb_and_a_page_too_large_are_refused(tmp_path, api_server):
    api_server.faults = ["bomb"]
    with pytest.raises(UnreadableSource, match="larger than 1,000,000 bytes"):
        land(job(tmp_path, api_server, limits={**QUICK, "max_page_bytes": 1_000_000}), HERE)
    assert len(api_server.pages_asked) == 1


def test_a_token_is_renewed_when_it_is_refused_and_when_it_ends(tmp_path, api_server):
    api_server.auth = "oauth2"
    auth = {
        "type": "oauth2_client_credentials",
        "client_id": "client",
        "token_url": f"{api_server.url}/token",
        "scope": "read write",
        "extra_params": {"audience": "shop"},
    }
    access = Access(http=LOCAL, secrets={"api.auth.client_secret": "cl1ent-s3cret/"})
    api_server.faults = ["fine", "unauthorized"]
    api_server.token_faults = ["503"]
    assert landed_records(land(job(tmp_path / "refused", api_server, auth=auth), access)) == api_server.records
    assert len(api_server.tokens) == 2
    form = next(seen.body for seen in api_server.seen if seen.path == "/token")
    assert form == {"grant_type": "client_credentials", "scope": "read write", "audience": "shop"}
    api_server.token_seconds, api_server.delay = 0.25, 0.1
    assert landed_records(land(job(tmp_path / "ends", api_server, auth=auth), access)) == api_server.records
    assert len(api_server.tokens) > 3


def test_a_token_endpoint_may_want_the_credentials_in_the_form_and_says_when_they_are_wrong(tmp_path, api_server):
    api_server.auth, api_server.client_in = "oauth2", "body"
    auth = {"type": "oauth2_client_credentials", "client_id": "client", "token_url": f"{api_server.url}/token"}
    right = Access(http=LOCAL, secrets={"api.auth.client_secret": "cl1ent-s3cret/"})
    landed = land(job(tmp_path, api_server, auth=auth | {"credentials_in": "body"}), right)
    assert landed_records(landed) == api_server.records
    wrong = Access(http=LOCAL, secrets={"api.auth.client_secret": "wr0ng"})
    with pytest.raises(SourceRefused, match="token endpoint answered 401: No such client") as caught:
        land(job(tmp_path / "wrong", api_server, auth=auth), wrong)
    assert "wr0ng" not in json.dumps(caught.value.as_dict())


@pytest.mark.parametrize("kind", ["header", "query", "bearer"])
@pytest.mark.parametrize("fault", ["401", "400", "500", "drop", "broken", "redirect"])
def test_no_secret_is_in_an_error_the_landing_or_the_facts(tmp_path, api_server, kind, fault):
    auth = {"type": "bearer"} if kind == "bearer" else {"type": "api_key", "name": "key", "location": kind}
    secret = "s3cret/k3y+with&signs"
    secrets = {"api.auth.token": secret, "api.auth.value": secret, "api.headers.X-Team-Key": "t3am-s3cret"}
    source = {"auth": auth, "headers": {"X-Team-Key": "********"}, "limits": {**QUICK, "max_retries": 1}}
    api_server.faults = ["fine", *[fault] * 4]
    spec = job(tmp_path, api_server, **source)
    if fault == "redirect":
        url = f"{api_server.url}/redirect?to=http://localhost:1/x"
        spec = job(tmp_path, api_server, **(source | {"url": url}))
    with pytest.raises(AssayError) as caught:
        land(spec, Access(http=LOCAL, secrets=secrets))
    told = json.dumps(caught.value.as_dict()) + repr(caught.value.__cause__)
    for file in tmp_path.rglob("*.json"):
        told += file.read_text()
    for hidden in ("s3cret", "t3am", "%2Bwith"):
        assert hidden not in told
    if fault != "redirect":
        assert api_server.pages_asked[0].headers["X-Team-Key"] == "t3am-s3cret"


def test_a_private_address_is_refused_also_behind_a_redirect_or_a_link(tmp_path, api_server):
    with pytest.raises(AddressRefused, match="loopback"):
        land(job(tmp_path, api_server), Access())
    assert not api_server.seen
    other = f"http://localhost:{api_server.port}"
    named = Access(http=NetworkPolicy(allow=("localhost",)))
    for url in (f"{other}/redirect?to={api_server.url}/list", f"{other}/link?to={api_server.url}"):
        pagination = {"type": "next_link", "next_url_path": "paging.next"}
        with pytest.raises(AddressRefused, match=r"127\.0\.0\.1 is a loopback address"):
            land(api_spec(tmp_path, {"url": url, "pagination": pagination, "limits": QUICK}), named)
    with pytest.raises(AssayError, match="file"):
        land(api_spec(tmp_path, {"url": f"{other}/redirect?to=file:///etc/passwd", "limits": QUICK}), named)


@pytest.mark.parametrize("way", ["link", "link/header"])
def test_credentials_stay_with_the_origin_of_the_job(tmp_path, api_server, way):
    elsewhere = ApiServer(records=api_server.records)
    try:
        pagination = (
            {"type": "link_header"} if "header" in way else {"type": "next_link", "next_url_path": "paging.next"}
        )
        url = f"{api_server.url}/{way}?to={elsewhere.url}"
        auth = {"type": "api_key", "name": "X-Api-Key"}
        secrets = {"api.auth.value": "k3y-s3cret", "api.headers.X-Team-Key": "t3am-s3cret"}
        source = {"url": url, "pagination": pagination, "auth": auth, "headers": {"X-Team-Key": "****"}}
        landed = land(api_spec(tmp_path, source), Access(http=LOCAL, secrets=secrets))
        assert landed_records(landed) == api_server.records
        assert "s3cret" in json.dumps([seen.headers for seen in api_server.seen])
        assert elsewhere.seen
        assert "s3cret" not in json.dumps([seen.headers for seen in elsewhere.seen])
    finally:
        elsewhere.close()


def test_a_run_that_is_cancelled_stops_asking(tmp_path, api_server):
    api_server.records, api_server.delay = [{"id": number} for number in range(3000)], 0.05

    def stop(phase: str, **_: object) -> None:
        if len(api_server.pages_asked) > 3:
            raise Cancelled("Somebody cancelled the run.")

    with pytest.raises(Cancelled):
        land(job(tmp_path, api_server), HERE, stop)
    assert len(api_server.pages_asked) < 8


FAULTS = st.lists(st.sampled_from(["fine", "fine", "500", "429:0", "drop", "refuse", "broken"]), max_size=8)
COUNTED = {"page0": {"type": "page", "first_page": 0}, "page1": {"type": "page"}, "offset": {"type": "offset"}}
REFERRED = {"cursor": CURSOR, "link": {"type": "next_link", "next_url_path": "paging.next"}, "link/header": LINK}


@settings(max_examples=60, deadline=None)
@given(
    total=st.integers(0, 23),
    size=st.integers(1, 7),
    largest=st.integers(1, 9),
    way=st.sampled_from([*COUNTED, *REFERRED]),
    beyond=st.sampled_from(["empty", "404"]),
    concurrency=st.integers(1, 4),
    faults=FAULTS.filter(lambda faults: faults.count("broken") < 3),
)
def test_whatever_the_sizes_and_faults_every_record_arrives_exactly_once(
    total, size, largest, way, beyond, concurrency, faults
):
    server = ApiServer(records=[{"id": number} for number in range(total)], page_size=size, faults=faults)
    server.largest_page, server.beyond = largest, beyond
    pagination = COUNTED[way] | {"page_size": size} if way in COUNTED else REFERRED[way]
    limits = {**QUICK, "backoff_seconds": 0, "max_retries": 8, "concurrency": concurrency if way in COUNTED else 1}
    with TemporaryDirectory() as lake, closing(server):
        assert landed_records(land(job(lake, server, way, pagination, limits=limits), HERE)) == server.records
