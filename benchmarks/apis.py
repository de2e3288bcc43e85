"""An HTTP API of 200 pages × 500 records: the bare requests library against a whole run.

    python -m benchmarks.apis [--pages 200] [--records 500] [--latency 5] [--repeat 5]

"bare" asks for one page after the other with `requests`, on one connection,
makes a Polars frame of each page's records, its columns and types known, and
writes them to one Parquet file. "Assay" lands each page as received, with its
hash, infers the types, sets aside what is no row, audits and commits. The API
is a process of its own on the same machine, which has all answers ready and
waits `--latency` milliseconds before each, as one next door would take.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import polars as pl
import requests

from benchmarks.harness import compare
from workers.access import Access
from workers.executors.ingest.run import run_ingest
from workers.ids import new_run_id
from workers.network import NetworkPolicy
from workers.specs import ApiSource, IngestSpec, TableTarget

TYPES = {
    "id": pl.Int64,
    "customer": pl.Struct({"id": pl.Int64, "name": pl.String}),
    "status": pl.String,
    "amount": pl.Float64,
    "tags": pl.List(pl.String),
    "is_gift": pl.Boolean,
    "updated_at": pl.String,
    "note": pl.String,
}


def bare(url: str, folder: str) -> None:
    frames, page = [], 1
    with requests.Session() as session:
        while records := session.get(url, params={"page": page, "per_page": 500}).json()["data"]["items"]:
            frames.append(pl.DataFrame(records, schema=TYPES))
            page += 1
    moment = pl.col("updated_at").str.to_datetime("%Y-%m-%dT%H:%M:%S%#z", time_unit="us", time_zone="UTC")
    pl.concat(frames).with_columns(moment).write_parquet(f"{folder}/bare.parquet", compression="snappy")


def whole_run(url: str, folder: str) -> None:
    _run(url, folder, concurrency=1)


def whole_run_at_once(url: str, folder: str) -> None:
    """The same with 4 pages under way at once."""
    _run(url, folder, concurrency=4)


def _run(url: str, folder: str, concurrency: int) -> None:
    lake = f"{folder}/lake-{new_run_id()}"
    spec = IngestSpec(
        run_id=str(new_run_id()),
        workflow="bench",
        job="orders",
        source=ApiSource(url=url, pagination={"type": "page", "page_size": 500}, limits={"concurrency": concurrency}),
        format="json",
        records_path="data.items",
        landing_uri=f"{lake}/landing/bench/orders",
        target=TableTarget(
            dataset="bronze.bench.orders", uri=f"{lake}/bronze/bench/orders", partition_by=("_ingest_date",)
        ),
        ingested_at=datetime(2026, 1, 1, tzinfo=UTC),
    )
    run_ingest(spec, access=Access(http=NetworkPolicy(allow=("127.0.0.1",))))


def serve(pages: int, records: int, latency: float) -> None:
    """The API: tells its port on standard output."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def log_message(self, *args: Any) -> None:
            pass

        def do_GET(self) -> None:
            number = int(parse_qs(urlsplit(self.path).query)["page"][0])
            time.sleep(latency / 1000)
            body = _body(number, records if number <= pages else 0)
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    for number in range(1, pages + 2):
        _body(number, records if number <= pages else 0)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(server.server_address[1], flush=True)
    server.serve_forever()


@cache
def _body(number: int, records: int) -> bytes:
    draw = random.Random(number)
    items = [
        {
            "id": number * records + place,
            "customer": {"id": draw.randrange(10**6), "name": f"customer {draw.randrange(10**6)}"},
            "status": draw.choice(("paid", "open", "returned")),
            "amount": draw.randrange(10**6) / 100,
            "tags": [draw.choice("abcdef") for _ in range(draw.randrange(4))],
            "is_gift": draw.random() > 0.9,
            "updated_at": f"2026-0{draw.randrange(1, 9)}-11T10:{draw.randrange(10, 60)}:00Z",
            "note": f"note {draw.randrange(10**9)} for the order",
        }
        for place in range(records)
    ]
    return json.dumps({"data": {"items": items}, "meta": {"page": number}}).encode()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", type=int, default=200)
    parser.add_argument("--records", type=int, default=500)
    parser.add_argument("--latency", type=float, default=5, help="milliseconds")
    parser.add_argument("--repeat", type=int, default=5)
    asked = parser.parse_args()
    command = f"from benchmarks.apis import serve; serve({asked.pages}, {asked.records}, {asked.latency})"
    server = subprocess.Popen([sys.executable, "-c", command], stdout=subprocess.PIPE, text=True)
    try:
        url = f"http://127.0.0.1:{int(server.stdout.readline())}/orders"
        with tempfile.TemporaryDirectory(prefix="assay-bench-") as folder:
            sides = {
                "bare requests and Polars, types known": "benchmarks.apis:bare",
                "Assay, whole run": "benchmarks.apis:whole_run",
                "Assay, whole run, 4 pages at once": "benchmarks.apis:whole_run_at_once",
                "dlt to Delta": "dlt:benchmarks.dlt_side:load_api",
            }
            title = f"API: {asked.pages} pages of {asked.records} records, {asked.latency:g} ms latency"
            compare(title, sides, {"url": url, "folder": folder}, asked.repeat)
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    main()
