"""A real HTTP API on this machine: pages in every style, asks for every kind of credentials, and fails as told.

`api_server` is a fixture; `ApiServer` can be used alone. What it does with the
requests for pages to come stands in `faults`, one word each: see `FAULTS`.
"""

from __future__ import annotations

import base64
import csv
import gzip
import io
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest

from workers.access import Access
from workers.ids import new_run_id
from workers.lake.landing import Landed
from workers.network import NetworkPolicy
from workers.specs import ApiSource, IngestSpec, TableTarget

LOCAL = NetworkPolicy(allow=("127.0.0.1",))
HERE = Access(http=LOCAL)
# `fine`, a status, `429:SECONDS`, or one of these.
FAULTS = ("drop", "refuse", "stall", "broken", "html", "truncated", "bomb", "unauthorized")
AUTHS = {
    "basic": {"Authorization": "Basic " + base64.b64encode(b"ann:p\xc3\xa4ss:w").decode()},
    "bearer": {"Authorization": "Bearer b3arer-s3cret"},
    "api_key": {"X-Api-Key": "k3y-s3cret"},
}


@dataclass
class Seen:
    """A request for a page, as it came."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any
    at: float


@dataclass
class ApiServer:
    """The records, how they are paged, who may ask, and what was asked."""

    records: list[dict[str, Any]] = field(default_factory=list)
    page_size: int = 3
    largest_page: int = 1000  # what it answers with at most, whatever is asked for
    auth: str = ""  # "", basic, bearer, api_key, api_key_query, oauth2
    client_in: str = "basic"
    token_seconds: float | None = 3600  # what it tells; it takes a token for as long as it lives
    faults: list[str] = field(default_factory=list)
    delay: float = 0.0
    beyond: str = "empty"  # what stands beyond the last page: empty, 404, last
    answers: list[Any] = field(default_factory=list)  # what /fixed answers, one after the other
    packs: bool = False  # answers are gzip on their way
    seen: list[Seen] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    token_faults: list[str] = field(default_factory=list)
    at_page: Callable[[int], None] = lambda number: None  # called before page request 1, 2, …
    port: int = 0
    most_at_once: int = 0

    def __post_init__(self) -> None:
        self.lock = threading.Lock()
        self.at_once = 0
        self.server = _Server(("127.0.0.1", self.port), _Handler)
        self.server.api = self
        self.port = self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self.thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def pages_asked(self) -> list[Seen]:
        return [seen for seen in self.seen if seen.path not in ("/token", "/redirect")]

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    api: ApiServer

    def handle_error(self, request, client_address) -> None:
        """A client that went away is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def log_message(self, *args) -> None:
        pass

    def do_GET(self) -> None:
        self._serve(None)

    def do_POST(self) -> None:
        self._serve(self.rfile.read(int(self.headers.get("Content-Length", 0))))

    def _serve(self, body: bytes | None) -> None:
        api, parts = self.server.api, urlsplit(self.path)
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        if parts.path == "/token":
            return self._token(dict(parse_qsl((body or b"").decode())))
        if parts.path == "/redirect":
            return self._send(int(query.get("status", 302)), b"", {"Location": query["to"]})
        sent = json.loads(body) if body else None
        with api.lock:
            seen = Seen(self.command, parts.path, query, dict(self.headers), sent, time.monotonic())
            api.seen.append(seen)
            number = len(api.pages_asked)
            fault = api.faults.pop(0) if api.faults else "fine"
            api.at_once += 1
            api.most_at_once = max(api.most_at_once, api.at_once)
        try:
            api.at_page(number)
            time.sleep(api.delay)
            self._page(api, parts.path, query, sent, fault)
        finally:
            with api.lock:
                api.at_once -= 1

    def _page(self, api: ApiServer, path: str, query: dict[str, str], body: Any, fault: str) -> None:
        if fault == "unauthorized" or not self._is_allowed(api, query):
            return self._send(401, json.dumps({"error": {"message": "Who are you?"}}).encode())
        status, _, wait = fault.partition(":")
        if status.isdigit():
            said = json.dumps({"message": f"trouble {status}", "you sent": dict(self.headers)}).encode()
            return self._send(int(status), said, {"Retry-After": wait} if wait else {})
        if fault == "refuse":
            return self._hang_up()
        style = path.strip("/").split("/")[0]
        code, answer, headers = getattr(self, f"_{style.replace('-', '_')}")(api, query | (body or {}), path)
        packed = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        return self._faulty(fault, code, packed, headers)

    def _faulty(self, fault: str, code: int, body: bytes, headers: dict[str, str]) -> None:
        if fault == "broken":
            body = body[: len(body) // 2]
        elif fault == "html":
            body = b"<html>We are down for maintenance.</html>"
        elif fault == "bomb":
            return self._send(200, gzip.compress(bytes(20_000_000), 1), {"Content-Encoding": "gzip"})
        elif fault == "stall":
            time.sleep(3)
        if fault in ("drop", "truncated"):
            self._head(code, len(body), headers)
            self.wfile.write(body[: len(body) // 2])
            return self._hang_up()
        return self._send(code, body, headers)

    def _send(self, code: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        if self.server.api.packs and body and code == 200:
            body, headers = gzip.compress(body), {**(headers or {}), "Content-Encoding": "gzip"}
        self._head(code, len(body), headers or {})
        self.wfile.write(body)

    def _head(self, code: int, size: int, headers: dict[str, str]) -> None:
        self.send_response(code)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(size), **headers}.items():
            self.send_header(name, value)
        self.end_headers()

    def _hang_up(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    # --- who asks ----------------------------------------------------------------------

    def _is_allowed(self, api: ApiServer, query: dict[str, str]) -> bool:
        if api.auth == "api_key_query":
            return query.get("key") == "k3y-s3cret"
        if api.auth == "oauth2":
            kind, _, token = self.headers.get("Authorization", "").partition(" ")
            return kind == "Bearer" and token in api.tokens
        return all(self.headers.get(name) == value for name, value in AUTHS.get(api.auth, {}).items())

    def _token(self, form: dict[str, str]) -> None:
        api = self.server.api
        api.seen.append(Seen("POST", "/token", {}, dict(self.headers), form, time.monotonic()))
        if api.token_faults:
            return self._send(int(api.token_faults.pop(0)), b'{"error": "busy"}')
        basic = "Basic " + base64.b64encode(b"client:cl1ent-s3cret%2F").decode()
        known = self.headers.get("Authorization") == basic
        if api.client_in == "body":
            known = form.get("client_id") == "client" and form.get("client_secret") == "cl1ent-s3cret/"
        if not known or form.get("grant_type") != "client_credentials":
            return self._send(401, b'{"error": "invalid_client", "error_description": "No such client."}')
        token = f"t0ken-{len(api.tokens)}-s3cret"
        api.tokens.append(token)
        lifetime = api.token_seconds
        told = {"access_token": token, "token_type": "bearer"}
        return self._send(200, json.dumps(told | ({"expires_in": lifetime} if lifetime else {})).encode())

    # --- ways of paging: (query, path) -> status, answer, headers --------------------------

    def _single(self, api: ApiServer, query: dict, path: str):
        return 200, {"data": {"items": api.records}}, {}

    def _fixed(self, api: ApiServer, query: dict, path: str):
        return 200, api.answers.pop(0), {}

    def _list(self, api: ApiServer, query: dict, path: str):
        return 200, api.records, {}

    def _csv(self, api: ApiServer, query: dict, path: str):
        text = io.StringIO()
        writer = csv.DictWriter(text, list(api.records[0]))
        writer.writeheader()
        start = (int(query.get("page", 1)) - 1) * api.page_size
        writer.writerows(api.records[start : start + api.page_size])
        return 200, text.getvalue().encode(), {}

    def _ndjson(self, api: ApiServer, query: dict, path: str):
        start = int(query.get("offset", 0))
        page = api.records[start : start + api.page_size]
        return 200, "".join(json.dumps(record) + "\n" for record in page).encode(), {}

    def _page_(self, api: ApiServer, number: int, size: int):
        start = number * size
        pages = -(-len(api.records) // size)
        if api.beyond == "last":
            start = min(start, max(0, pages - 1) * size)
        elif api.beyond == "404" and number and start >= len(api.records):
            return 404, {"message": "no such page"}, {}
        items = api.records[start : start + size]
        more = start + size < len(api.records)
        meta = {"total": len(api.records), "pages": pages, "more": more}
        return 200, {"data": {"items": items}, "meta": meta}, {}

    def _size(self, api: ApiServer, query: dict) -> int:
        return min(api.largest_page, int(query.get("per_page") or query.get("limit") or api.page_size))

    def _page0(self, api: ApiServer, query: dict, path: str):
        return self._page_(api, int(query.get("page", 0)), self._size(api, query))

    def _page1(self, api: ApiServer, query: dict, path: str):
        return self._page_(api, int(query.get("page", 1)) - 1, self._size(api, query))

    def _stuck(self, api: ApiServer, query: dict, path: str):
        """Knows no parameter."""
        return self._page_(api, 0, api.page_size)

    def _offset(self, api: ApiServer, query: dict, path: str):
        start, size = int(query.get("offset", 0)), self._size(api, query)
        items = api.records[start : start + size]
        meta = {"total": len(api.records), "more": start + size < len(api.records)}
        return 200, {"data": {"items": items}, "meta": meta}, {}

    def _cursor(self, api: ApiServer, query: dict, path: str):
        given = self.headers.get("X-Cursor") or query.get("paging", {}) or query.get("cursor")
        if isinstance(given, dict):
            given = given.get("cursor")
        start = int(given.partition("-")[2]) if given else 0
        end = start + api.page_size
        following = f"at-{end}" if end < len(api.records) else None
        if path.endswith("/loop") and following is None:
            following = "at-0" if not path.endswith("/quiet/loop") else None
        answer = {"data": {"items": api.records[start:end]}, "meta": {"next": following, "more": bool(following)}}
        if path.endswith("/header"):
            return 200, answer | {"meta": {}}, {"X-Next": following} if following else {}
        return 200, answer, {}

    def _link(self, api: ApiServer, query: dict, path: str):
        """The next page's address in the body, or, below /link/header, in a header. `to`: whose address."""
        start = int(query.get("start", 0))
        end = start + api.page_size
        params = {name: value for name, value in query.items() if isinstance(value, str)} | {"start": end}
        host = query.get("to", api.url if path.endswith("/absolute") else "")
        address = f"{host}{urlsplit(self.path).path}?{urlencode(params)}" if end < len(api.records) else None
        if path.endswith("/loop") and address is None:
            address = f"{path}?start=0"
        answer = {"data": {"items": api.records[start:end]}, "paging": {"next": address}}
        if path.endswith("/header"):
            links = (
                f'<{path}?start=0>; rel="first", <{address}>; rel="next last"' if address else f'<{path}>; rel="first"'
            )
            return 200, answer | {"paging": {}}, {"Link": links}
        return 200, answer, {}


QUICK = {"backoff_seconds": 0.01, "timeout_seconds": 5}


def api_spec(lake: Path, source: dict[str, Any], **changes: Any) -> IngestSpec:
    """A run of a job that reads an API; `source` are the fields of `ApiSource`."""
    facts = {
        "run_id": str(new_run_id()),
        "workflow": "shop",
        "job": "orders",
        "source": ApiSource(**{"limits": QUICK, **source}),
        "format": "json",
        "records_path": "data.items",
        "landing_uri": f"{lake}/landing/shop/orders",
        "quarantine_uri": f"{lake}/quarantine/shop/orders",
        "target": TableTarget(dataset="bronze.shop.orders", uri=f"{lake}/bronze/shop/orders"),
        "ingested_at": datetime(2026, 11, 22, 10, 30, tzinfo=UTC),
    }
    return IngestSpec(**facts | changes)


def landed_records(landed: Landed, records_path: str = "data.items") -> list[dict[str, Any]]:
    """The records of the landed pages in their order, read with nothing but json."""
    found = []
    for file in landed.files:
        document = json.loads(Path(file.uri).read_bytes())
        for key in records_path.split(".") if records_path else ():
            document = document[key]
        found += document
    return found


@pytest.fixture
def api_server() -> Iterator[ApiServer]:
    server = ApiServer(records=[{"id": number, "name": f"n{number}"} for number in range(10)])
    yield server
    server.close()
