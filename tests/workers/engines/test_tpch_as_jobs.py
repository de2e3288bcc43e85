"""The 22 queries of TPC-H as jobs: checked, run, audited, committed; the rows are those of plain DuckDB."""

from __future__ import annotations

import pytest

from tests.workers.engines.tpch import QUERIES, assert_same_rows, rows_of
from workers.executors.sql import run


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_of_tpch_gives_the_same_rows_as_a_job(tpch, query, engine):
    spec = tpch.spec(query, engine)
    result = run(spec)
    expected = tpch.answer(query)
    assert result.rows_written == len(expected)
    assert_same_rows(rows_of(spec), expected)


def test_the_answers_are_worth_comparing(tpch):
    """A query without rows would prove nothing."""
    assert [query for query in QUERIES if not tpch.answer(query)] == []
