"""However a file is written, packed or broken: each record ends in one place, and no parser gives up but in words."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import lzma
import zipfile
from contextlib import suppress
from datetime import date
from decimal import Decimal

import polars as pl
import pyarrow as pa
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.workers.test_ingest_properties import job, quarantined
from tests.workers.workbooks import ods, xlsx
from workers.errors import AssayError
from workers.executors.ingest.run import run_ingest
from workers.readers.infer import infer
from workers.readers.sniff import sniff_csv
from workers.specs import Column, CsvOptions

FEW = settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def zipped(content: bytes, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        archive.writestr("f.csv", content)
    return buffer.getvalue()


PACKINGS = {
    "plain": bytes,
    "gzip": gzip.compress,
    "zstd": lambda content: pa.compress(content, "zstd", asbytes=True),
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zip": zipped,
}

values = st.text(
    st.characters(codec="cp1252", exclude_characters="\x00\r\n"), min_size=1, max_size=8
) | st.sampled_from(["'", '"', "a'b", ";", "|", "\t", ",", "1,5", " ", "NULL"])
records = st.lists(values, min_size=3, max_size=3)
# How each is broken: what it becomes, by delimiter and quote sign.
faults = st.sampled_from(
    [
        ("1{d}2", "too_few_fields"),
        ("1{d}2{d}3{d}4", "too_many_fields"),
        ("1{d}a{q}b{d}3", "quote"),
        ("1{d}{q}a{q}b{d}3", "quote"),
        ("", None),
    ]
)


@given(
    st.lists(records | faults, max_size=20),
    st.sampled_from([",", ";", "\t", "|"]),
    st.sampled_from(['"', "'"]),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "cp1252"]),
    st.sampled_from(list(PACKINGS)),
    st.booleans(),
)
@FEW
def test_each_record_ends_in_one_place_however_the_file_is_written(
    lines, delimiter, quote, line_end, encoding, packing, has_header
):
    text, good, expected = io.StringIO(newline=""), [], []
    if has_header:
        text.write(f"a{delimiter}b{delimiter}c{line_end}")
    line = int(has_header)
    for record in lines:
        if isinstance(record, list):
            csv.writer(text, delimiter=delimiter, quotechar=quote, lineterminator=line_end).writerow(record)
            good.append(tuple(record))
            line += 1
        else:
            raw, rule = record
            text.write(raw.format(d=delimiter, q=quote) + line_end)
            line += rule is not None
            expected += [(line, rule)] if rule else []
    options = CsvOptions(
        delimiter=delimiter, quote_char=quote, encoding=encoding, null_values=(), has_header=has_header
    )
    columns = tuple(Column(name=name, type="string") for name in "abc")
    content = PACKINGS[packing](text.getvalue().encode(encoding))
    with job(content, schema_mode="user", columns=columns, csv=options) as spec:
        result = run_ingest(spec)
        assert sorted(pl.read_delta(spec.target.uri).select("a", "b", "c").rows()) == sorted(good)
        assert sorted(quarantined(spec).select("_line", "_rule").rows()) == expected
        assert result.rows_read == len(good) + len(expected)


def with_comma(number: Decimal, is_grouped: bool) -> str:
    return (f"{number:,}" if is_grouped else f"{number}").translate(str.maketrans(",.", ".,"))


wrong = object()
prices = st.tuples(st.decimals(-(10**9), 10**9, places=2), st.booleans()).map(lambda v: (with_comma(*v), v[0]))
days = st.tuples(st.dates(date(1970, 1, 1), date(2068, 12, 31)), st.sampled_from(["%d/%m/%y", "%Y-%m-%d", "%d.%m.%Y"]))
days = days.map(lambda v: (v[0].strftime(v[1]), v[0]))
no_prices = st.sampled_from(["1.5", "1,2,3", "1.23,4", "12.34", "1,234.5", "€5", "--1"]).map(lambda text: (text, wrong))
no_days = st.sampled_from(["31/02/26", "2026-13-01", "soon", "1/2/3/4", "22.11.26"]).map(lambda text: (text, wrong))
PROOF = [("0,5", "31/12/26"), ("1", "2026-11-22"), ("-1.000,25", "22.11.2026")]


@given(st.lists(st.tuples(prices | no_prices, days | no_days), max_size=30))
@FEW
def test_decimal_commas_and_mixed_dates_arrive_exactly_or_are_set_aside(rows):
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=";").writerows([["price", "day"], *PROOF, *([cell for cell, _ in row] for row in rows)])
    columns = (Column(name="price", type="decimal(18,2)"), Column(name="day", type="date"))
    good = [tuple(value for _, value in row) for row in rows if all(value is not wrong for _, value in row)]
    bad = [number for number, row in enumerate(rows, 5) if any(value is wrong for _, value in row)]
    options = CsvOptions(delimiter=";", decimal=",", date_formats=("%d/%m/%y", "%d.%m.%Y"))
    with job(text.getvalue().encode(), schema_mode="user", columns=columns, csv=options) as spec:
        run_ingest(spec)
        found = pl.read_delta(spec.target.uri).select("price", "day").rows()
        assert quarantined(spec)["_line"].sort().to_list() == bad
    known = [
        (Decimal("0.50"), date(2026, 12, 31)),
        (Decimal(1), date(2026, 11, 22)),
        (Decimal("-1000.25"), date(2026, 11, 22)),
    ]
    assert sorted(found) == sorted([*known, *good])


@given(st.lists(st.text(st.sampled_from("0123456789.,-+eE:/ TZaNifn%€"), max_size=12), max_size=12), st.booleans())
@settings(max_examples=500, deadline=None)
def test_whatever_a_column_holds_its_values_are_read_as_what_is_inferred(texts, has_comma):
    from workers.readers.casts import typed

    column = pl.Series("x", texts, dtype=pl.String)
    plan = infer(column, options=CsvOptions(decimal="," if has_comma else "."))
    read = column.to_frame().select(typed(plan)).to_series()
    if plan.type != "string":
        assert [text for text, value in zip(texts, read, strict=True) if text.strip(" \t") and value is None] == []


# --- broken files ----------------------------------------------------------------------------

TEXT = b"id,name,day\n" + b"".join(b"%d,name %d,2026-11-22\n" % (n, n) for n in range(50))
PACKED = [pack(TEXT) for pack in PACKINGS.values()] + [zipped(TEXT, zipfile.ZIP_LZMA), zipped(TEXT, zipfile.ZIP_BZIP2)]
WORKBOOKS = [xlsx(["id", "name"], [1, "a"], [2, "b"]), ods(["id", "name"], [1, "a"], [2, "b"])]


@st.composite
def mutants(draw, originals: list[bytes]) -> bytes:
    """A real file with some bytes changed, put in, doubled or cut off."""
    content = bytearray(draw(st.sampled_from(originals)))
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, max(len(content) - 1, 0)))
        kind = draw(st.sampled_from(["set", "insert", "cut", "double"]))
        some = draw(st.binary(min_size=1, max_size=8))
        if kind == "set":
            content[at : at + len(some)] = some
        elif kind == "insert":
            content[at:at] = some
        elif kind == "cut":
            del content[at : at + draw(st.integers(1, 2000))]
        else:
            content[at:at] = content[at : at + 300]
    return bytes(content)


def runs_or_says_why(content: bytes, **options: object) -> None:
    with job(content, **options) as spec, suppress(AssayError):
        result = run_ingest(spec)
        assert result.rows_read == result.rows_written + result.quarantined_rows
        assert pl.read_delta(spec.target.uri).height == result.rows_written


@given(mutants(PACKED), st.sampled_from(["csv", "ndjson", "json"]))
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_broken_archive_is_read_or_refused_in_words(content, format_):
    runs_or_says_why(content, format=format_)


@given(mutants(WORKBOOKS))
@example(b"")
@example(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\xff" * 2000)
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_broken_workbook_is_read_or_refused_in_words(content):
    runs_or_says_why(content, format="excel")


@given(mutants([TEXT, TEXT.decode().encode("utf-16"), gzip.compress(TEXT)]) | st.binary(max_size=200))
@settings(max_examples=200, deadline=None)
def test_whatever_is_sent_a_guess_is_made_or_none(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "sent"
    path.write_bytes(content)
    assert set(sniff_csv(path)) in (set(), {"delimiter", "encoding", "decimal", "has_header"})
