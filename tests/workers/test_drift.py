"""Sources that change from run to run, and tables that follow them along the lattice of docs/schema.md."""

from __future__ import annotations

from datetime import UTC, date, datetime

import polars as pl
import pytest

from tests.workers.drift import Job, csv, lines, parquet, types, widened
from workers.results import SchemaChange


@pytest.fixture
def job(tmp_path):
    return lambda **settings: Job(tmp_path, **settings)


@pytest.mark.parametrize("write_mode", ["append", "overwrite"])
@pytest.mark.parametrize("schema_mode", ["infer", "evolve"])
def test_a_new_column_is_added_and_told(job, schema_mode, write_mode):
    job = job(schema_mode=schema_mode, write_mode=write_mode)
    job.run(b"id\n1\n")
    result = job.run(b"id,note\n2,x\n")
    assert result.schema_changes == (SchemaChange(column="note", change="added", old=None, new="string"),)
    assert result.contract_changes == ()
    assert job.rows() == ([(1, None)] if write_mode == "append" else []) + [(2, "x")]


WIDENED = [
    ((1, 2), (1.5,), "int64", "float64", [1.0, 2.0, 1.5]),
    ((2**53 + 1,), ("0.5",), "int64", "decimal(20,1)", None),
    ((7,), ("007",), "int64", "string", ["7", "007"]),
    ((7,), (2**70,), "int64", "decimal(22,0)", [7, 2**70]),
    ((1, 2), ("n/a",), "int64", "string", ["1", "2", "n/a"]),
    ((1.5,), ("n/a",), "float64", "string", ["1.5", "n/a"]),
    (("true",), ("maybe",), "boolean", "string", ["true", "maybe"]),
    (("2026-01-02",), ("2026-01-03T04:05:06",), "date", "timestamp", None),
    (("2026-01-02",), ("soon",), "date", "string", ["2026-01-02", "soon"]),
    (("2026-01-02T03:04:05",), ("soon",), "timestamp", "string", ["2026-01-02T03:04:05", "soon"]),
    (("2026-01-02T03:04:05Z",), ("soon",), "timestamptz", "string", ["2026-01-02T03:04:05Z", "soon"]),
    (("10:30:00",), ("soon",), "time", "string", ["10:30:00.000000", "soon"]),
]


@pytest.mark.parametrize(("first", "then", "old", "new", "values"), WIDENED)
def test_a_type_is_widened_along_the_lattice_and_old_rows_with_it(job, first, then, old, new, values):
    job = job()
    assert types(job.run(csv("x", *first)))["x"] == old
    result = job.run(csv("x", *then))
    assert types(result)["x"] == new
    assert result.schema_changes == (widened(old, new),)
    if values:
        assert sorted(map(str, [row[1] for row in job.rows()])) == sorted(map(str, values))


def test_an_overwrite_widens_as_well_and_does_not_narrow_again(job):
    job = job(write_mode="overwrite")
    job.run(csv("x", 1))
    assert job.run(csv("x", 1.5)).schema_changes == (widened("int64", "float64"),)
    result = job.run(csv("x", 2))
    assert (types(result)["x"], result.schema_changes, job.rows()) == ("float64", (), [(1, 2.0)])


@pytest.mark.parametrize("schema_mode", ["infer", "evolve"])
@pytest.mark.parametrize(
    "content",
    [
        b"amount,id\n2,2\n", b"ID,Amount\n2,2\n", b'"id","amount"\n"2","2"\n', b"id,amount\n", b"id,amount\n2,\n",
        b" id , amount \n2, 2\n",
    ],
)  # fmt: skip
def test_order_case_quotes_blanks_and_empty_files_are_no_drift(job, schema_mode, content):
    job = job(schema_mode=schema_mode)
    job.run(b"id,amount\n1,1\n")
    result = job.run(content)
    assert (types(result), result.schema_changes, result.contract_changes) == (
        {"id": "int64", "amount": "int64"},
        (),
        (),
    )


@pytest.mark.parametrize(
    "record", [{"id": "2", "x": 2.5}, {"x": 3, "id": 2}, {"id": 2}, {"id": 2, "x": None}, {"Id": 2, "X": 4.0}]
)
def test_json_that_says_the_same_in_another_way_is_no_drift(job, record):
    job = job(format="ndjson")
    job.run(lines({"id": 1, "x": 1.5}))
    result = job.run(lines(record))
    assert (types(result), result.schema_changes, result.contract_changes) == ({"id": "int64", "x": "float64"}, (), ())
    assert [row[0] for row in job.rows()] == [1, 2]


@pytest.mark.parametrize("columns", [{"id": [2.0], "x": ["b"]}, {"x": ["b"], "id": pl.Series([2], dtype=pl.Int8)}])
def test_parquet_whose_values_fit_as_they_are_is_no_drift(job, columns):
    job = job(format="parquet")
    job.run(parquet(id=[1], x=["a"]))
    result = job.run(parquet(**columns))
    assert (types(result), result.schema_changes, result.contract_changes) == ({"id": "int64", "x": "string"}, (), ())
    assert job.rows() == [(1, "a"), (2, "b")]


def test_parquet_of_a_wider_type_widens_the_table(job):
    job = job(format="parquet")
    job.run(parquet(id=[1], x=pl.Series([1], dtype=pl.Int16), day=[date(2026, 1, 2)]))
    result = job.run(parquet(id=[2], x=[2**40], day=[datetime(2026, 1, 3, 4, tzinfo=UTC).replace(tzinfo=None)]))
    assert result.schema_changes == (widened("int16", "int64"), widened("date", "timestamp", "day"))
    assert [row[1] for row in job.rows()] == [1, 2**40]


def test_new_keys_inside_structs_and_lists_of_structs_are_added_there(job):
    job = job(format="ndjson")
    job.run(lines({"id": 1, "who": {"a": 1}, "items": [{"sku": "x"}]}))
    result = job.run(lines({"id": 2, "who": {"b": "new"}, "items": [{"sku": "y", "n": 2}]}))
    assert result.schema_changes == (
        widened("struct<a: int64>", "struct<a: int64, b: string>", "who"),
        widened("list<struct<sku: string>>", "list<struct<sku: string, n: int64>>", "items"),
    )
    assert job.rows() == [
        (1, {"a": 1, "b": None}, [{"sku": "x", "n": None}]),
        (2, {"a": None, "b": "new"}, [{"sku": "y", "n": 2}]),
    ]


def test_a_handful_of_misfits_goes_to_quarantine_and_widens_nothing(job):
    job = job(error_handling="quarantine")
    job.run(csv("x", *range(100)))
    result = job.run(csv("x", *range(99), "oops"))
    assert (result.quarantined_rows, result.schema_changes, result.contract_changes) == (1, (), ())
    found = job.quarantined()[0]
    assert [found[name] for name in ("_column", "_rule", "_wanted_type", "_value", "_line")] == [
        "x", "type", "int64", "oops", 101,
    ]  # fmt: skip


@pytest.mark.parametrize("first", [True, False])
def test_a_value_behind_the_sample_widens_the_type_where_no_row_may_be_refused(job, first):
    job = job()
    if not first:
        job.run(csv("x", 1))
    content = b"id,x\n" + b"1,2\n" * 30_000 + b"2,2.5\n" + b"3,4\n" * 30_000
    result = job.run(content)
    assert (types(result)["x"], result.rows_written) == ("float64", 60_001)
    assert result.schema_changes == (() if first else (widened("int64", "float64"),))


def test_a_misfit_behind_the_sample_is_set_aside_where_some_may_be(job):
    job = job(error_handling="quarantine")
    job.run(csv("x", 1))
    result = job.run(b"id,x\n" + b"1,2\n" * 30_000 + b"2,2.5\n" + b"3,4\n" * 30_000)
    assert (types(result)["x"], result.quarantined_rows, result.schema_changes) == ("int64", 1, ())
    assert result.contract_changes == ()


def test_a_whole_number_that_a_float_would_round_is_never_rounded(job):
    job = job()
    job.run(csv("x", 1.5))
    result = job.run(
        b"id,x\n"
        + b"1,2.5\n" * 30_000
        + b"2,9007199254740993\n2,23540206882790848\n"
        + b"3,0.30000000000000004\n" * 30_000
    )
    assert result.schema_changes == (widened("float64", "string"),)
    values = [row[1] for row in job.rows()]
    assert {"1.5", "9007199254740993", "23540206882790848", "0.30000000000000004"} < set(values)


def test_a_merge_widens_and_adds_as_an_append_does(job):
    job = job(write_mode="merge", key_columns=("id",))
    job.run(csv("x", 1, 2))
    result = job.run(b"id,x,note\n2,2.5,new\n3,4,\n")
    assert result.schema_changes == (
        widened("int64", "float64"),
        SchemaChange(column="note", change="added", old=None, new="string"),
    )
    assert job.rows() == [(1, 1.0, None), (2, 2.5, "new"), (3, 4.0, None)]
    assert job.run(b"id,x\n3,soon\n").schema_changes == (widened("float64", "string"),)
    assert [row[1] for row in job.rows()] == ["1.0", "2.5", "soon"]


@pytest.mark.parametrize("text", ["0E-10", "0e5", "0.50", "-0.5", "0", "00.5"])
def test_only_digits_behind_a_leading_zero_make_text_of_a_number(job, text):
    job = job()
    job.run(csv("x", 1.5))
    assert types(job.run(csv("x", text)))["x"] == ("string" if text == "00.5" else "float64")
