"""Feeds: what other programs read in the files, what the manifest says of them, and where nothing is ever written."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.workers.published import published
from workers.access import Access
from workers.errors import AuditFailed, InvalidSpec, SourceMissing
from workers.executors import run_dataset
from workers.executors.export_feed.files import write_rows
from workers.executors.export_feed.names import name_problem, names_of, path_problem
from workers.ids import new_run_id
from workers.lake.table import open_table, table_exists
from workers.network import NetworkPolicy
from workers.s3 import s3_client
from workers.specs import TableTarget, to_json
from workers.template_specs import ExportFeedSpec, FeedOptions

AT = datetime(2026, 11, 22, 10, 30, tzinfo=UTC)
ORDERS = pl.DataFrame(
    {
        "id": [3, 1, 2],
        "amount": [Decimal("10.50"), None, Decimal("99999999999999999999999999.01")],
        "note": ['say "hi",\nthen go', "", None],
        "at": [AT, None, AT],
        "day": [date(2026, 1, 31), None, None],
        "share": [0.1, float("nan"), -1e300],
        "tags": [["a", "b"], [], None],
        "place": [{"city": "Köln", "since": date(2026, 1, 2), "fee": Decimal("1.10")}, None, None],
        "raw": [b"\x00\xff", None, b""],
        "ok": [True, False, None],
    },
    schema={
        "id": pl.Int64,
        "amount": pl.Decimal(38, 2),
        "note": pl.String,
        "at": pl.Datetime("us", "UTC"),
        "day": pl.Date,
        "share": pl.Float64,
        "tags": pl.List(pl.String),
        "place": pl.Struct({"city": pl.String, "since": pl.Date, "fee": pl.Decimal(10, 2)}),
        "raw": pl.Binary,
        "ok": pl.Boolean,
    },
)


@pytest.fixture
def spec_of(tmp_path):
    """Makes the spec of a run that delivers these rows to `feeds/shop` of a lake."""

    def make(rows: pl.DataFrame = ORDERS, **changes) -> ExportFeedSpec:
        lake = f"{tmp_path}/lake"
        given = published(lake, "silver.shop.orders", rows)
        known = {column.name: column for column in open_table(given.uri).columns}
        columns = changes.pop("columns", None) or tuple(known)
        facts = {
            "run_id": str(new_run_id()),
            "workflow": "shop",
            "job": "feed",
            "inputs": (given,),
            "columns": tuple(known[name] for name in columns),
            "target": TableTarget(dataset="gold.shop.feed", uri=f"{lake}/gold/shop/feed"),
            "run_time": AT,
            "format": "csv",
            "destination": f"{lake}/feeds/shop",
            "lake_uri": lake,
            "file_name": "orders.csv",
            "order_by": ("id",),
        }
        return ExportFeedSpec(**facts | changes)

    return make


@pytest.fixture
def deliver(spec_of):
    def run(rows: pl.DataFrame = ORDERS, **changes) -> SimpleNamespace:
        spec = spec_of(rows, **changes)
        result = run_dataset(to_json(spec))
        folder = Path(spec.destination)
        return SimpleNamespace(
            spec=spec,
            result=result,
            receipt=result.facts["delivery"],
            folder=folder,
            names=sorted(path.name for path in folder.iterdir()),
            manifest=json.loads((folder / result.facts["delivery"]["manifest"]).read_bytes()),
        )

    return run


# --- what is in the files ---------------------------------------------------------------------


def test_csv_has_exact_values_and_python_reads_them_back(deliver):
    done = deliver()
    with (done.folder / "orders.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == ["1", "2", "3"]
    assert [row["amount"] for row in rows] == ["", "99999999999999999999999999.01", "10.50"]
    assert rows[2]["note"] == 'say "hi",\nthen go'
    assert rows[2]["at"] == "2026-11-22T10:30:00.000000Z"
    assert rows[2]["day"] == "2026-01-31"
    assert json.loads(rows[2]["place"]) == {"city": "Köln", "since": "2026-01-02", "fee": "1.10"}
    assert (json.loads(rows[2]["tags"]), rows[0]["tags"], rows[1]["tags"]) == (["a", "b"], "[]", "")
    assert (rows[2]["raw"], rows[0]["place"], rows[0]["ok"]) == ("AP8=", "", "false")


def test_csv_tells_null_from_empty_text_by_quotes(deliver):
    done = deliver(columns=("id", "note"))
    assert (done.folder / "orders.csv").read_text() == 'id,note\n1,""\n2,\n3,"say ""hi"",\nthen go"\n'


def test_csv_is_written_as_its_options_say(deliver):
    options = FeedOptions(delimiter=";", header=False, null_value="NULL", quote="all")
    done = deliver(columns=("id", "amount"), options=options)
    assert (done.folder / "orders.csv").read_text() == (
        '"1";"NULL"\n"2";"99999999999999999999999999.01"\n"3";"10.50"\n'
    )


def test_formulas_are_defused_only_where_it_is_asked(deliver):
    rows = pl.DataFrame({"id": [1, 2, 3, 4], "note": ["=1+1", "@home", "fine", "-3"]})
    read = lambda done: [line["note"] for line in csv.DictReader((done.folder / "orders.csv").open())]  # noqa: E731
    assert read(deliver(rows)) == ["=1+1", "@home", "fine", "-3"]
    assert read(deliver(rows, options=FeedOptions(escape_formulas=True))) == ["'=1+1", "'@home", "fine", "'-3"]


@pytest.mark.parametrize("kind", ["json", "ndjson"])
def test_json_has_exact_values_and_python_reads_them_back(deliver, kind):
    done = deliver(format=kind, file_name=f"orders.{kind}")
    text = (done.folder / f"orders.{kind}").read_text(encoding="utf-8")
    rows = json.loads(text) if kind == "json" else [json.loads(line) for line in text.splitlines()]
    assert [row["id"] for row in rows] == [1, 2, 3]
    assert rows[1]["amount"] == "99999999999999999999999999.01"
    assert rows[2]["place"] == {"city": "Köln", "since": "2026-01-02", "fee": "1.10"}
    assert rows[2]["at"] == "2026-11-22T10:30:00.000000Z"
    assert (rows[0]["share"], rows[1]["share"]) == (None, -1e300)  # JSON has no NaN
    assert (rows[0]["note"], rows[1]["note"], rows[2]["note"]) == ("", None, 'say "hi",\nthen go')
    assert (rows[0]["tags"], rows[1]["tags"], rows[2]["raw"]) == ([], None, "AP8=")


def test_parquet_keeps_the_types(deliver):
    done = deliver(format="parquet", file_name="orders.parquet", options=FeedOptions(compression="zstd"))
    file = pq.ParquetFile(done.folder / "orders.parquet")
    assert pl.from_arrow(file.read()).equals(ORDERS.sort("id"))
    assert file.metadata.row_group(0).column(0).compression == "ZSTD"


@pytest.mark.parametrize(("compression", "suffix"), [("gzip", ".gz"), ("zstd", ".zst")])
def test_what_is_compressed_says_so_in_its_name_and_is_the_same_when_opened(deliver, compression, suffix):
    plain = deliver(columns=("id", "note"))
    text = (plain.folder / "orders.csv").read_bytes()
    done = deliver(columns=("id", "note"), options=FeedOptions(compression=compression))
    packed = (done.folder / f"orders.csv{suffix}").read_bytes()
    opened = gzip.decompress(packed) if compression == "gzip" else pa.input_stream(io.BytesIO(packed), "zstd").read()
    assert opened == text
    assert done.names == [f"orders.csv{suffix}", "orders.csv.manifest.json"][:: 1 if suffix < ".m" else -1]


@pytest.mark.parametrize(
    ("kind", "content"), [("csv", b"id,note\n"), ("json", b"[\n]\n"), ("ndjson", b""), ("parquet", None)]
)
def test_no_rows_make_a_file_that_can_still_be_read(deliver, kind, content):
    done = deliver(ORDERS.clear(), columns=("id", "note"), format=kind, file_name=f"orders.{kind}")
    found = (done.folder / f"orders.{kind}").read_bytes()
    assert found == content if content is not None else pq.read_metadata(io.BytesIO(found)).num_rows == 0
    assert (done.manifest["rows"], done.manifest["files"][0]["rows"]) == (0, 0)


def test_arrays_are_whole_wherever_a_chunk_ends(monkeypatch):
    rows = pl.DataFrame({"n": list(range(40)), "text": ["x" * (n % 7) for n in range(40)]}).lazy()
    for size in range(1, 60):
        monkeypatch.setattr("workers.executors.export_feed.files.CHUNK_BYTES", size)
        sink = io.BytesIO()
        write_rows(rows, "json", FeedOptions(), sink)
        assert [row["n"] for row in json.loads(sink.getvalue())] == list(range(40))


# --- the manifest and the table -----------------------------------------------------------------


def test_the_manifest_says_what_was_delivered_and_from_what(deliver):
    done = deliver(columns=("id", "amount"))
    content = (done.folder / "orders.csv").read_bytes()
    assert done.manifest["files"] == [
        {
            "name": "orders.csv",
            "rows": 3,
            "size_bytes": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
        }
    ]
    assert done.manifest["columns"] == [
        {"name": "id", "type": "int64", "nullable": True},
        {"name": "amount", "type": "decimal(38,2)", "nullable": True},
    ]
    assert (done.manifest["dataset"], done.manifest["run_id"]) == ("gold.shop.feed", done.spec.run_id)
    assert done.manifest["inputs"] == {"silver.shop.orders": 0}
    assert done.manifest["version"] == done.result.published.version


def test_the_run_s_receipt_is_what_the_manifest_says(deliver):
    done = deliver()
    assert done.receipt["files"] == done.manifest["files"]
    assert (done.receipt["destination"], done.receipt["rows"]) == ("feeds/shop", 3)


def test_what_was_delivered_is_a_table_too(deliver):
    done = deliver(columns=("id", "note"))
    assert open_table(done.spec.target.uri).scan().collect().rows() == [
        (1, ""),
        (2, None),
        (3, 'say "hi",\nthen go'),
    ]


def test_many_rows_are_split_into_parts_and_each_row_is_in_one(deliver):
    rows = pl.DataFrame({"id": range(25)})
    done = deliver(rows, max_rows_per_file=10, file_name="{date}.csv", order_by=("-id",))
    assert done.names == [
        "2026-11-22-0001.csv",
        "2026-11-22-0002.csv",
        "2026-11-22-0003.csv",
        "2026-11-22.csv.manifest.json",
    ]
    assert [file["rows"] for file in done.manifest["files"]] == [10, 10, 5]
    read = [int(n) for name in done.names[:3] for n in (done.folder / name).read_text().splitlines()[1:]]
    assert read == list(range(24, -1, -1))


def test_parts_that_a_delivery_no_longer_has_are_removed_and_nothing_else_is(deliver):
    deliver(pl.DataFrame({"id": range(25)}), max_rows_per_file=10)
    folder = deliver(pl.DataFrame({"id": range(25)}), max_rows_per_file=10).folder
    (folder / "orders-note.csv").write_text("mine")
    manifest = json.loads((folder / "orders.csv.manifest.json").read_bytes())
    manifest["files"] += [{"name": "orders-note.csv"}, {"name": "../../secret"}, {"name": 7}, "junk"]
    (folder / "orders.csv.manifest.json").write_text(json.dumps(manifest))
    done = deliver(pl.DataFrame({"id": range(5)}), max_rows_per_file=10)
    assert done.names == ["orders-0001.csv", "orders-note.csv", "orders.csv.manifest.json"]
    assert done.receipt["removed"] == ["orders-0002.csv", "orders-0003.csv"]


def test_a_name_with_the_run_s_id_keeps_every_delivery(deliver):
    first, second = deliver(file_name="{run_id}.csv"), deliver(file_name="{run_id}.csv")
    assert len(second.names) == 4
    assert {first.receipt["manifest"], second.receipt["manifest"]} < set(second.names)


# --- where nothing is written ---------------------------------------------------------------------


@pytest.mark.parametrize("path", ["gold/shop", "../elsewhere", "feeds/../gold/x", "_delta_log", "bronze", "feeds//x"])
def test_a_feed_does_not_write_outside_its_part_of_the_lake(spec_of, path):
    spec = spec_of(destination="")
    with pytest.raises(InvalidSpec):
        run_dataset(to_json(spec) | {"destination": f"{spec.lake_uri}/{path}"})
    assert not table_exists(spec.target.uri)


def test_a_feed_does_not_follow_a_link_out_of_the_lake(spec_of, tmp_path):
    spec, outside = spec_of(), tmp_path / "outside"
    outside.mkdir()
    (Path(spec.lake_uri) / "feeds").symlink_to(outside)
    with pytest.raises(InvalidSpec, match="leads out of the lake"):
        run_dataset(to_json(spec))
    assert list(outside.iterdir()) == []
    assert not table_exists(spec.target.uri)


def test_a_feed_does_not_follow_a_link_into_a_table(spec_of):
    spec = spec_of()
    (Path(spec.lake_uri) / "feeds").symlink_to(Path(spec.lake_uri) / "silver")
    with pytest.raises(InvalidSpec, match="silver/ holds the lake's own"):
        run_dataset(to_json(spec))


def test_a_link_in_place_of_the_file_is_replaced_and_not_followed(spec_of, tmp_path):
    spec = spec_of()
    Path(spec.destination).mkdir(parents=True)
    (tmp_path / "victim").write_text("precious")
    (Path(spec.destination) / "orders.csv").symlink_to(tmp_path / "victim")
    run_dataset(to_json(spec))
    assert (tmp_path / "victim").read_text() == "precious"
    assert not (Path(spec.destination) / "orders.csv").is_symlink()


def test_another_feed_s_files_are_left_alone(deliver, spec_of):
    done = deliver()
    before = (done.folder / "orders.csv").read_bytes()
    target = TableTarget(dataset="gold.shop.other", uri=f"{done.spec.lake_uri}/gold/shop/other")
    with pytest.raises(AuditFailed, match=r"orders\.csv\.manifest\.json .* is of gold\.shop\.feed\. Nothing"):
        run_dataset(to_json(spec_of(ORDERS.head(1), target=target)))
    assert (done.folder / "orders.csv").read_bytes() == before
    assert not table_exists(target.uri)


@pytest.mark.parametrize("name", ["", ".hidden", "a/b", "a\\b", "a\x00b", "{who}.csv", "a}.csv", "x.manifest.json"])
def test_names_that_are_none_are_refused(name):
    assert name_problem(name)


def test_names_are_filled_in():
    names = names_of("out-{date}_{part}.csv", "r1", date(2026, 1, 2), "gzip")
    assert (names.file(3), names.manifest) == ("out-2026-01-02_0003.csv.gz", "out-2026-01-02.csv.manifest.json")
    assert names.has_given("out-2026-01-02_0012.csv")
    assert not names.has_given("out-2026-01-03_0012.csv")
    assert path_problem("feeds/shop") == ""


# --- S3 ----------------------------------------------------------------------------------------------


@pytest.fixture
def store(s3_lake):
    """The bucket's client, and an empty prefix of it."""
    client = s3_client(None, NetworkPolicy(allow=("127.0.0.1",)))
    bucket, _, prefix = s3_lake.removeprefix("s3://").partition("/")

    def keys() -> dict[str, bytes]:
        found = client.list_objects_v2(Bucket=bucket, Prefix=f"{prefix}/").get("Contents", [])
        read = {each["Key"]: client.get_object(Bucket=bucket, Key=each["Key"])["Body"].read() for each in found}
        return {key.removeprefix(f"{prefix}/"): content for key, content in read.items()}

    return SimpleNamespace(uri=s3_lake, client=client, bucket=bucket, prefix=prefix, keys=keys)


def test_a_feed_to_s3_shows_its_files_and_then_the_manifest(spec_of, store):
    spec = spec_of(columns=("id", "note"), destination=store.uri)
    result = run_dataset(to_json(spec))
    held = store.keys()
    assert held["orders.csv"] == b'id,note\n1,""\n2,\n3,"say ""hi"",\nthen go"\n'
    manifest = json.loads(held["orders.csv.manifest.json"])
    assert manifest["files"][0]["sha256"] == hashlib.sha256(held["orders.csv"]).hexdigest()
    assert result.facts["delivery"]["destination"] == store.uri
    assert run_dataset(to_json(spec)).published.already
    assert store.keys() == held


def test_files_larger_than_a_part_and_files_of_nothing_arrive_whole(spec_of, store, monkeypatch):
    monkeypatch.setattr("workers.executors.export_feed.places.PART_BYTES", 5 << 20)
    rows = pl.DataFrame({"id": range(900_000), "text": ["some words"] * 900_000})
    spec = spec_of(rows, destination=store.uri, order_by=())
    run_dataset(to_json(spec))
    content = store.keys()["orders.csv"]
    assert len(content) > 12 << 20
    assert pl.read_csv(io.BytesIO(content)).equals(rows)
    empty = spec_of(rows.clear(), destination=f"{store.uri}/empty", format="ndjson", file_name="none.ndjson")
    run_dataset(to_json(empty))
    assert store.keys()["empty/none.ndjson"] == b""


def test_a_bucket_that_is_not_there_ends_the_run_before_anything_is_published(spec_of, s3_server):
    spec = spec_of(destination="s3://no-such-bucket/x")
    with pytest.raises(SourceMissing):
        run_dataset(to_json(spec), access=Access(services=NetworkPolicy(allow=("127.0.0.1",))))
    assert not table_exists(spec.target.uri)


def test_more_files_than_a_receipt_should_name_are_refused_before_one_is_written(spec_of):
    rows = pl.DataFrame({"id": range(1_001)})
    spec = spec_of(rows, max_rows_per_file=1)
    with pytest.raises(AuditFailed, match="more than 1,000 files"):
        run_dataset(to_json(spec))
    assert not list(Path(spec.destination).glob("*"))
