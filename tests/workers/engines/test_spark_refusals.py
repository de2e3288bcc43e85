"""What Spark would answer differently, or not at all, is refused when a job is saved. No JVM is started for that."""

from __future__ import annotations

import pytest

from workers.engines.sql import check_sql
from workers.errors import SqlRejected
from workers.specs import Column

COLUMNS = {
    "id": "int64", "n": "int32", "f": "float64", "s": "string", "day": "date", "at": "timestamp", "raw": "binary",
    "parts": "list<int64>", "doc": "json",
}  # fmt: skip
INPUTS = {
    "t": tuple(Column(name=name, type=kind) for name, kind in COLUMNS.items()),
    "u": (Column(name="id", type="int64"), Column(name="at", type="timestamp")),
}

REFUSED = {
    "select approx_count_distinct(n) as x from t": "approx_distinct",
    "select first(n) as x from t": "first",
    "select mode(n) as x from t": "mode",
    "select array_agg(n order by id) as x from t": "array_agg",
    "select quantile_disc(n, 0.5) as x from t": "percentile_disc",
    "select percentile_cont(0.5) within group (order by n) as x from t": "quantile_cont",
    "select t.id from t asof join u on t.id = u.id and t.at >= u.at": "ASOF",
    "select at - timestamp '2024-01-01 00:00:00' > interval 1 day as x from t": "an interval is only added",
    "select day + interval (n) day as x from t": "interval",
    "select date_trunc('decade', at) as x from t": "decade",
    "select extract(century from at) as x from t": "century",
    "select strftime(at, '%U') as x from t": "%U",
    "select substring(s, n, 2) as x from t": "substring",
    "select left(s, n) as x from t": "left",
    "select regexp_replace(s, s, 'x') as x from t": "pattern",
    "select regexp_matches(s, 'a', 'i') as x from t": "options",
    "select regexp_matches(s, '^[[:alpha:]]') as x from t": "[:alpha:]",
    "select parts[n] as x from t": "constant number",
    "select f // 2 as x from t": "whole numbers",
    "select round(f, n) as x from t": "round",
    "select n as x from t union all select s from t": "texts and other",
    "select count(distinct n) over () as x from t": "DISTINCT",
    "select sum(n) over (order by id groups 1 preceding) as x from t": "ROWS or RANGE",
    "select unnest(parts) + 1 as x from t": "unnest",
    "select cast(raw as varchar) as x from t": "binary",
    "select list_contains(parts, 1) as x from t": "array_contains",
    "select id from t where n = any (select id from u)": "Any",
    "select doc->'$.a' as x from t": "json_extract",
    "select cast(n as utinyint) as x from t": "UTINYINT",
    "select corr(n, f) filter (where n > 1) as x from t": "corr",
    "select median(day) as x from t": "median",
    "select levenshtein(s, 'a') as x from t": "levenshtein",
}


@pytest.mark.parametrize("sql", REFUSED)
def test_it_is_refused_with_its_reason_and_the_engine_that_can(sql):
    with pytest.raises(SqlRejected, match="Spark cannot run this query") as refused:
        check_sql(sql, INPUTS, "spark")
    assert REFUSED[sql] in refused.value.message
    assert "duckdb" in refused.value.hint
    assert refused.value.facts["engines"] == ["duckdb"]
    check_sql(sql, INPUTS, "duckdb")


def test_the_place_is_told():
    with pytest.raises(SqlRejected) as refused:
        check_sql("select id,\n  left(s, n) as x\nfrom t", INPUTS, "spark")
    assert (refused.value.facts["line"], refused.value.facts["column"]) == (2, 3)


def test_what_duckdb_refuses_is_told_by_duckdb():
    with pytest.raises(SqlRejected) as refused:
        check_sql("select upper(day, 2) as x from t", INPUTS, "spark")
    assert "Spark" not in refused.value.message


def test_division_in_division_does_not_grow_without_bound():
    assert len(check_sql(f"select {' / '.join('f' * 8)} as x from t", INPUTS, "spark").statement) < 5_000
    with pytest.raises(SqlRejected, match="too deeply"):
        check_sql(f"select {' / '.join('f' * 40)} as x from t", INPUTS, "spark")


def test_every_name_is_quoted():
    statement = check_sql('select id as "select", s as "a`b" from t', INPUTS, "spark").statement
    assert "`select`" in statement
    assert "`a``b`" in statement
