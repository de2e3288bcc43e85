"""Expression by expression: what Spark's allow-list holds gives DuckDB's values, odd ones among them."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, time
from decimal import Decimal

import polars as pl
import pytest

from tests.spark_cluster import LIMITS, needs_spark
from workers.engines.base import engine_named
from workers.engines.sql import check_sql
from workers.lake.table import open_table
from workers.schema import polars_schema

pytestmark = needs_spark

ODD = pl.DataFrame(
    {
        "id": [1, 2, 3, 4, 5, 6],
        "n": [7, -7, 0, None, 2_000_000_000, 3],
        "d": [2, 0, 0, 1, -3, None],
        "f": [2.5, -2.5, 0.0, None, 1e300, 1.005],
        "g": [0.5, 0.0, 0.0, 1.0, -3.25, math.nan],
        "p": [Decimal("2.50"), Decimal("-2.50"), Decimal("0.05"), None, Decimal("99999.99"), Decimal("1.25")],
        "s": ["a-b-c", "", "Ä.ö", None, "it's \\ 100%_x", "aXa1b22"],
        "j": ['{"a":{"b":1,"c":"x"}}', '{"a":null}', "{}", None, '{"a":{"b":true}}', '{"a":{"b":1.5}}'],
        "day": [date(2024, 2, 29), date(1969, 12, 31), date(2000, 1, 1), None, date(1582, 10, 4), date(2025, 12, 31)],
        "at": [
            at and datetime.fromisoformat(at)
            for at in ("2024-02-29T13:05:59.123456", "1969-12-31T23:59:59.999999", "2000-01-01", None,
                       "1900-03-01T12:00", "2025-12-31T11:30")
        ],
        "utc": [
            datetime(2024, 3, 31, 0, 30, tzinfo=UTC), datetime(1970, 1, 1, tzinfo=UTC),
            datetime(2024, 10, 27, 1, 30, tzinfo=UTC), None, datetime(2024, 7, 1, 22, 15, tzinfo=UTC),
            datetime(2024, 12, 31, 23, 59, 59, tzinfo=UTC),
        ],
        "clock": [time(10, 20, 30), time(0, 0), time(23, 59, 59, 500000), None, time(9), time(12, 0, 0, 1)],
        "flag": [True, False, None, True, False, True],
        "parts": [[3, 1, 2], [], [None, 5], None, [9], [1, 1]],
        "who": [{"name": "x", "age": 1}, {"name": None, "age": 2}, {"name": "z", "age": None}, None,
                {"name": "y", "age": 5}, {"name": "", "age": 0}],
    },
    schema_overrides={"n": pl.Int32, "d": pl.Int32, "p": pl.Decimal(12, 2), "parts": pl.List(pl.Int32)},
)  # fmt: skip

EXPRESSIONS = {
    "division": r"""
        n / d; f / g; p / d; n / 0; -n / 0; n / d / d / d; 100 * n / d; n // d; n // 2; n % d; f % g; n % 3;
        (n + 1) // (d * d)
        """,
    "numbers": r"""
        n * n; n * 1000000; -n; abs(n); round(f); round(f, 2); round(g, 1); round(p, 1); round(p); round(n, 0);
        ceil(g); floor(g); ceil(p); floor(p); cast(id / 2 as int); cast(p as int); cast(id / 8 as decimal(9, 1));
        try_cast(f as decimal(9, 2)); cast(p as decimal(12, 1)); sign(n); sign(g); power(d, 3); exp(g); cbrt(g);
        ln(id); log(id); log2(id); log10(id); log(2, id); greatest(n, d); least(f, g, 1.0); isnan(g); isinf(f / g);
        p * p; p + n; p - 0.005; p * 1.000001; cast(n as double) * 0.1; 1e3 * n; n & 3; n | 8
        """,
    "texts": r"""
        s || '!'; s || n; concat(s, n, null, p); concat_ws('/', s, null, n); upper(s); lower(s); length(s); len(s);
        strlen(s); trim(s); trim(s, 'a'); ltrim(s, 'a'); rtrim(s, 'c'); substring(s, 2); substring(s, 2, 3);
        substring(s, -2); substring(s, 1, length(s) - 1); left(s, 2); right(s, 2); replace(s, 'a', 'zz'); reverse(s);
        strpos(s, 'b'); position('b' in s); starts_with(s, 'a'); ends_with(s, 'c'); contains(s, '-'); s like 'a%';
        s like '%\ 100%'; s like '%100!%!_%' escape '!'; s ilike 'A%'; s not like '%b%'; split_part(s, '-', 2);
        split_part(s, '-', -1); split_part(s, '.', 2); string_split(s, '.')[1]; string_split(s, '-');
        regexp_matches(s, '[0-9]+'); regexp_replace(s, '[0-9]+', '#'); regexp_replace(s, '([0-9])', '<\1>', 'g');
        regexp_replace(s, '(a)(.)', '\2\1'); regexp_replace(s, 'A', '$', 'gi'); regexp_extract(s, '[0-9]+');
        regexp_extract(s, '([a-z])([0-9]+)', 2); md5(s); sha256(s); s = 'it''s';
        coalesce(s, '?'); nullif(s, ''); json_extract_string(j, '$.a.b'); j->>'$.a.c'
        """,
    "dates": r"""
        year(day); month(at); day(day); quarter(day); week(day); dayofweek(day); isodow(day); dayofyear(day);
        hour(at); minute(at); second(at); epoch(at); epoch(day); extract(epoch from utc); extract(dow from at);
        date_part('year', day); day + 1; day - 1; day + d; day - date '2000-01-01'; day + interval 1 month;
        day - interval '2' day; at + interval 3 hour; utc + interval 1 day; interval 1 year + day;
        date_add(day, interval 1 week); date_trunc('month', day); date_trunc('week', at); date_trunc('quarter', at);
        date_trunc('hour', at); date_trunc('day', utc); date_trunc('year', day) = day;
        date_diff('day', day, date '2024-03-01'); date_diff('week', day, date '2024-03-01');
        date_diff('month', day, date '2024-03-01'); date_diff('year', at, timestamp '2024-03-01 00:00:00');
        date_diff('hour', at, timestamp '2024-03-01 00:00:00');
        date_diff('minute', at, timestamp '1970-01-01 00:00:00');
        date_diff('second', utc, timestamptz '2024-03-01 00:00:00+00'); last_day(day); dayname(day); monthname(day);
        strftime(day, '%d.%m.%Y'); strftime(at, '%Y-%m-%dT%H:%M:%S.%f'); strftime(at, '%-d/%-m %y');
        strftime(at, '%j %b %a'); strptime('2024-02-03 04:05', '%Y-%m-%d %H:%M'); make_date(2024, 2, cast(id as int));
        cast(at as date); cast(day as timestamp); cast(utc as timestamp); at::date = day; day < at;
        at < timestamp '2024-01-01 00:00:00'; utc > timestamptz '2024-05-01 00:00:00+02'; cast(day as varchar);
        cast('2024-02-03' as date); utc at time zone 'Europe/Berlin'; at at time zone 'America/New_York'; :start_date;
        cast(:run_time as date); clock; clock > time '10:20:30'; hour(clock)
        """,
    "logic": r"""
        flag is true; flag is not true; not flag; flag and n > 0; flag or n > 0; n is distinct from d; n in (7, 3);
        n between 0 and 10; case when n > d then 'more' when n = d then 'same' end;
        case d when 0 then 'none' else 'some' end; if(flag, n, d); cast(flag as int); try_cast(s as int);
        try_cast('12' as int); cast(n as varchar); cast(flag as varchar); cast('true' as boolean)
        """,
    "nested": r"""
        parts[1]; parts[2]; parts[-1]; parts[7]; parts[0]; len(parts); array_length(parts); [n, d]; who.name;
        who['age']; [1, 2, 3][2]; parts; who
        """,
}

AGGREGATES = r"""
    sum(n); sum(p); sum(f); sum(flag::int); avg(n); avg(p); avg(distinct d); sum(distinct d); min(s); max(at);
    count(*); count(n); count(distinct d); count(*) filter (where n > 0); sum(n) filter (where d > 0);
    count_if(n > 0 or id > 0); bool_and(n > 0); bool_or(n > 0); median(id); quantile_cont(id, 0.9);
    stddev(id); stddev_pop(id);
    variance(id); var_pop(id); corr(id, id * 2); corr(id, 1); string_agg(s, ',' order by id desc);
    string_agg(n, '-' order by n); arg_max(s, id); arg_min(n, day); any_value(5); sum(n) / sum(d);
    sum(n) / count(d) / 0; round(avg(p), 1); max(clock)
    """

WINDOWS = r"""
    row_number() over (order by id); rank() over (order by d); dense_rank() over (order by d desc);
    ntile(2) over (order by id); percent_rank() over (order by id); cume_dist() over (order by d);
    lag(n) over (order by id); lead(s, 2, 'none') over (order by id); first_value(n) over (order by id);
    last_value(n) over (order by id); nth_value(n, 2) over (order by id);
    last_value(n ignore nulls) over (order by id rows between unbounded preceding and current row);
    sum(p) over (partition by flag order by id); avg(p) over (order by id rows between 1 preceding and 1 following);
    count(*) over (partition by flag); sum(n) over (order by d nulls first, id); max(day) over ();
    sum(id) over (order by id range between 2 preceding and current row);
    count_if(flag) over (order by id rows between 2 following and 3 following)
    """

QUERIES = {
    "distinct on": "select distinct on (flag) flag, id from odd order by flag, id desc",
    "unnest": "select id, unnest(parts) as x from odd",
    "grouping sets": "select flag, d, grouping(flag) as g, count(*) as n from odd "
    "group by grouping sets ((flag), (d), ())",
    "cube": "select flag, d, count(*) as n from odd group by cube (flag, d)",
    "union all of types": "select n as x from odd union all select id from odd union all select p from odd",
    "scalar subqueries": "select id, (select max(id) from odd) as top, "
    "(select sum(o.n) from odd o where o.d = odd.d) as s from odd",
    "exists as a value": "select id, exists (select 1 from odd o where o.id = odd.d) as e from odd",
    "not in": "select id from odd where id not in (select d from odd where d is not null)",
    "left join": "select a.id, b.n from odd a left join odd b on a.id = b.d and b.n > 0",
    "using": "select id, a.n, b.d from odd a join odd b using (id)",
    "full using": "select id, a.n as x, b.p as y from (select * from odd where id < 4) a full join "
    "(select * from odd where id > 2) b using (id)",
    "limit and offset": "select id, s from odd order by s desc, id limit 2 offset 1",
    "cte twice": "with a as (select id, n from odd where n > 0), b as (select count(*) as k from a) "
    "select a.id, b.k from a cross join b",
    "columns of a cte": "with a(x, y) as (select id, s from odd) select y, x from a",
    "having": "select d, sum(n) as total from odd group by d having count(*) > 1",
    "group by alias": "select year(day) as y, count(*) as n from odd group by y order by n desc, y nulls first limit 3",
    "odd names": 'select id as "a b", n as "select", s as "x`y" from odd where "id" > 1',
    "keys of odd values": "select g, count(*) as n from odd group by g",
    "time window": "select id from odd where day between :start_date and :end_date",
}


@pytest.fixture(scope="session")
def odd(load):
    return {"odd": open_table(load("spark_odd", ODD).uri)}


def answers(sql, tables):
    inputs = {alias: table.columns for alias, table in tables.items()}
    for engine in ("duckdb", "spark"):
        checked = check_sql(sql, inputs, engine)
        rows = engine_named(engine).first_rows(checked, tables, 1000, LIMITS)
        wanted = polars_schema(checked.columns)
        if engine == "spark":
            assert rows.schema == wanted
        yield {name: [plain(value) for value in rows[name].to_list()] for name in rows.columns}


def plain(value):
    """A value as text: floats to 12 digits, because the last ones depend on the order of additions."""
    if isinstance(value, float):
        return f"{value:.12g}"
    return value.isoformat(timespec="microseconds") if isinstance(value, time) else value


def differences(text, source, tables, order):
    expressions = [each.strip() for each in text.split(";")]
    named = ", ".join(f"{expression} as x{number}" for number, expression in enumerate(expressions))
    duckdb, spark = answers(f"select {named} from {source} {order}", tables)
    pairs = zip(expressions, duckdb.values(), spark.values(), strict=True)
    return [(expression, expected, found) for expression, expected, found in pairs if expected != found]


@pytest.mark.parametrize("kind", EXPRESSIONS)
def test_an_expression_has_the_value_that_duckdb_gives_it(odd, kind):
    assert differences(EXPRESSIONS[kind], "odd", odd, "order by id") == []


def test_aggregates_have_the_values_that_duckdb_gives_them(odd):
    assert differences(AGGREGATES, "odd", odd, "") == []


def test_aggregates_of_no_rows_have_the_values_that_duckdb_gives_them(odd):
    assert differences(AGGREGATES, "odd where id > 99", odd, "") == []


def test_windows_have_the_values_that_duckdb_gives_them(odd):
    assert differences(WINDOWS, "odd", odd, "order by id") == []


@pytest.mark.parametrize("name", QUERIES)
def test_a_query_gives_the_rows_of_duckdb(odd, name):
    duckdb, spark = (sorted(zip(*each.values(), strict=True), key=repr) for each in answers(QUERIES[name], odd))
    assert spark == duckdb
    assert duckdb
