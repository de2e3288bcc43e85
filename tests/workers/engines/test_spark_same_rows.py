"""What DuckDB answers, Spark answers: the same rows, the same types."""

from __future__ import annotations

import pytest

from tests.spark_cluster import LIMITS, LOCAL, needs_spark
from tests.workers.engines.test_same_on_both_engines import CUSTOMERS, LINES, ORDERS, QUERIES, rounded
from tests.workers.engines.tpch import QUERIES as TPCH
from tests.workers.engines.tpch import Tpch, assert_same_rows, rows_of
from workers.engines.base import engine_named
from workers.engines.sql import check_sql
from workers.executors.sql import run
from workers.lake.table import open_table
from workers.schema import polars_schema

pytestmark = needs_spark


@pytest.fixture(scope="session")
def shop(load):
    frames = {"spark_customers": CUSTOMERS, "spark_orders": ORDERS, "spark_lines": LINES}
    inputs = {name: load(name, rows) for name, rows in frames.items()}
    return {name.removeprefix("spark_"): open_table(given.uri) for name, given in inputs.items()}


@pytest.fixture(scope="session")
def small_tpch(tmp_path_factory):
    return Tpch.make(tmp_path_factory.mktemp("small_tpch"), 0.01)


def answer(sql, tables, engine):
    checked = check_sql(sql, {alias: table.columns for alias, table in tables.items()}, engine)
    rows = engine_named(engine).first_rows(checked, tables, 100_000, LIMITS)
    assert rows.schema == polars_schema(checked.columns)
    return rows


@pytest.mark.parametrize("name", QUERIES)
def test_spark_gives_the_rows_and_types_of_duckdb(name, shop):
    duckdb, spark = (answer(QUERIES[name], shop, engine) for engine in ("duckdb", "spark"))
    assert spark.schema == duckdb.schema
    assert rounded(spark) == rounded(duckdb)
    assert len(spark) > 0


@pytest.mark.parametrize("query", TPCH)
def test_a_query_of_tpch_gives_the_same_rows_as_a_job_on_spark(small_tpch, query):
    spec = small_tpch.spec(query, "spark", settings=LOCAL)
    result = run(spec)
    expected = small_tpch.answer(query)
    assert result.rows_written == len(expected)
    assert_same_rows(rows_of(spec), expected)
