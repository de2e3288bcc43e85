"""Sources that change from run to run: what the table follows by itself, and what waits for a person."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from io import BytesIO
from pathlib import Path

import polars as pl
import pytest

from workers.errors import BadRows, MissingColumns
from workers.executors.ingest import run_ingest
from workers.ids import new_run_id
from workers.results import ContractChange, SchemaChange
from workers.specs import Column, FilesSource, IngestSpec, SourceFile, TableTarget

AT = datetime(2026, 11, 22, 10, 30, tzinfo=UTC)
PROVENANCE = ["_ingested_at", "_run_id", "_source_file"]


class Job:
    """Runs one job again and again, with a file of other content each time."""

    def __init__(self, folder: Path, **settings: object) -> None:
        self.folder, self.settings, self.last = folder, {"write_mode": "append"} | settings, ""

    def run(self, content: bytes, **changes: object):
        run_id = self.last = str(new_run_id(after=self.last or None))
        path = self.folder / f"{run_id}.in"
        path.write_bytes(content)
        facts = {
            "run_id": run_id,
            "workflow": "shop",
            "job": "orders",
            "source": FilesSource(files=(SourceFile(uri=str(path), name="orders"),)),
            "format": "csv",
            "landing_uri": f"{self.folder}/lake/landing/shop/orders",
            "quarantine_uri": f"{self.folder}/lake/quarantine/shop/orders",
            "target": TableTarget(dataset="bronze.shop.orders", uri=f"{self.folder}/lake/bronze/shop/orders"),
            "ingested_at": AT,
        }
        return run_ingest(IngestSpec(**facts | self.settings | changes))

    def rows(self, *by: str) -> list[tuple]:
        return pl.read_delta(f"{self.folder}/lake/bronze/shop/orders").drop(*PROVENANCE).sort(by or "id").rows()

    def quarantined(self) -> list[dict]:
        path = f"{self.folder}/lake/quarantine/shop/orders/2026/11/22/{self.last}.parquet"
        return pl.read_parquet(path).sort("_line").to_dicts()


@pytest.fixture
def job(tmp_path):
    return lambda **settings: Job(tmp_path, **settings)


def types(result) -> dict[str, str]:
    return {column.name: column.type for column in result.columns if column.name not in PROVENANCE}


def lines(*records: dict) -> bytes:
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)


def parquet(**columns: list) -> bytes:
    sink = BytesIO()
    pl.DataFrame(columns).write_parquet(sink)
    return sink.getvalue()


def csv(name: str, *values: object) -> bytes:
    return "\n".join([f"id,{name}", *(f"{number},{value}" for number, value in enumerate(values, 1))]).encode()


def widened(old: str, new: str, column: str = "x") -> SchemaChange:
    return SchemaChange(column=column, change="widened", old=old, new=new)


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


# --- what waits for a person -----------------------------------------------------------

DECLARED = (Column(name="id", type="int64"), Column(name="x", type="int64"))
TO_QUARANTINE = {"error_handling": "quarantine", "bad_row_threshold": 0.5}


def contract(column: str, change: str, old: str | None, new: str | None, *examples: str, rows: int = 0):
    return ContractChange(column=column, change=change, old=old, new=new, examples=examples, rows=rows)


def told(caught) -> list[dict]:
    return caught.value.facts["contract_changes"]


@pytest.mark.parametrize(
    ("first", "then", "old", "new", "example"),
    [
        ({"x": "2026-01-02T03:04:05"}, {"x": 7}, "timestamp", "int64", "7"),
        ({"x": True}, {"x": 7}, "boolean", "int64", "7"),
        ({"x": {"a": 1}}, {"x": "flat"}, "struct<a: int64>", "string", "flat"),
        ({"x": {"a": 1}}, {"x": {"a": {"b": 1}}}, "struct<a: int64>", "string", '{"a": {"b": 1}}'),
        ({"x": "text"}, {"x": {"a": 1}}, "string", "struct<a: int64>", '{"a":1}'),
        ({"x": 1}, {"x": [1]}, "int64", "list<int64>", "[1]"),
    ],
)
@pytest.mark.parametrize("write_mode", ["append", "overwrite"])
def test_what_the_lattice_does_not_join_is_set_aside_and_waits_for_a_decision(
    job, first, then, old, new, example, write_mode
):
    job = job(format="ndjson", write_mode=write_mode, **TO_QUARANTINE)
    job.run(lines({"id": 1} | first))
    result = job.run(lines({"id": 2}, {"id": 3} | then))
    assert (result.rows_written, result.quarantined_rows, result.schema_changes) == (1, 1, ())
    assert [(c.column, c.change, c.old, c.rows) for c in result.contract_changes] == [("x", "type", old, 1)]
    assert [c.new for c in result.contract_changes] == [new]
    assert [value.replace(" ", "") for value in result.contract_changes[0].examples] == [example.replace(" ", "")]
    assert [(row["_column"], row["_rule"], row["_wanted_type"]) for row in job.quarantined()] == [("x", "type", old)]


def test_a_job_that_allows_no_bad_row_fails_with_the_change_in_its_error(job):
    job = job(format="ndjson")
    job.run(lines({"id": 1, "x": "2026-01-02T03:04:05"}))
    with pytest.raises(BadRows, match="x: “7” is no timestamp") as caught:
        job.run(lines({"id": 2, "x": 7}))
    assert [(c["column"], c["old"], c["new"], c["rows"]) for c in told(caught)] == [("x", "timestamp", "int64", 1)]
    assert (caught.value.facts["wanted_type"], caught.value.facts["value"]) == ("timestamp", "7")
    assert "decide on the job's page" in caught.value.hint
    assert [row[0] for row in job.rows()] == [1]


def test_too_many_refused_rows_fail_with_the_change_in_the_error_as_well(job):
    job = job(format="ndjson", **TO_QUARANTINE)
    job.run(lines({"id": 1, "x": True}))
    with pytest.raises(BadRows) as caught:
        job.run(lines({"id": 2, "x": 7}))
    assert [(c["column"], c["change"], c["rows"]) for c in told(caught)] == [("x", "type", 1)]


def test_a_declared_schema_never_changes(job):
    job = job(schema_mode="user", columns=DECLARED, **TO_QUARANTINE)
    job.run(b"id,x\n1,1\n")
    result = job.run(b"id,x,note,day\n2,2,hello,2026-01-02\n3,1.5,,\n")
    assert types(result) == {"id": "int64", "x": "int64"}
    assert (result.rows_written, result.quarantined_rows, result.schema_changes) == (1, 1, ())
    assert result.contract_changes == (
        contract("note", "added", None, "string", "hello"),
        contract("day", "added", None, "date", "2026-01-02"),
        contract("x", "type", "int64", "float64", "1.5", rows=1),
    )
    assert job.rows() == [(1, 1), (2, 2)]


@pytest.mark.parametrize("schema_mode", ["infer", "user"])
def test_a_required_column_that_vanished_fails_the_run_and_names_what_it_may_be_now(job, schema_mode):
    columns = (Column(name="id", type="int64"), Column(name="customer_name", type="string", nullable=False))
    job = job(schema_mode=schema_mode, columns=columns)
    job.run(b"id,customer_name\n1,A\n")
    with pytest.raises(MissingColumns, match="lacks customer_name") as caught:
        job.run(b"id,cust_name,city\n2,B,C\n")
    assert told(caught)[0] == {
        "column": "customer_name", "change": "missing", "old": "string", "new": "cust_name", "examples": [], "rows": 0,
    }  # fmt: skip
    assert "customer_name is now cust_name" in caught.value.hint


def test_a_column_that_vanished_is_null_and_told(job):
    job = job()
    job.run(b"id,customer_name,age\n1,A,30\n")
    result = job.run(b"id,cust_name\n2,B\n")
    assert job.rows() == [(1, "A", 30, None), (2, None, None, "B")]
    assert result.contract_changes == (
        contract("customer_name", "missing", "string", "cust_name"),
        contract("age", "missing", "int64", None),
    )


def test_values_that_became_null_in_a_required_column_are_set_aside_and_told(job):
    columns = (Column(name="id", type="int64"), Column(name="x", type="int64", nullable=False))
    job = job(schema_mode="user", columns=columns, error_handling="quarantine", bad_row_threshold=0.5)
    job.run(b"id,x\n1,1\n")
    result = job.run(b"id,x\n2,2\n3,\n")
    assert result.contract_changes == (contract("x", "required", "int64, required", "int64", rows=1),)


def test_a_mapped_column_of_the_source_fills_the_one_of_the_table(job):
    job = job()
    job.run(b"id,customer_name\n1,A\n")
    result = job.run(b"id,cust_name\n2,B\n", renames={"Cust_Name": "customer_name"})
    assert (result.schema_changes, result.contract_changes) == ((), ())
    assert job.rows() == [(1, "A"), (2, "B")]


def test_a_decided_type_is_taken_and_the_rows_of_the_table_follow(job):
    job = job(format="ndjson")
    job.run(lines({"id": 1, "x": {"a": 1}}))
    result = job.run(lines({"id": 2, "x": "flat"}, {"id": 3, "x": {"a": 2}}), columns=(Column(name="X", type="json"),))
    assert result.schema_changes == (widened("struct<a: int64>", "json"),)
    assert job.rows() == [(1, '{"a":1}'), (2, "flat"), (3, '{"a": 2}')]


def test_a_column_that_is_declared_no_longer_is_null_from_then_on_even_if_it_was_required(job):
    columns = (Column(name="id", type="int64"), Column(name="x", type="int64", nullable=False))
    job = job(schema_mode="user", columns=columns)
    job.run(b"id,x\n1,1\n")
    job.run(b"id\n2\n", columns=columns[:1])
    assert job.rows() == [(1, 1), (2, None)]


def test_a_whole_number_that_a_float_would_round_is_never_rounded(job):
    job = job()
    job.run(csv("x", 1.5))
    result = job.run(b"id,x\n" + b"1,2.5\n" * 30_000 + b"2,9007199254740993\n" + b"3,0.30000000000000004\n" * 30_000)
    assert result.schema_changes == (widened("float64", "string"),)
    values = [row[1] for row in job.rows()]
    assert {"1.5", "9007199254740993", "0.30000000000000004"} < set(values)
