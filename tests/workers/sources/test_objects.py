"""Files of an object store: found by patterns, landed as they are, refused when they change."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import polars as pl
import pytest

from tests.workers.workbooks import xlsx
from workers import errors
from workers.access import Access, Connection
from workers.executors.ingest.preview import preview
from workers.executors.ingest.run import run_ingest
from workers.ids import new_run_id
from workers.network import NetworkPolicy
from workers.sources import objects
from workers.sources.objects import ObjectBytes, client_for, list_objects, matches
from workers.specs import FilesSource, IngestSpec, SourceFile, TableTarget

SERVICES = NetworkPolicy(allow=("*",), setting="ASSAY_CONNECTIONS_ALLOW_PRIVATE")


def access_to(endpoint: str, **more: str) -> Access:
    facts = {"username": "lake", "password": "lake-secret", "options": {"endpoint_url": endpoint}, **more}
    return Access(connections={"store": Connection(name="store", kind="s3", **facts)}, services=SERVICES)


@pytest.fixture
def access(s3_server):
    return access_to(s3_server["ASSAY_S3_ENDPOINT_URL"])


@pytest.fixture
def client(access):
    return client_for(FilesSource(files=(), connection="store"), access)


@pytest.fixture
def put(client):
    """Puts objects below a prefix of their own, and gives it."""
    prefix = uuid4().hex

    def put(files: dict[str, bytes]) -> str:
        for name, content in files.items():
            client.put_object(Bucket="lake", Key=f"{prefix}/{name}", Body=content)
        return prefix

    return put


@pytest.fixture
def job(tmp_path):
    def make(files: list[SourceFile], **changes: object) -> IngestSpec:
        facts = {
            "run_id": str(new_run_id()),
            "workflow": "shop",
            "job": "orders",
            "source": FilesSource(files=tuple(files), connection="store"),
            "format": "csv",
            "landing_uri": f"{tmp_path}/lake/landing/shop/orders",
            "target": TableTarget(dataset="bronze.shop.orders", uri=f"{tmp_path}/lake/bronze/shop/orders"),
            "ingested_at": datetime(2026, 11, 22, tzinfo=UTC),
        }
        return IngestSpec(**facts | changes)

    return make


PATTERNS = [
    ("*.csv", ["a.csv", "b.csv"], ["2026/a.csv", "a.csv.gz", "a.CSV"]),
    ("2026/*/a.csv", ["2026/11/a.csv"], ["2026/a.csv", "2026/11/12/a.csv"]),
    ("**/a.csv", ["a.csv", "2026/a.csv", "2026/11/a.csv"], ["2026/b.csv", "ba.csv"]),
    ("2026/**", ["2026/a", "2026/11/a"], ["2025/a"]),
    ("2026/**/*.csv", ["2026/a.csv", "2026/1/2/a.csv"], ["2026/a.txt"]),
    ("a?.csv", ["a1.csv"], ["a.csv", "a12.csv", "a/.csv"]),
    ("[a-c]1.csv", ["a1.csv", "c1.csv"], ["d1.csv", "-1.csv"]),
    ("[!a]1.csv", ["b1.csv"], ["a1.csv", "/1.csv"]),
    ("a[.csv", ["a[.csv"], ["a.csv"]),
    ("a+(b).csv", ["a+(b).csv"], ["aab.csv"]),
]


@pytest.mark.parametrize(("pattern", "fits", "others"), PATTERNS)
def test_a_pattern_means_what_people_mean_by_it(pattern, fits, others):
    assert matches([*fits, *others], pattern) == [True] * len(fits) + [False] * len(others)


def test_a_pattern_of_many_wildcards_is_answered_at_once():
    assert matches(["a" * 1000, "a" * 999 + "b"], "*a" * 30 + "b") == [False, True]
    assert matches(["a/" * 500, "a/" * 499 + "b"], "**/*a" * 8 + "/**/b") == [False, True]


def test_a_pattern_that_is_none_is_refused():
    with pytest.raises(errors.InvalidSpec, match="is no pattern"):
        matches(["a"], "[z-a]")


FILES = {
    "b.csv": b"id\n2\n",
    "a.csv": b"id\n1\n",
    "empty.csv": b"",
    "sub/c.csv": b"id\n3\n",
    "_SUCCESS": b"x",
    ".hidden.csv": b"id\n9\n",
    "_temporary/d.csv": b"id\n9\n",
    "_day=2026-11-22/e.csv": b"id\n5\n",
    "notes.txt": b"no",
}


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("*.csv", ["a.csv", "b.csv"]),
        ("**/*.csv", ["_day=2026-11-22/e.csv", "a.csv", "b.csv", "sub/c.csv"]),
        ("", ["_day=2026-11-22/e.csv", "a.csv", "b.csv", "notes.txt", "sub/c.csv"]),
        ("a.csv", ["a.csv"]),
        ("sub/", ["c.csv"]),
        ("s*/*.csv", ["sub/c.csv"]),
        ("_S*", ["_SUCCESS"]),
    ],
)
def test_objects_are_found_in_order_without_markers_and_empty_ones(client, put, pattern, names):
    assert [file.name for file in list_objects(client, "lake", f"{put(FILES)}/{pattern}")] == names


def test_a_listing_of_many_pages_is_whole(client, put):
    prefix = put({f"{number:04d}.csv": b"x" for number in range(1050)})
    found = list_objects(client, "lake", f"{prefix}/*.csv")
    assert [file.name for file in found] == [f"{number:04d}.csv" for number in range(1050)]


def test_what_is_not_there_or_not_allowed_is_said(client, put, s3_server):
    prefix = put({"a.csv": b"id\n1\n"})
    for bucket, pattern in (("lake", f"{prefix}/*.txt"), ("lake", f"{prefix}/b.csv"), ("nowhere", "*.csv")):
        with pytest.raises(errors.SourceMissing, match=f"{bucket}/"):
            list_objects(client, bucket, pattern)
    wrong = access_to(s3_server["ASSAY_S3_ENDPOINT_URL"], password="wrong-secret")
    stranger = client_for(FilesSource(files=(), connection="store"), wrong)
    with pytest.raises(errors.SourceMissing, match="access was refused") as caught:
        list_objects(stranger, "lake", f"{prefix}/*.csv")
    assert "wrong-secret" not in str(caught.value.as_dict())


def test_a_store_that_does_not_answer_can_be_tried_again():
    nobody = access_to("http://127.0.0.1:9")
    with pytest.raises(errors.SourceUnavailable):
        list_objects(client_for(FilesSource(files=(), connection="store"), nobody), "lake", "*.csv")


def test_objects_become_rows_with_their_names_and_land_as_they_are(client, put, job, access):
    prefix = put({"in/a.csv": b"id\n1\n", "in/sub/b.csv.gz": gzip.compress(b"id\n2\n3\n")})
    spec = job(list_objects(client, "lake", f"{prefix}/in/**"))
    result = run_ingest(spec, access=access)
    rows = pl.read_delta(spec.target.uri).sort("id").select("id", "_source_file").rows()
    assert rows == [(1, "a.csv"), (2, "sub/b.csv.gz"), (3, "sub/b.csv.gz")]
    assert [(file.name, file.mark) for file in result.files] == [(f.name, f.mark) for f in spec.source.files]
    landed = [path for path in Path(spec.landing_uri).rglob("*") if path.name == "a.csv"]
    assert [path.read_bytes() for path in landed] == [b"id\n1\n"]


def test_a_preview_of_objects_reads_their_beginnings(client, put, job, access):
    prefix = put({"a.csv": b"id,name\n" + b"1,some text\n" * 1_000_000, "b.xlsx": xlsx(["n"], [7])})
    found = preview(job(list_objects(client, "lake", f"{prefix}/a.csv")), access)
    assert (len(found.rows), found.rows[0]) == (50, {"id": 1, "name": "some text"})
    assert found.rejected == ()
    spec = job(list_objects(client, "lake", f"{prefix}/b.xlsx"), format="excel")
    assert preview(spec, access).rows == ({"n": 7},)


def test_an_object_that_changed_since_it_was_listed_is_not_read(client, put, job, access):
    prefix = put({"a.csv": b"id\n1\n"})
    spec = job(list_objects(client, "lake", f"{prefix}/a.csv"))
    put({"a.csv": b"id\n2\n"})
    with pytest.raises(errors.SourceUnavailable, match=r"a\.csv changed while it was read"):
        run_ingest(spec, access=access)
    assert not Path(spec.target.uri).exists()


def test_an_object_that_is_gone_since_it_was_listed_is_said_to_be(client, put, job, access):
    prefix = put({"a.csv": b"id\n1\n"})
    spec = job(list_objects(client, "lake", f"{prefix}/a.csv"))
    client.delete_object(Bucket="lake", Key=f"{prefix}/a.csv")
    with pytest.raises(errors.SourceMissing, match="does not exist"):
        run_ingest(spec, access=access)


class Breaking:
    """A store whose connections break after so many bytes each."""

    def __init__(self, client, after: int) -> None:
        self._client, self._after, self.asked = client, after, []

    def get_object(self, **request):
        self.asked.append(request["Range"])
        answer = self._client.get_object(**request)
        body, left = answer["Body"], self._after

        class Body:
            def read(self, size):
                nonlocal left
                if left <= 0:
                    raise ConnectionResetError("reset")
                chunk = body.read(min(size, left))
                left -= len(chunk)
                return chunk

        return {"Body": Body()}


def test_reading_goes_on_where_a_connection_broke(client, put, monkeypatch):
    monkeypatch.setattr(objects, "PAUSE_SECONDS", 0)
    content = bytes(range(256)) * 1000
    prefix = put({"a.bin": content})
    (file,) = list_objects(client, "lake", f"{prefix}/a.bin")
    breaking = Breaking(client, after=100_000)
    reader, read = ObjectBytes(breaking, file), b""
    while chunk := reader.read(30_000):
        read += chunk
    assert read == content
    assert breaking.asked == ["bytes=0-255999", "bytes=100000-255999", "bytes=200000-255999"]


def test_a_connection_that_never_brings_a_byte_is_given_up(client, put, monkeypatch):
    monkeypatch.setattr(objects, "PAUSE_SECONDS", 0)
    prefix = put({"a.bin": b"x" * 100})
    (file,) = list_objects(client, "lake", f"{prefix}/a.bin")
    breaking = Breaking(client, after=0)
    with pytest.raises(errors.SourceUnavailable):
        ObjectBytes(breaking, file).read(10)
    assert len(breaking.asked) == objects.TRIES
