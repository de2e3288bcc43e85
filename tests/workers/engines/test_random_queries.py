"""Random queries have one answer: what the check lets through gives the same rows on every engine."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings

from tests.spark_cluster import LIMITS, needs_spark
from tests.workers.engines.random_queries import TABLES, queries
from workers.engines.base import engine_named
from workers.engines.sql import check_sql
from workers.errors import AssayError
from workers.lake.table import open_table
from workers.schema import polars_schema

WITHIN_TIME = settings(
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],
)


@pytest.fixture(scope="session")
def tables(load):
    return {name: open_table(load(f"random_{name}", rows).uri) for name, rows in TABLES.items()}


def plain(value):
    if isinstance(value, float):
        return f"{value + 0:.9g}"  # nothing hangs on the sign of zero or the last digits
    return value


def answer(sql, tables, engine):
    """The rows in an order of their own; None where the check refuses the query or its values end the run."""
    try:
        checked = check_sql(sql, {alias: table.columns for alias, table in tables.items()}, engine)
        rows = engine_named(engine).first_rows(checked, tables, 100_000, LIMITS)
    except AssayError:
        return None
    assert rows.schema == polars_schema(checked.columns)
    return sorted((tuple(map(plain, row)) for row in rows.rows()), key=repr)


def assert_one_answer(sql, tables, engine):
    expected = answer(sql, tables, "duckdb")
    found = answer(sql, tables, engine) if expected is not None else None
    assert found is None or found == expected


@settings(WITHIN_TIME, max_examples=100)
@given(sql=queries())
@example(sql="select x.id as c0 from a as x where x.f > 100")
@example(sql="select x.id as c0 from a as x where not (x.f <= 100)")
@example(sql="select x.n as c0, max(x.f) as c1 from a as x group by 1")
@example(sql="select max(x.f) filter (where x.flag) over (order by x.id) as c0 from a as x")
@example(sql="select greatest(x.f, 1e0) as c0, least(x.f, 1e0) as c1, sign(x.f) as c2 from a as x")
@example(sql="select 7 as c0, max(x.n) as c1 from a as x where x.id > 99 group by 1")
@example(sql="select 1 as c0 where false")
@example(sql="select x.id as c0, unnest(x.l) as c1 from a as x")
@example(sql="select id as c0 from a as x full join c as y using (id)")
def test_polars_gives_the_rows_of_duckdb_or_refuses_when_the_job_is_saved(tables, sql):
    assert_one_answer(sql, tables, "polars")


@pytest.mark.parametrize(
    "sql",
    [
        "select x.id as c0, try_cast(substring(x.s, 1, x.n % 5) as decimal(9, 2)) as c1 from a as x",
        "select x.id as c0, substring(x.s, x.n % 4) as c1, substring(x.s, strpos(x.s, 'b')) as c2 from a as x",
        "select x.id as c0, strpos(x.s, 'ö') as c1, strpos(x.s, '') as c2, strpos(x.s, x.s) as c3 from a as x",
        "select x.id as c0, regexp_extract(x.s, '([a-z])(\\d)', 2) as c1, regexp_extract(x.s, '\\d+') as c2 from a x",
        "select x.id as c0, last_day(x.at) as c1, dayname(x.d) as c2, monthname(x.utc) as c3 from a as x",
        "select try_cast(concat(x.s, x.id, x.s) as date) as c0 from a as x",
        "select s, try_cast(s as date) as d from (values ('2024/02/29'), ('12 6 1'), ('2024-1-2x'), ('2024-1-23'),"
        " (' 2024-01-02 9:05'), ('2024-02-30'), ('2024-1/2'), ('2024-1-234'), ('7\\8\\9'), ('x'), (null)) as v(s)",
        "select s, try_cast(s as timestamp) as t from (values ('2024/02/29 9:5'), ('12 6 1'), ('2024-1-2x'),"
        " ('2024-1-2T3:4:5.6'), ('2024-01-02 25:00'), ('x'), (null)) as v(s)",
        "select sum(x.n * x.big) as c0, sum((x.big + 1) * 3) as c1 from a as x where x.id < 2",
        "select x.id as c0, x.n * x.big > x.id as c1, 7 <= x.big * 1 as c2 from a as x where x.id < 8",
    ],
)
def test_polars_gives_the_rows_of_duckdb_where_its_own_functions_do_not(tables, sql):
    expected = answer(sql, tables, "duckdb")
    assert expected
    assert answer(sql, tables, "polars") == expected


class TestOnSpark:
    pytestmark = needs_spark

    @settings(WITHIN_TIME, max_examples=15)
    @given(sql=queries())
    @example(sql="select x.id as c0 from a as x where x.f > 100")
    @example(sql="select x.id as c0 from a as x where not (x.f <= 100)")
    def test_spark_gives_the_rows_of_duckdb_or_refuses_when_the_job_is_saved(self, tables, sql):
        assert_one_answer(sql, tables, "spark")
