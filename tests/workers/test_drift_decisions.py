"""What a changed source does that no lattice joins: refused, told, and taken once it is decided."""

from __future__ import annotations

import pytest

from tests.workers.drift import Job, lines, parquet, types, widened
from workers.errors import BadRows, MissingColumns
from workers.results import ContractChange
from workers.specs import Column


@pytest.fixture
def job(tmp_path):
    return lambda **settings: Job(tmp_path, **settings)


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
        ({"x": {"a": 1}}, {"x": "flat"}, "struct<a: int64>", "json", "flat"),
        ({"x": {"a": 1}}, {"x": {"a": {"b": 1}}}, "struct<a: int64>", "json", '{"a": {"b": 1}}'),
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


def test_objects_among_numbers_widen_nothing(job):
    job = job(format="ndjson", **TO_QUARANTINE)
    job.run(lines({"id": 1, "x": 1}))
    result = job.run(lines({"id": 2, "x": 2}, {"id": 3, "x": {"a": 1}}))
    assert (types(result)["x"], result.quarantined_rows) == ("int64", 1)
    assert result.contract_changes == (contract("x", "type", "int64", "json", '{"a": 1}', rows=1),)


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


def test_a_new_key_inside_of_a_declared_struct_is_left_out_and_told(job):
    columns = (Column(name="id", type="int64"), Column(name="x", type="struct<a: int64>"))
    job = job(format="ndjson", schema_mode="user", columns=columns)
    result = job.run(lines({"id": 1, "x": {"a": 1, "b": "new"}}, {"id": 2, "x": {}}))
    assert result.contract_changes == (contract("x", "type", "struct<a: int64>", "struct<a: int64, b: string>"),)
    assert job.rows() == [(1, {"a": 1}), (2, {"a": None})]


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


def test_a_column_whose_values_are_those_of_the_one_that_vanished_is_suggested(job):
    towns = ["Oslo", "Rome", "Bern", "Riga", "Kyiv", "Lima"]
    job = job()
    job.run("\n".join(["id,city", *(f"{n},{town}" for n, town in enumerate(towns))]).encode())
    result = job.run("\n".join(["id,ort,note", *(f"{n},{town},x{n}" for n, town in enumerate(towns))]).encode())
    assert result.contract_changes == (contract("city", "missing", "string", "ort"),)


@pytest.mark.parametrize("schema_mode", ["infer", "user"])
def test_a_column_that_vanished_from_parquet_is_told_and_from_json_is_not(job, tmp_path, schema_mode):
    declared = {"schema_mode": schema_mode, "columns": DECLARED if schema_mode == "user" else ()}
    rows = job(format="parquet", **declared)
    rows.run(parquet(id=[1], x=[1]))
    assert rows.run(parquet(id=[2])).contract_changes == (contract("x", "missing", "int64", None),)
    records = Job(tmp_path / "json", format="ndjson", **declared)
    records.run(lines({"id": 1, "x": 1}))
    assert records.run(lines({"id": 2})).contract_changes == ()


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
