from dataclasses import replace
from datetime import UTC, date, datetime

import polars as pl
import pytest

from workers.errors import InvalidSpec, SchemaChanged
from workers.lake.lattice import holds
from workers.lake.table import open_table
from workers.specs import Column

from .conftest import load, rows_of

DAY = date(2026, 11, 22)
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
A_STRUCT = pl.Struct({"a": pl.Int64})
AN_AB_STRUCT = pl.Struct({"a": pl.Int64, "b": pl.String})


def types_of(target):
    return {column.name: column.type for column in open_table(target.uri).columns}


def frame(kind, *values):
    return pl.DataFrame({"x": pl.Series(values, dtype=kind)})


@pytest.mark.parametrize("mode", ["append", "overwrite_partition"])
def test_a_new_column_is_visible_and_null_in_older_rows(by_day, mode):
    load(by_day, {"id": [1], "day": [DAY]})
    load(by_day, {"id": [2], "day": [date(2026, 11, 23)], "note": ["x"]}, mode=mode)
    assert rows_of(by_day) == [(1, DAY, None), (2, date(2026, 11, 23), "x")]
    assert types_of(by_day) == {"id": "int64", "day": "date", "note": "string"}


def test_rows_that_lack_a_column_leave_it_null(target):
    load(target, {"id": [1], "note": ["x"]})
    load(target, {"id": [2]})
    assert rows_of(target) == [(1, "x"), (2, None)]


@pytest.mark.parametrize(
    ("old", "new", "wanted"),
    [
        (frame(pl.Int32, 1), frame(pl.Int64, 2**40), [(1,), (2**40,)]),
        (frame(pl.Float32, 0.5), frame(pl.Float64, 0.1), [(0.1,), (0.5,)]),
        (frame(pl.Int64, 7), frame(pl.String, "n/a"), [("7",), ("n/a",)]),
        (frame(pl.Boolean, True), frame(pl.String, "maybe"), [("maybe",), ("true",)]),
        (frame(pl.Float64, 1e-7), frame(pl.String, "n/a"), [("1e-7",), ("n/a",)]),
        (frame(pl.Datetime("us", "UTC"), NOON), frame(pl.String, "n/a"), [("2026-11-22T12:00:00Z",), ("n/a",)]),
        (frame(pl.Int64, 2**53), frame(pl.Float64, 0.1), [(0.1,), (9007199254740992.0,)]),
        (
            frame(A_STRUCT, {"a": 1}),
            frame(AN_AB_STRUCT, {"a": 2, "b": "x"}),
            [({"a": 1, "b": None},), ({"a": 2, "b": "x"},)],
        ),
        (frame(pl.List(A_STRUCT), [{"a": 1}]), frame(pl.List(AN_AB_STRUCT), []), [([],), ([{"a": 1, "b": None}],)]),
    ],
)
def test_a_type_is_widened_in_one_commit_and_old_rows_with_it(target, old, new, wanted):
    load(target, old)
    published = load(target, new)
    assert (published.version, published.rows, published.table_rows) == (1, 1, 2)
    assert sorted(open_table(target.uri).scan().collect().rows(), key=str) == wanted
    assert rows_of(target, version=0) == old.rows()


def test_whole_numbers_stay_whole_where_a_float_would_round_one_of_them(target):
    load(target, frame(pl.Int64, 1))
    load(target, frame(pl.Int64, 2**53 + 1, None))
    with pytest.raises(SchemaChanged, match="x is int64; the new rows have float64"):
        load(target, frame(pl.Float64, 0.5))


def test_a_struct_becomes_json_where_the_new_rows_are_json(target):
    load(target, frame(A_STRUCT, {"a": 1}, None))
    load(target, frame(pl.String, "[2]"), columns=(Column(name="x", type="json"),))
    assert types_of(target) == {"x": "json"}
    assert open_table(target.uri).scan().collect()["x"].to_list() == ["[2]", '{"a":1}', None]


def test_widening_while_a_partition_is_replaced_keeps_the_others(by_day):
    old = pl.DataFrame({"x": [1, 2], "day": [DAY, date(2026, 11, 23)]}, schema_overrides={"x": pl.Int16})
    load(by_day, old)
    load(by_day, {"x": [2**40], "day": [DAY], "y": ["new"]}, mode="overwrite_partition")
    assert rows_of(by_day) == [(1099511627776, DAY, "new"), (2, date(2026, 11, 23), None)]


@pytest.mark.parametrize(
    ("old", "new", "wide"),
    [
        ("int8", "int64", True), ("int64", "int32", False), ("int64", "float64", False), ("int32", "float64", True),
        ("float64", "float32", False), ("decimal(10,2)", "decimal(12,4)", True),
        ("decimal(10,2)", "decimal(10,3)", False),
        ("int64", "decimal(19,0)", True), ("int64", "decimal(20,2)", False), ("date", "timestamp", True),
        ("timestamp", "date", False), ("string", "int64", False), ("list<int64>", "list<string>", True),
        ("struct<a: int64>", "struct<a: int64, b: date>", True), ("struct<a: int64>", "struct<b: int64>", False),
    ],
)  # fmt: skip
def test_only_what_loses_no_value_counts_as_wider(old, new, wide):
    assert holds(new, old) == wide


def test_another_type_is_refused_and_the_table_left_alone(target):
    load(target, {"x": ["a"]})
    with pytest.raises(SchemaChanged, match="x is string; the new rows have int64"):
        load(target, {"x": [1]})
    assert rows_of(target) == [("a",)]


def test_overwrite_replaces_the_schema(target):
    load(target, {"x": ["a"], "y": [1]})
    load(target, {"x": [1.5]}, mode="overwrite")
    assert types_of(target) == {"x": "float64"}
    assert rows_of(target) == [(1.5,)]


ID = Column(name="id", type="int64", nullable=False)
NOTE = Column(name="note", type="string")


def test_a_required_column_stays_required_until_a_run_says_otherwise(target):
    load(target, {"id": [1], "note": ["x"]}, columns=(ID, NOTE))
    assert open_table(target.uri).columns == (ID, NOTE)
    with pytest.raises(SchemaChanged, match="needs id"):
        load(target, {"note": ["y"]}, columns=(NOTE,))
    load(target, pl.DataFrame({"id": [None]}, schema={"id": pl.Int64}), columns=(replace(ID, nullable=True),))
    assert rows_of(target) == [(1, "x"), (None, None)]
    assert open_table(target.uri).columns[0].nullable


def test_a_new_column_cannot_be_required(target):
    load(target, {"note": ["x"]})
    with pytest.raises(SchemaChanged, match="cannot be added"):
        load(target, {"note": ["y"], "id": [1]}, columns=(NOTE, ID))


def test_names_that_differ_only_in_case_are_refused(target):
    with pytest.raises(InvalidSpec, match="same name"):
        load(target, {"id": [1], "ID": [2]})
