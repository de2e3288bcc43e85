"""Files of a feed, read back by other programs: whatever stands in the table, they find the same."""

from __future__ import annotations

import csv
import gzip
import io
import json
import random
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import duckdb
import polars as pl
import pytest

from tests.workers.test_export_feed import deliver, spec_of  # noqa: F401  (fixtures)
from workers.template_specs import FeedOptions

ODD_TEXTS = [
    "plain", "", None, " padded ", "a,b", "a;b", "a|b", "a\tb", "line\nbreak", "line\r\nbreak", "alone\rthere", '"',
    '""', 'say "hi"', "'", "\\", "\\N", "NULL", "null", "ünï cödé", "日本語", "😀", "e\u0301", "\u200b", "\ufeff",
    "\u2028", "0123", "1e5", "=1+1", "+49 30", "-3", "@home", "\tindented", "＝1", "#no comment", "true", "2026-01-01",
]  # fmt: skip
SCHEMA = {
    "id": pl.Int64,
    "text": pl.String,
    "amount": pl.Decimal(38, 9),
    "share": pl.Float64,
    "at": pl.Datetime("us", "UTC"),
    "local": pl.Datetime("us"),
    "day": pl.Date,
    "ok": pl.Boolean,
}


def table(seed: int) -> pl.DataFrame:
    """Rows of odd texts and of extreme and random values, some of them null."""
    draw = random.Random(seed)
    count = 3 * len(ODD_TEXTS)
    numbers = [0, 1, -1, 2**63 - 1, -(2**63), *(draw.randint(-(2**63), 2**63 - 1) for _ in range(count))]
    floats = [0.1, -0.0, 1e300, -1e-300, 5e-324, *(draw.uniform(-1e9, 1e9) for _ in range(count))]
    days = [
        date(1, 1, 1),
        date(9999, 12, 31),
        *(date(1, 1, 1) + timedelta(draw.randrange(3_000_000)) for _ in range(9)),
    ]

    def row(number: int) -> dict[str, object]:
        moment = datetime.combine(draw.choice(days), datetime.min.time()) + timedelta(
            microseconds=draw.randrange(10**10)
        )
        values = {
            "text": ODD_TEXTS[number % len(ODD_TEXTS)],
            "amount": Decimal(draw.choice(numbers)).scaleb(-draw.randrange(10)),
            "share": draw.choice(floats),
            "at": moment.replace(tzinfo=UTC),
            "local": moment,
            "day": draw.choice(days),
            "ok": draw.random() < 0.5,
        }
        return {"id": number} | {k: v if k == "text" or draw.random() < 0.9 else None for k, v in values.items()}

    return pl.DataFrame([row(number) for number in range(count)], schema=SCHEMA)


def plain(value: object) -> str | None:
    """A value as our CSV and JSON have it, but numbers."""
    if isinstance(value, datetime):
        return f"{value:%H:%M:%S.%f}".join((f"{value.date().isoformat()}T", "Z" * (value.tzinfo is not None)))
    return value.isoformat() if isinstance(value, date) else str(value)


def content(done, name: str) -> bytes:
    return (done.folder / name).read_bytes()


@pytest.mark.parametrize(
    "options",
    [
        {"null_value": "<null>"},
        {"null_value": "<null>", "quote": "all", "line_end": "crlf"},
        {"null_value": "\\0", "delimiter": ";"},
        {"null_value": "<null>", "delimiter": "\t", "header": False, "line_end": "crlf"},
        {"null_value": "<null>", "delimiter": "|", "byte_order_mark": True, "compression": "gzip"},
    ],
    ids=str,
)
@pytest.mark.parametrize("seed", [1, 2])
def test_python_reads_csv_back_as_the_table_has_it(deliver, options, seed):  # noqa: F811
    rows, given = table(seed), FeedOptions(**options)
    done = deliver(rows, options=given)
    (name,) = (file["name"] for file in done.manifest["files"])
    raw = gzip.decompress(content(done, name)) if given.compression == "gzip" else content(done, name)
    text = raw.decode("utf-8-sig" if given.byte_order_mark else "utf-8")
    found = list(csv.reader(io.StringIO(text, newline=""), delimiter=given.delimiter, strict=True))
    if given.header:
        assert found.pop(0) == rows.columns
    assert len(found) == rows.height
    for read, row in zip(found, rows.iter_rows(named=True), strict=True):
        told = {name: None if value == given.null_value else value for name, value in zip(row, read, strict=True)}
        check_numbers(told, row)
        texts = {name: None if row[name] is None else plain(row[name]) for name in ("text", "at", "local", "day")}
        assert {name: told[name] for name in texts} == texts


def check_numbers(told: dict, row: dict) -> None:
    assert int(told["id"]) == row["id"]
    assert (told["amount"] and Decimal(told["amount"])) == row["amount"]
    assert (told["share"] and float(told["share"])) == row["share"]
    assert told["ok"] in (row["ok"], row["ok"] is not None and str(row["ok"]).lower())


@pytest.mark.parametrize("seed", [1, 2])
def test_duckdb_reads_csv_back_with_its_nulls_and_empty_texts(deliver, seed):  # noqa: F811
    rows = table(seed)
    done = deliver(rows)
    types = {
        "id": "BIGINT", "text": "VARCHAR", "amount": "DECIMAL(38,9)", "share": "DOUBLE", "at": "VARCHAR",
        "local": "TIMESTAMP", "day": "DATE", "ok": "BOOLEAN",
    }  # fmt: skip
    read = duckdb.sql(
        f"select * from read_csv('{done.folder / 'orders.csv'}', header=true, delim=',', quote='\"', escape='\"', "
        f"nullstr='', allow_quoted_nulls=false, columns={types}, parallel=false)"
    ).to_arrow_table()
    found = pl.from_arrow(read).with_columns(pl.col("at").str.to_datetime("%Y-%m-%dT%H:%M:%S%.6fZ", time_zone="UTC"))
    assert found.cast(SCHEMA).equals(rows)


@pytest.mark.parametrize("kind", ["json", "ndjson"])
@pytest.mark.parametrize("seed", [1, 2])
def test_json_is_read_back_as_the_table_has_it(deliver, kind, seed):  # noqa: F811
    rows = table(seed)
    done = deliver(rows, format=kind, file_name=f"orders.{kind}")
    raw = content(done, f"orders.{kind}")
    found = json.loads(raw) if kind == "json" else [json.loads(line) for line in raw.split(b"\n") if line]
    assert len(found) == rows.height
    for told, row in zip(found, rows.iter_rows(named=True), strict=True):
        check_numbers(told, row)
        texts = {name: None if row[name] is None else plain(row[name]) for name in ("text", "at", "local", "day")}
        assert {name: told[name] for name in texts} == texts


def test_parquet_has_the_table_s_rows_and_types(deliver):  # noqa: F811
    done = deliver(table(1), format="parquet", file_name="orders.parquet")
    assert pl.read_parquet(done.folder / "orders.parquet").equals(table(1))


@pytest.mark.parametrize("compression", ["gzip", "zstd", "none"])
@pytest.mark.parametrize("kind", ["csv", "ndjson"])
def test_parts_together_are_the_table(deliver, compression, kind):  # noqa: F811
    done = deliver(
        table(1),
        format=kind,
        file_name=f"orders.{kind}",
        max_rows_per_file=20,
        options=FeedOptions(compression=compression),
    )
    pattern = f"{done.folder}/orders-*.{kind}*"
    reader = "read_csv('{}', all_varchar=true, header=true, quote='\"')" if kind == "csv" else "read_json('{}')"
    found = duckdb.sql(f"select id from {reader.format(pattern)}").fetchall()
    assert sorted(int(number) for (number,) in found) == table(1)["id"].to_list()
    assert sum(file["rows"] for file in done.manifest["files"]) == table(1).height


@pytest.mark.parametrize(
    ("kind", "options", "expected"),
    [
        ("csv", {}, b"id,note\n"),
        ("csv", {"line_end": "crlf", "quote": "all"}, b'"id","note"\r\n'),
        ("csv", {"header": False}, b""),
        ("json", {}, b"[\n]\n"),
        ("ndjson", {}, b""),
    ],
)
def test_no_rows_are_a_file_all_the_same(deliver, kind, options, expected):  # noqa: F811
    rows = pl.DataFrame(schema={"id": pl.Int64, "note": pl.String})
    done = deliver(rows, format=kind, options=FeedOptions(**options))
    assert content(done, "orders.csv") == expected
    assert [(file["rows"], file["size_bytes"]) for file in done.manifest["files"]] == [(0, len(expected))]


def test_no_rows_in_gzip_are_a_file_that_unpacks(deliver):  # noqa: F811
    done = deliver(pl.DataFrame(schema={"id": pl.Int64}), options=FeedOptions(compression="gzip", header=False))
    assert gzip.decompress(content(done, "orders.csv.gz")) == b""


def test_whatever_begins_like_a_formula_is_defused_titles_too(deliver):  # noqa: F811
    texts = ["=1+1", "+1", "-1", "@x", "\tx", "\rx", "\nx", "＝1", "－1", " =1", "a=1", "1-1", None, ""]
    rows = pl.DataFrame({"id": range(len(texts)), "=title": texts})
    done = deliver(rows, options=FeedOptions(escape_formulas=True))
    title, *found = csv.reader(io.StringIO(content(done, "orders.csv").decode(), newline=""))
    assert title == ["id", "'=title"]
    assert [field for _, field in found] == [f"'{text}" for text in texts[:9]] + [" =1", "a=1", "1-1", "", ""]


def test_nested_values_are_json_within_csv(deliver):  # noqa: F811
    inner = pl.Struct({"price": pl.Decimal(10, 2), "since": pl.Date, "tags": pl.List(pl.String)})
    values = [
        [{"price": Decimal("1.10"), "since": date(2026, 1, 2), "tags": ['a "b", c', None, "=1\n"]}],
        [],
        [None],
        None,
    ]
    rows = pl.DataFrame({"id": range(4), "lines": values}, schema={"id": pl.Int64, "lines": pl.List(inner)})
    done = deliver(rows)
    _, *found = csv.reader(io.StringIO(content(done, "orders.csv").decode(), newline=""))
    assert [json.loads(field) if field else None for _, field in found] == [
        [{"price": "1.10", "since": "2026-01-02", "tags": ['a "b", c', None, "=1\n"]}], [], [None], None,
    ]  # fmt: skip
