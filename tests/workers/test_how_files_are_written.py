"""The same rows come out however a file is written: packed, encoded, with other signs for numbers, dates and lines."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zipfile
from datetime import date
from io import BytesIO
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest

from workers.errors import UnreadableSource
from workers.executors.ingest.run import run_ingest
from workers.specs import Column, CsvOptions, IngestSpec

PROVENANCE = ("_ingested_at", "_run_id", "_source_file")
TEXT = "id,name\n1,Jürgen\n2,“x”\n3,\n"
ROWS = [(1, "Jürgen"), (2, "“x”"), (3, None)]


@pytest.fixture
def job(make_spec):
    return lambda content, name="orders.csv", **changes: make_spec(content, name, "csv", **changes)


def loaded(spec: IngestSpec) -> list[tuple]:
    run_ingest(spec)
    return sorted(pl.read_delta(spec.target.uri).drop(*PROVENANCE).rows(), key=repr)


def quarantined(spec: IngestSpec) -> list[dict]:
    return pl.read_parquet(Path(spec.quarantine_uri, f"2026/11/22/{spec.run_id}.parquet")).sort("_line").to_dicts()


def zstd(content: bytes) -> bytes:
    return pa.compress(content, "zstd", asbytes=True)


def zipped(content: bytes, method: int) -> bytes:
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        archive.writestr("orders.csv", content)
    return buffer.getvalue()


PACKED = {
    "gzip": gzip.compress(TEXT.encode()),
    "gzip in two members": gzip.compress(TEXT.encode()[:12]) + gzip.compress(TEXT.encode()[12:]),
    "zstd": zstd(TEXT.encode()),
    "zstd in two frames": zstd(TEXT.encode()[:12]) + zstd(TEXT.encode()[12:]),
    "bzip2": bz2.compress(TEXT.encode()),
    "xz": lzma.compress(TEXT.encode()),
    "zip": zipped(TEXT.encode(), zipfile.ZIP_DEFLATED),
    "zip with bzip2": zipped(TEXT.encode(), zipfile.ZIP_BZIP2),
    "zip with xz": zipped(TEXT.encode(), zipfile.ZIP_LZMA),
}


@pytest.mark.parametrize("content", PACKED.values(), ids=PACKED)
def test_packed_files_are_told_by_content(job, content):
    assert loaded(job(content)) == ROWS


@pytest.mark.parametrize("content", [each[:-9] for each in PACKED.values()], ids=PACKED)
def test_a_packed_file_that_is_cut_off_is_refused(job, content):
    with pytest.raises(UnreadableSource, match="cannot be unpacked"):
        run_ingest(job(content))


def test_a_small_archive_that_unpacks_to_very_much_is_refused(job):
    bomb = zstd(b"0" * (300 << 20))
    assert len(bomb) < 100_000
    with pytest.raises(UnreadableSource, match="unpacks to more than 256 MiB"):
        run_ingest(job(bomb))


def test_the_members_of_an_archive_share_what_it_may_unpack_to(job):
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_LZMA) as archive:
        for number in range(3):
            archive.writestr(f"{number}.csv", b"0" * (100 << 20))
    with pytest.raises(UnreadableSource, match="unpacks to more than"):
        run_ingest(job(buffer.getvalue()))


ENCODED = [
    (TEXT.encode(), "utf-8"),
    (TEXT.encode("utf-8-sig"), "utf-8"),
    (TEXT.encode("utf-8-sig"), "windows-1252"),  # the mark proves what it is
    (TEXT.encode("utf-16"), "utf-8"),
    (TEXT.encode("utf-16"), "utf-16"),
    (TEXT.encode("utf-16-le"), "utf-16"),
    (TEXT.encode("utf-16-be"), "utf-16-be"),
    (b"\xfe\xff" + TEXT.encode("utf-16-be"), "utf-16"),
    (TEXT.encode("utf-32"), "utf-32"),
    (TEXT.encode("windows-1252"), "windows-1252"),
    (TEXT.encode("windows-1250"), "windows-1250"),
    (TEXT.encode("windows-1254"), "cp1254"),
    (gzip.compress(TEXT.encode("utf-16"), mtime=0), "utf-8"),
]


@pytest.mark.parametrize(("content", "encoding"), ENCODED)
def test_encodings_give_the_same_texts(job, content, encoding):
    assert loaded(job(content, csv=CsvOptions(encoding=encoding))) == ROWS


@pytest.mark.parametrize(
    ("encoding", "text"),
    [("latin-1", "Käse"), ("windows-1251", "сыр"), ("windows-1253", "τυρί"), ("iso-8859-15", "5 €"), ("cp1256", "جبن")],
)
def test_other_alphabets_arrive_exactly(job, encoding, text):
    assert loaded(job(f"id,name\n1,{text}\n".encode(encoding), csv=CsvOptions(encoding=encoding))) == [(1, text)]


def test_a_byte_that_the_encoding_does_not_know_costs_its_row(job):
    content = "id,name\n1,Käse\n".encode("windows-1252") + b"2,\x81\n3,x\n"
    spec = job(content, csv=CsvOptions(encoding="windows-1252"), error_handling="quarantine", bad_row_threshold=0.5)
    assert loaded(spec) == [(1, "Käse"), (3, "x")]
    assert [(row["_line"], row["_rule"]) for row in quarantined(spec)] == [(3, "encoding")]


OLD_MAC = b'id,note\r1,plain\r2,"two\rlines"\r\r3,"a\nb"\r4'


def test_lines_that_end_in_a_lone_cr_are_lines(job):
    spec = job(OLD_MAC, error_handling="quarantine", bad_row_threshold=0.5)
    assert loaded(spec) == [(1, "plain"), (2, "two\nlines"), (3, "a\nb")]
    (bad,) = quarantined(spec)
    assert (bad["_line"], bad["_rule"], bad["_offset"]) == (5, "too_few_fields", OLD_MAC.rindex(b"4"))


def test_a_cr_inside_a_value_of_a_file_with_other_line_ends_stays(job):
    assert loaded(job(b'id,note\n1,"a\rb"\n')) == [(1, "a\rb")]
    assert loaded(job(b'id,note\r\n1,"a\rb"\r\n')) == [(1, "a\rb")]


def test_a_large_file_of_old_line_ends_is_read_whole(job):
    lines = [f"{number},{'x' * (number % 50)}" for number in range(100_000)]
    spec = job("\r".join(["id,note", *lines]).encode())
    assert run_ingest(spec).rows_written == 100_000
    assert pl.read_delta(spec.target.uri)["id"].sum() == sum(range(100_000))


def test_decimal_commas_and_given_date_formats_reach_the_table(job):
    content = b"id;price;day\n1;1.234,50;31/12/26\n2;-0,25;2026-11-22\n3;1.5;1/2/26\n4;7;soon\n"
    columns = (
        Column(name="id", type="int64"),
        Column(name="price", type="decimal(10,2)"),
        Column(name="day", type="date"),
    )
    spec = job(
        content,
        csv=CsvOptions(delimiter=";", decimal=",", date_formats=("%d/%m/%y",)),
        schema_mode="user",
        columns=columns,
        error_handling="quarantine",
        bad_row_threshold=0.5,
    )
    run_ingest(spec)
    rows = pl.read_delta(spec.target.uri).sort("id").select("id", pl.col("price").cast(pl.String), "day").rows()
    assert rows == [(1, "1234.50", date(2026, 12, 31)), (2, "-0.25", date(2026, 11, 22))]
    assert [(row["_line"], row["_column"], row["_reason"]) for row in quarantined(spec)] == [
        (4, "price", "“1.5” is no decimal(10,2)"),
        (5, "day", "“soon” is no date (%d/%m/%y or %Y-%m-%d)"),
    ]


@pytest.mark.parametrize("content", [b'{"id":1}{"id":2}', b'\xef\xbb\xbf{"id":1}\n\n{"id":2}', b'[{"id":1},{"id":2}]'])
def test_json_documents_may_be_packed_and_marked(job, content):
    assert loaded(job(zstd(content), "d.json.zst", format="json")) == [(1,), (2,)]


def test_one_object_at_the_top_is_one_record_or_holds_them(job):
    assert loaded(job(b'{"id":1}', "d.json", format="json")) == [(1,)]
    document = b'{"data":{"items":[{"id":1}]}}{"data":{"items":[{"id":2},{"id":3}]}}'
    assert loaded(job(document, "d.json", format="json", records_path="data.items")) == [(1,), (2,), (3,)]
