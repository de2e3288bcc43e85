"""A preview shows the first rows, and no query takes its caller down."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal

import polars as pl
import pytest

from workers import errors
from workers.engines.base import Limits
from workers.engines.preview import preview_sql
from workers.engines.statement import Parameters
from workers.lake.table import open_table
from workers.specs import Column, TableInput

SMALL = Limits(memory_mb=300, threads=2, may_spill=False)
EVERY_TYPE = pl.DataFrame(
    {
        "n": [1], "f": [float("nan")], "d": [Decimal("1.10")], "day": [date(2026, 1, 2)],
        "at": [datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)], "raw": [b"\xff"], "long": ["x" * 5000],
        "nested": [{"a": [1, 2], "b": None}], "empty": [None],
    },
    schema_overrides={"empty": pl.String, "d": pl.Decimal(10, 2)},
)  # fmt: skip


@pytest.fixture(scope="session")
def one_row(load):
    return load("one_row", EVERY_TYPE)


@pytest.fixture(scope="session")
def many(load):
    """Rows that all share one key: joined to themselves they are 40 billion."""
    return load("many", pl.DataFrame({"k": [1] * 200_000, "s": ["x" * 100] * 200_000}))


def test_the_first_rows_come_as_json_values(one_row, engine):
    preview = preview_sql("select * from one_row", (one_row,), engine)
    (row,) = preview.rows
    assert json.dumps(preview.rows)
    assert row | {"long": ""} == {
        "n": 1, "f": "nan", "d": "1.10", "day": "2026-01-02", "at": "2026-01-02T03:04:05+00:00", "raw": "/w==",
        "long": "", "nested": {"a": [1, 2], "b": None}, "empty": None,
    }  # fmt: skip
    assert len(row["long"]) == 1001
    assert [column.name for column in preview.columns] == EVERY_TYPE.columns
    assert preview.rows_sampled == 1


def test_no_more_than_fifty_rows_are_shown(many, engine):
    preview = preview_sql("select k, s from many", (many,), engine, limit=1000)
    assert len(preview.rows) == 50


def test_the_rows_have_the_types_of_the_target(one_row, engine):
    target = (Column(name="n", type="decimal(5,1)"), Column(name="d", type="float64"))
    preview = preview_sql("select n, d from one_row", (one_row,), engine, target)
    assert preview.rows == ({"n": "1.0", "d": 1.1},)


def test_parameters_have_the_values_that_are_given(one_row, engine):
    sql = (
        "select :start_date as a, cast(:run_time as date) as b from one_row where day between :start_date and :end_date"
    )
    parameters = Parameters(
        start_date=date(2026, 1, 1), end_date=date(2026, 1, 2), run_time=datetime(2026, 5, 6, tzinfo=UTC)
    )
    preview = preview_sql(sql, (one_row,), engine, parameters=parameters)
    assert preview.rows == ({"a": "2026-01-01", "b": "2026-05-06"},)


def test_a_preview_writes_nothing(one_row, engine, lake):
    before = sorted(lake.rglob("*"))
    preview_sql("select * from one_row order by n", (one_row,), engine)
    assert sorted(lake.rglob("*")) == before


MEMORY_BOMBS = [
    "select a.s || b.s || cast(a.k as varchar) as x from many a join many b on a.k = b.k order by x desc",
    "select string_agg(a.s, '') as x from many a join many b on a.k = b.k",
    "with a as (select s || s as s from many limit 1), b as (select s || s || s || s as s from a), "
    "c as (select s || s || s || s || s || s || s || s as s from b), d as (select replace(s, 'x', s) as s from c), "
    "e as (select replace(s, 'x', s) as s from d) select s as x from e",
]


@pytest.mark.parametrize("sql", MEMORY_BOMBS, ids=range(len(MEMORY_BOMBS)))
def test_a_memory_bomb_ends_in_its_child(many, engine, sql):
    with pytest.raises((errors.ResourceLimit, errors.QueryFailed)) as failure:
        preview_sql(sql, (many,), engine, limits=SMALL, seconds=6)
    assert failure.value.hint
    # The caller has not even noticed: the same process goes on reading.
    assert open_table(many.uri).rows == 200_000


@pytest.mark.parametrize(
    "sql",
    [
        "select count(*) as n from many a join many b on a.k = b.k where length(a.s || b.s) > 1000",
        "select count(*) as n from many a, many b where length(a.s || b.s) > 1000",
        "select sum(length(a.s || b.s)) as n from many a, many b",
    ],
    ids=["join", "cross", "sum"],
)
def test_a_query_that_never_ends_is_ended(many, engine, sql):
    with pytest.raises(errors.ResourceLimit):
        preview_sql(sql, (many,), engine, limits=SMALL, seconds=2)


def test_a_value_that_will_not_cast_is_told(many, engine):
    with pytest.raises(errors.QueryFailed, match="xxxx"):
        preview_sql("select cast(s as int) as x from many", (many,), engine)


def test_a_hostile_query_is_refused_before_a_child_starts(one_row, engine):
    # A child would have no time at all.
    with pytest.raises(errors.SqlRejected):
        preview_sql("select * from read_csv('/etc/passwd')", (one_row,), engine, seconds=0)


def test_an_input_without_a_table_is_named(engine, lake):
    gone = TableInput(dataset="silver.test.gone", alias="gone", uri=f"{lake}/gone", version=0)
    with pytest.raises(errors.TableMissing):
        preview_sql("select * from gone", (gone,), engine)


def test_a_preview_for_spark_is_shown_by_duckdb_and_says_so(one_row):
    preview = preview_sql("select n / 2 as half from one_row", (one_row,), "spark")
    assert preview.rows == ({"half": 0.5},)
    assert "DuckDB" in preview.note
    assert "Spark" in preview.note


def test_a_preview_for_spark_refuses_what_spark_cannot_run(one_row):
    with pytest.raises(errors.SqlRejected, match="Spark"):
        preview_sql("select approx_count_distinct(n) as n from one_row", (one_row,), "spark")
