"""The SQL that analysts write every day runs on Polars as on DuckDB; the few queries that do not say why."""

from __future__ import annotations

import pytest

from tests.workers.engines.ordinary_queries import EVERYWHERE, NOT_ON_POLARS, TABLES
from workers.engines.base import Limits, engine_named
from workers.engines.sql import check_sql
from workers.errors import SqlRejected
from workers.lake.table import open_table


@pytest.fixture(scope="session")
def tables(load):
    return {name: open_table(load(f"ordinary_{name}", rows).uri) for name, rows in TABLES.items()}


def answer(sql, tables, engine):
    checked = check_sql(sql, {alias: table.columns for alias, table in tables.items()}, engine)
    rows = engine_named(engine).first_rows(checked, tables, 100_000, Limits()).rows()
    return sorted((tuple(f"{v + 0:.9g}" if isinstance(v, float) else v for v in row) for row in rows), key=repr)


@pytest.mark.parametrize("name", EVERYWHERE)
def test_an_ordinary_query_gives_the_same_rows_on_polars_and_duckdb(name, tables):
    expected = answer(EVERYWHERE[name], tables, "duckdb")
    assert expected
    assert answer(EVERYWHERE[name], tables, "polars") == expected


@pytest.mark.parametrize("named", NOT_ON_POLARS)
def test_a_query_that_polars_refuses_names_what_it_lacks_and_the_engine_that_has_it(named, tables):
    with pytest.raises(SqlRejected) as refused:
        answer(NOT_ON_POLARS[named], tables, "polars")
    assert named in refused.value.message
    assert refused.value.facts["engines"] == ["duckdb"]
    assert answer(NOT_ON_POLARS[named], tables, "duckdb")
