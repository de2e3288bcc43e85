"""Feeds that are killed: whatever the moment, a delivery is whole or not there, and a retry finishes it."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from tests.workers.published import published
from workers.executors import run_dataset
from workers.ids import new_run_id
from workers.lake.table import open_table
from workers.network import NetworkPolicy
from workers.s3 import s3_client
from workers.specs import TableTarget, to_json
from workers.template_specs import ExportFeedSpec

ROOT = Path(__file__).parents[2]
KILLED = -9
OLD, NEW = pl.DataFrame({"id": range(25)}), pl.DataFrame({"id": range(100, 115)})
BEFORE_COMMIT = {
    "while it writes the second file": ("workers.executors.export_feed.run", "_prepared", "after"),
    "half through a file": ("workers.executors.export_feed.places", "LocalSink.write", "after"),
    "once the files are written": ("workers.executors.export_feed.run", "_receipt", "after"),
    "just before it commits": ("deltalake", "DeltaTable.create_write_transaction", "before"),
}
AFTER_COMMIT = {
    "once it has committed": ("deltalake", "DeltaTable.create_write_transaction", "after"),
    "between two files": ("workers.executors.export_feed.places", "LocalPlace.show", "after"),
    "just before the manifest": ("workers.executors.export_feed.places", "LocalPlace.write", "before"),
    "once the manifest is there": ("workers.executors.export_feed.places", "LocalPlace.write", "after"),
}


def spec_in(lake: str, rows: pl.DataFrame, destination: str) -> ExportFeedSpec:
    """A run that delivers these rows in parts of ten."""
    given = published(lake, "silver.shop.orders", rows)
    return ExportFeedSpec(
        run_id=str(new_run_id()),
        workflow="shop",
        job="feed",
        inputs=(given,),
        columns=open_table(given.uri).columns,
        target=TableTarget(dataset="gold.shop.feed", uri=f"{lake}/gold/shop/feed"),
        run_time=datetime(2026, 11, 22, tzinfo=UTC),
        format="csv",
        destination=destination,
        lake_uri=lake,
        file_name="orders.csv",
        max_rows_per_file=10,
    )


@pytest.fixture
def feed(tmp_path):
    """Makes the spec of a run that delivers these rows into the lake, or elsewhere."""
    lake = f"{tmp_path}/lake"
    return lambda rows, destination=f"{lake}/feeds/shop": spec_in(lake, rows, destination)


def kill(spec: ExportFeedSpec, step: tuple[str, str, str]) -> None:
    """Carry the run out in a child process that kills itself at this step."""
    script = str(Path(__file__).with_name("executor.py"))
    job = json.dumps({"steps": [{"kind": "dataset", "spec": to_json(spec)}], "kill": step})
    environment = os.environ | {"PYTHONPATH": str(ROOT), "POLARS_MAX_THREADS": "1"}
    ended = subprocess.run([sys.executable, script, job], env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == KILLED, ended.stderr


def visible(spec: ExportFeedSpec) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in Path(spec.destination).iterdir() if not p.name.startswith(".")}


def told(held: dict[str, bytes]) -> dict[str, str]:
    """Names and checksums that the manifest tells."""
    return {file["name"]: file["sha256"] for file in json.loads(held["orders.csv.manifest.json"])["files"]}


def sums(held: dict[str, bytes]) -> dict[str, str]:
    return {k: hashlib.sha256(v).hexdigest() for k, v in held.items() if not k.endswith(".manifest.json")}


def ids(held: dict[str, bytes]) -> list[int]:
    return [int(line) for name in sorted(told(held)) for line in held[name].decode().splitlines()[1:]]


@pytest.mark.parametrize("step", BEFORE_COMMIT)
def test_a_feed_that_dies_before_it_commits_has_delivered_nothing(feed, step):
    old = feed(OLD)
    run_dataset(to_json(old))
    before, new = visible(old), feed(NEW)
    kill(new, BEFORE_COMMIT[step])
    assert visible(new) == before
    assert open_table(new.target.uri).rows == OLD.height
    check_retry(new)


@pytest.mark.parametrize("step", AFTER_COMMIT)
def test_a_feed_that_dies_after_it_committed_is_finished_by_its_retry(feed, step):
    old = feed(OLD)
    run_dataset(to_json(old))
    first, new = sums(visible(old)), feed(NEW)
    kill(new, AFTER_COMMIT[step])
    assert open_table(new.target.uri).rows == NEW.height
    held = visible(new)
    fresh = [name for name, sum_ in sums(held).items() if first[name] != sum_]
    assert {name: len(held[name].splitlines()) for name in fresh}.items() <= {
        ("orders-0001.csv", 11),
        ("orders-0002.csv", 6),
    }  # every file is whole, of one delivery or the other
    if step == "once the manifest is there":
        assert ids(held) == NEW["id"].to_list()
    else:
        assert told(held) == first
    check_retry(new)


def check_retry(spec: ExportFeedSpec) -> None:
    receipt = run_dataset(to_json(spec)).facts["delivery"]
    held = visible(spec)
    assert ids(held) == NEW["id"].to_list()
    assert told(held) == sums(held) == {file["name"]: file["sha256"] for file in receipt["files"]}
    version = open_table(spec.target.uri).version
    assert run_dataset(to_json(spec)).facts["delivery"]["files"] == receipt["files"]
    assert (visible(spec), open_table(spec.target.uri).version) == (held, version)


def test_what_waited_and_is_gone_is_written_again_from_the_committed_rows(feed):
    run_dataset(to_json(feed(OLD)))
    new = feed(NEW)
    kill(new, AFTER_COMMIT["once it has committed"])
    for part in Path(new.destination).glob(".assay-*"):
        part.unlink()
    published(new.lake_uri, "silver.shop.orders", OLD)  # the input has moved on since
    check_retry(new)


def test_a_run_that_was_held_up_does_not_undo_a_later_delivery(feed):
    run_dataset(to_json(feed(OLD)))
    late = feed(OLD.reverse())
    kill(late, AFTER_COMMIT["once it has committed"])
    later = feed(NEW)
    run_dataset(to_json(later))
    held = visible(later)
    assert run_dataset(to_json(late)).facts["delivery"]["superseded_by"] == later.run_id
    assert visible(later) == held


def test_a_feed_to_s3_that_dies_is_finished_by_its_retry(feed, s3_lake):
    client = s3_client(None, NetworkPolicy(allow=("127.0.0.1",)))
    bucket, _, prefix = s3_lake.removeprefix("s3://").partition("/")

    def held() -> dict[str, bytes]:
        found = client.list_objects_v2(Bucket=bucket, Prefix=f"{prefix}/").get("Contents", [])
        read = {each["Key"]: client.get_object(Bucket=bucket, Key=each["Key"])["Body"].read() for each in found}
        return {key.removeprefix(f"{prefix}/"): content for key, content in read.items()}

    run_dataset(to_json(feed(OLD, s3_lake)))
    before, new = held(), feed(NEW, s3_lake)
    kill(new, AFTER_COMMIT["once it has committed"])
    assert held() == before  # uploads that are not completed are no objects
    run_dataset(to_json(new))
    assert ids(held()) == NEW["id"].to_list()
    assert told(held()) == sums(held())


def test_an_upload_that_the_store_has_forgotten_is_made_again(feed, s3_lake):
    client = s3_client(None, NetworkPolicy(allow=("127.0.0.1",)))
    bucket, _, prefix = s3_lake.removeprefix("s3://").partition("/")
    run_dataset(to_json(feed(OLD, s3_lake)))
    new = feed(NEW, s3_lake)
    kill(new, AFTER_COMMIT["once it has committed"])
    for upload in client.list_multipart_uploads(Bucket=bucket, Prefix=f"{prefix}/")["Uploads"]:
        client.abort_multipart_upload(Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])
    run_dataset(to_json(new))
    content = client.get_object(Bucket=bucket, Key=f"{prefix}/orders-0001.csv")["Body"].read().decode()
    assert content.splitlines()[1:] == [str(n) for n in range(100, 110)]
