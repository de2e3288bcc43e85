"""Feeds where the lake, or the partner's bucket, is a real S3 server: delivered whole, whatever dies, or not at all."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable
from dataclasses import replace

import polars as pl
import pytest

from tests.workers.test_export_feed_killed import NEW, OLD, ids, kill, spec_in, sums, told
from workers.access import Access, Connection
from workers.errors import AddressRefused, SourceMissing, SourceUnavailable
from workers.executors import run_dataset
from workers.lake.table import open_table, table_exists
from workers.network import NetworkPolicy
from workers.s3 import s3_client
from workers.specs import to_json
from workers.template_specs import ExportFeedSpec, FeedOptions

pytestmark = pytest.mark.s3
HERE = NetworkPolicy(allow=("127.0.0.1",))
COMMIT = ("deltalake", "DeltaTable.create_write_transaction")
PLACES = "workers.executors.export_feed.places"
BEFORE_COMMIT = {
    "once the first upload is open": (PLACES, "S3Place.open", "after"),
    "once the first file is sent": (PLACES, "S3Sink.close", "after"),
    "just before it commits": (*COMMIT, "before"),
}
AFTER_COMMIT = {
    "once it has committed": (*COMMIT, "after"),
    "between two files": (PLACES, "S3Place.show", "after"),
    "just before the manifest": (PLACES, "S3Place.write", "before"),
    "once the manifest is there": (PLACES, "S3Place.write", "after"),
}


@pytest.fixture
def feed(s3_lake) -> Callable[..., ExportFeedSpec]:
    """Makes the spec of a run that delivers these rows in parts of ten, out of a lake on S3 and into it."""

    def make(rows: pl.DataFrame, **changes) -> ExportFeedSpec:
        return replace(spec_in(s3_lake, rows, f"{s3_lake}/feeds/shop"), **changes)

    return make


def partner(**changes) -> Access:
    """The connection `partner`, of somebody who may write."""
    given = {
        "username": "lake",
        "password": "lake-secret",
        "options": {"endpoint_url": os.environ["ASSAY_S3_ENDPOINT_URL"]},
    }
    connection = Connection(name="partner", kind="s3", **given | changes)
    return Access(connections={"partner": connection}, services=HERE)


def visible(spec: ExportFeedSpec) -> dict[str, bytes]:
    client, (bucket, _, prefix) = s3_client(None, HERE), spec.destination.removeprefix("s3://").partition("/")
    found = client.list_objects_v2(Bucket=bucket, Prefix=f"{prefix}/").get("Contents", [])
    read = {each["Key"]: client.get_object(Bucket=bucket, Key=each["Key"])["Body"].read() for each in found}
    return {key.removeprefix(f"{prefix}/"): content for key, content in read.items()}


def check_retry(spec: ExportFeedSpec) -> None:
    receipt = run_dataset(to_json(spec)).facts["delivery"]
    held = visible(spec)
    assert ids(held) == NEW["id"].to_list()
    assert told(held) == sums(held) == {file["name"]: file["sha256"] for file in receipt["files"]}
    version = open_table(spec.target.uri).version
    assert run_dataset(to_json(spec)).facts["delivery"]["files"] == receipt["files"]
    assert (visible(spec), open_table(spec.target.uri).version) == (held, version)


@pytest.mark.parametrize("step", BEFORE_COMMIT)
def test_a_feed_that_dies_before_it_commits_has_delivered_nothing(feed, step):
    run_dataset(to_json(feed(OLD)))
    new = feed(NEW)
    before = visible(new)
    kill(new, BEFORE_COMMIT[step])
    assert visible(new) == before
    assert open_table(new.target.uri).rows == OLD.height
    check_retry(new)


@pytest.mark.parametrize("step", AFTER_COMMIT)
def test_a_feed_that_dies_after_it_committed_is_finished_by_its_retry(feed, step):
    run_dataset(to_json(feed(OLD)))
    new = feed(NEW)
    first = told(visible(new))
    kill(new, AFTER_COMMIT[step])
    assert open_table(new.target.uri).rows == NEW.height
    held = visible(new)
    if step == "once the manifest is there":
        assert ids(held) == NEW["id"].to_list()
    else:
        assert told(held) == first
    check_retry(new)


def test_a_feed_of_a_lake_on_s3_is_delivered_in_parts_and_packed(feed):
    spec = feed(OLD, options=FeedOptions(compression="gzip"))
    receipt = run_dataset(to_json(spec)).facts["delivery"]
    held = visible(spec)
    names = [f"orders-000{number}.csv.gz" for number in (1, 2, 3)]
    assert sorted(held) == [*names, "orders.csv.manifest.json"]
    assert [int(line) for name in names for line in gzip.decompress(held[name]).split()[1:]] == OLD["id"].to_list()
    assert receipt["destination"] == "feeds/shop"


def test_parts_that_a_delivery_no_longer_has_are_removed(feed):
    run_dataset(to_json(feed(OLD)))
    spec = feed(NEW)
    assert run_dataset(to_json(spec)).facts["delivery"]["removed"] == ["orders-0003.csv"]
    assert sorted(visible(spec)) == ["orders-0001.csv", "orders-0002.csv", "orders.csv.manifest.json"]


@pytest.fixture
def abroad(tmp_path, s3_lake) -> Callable[..., ExportFeedSpec]:
    """Makes the spec of a run that delivers from a lake in a folder to a bucket, by the connection `partner`."""

    def make(rows: pl.DataFrame = NEW) -> ExportFeedSpec:
        return replace(spec_in(f"{tmp_path}/lake", rows, f"{s3_lake}/in"), connection="partner")

    return make


def test_a_connection_s_credentials_are_used_and_stand_nowhere(abroad, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "not-these")
    spec, access = abroad(), partner()
    result = run_dataset(to_json(spec), access=access)
    monkeypatch.undo()
    held = visible(spec)
    assert ids(held) == NEW["id"].to_list()
    assert result.facts["delivery"]["connection"] == "partner"
    assert "lake-secret" not in str(held) + str(result) + str(to_json(spec))


@pytest.mark.parametrize(
    ("access", "error"),
    [
        (lambda: partner(password="wrong"), SourceMissing),
        (lambda: partner(username="nobody"), SourceMissing),
        (lambda: partner(options={"endpoint_url": "http://127.0.0.1:9"}), SourceUnavailable),
        (lambda: replace(partner(), services=NetworkPolicy()), AddressRefused),
        (lambda: Access(services=HERE), SourceMissing),
    ],
    ids=["wrong secret", "unknown key", "nobody answers", "refused address", "connection gone"],
)
def test_a_partner_that_cannot_be_reached_ends_the_run_before_anything_is_published(abroad, access, error):
    spec = abroad()
    with pytest.raises(error) as told_:
        run_dataset(to_json(spec), access=access())
    assert told_.value.hint
    assert not table_exists(spec.target.uri)
    assert visible(spec) == {}


def test_a_partner_that_goes_away_after_the_commit_gets_the_delivery_with_the_retry(abroad):
    run_dataset(to_json(abroad(OLD)), access=partner())
    spec = abroad()
    kill(replace(spec, connection=""), AFTER_COMMIT["once it has committed"])
    with pytest.raises(SourceUnavailable):
        run_dataset(to_json(spec), access=partner(options={"endpoint_url": "http://127.0.0.1:9"}))
    run_dataset(to_json(spec), access=partner())
    assert ids(visible(spec)) == NEW["id"].to_list()
