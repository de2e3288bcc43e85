"""Every row ends in exactly one place, with its exact values, whatever the file is like."""

from __future__ import annotations

import csv
import io
import json
from contextlib import contextmanager, suppress
from datetime import UTC, date, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from workers.errors import AssayError
from workers.executors.ingest.run import run_ingest
from workers.ids import new_run_id
from workers.specs import Column, CsvOptions, FilesSource, IngestSpec, SourceFile, TableTarget

AT = datetime(2026, 11, 22, tzinfo=UTC)
FEW = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@contextmanager
def job(content: bytes, **changes: object):
    """A spec that lives as long as its lake."""
    with TemporaryDirectory() as folder:
        source = Path(folder, "f.csv")
        source.write_bytes(content)
        facts = {
            "run_id": str(new_run_id()),
            "workflow": "w",
            "job": "j",
            "source": FilesSource(files=(SourceFile(uri=str(source), name="f.csv"),)),
            "format": "csv",
            "landing_uri": f"{folder}/lake/landing/w/j",
            "quarantine_uri": f"{folder}/lake/quarantine/w/j",
            "target": TableTarget(dataset="bronze.w.j", uri=f"{folder}/lake/bronze/w/j"),
            "error_handling": "quarantine",
            "bad_row_threshold": 1.0,
            "ingested_at": AT,
        }
        yield IngestSpec(**facts | changes)


def quarantined(spec: IngestSpec) -> pl.DataFrame:
    path = Path(spec.quarantine_uri, f"2026/11/22/{spec.run_id}.parquet")
    return pl.read_parquet(path) if path.exists() else pl.DataFrame(schema={"_line": pl.Int64, "_rule": pl.String})


texts = st.text(st.characters(codec="utf-8", exclude_characters="\x00\r"), max_size=8) | st.sampled_from(
    ['a"b', '"', '""', "x\ny", ",", ",,", "\n", " ", "NULL", "é€", '","', "0"]
)
good_rows = st.lists(texts, min_size=3, max_size=3)
faults = st.sampled_from(
    [
        (b"1,2", "too_few_fields"),
        (b"1,2,3,4", "too_many_fields"),
        (b"1,2,3,", "too_many_fields"),
        (b'1,a"b,3', "quote"),
        (b'1,"a"b,3', "quote"),
        (b'1,2" and 3",3', "quote"),
        (b'1, "a",3', "quote"),
        (b"1,\xff\xfe,3", "encoding"),
        (b'"1,2,3"', "too_few_fields"),
        (b"", None),
    ]
)


@given(
    st.lists(good_rows | faults, max_size=25),
    st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]),
    st.sampled_from(["\n", "\r\n"]),
    st.booleans(),
)
@FEW
def test_good_records_arrive_exactly_and_faulty_ones_are_named_by_line(records, quoting, line_end, is_last_line_ended):
    content, good, expected = io.BytesIO(), io.StringIO(newline=""), []
    content.write(b"a,b,c" + line_end.encode())
    line = 1
    for record in records:
        if isinstance(record, list):
            text = io.StringIO(newline="")
            csv.writer(text, quoting=quoting, lineterminator=line_end).writerow(record)
            content.write(text.getvalue().encode())
            good.write(text.getvalue())
            line += 1
        else:
            raw, rule = record
            content.write(raw + line_end.encode())
            line += rule is not None
            expected += [(line, rule)] if rule else []
    whole = content.getvalue() if is_last_line_ended else content.getvalue().removesuffix(line_end.encode())
    oracle = [tuple(row) for row in csv.reader(io.StringIO(good.getvalue(), newline=""))]

    columns = tuple(Column(name=name, type="string") for name in "abc")
    with job(whole, schema_mode="user", columns=columns, csv=CsvOptions(null_values=())) as spec:
        result = run_ingest(spec)
        rows = pl.read_delta(spec.target.uri).select("a", "b", "c").rows()
        assert sorted(rows) == sorted(oracle)
        assert sorted(quarantined(spec).select("_line", "_rule").rows()) == expected
        assert result.rows_read == len(oracle) + len(expected)


integers = st.tuples(st.integers(-(2**63), 2**63 - 1)).map(lambda v: (str(v[0]), v[0]))
dates = st.dates(date(1000, 1, 1)).map(lambda day: (f"{day:%d.%m.}{day.year:04d}", day))
floats = st.floats(allow_nan=False, allow_infinity=False).map(lambda number: (repr(number), number))
blank = st.just(("", None))
wrong = object()
misfits = st.sampled_from([("x", wrong), ("1.5.2", wrong), ("99999999999999999999999", wrong), ("31.02.2026", wrong)])
PROOF = ("7", "25.12.2025", "0.5")  # what the sample needs to see to settle the date format


@given(st.lists(st.tuples(integers | blank | misfits, dates | blank, floats | blank), max_size=30), st.booleans())
@FEW
def test_typed_values_arrive_exactly_and_what_does_not_fit_is_set_aside(rows, is_quoted):
    text = io.StringIO(newline="")
    writer = csv.writer(text, quoting=csv.QUOTE_ALL if is_quoted else csv.QUOTE_MINIMAL)
    writer.writerows([["n", "day", "x"], PROOF, *([cell for cell, _ in row] for row in rows)])
    columns = (Column(name="n", type="int64"), Column(name="day", type="date"), Column(name="x", type="float64"))
    good = [tuple(value for _, value in row) for row in rows if all(value is not wrong for _, value in row)]
    bad = [number for number, row in enumerate(rows, 3) if any(value is wrong for _, value in row)]
    with job(text.getvalue().encode(), schema_mode="user", columns=columns) as spec:
        run_ingest(spec)
        found = pl.read_delta(spec.target.uri).select("n", "day", "x").rows()
        assert sorted(found, key=repr) == sorted([(7, date(2025, 12, 25), 0.5), *good], key=repr)
        assert quarantined(spec)["_line"].sort().to_list() == bad


csv_like = st.text(st.sampled_from('a1",\n\r\t é.-"",\n'), max_size=60).map(str.encode)
json_like = st.text(st.sampled_from('{}[]":,a1 \n\\ue.-'), max_size=60).map(str.encode)
json_lines = st.lists(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abAB é:"), inner, max_size=3),
        max_leaves=8,
    ),
    max_size=6,
).map(lambda values: "\n".join(map(json.dumps, values)).encode())


@given(
    st.binary(max_size=80) | csv_like | json_like | json_lines,
    st.sampled_from(["csv", "ndjson", "json"]),
    st.sampled_from(["fail", "quarantine"]),
    st.sampled_from(["utf-8", "utf-16", "cp1252"]),
    st.booleans(),
)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_bytes_give_a_balanced_result_or_an_error_for_people(content, format_, handling, encoding, has_header):
    options = CsvOptions(encoding=encoding, has_header=has_header)
    with job(content, format=format_, error_handling=handling, csv=options) as spec, suppress(AssayError):
        result = run_ingest(spec)
        assert result.rows_read == result.rows_written + result.quarantined_rows
        assert pl.read_delta(spec.target.uri).height == result.rows_written
        assert quarantined(spec).height == result.quarantined_rows
