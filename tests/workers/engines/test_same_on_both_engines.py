"""One query, one answer: the same rows and the same types on Polars and on DuckDB."""

from __future__ import annotations

import random
from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal

import polars as pl
import pytest

from workers.engines.base import Limits, engine_named
from workers.engines.sql import check_sql
from workers.lake.table import open_table
from workers.schema import polars_schema

DAY = date(1995, 1, 1)


def orders_and_lines() -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """A small TPC-H: with nulls, halves to round, and integers of 32 bits."""
    pick = random.Random(7)
    segments = ["BUILDING", "MACHINERY", None, "AUTOMOBILE"]
    customers = [(n, f"Customer#{n:03}", pick.choice(segments), pick.randrange(5)) for n in range(60)]
    orders = [
        (n, pick.randrange(70), DAY + timedelta(days=pick.randrange(700)), pick.choice(["1-URGENT", "2-HIGH", None]))
        for n in range(300)
    ]
    lines = [
        (
            order, number, pick.choice([None, *range(1, 50)]), Decimal(pick.randrange(100, 99_999)) / 100,
            Decimal(pick.randrange(0, 11)) / 100, pick.choice("RAN"), day + timedelta(days=pick.randrange(120)),
            pick.randrange(0, 400) / 8,
        )
        for order, _, day, _ in orders
        for number in range(1, pick.randrange(1, 6))
    ]  # fmt: skip
    return (
        pl.DataFrame(customers, orient="row", schema={"c_id": pl.Int64, "c_name": pl.String, "c_segment": pl.String,
                                                      "c_nation": pl.Int32}),
        pl.DataFrame(orders, orient="row", schema={"o_id": pl.Int64, "o_customer": pl.Int64, "o_day": pl.Date,
                                                   "o_priority": pl.String}),
        pl.DataFrame(lines, orient="row", schema={"l_order": pl.Int64, "l_number": pl.Int32, "l_quantity": pl.Int32,
                                                  "l_price": pl.Decimal(12, 2), "l_discount": pl.Decimal(12, 2),
                                                  "l_flag": pl.String, "l_ship": pl.Date, "l_weight": pl.Float64}),
    )  # fmt: skip


CUSTOMERS, ORDERS, LINES = orders_and_lines()


@pytest.fixture(scope="session")
def tables(load):
    frames = {"customers": CUSTOMERS, "orders": ORDERS, "lines": LINES}
    return {name: open_table(load(name, rows).uri) for name, rows in frames.items()}


def answer(sql: str, tables, engine: str, target=None) -> pl.DataFrame:
    inputs = {alias: table.columns for alias, table in tables.items()}
    checked = check_sql(sql, inputs, engine, target)
    rows = engine_named(engine).first_rows(checked, tables, 100_000, Limits())
    assert rows.schema == polars_schema(checked.columns)
    return rows


def rounded(rows: pl.DataFrame) -> list[tuple]:
    """The rows in an order of their own; floats to 9 digits, because sums of floats depend on the order."""
    return sorted(
        (tuple(float(f"{value:.9g}") if isinstance(value, float) else value for value in row) for row in rows.rows()),
        key=repr,
    )


QUERIES = {
    "pricing summary": """
        select l_flag, sum(l_quantity) as quantity, sum(l_price) as price, sum(l_price * (1 - l_discount)) as charged,
          avg(l_quantity) as mean, avg(l_discount) as discount, count(*) as n
        from lines where l_ship <= date '1996-12-01' - interval '90' day group by l_flag order by l_flag""",
    "shipping priority": """
        select l_order, sum(l_price * (1 - l_discount)) as revenue, o_day
        from customers, orders, lines
        where c_segment = 'BUILDING' and c_id = o_customer and l_order = o_id and o_day < date '1996-03-15'
          and l_ship > date '1995-03-15' group by l_order, o_day order by revenue desc, o_day limit 10""",
    "order priority": """
        select o_priority, count(*) as n from orders
        where exists (select 1 from lines where l_order = o_id and l_ship > date '1995-09-01')
        group by o_priority""",
    "supplier volume": """
        select c_nation, extract(year from l_ship) as y, sum(l_price * (1 - l_discount)) as revenue
        from customers join orders on c_id = o_customer join lines on l_order = o_id group by c_nation, y""",
    "forecast": "select sum(l_price * l_discount) as revenue from lines where l_discount between 0.05 and 0.07 and "
    "l_quantity < 24",
    "promotion": """
        select 100.00 * sum(case when l_flag like 'R%' then l_price else 0 end) / sum(l_price) as share from lines""",
    "top customer": """
        with spent as (select o_customer as id, sum(l_price) as total from orders join lines on l_order = o_id
        group by 1)
        select id, total from spent where total = (select max(total) from spent)""",
    "large orders": """
        select c_name, o_id, sum(l_quantity) as quantity from customers join orders on c_id = o_customer
        join lines on o_id = l_order
        where o_id in (select l_order from lines group by l_order having sum(l_quantity) > 100)
        group by c_name, o_id""",
    "customers without orders": """
        select c_id from customers where not exists (select 1 from orders where o_customer = c_id)""",
    "orders per customer": """
        select n, count(*) as customers from (select c_id, count(o_id) as n from customers left join orders
        on c_id = o_customer group by c_id) as counted group by n""",
    "below average": """
        select l_order, l_number from lines a where l_quantity < (select 0.5 * avg(l_quantity) from lines b
        where b.l_flag = a.l_flag)""",
    "anti join": "select o_id from orders anti join customers on c_id = o_customer",
    "semi join": "select o_id from orders semi join customers on c_id = o_customer",
    "full join": "select c_id, o_id from customers full join orders on c_id = o_customer",
    "using": "select l_order, a.l_number as one, b.l_price as two from lines a join lines b using (l_order)",
    "running total": """
        select l_order, l_number, sum(l_quantity) over (partition by l_order order by l_number
        rows between unbounded preceding and current row) as running from lines""",
    "ranks": """
        select l_order, l_number, row_number() over (partition by l_order order by l_price desc, l_number) as r,
        rank() over (order by l_quantity) as k, dense_rank() over (order by l_quantity desc) as d from lines""",
    "previous": """
        select l_order, l_number, lag(l_price) over (partition by l_order order by l_number) as before,
        lead(l_price, 1, 0) over (partition by l_order order by l_number) as after from lines""",
    "latest by qualify": """
        select l_order, l_number, l_ship from lines
        qualify row_number() over (partition by l_order order by l_ship desc, l_number) = 1""",
    "distinct": "select distinct l_flag, l_discount from lines",
    "union": "select c_id as id from customers union select o_customer from orders",
    "except": "select o_customer as id from orders except select c_id from customers",
    "intersect": "select o_customer as id from orders intersect select c_id from customers",
    "nulls in order": "select o_id, o_priority from orders order by o_priority desc, o_id limit 20",
    "null logic": """
        select count(*) as n, count(l_quantity) as q, sum(coalesce(l_quantity, 0)) as z,
        count(*) filter (where l_quantity is null) as nulls, count_if(l_quantity > 10) as some,
        count(distinct l_flag) as flags, bool_and(l_quantity is not null) as every,
        bool_or(l_quantity > 48) as some_large
        from lines""",
    "is true": """
        select o_id, (o_priority = '1-URGENT') is true as urgent, (o_priority = 'x') is not true as other
        from orders""",
    "rounding": """
        select l_order, l_number, round(l_weight) as a, round(l_weight, 2) as b, round(-l_weight, 1) as c,
        cast(l_weight as bigint) as d, cast(l_weight as decimal(9, 1)) as e, cast(l_price as bigint) as f,
        round(l_price, 1) as g, cast(l_price * l_discount as decimal(9, 2)) as h, floor(l_weight) as i,
        ceil(l_weight) as j
        from lines""",
    "arithmetic": """
        select l_order, l_number, l_quantity * 100000000 as a, l_quantity / 7 as b, l_quantity // 7 as c,
        l_quantity % 7 as d, -l_quantity as e, l_price / 3 as f, l_price / l_quantity as g, power(l_quantity, 7) as h,
        abs(l_quantity - 25) as i, sqrt(l_weight) as k, 1 / 3 as l, 2.5 * l_weight as m from lines""",
    "dates": """
        select o_id, year(o_day) * 100 + month(o_day) as ym, month(o_day) * 100 as m, day(o_day) as d, quarter(o_day)
        as q, week(o_day) as w, dayofweek(o_day) as dow, isodow(o_day) as iso, dayofyear(o_day) as doy,
        o_day + 10 as later,
        o_day - date '1995-01-01' as since, date_trunc('week', o_day) as week, date_trunc('quarter', o_day) as start,
        o_day + interval 1 month as next, strftime(o_day, '%Y-%m') as text, cast(o_day as varchar) as iso_text
        from orders""",
    "date differences": """
        select o_id, date_diff('day', o_day, date '1996-02-29') as d, date_diff('week', o_day, date '1996-02-29') as w,
        date_diff('month', o_day, date '1996-02-29') as m, date_diff('quarter', o_day, date '1996-02-29') as q,
        datediff('year', o_day, date '1996-02-29') as y,
        date_diff('hour', cast(o_day as timestamp), timestamp '1996-01-01 10:30:00') as h from orders""",
    "texts": """
        select c_id, upper(c_name) as a, lower(c_name) || '!' as b, substring(c_name, 1, 4) as c,
        length(c_name) - 20 as d,
        replace(c_name, '#', '-') as e, split_part(c_name, '#', 2) as f, left(c_name, 3) as g,
        right(c_name, 3) as h,
        strpos(c_name, '#') as i, starts_with(c_name, 'Cust') as j, contains(c_name, '#00') as k, trim('  a ') as l,
        regexp_matches(c_name, '#0[0-3]') as m, concat(c_segment, '/', c_name) as n, reverse(c_name) as o,
        regexp_replace(c_name, '[0-9]', 'x') as p, c_name ilike 'customer%' as q, coalesce(c_segment, '?') as r
        from customers""",
    "case and lists": """
        select o_id,
        case when o_day < date '1996-01-01' then 'old' when o_priority is null then 'none' else o_priority end as a,
        nullif(o_customer, 1) as b, greatest(o_id, o_customer) as c, least(o_id, 5) as d,
        o_priority in ('1-URGENT', '3') as e, o_id between 3 and 7 as f, if(o_id > 3, 1, 0) as g,
        o_priority is distinct from '2-HIGH' as h from orders""",
    "statistics": """
        select l_flag, median(l_weight) as m, stddev(l_weight) as s, variance(l_weight) as v, min(l_ship) as first,
        max(l_ship) as last, quantile_cont(l_weight, 0.25) as q, corr(l_weight, l_quantity) as c
        from lines group by l_flag""",
    "texts together": "select l_order, string_agg(l_flag, '-' order by l_number) as flags from lines group by l_order",
    "alias of an alias": "select o_id * 2 as twice, twice + 1 as more from orders where twice > 100",
    "group by all": "select o_priority, year(o_day) as y, count(*) as n from orders group by all order by all",
    "rollup": "select l_flag, count(*) as n from lines group by rollup (l_flag)",
    "values": """
        select l_flag, words.word from lines
        join (values ('R', 'returned'), ('A', 'accepted')) as words(f, word) on words.f = l_flag""",
    "casts": """
        select o_id, try_cast(o_priority as int) as a, cast('12.5' as double) as b, cast(o_id as varchar) as c,
        cast('2024-02-29' as date) as d, o_id::decimal(9, 2) as e, cast(null as date) as f from orders""",
    "one cross join": "select c_id, z.top from customers cross join (select max(o_id) as top from orders) as z",
    "nested subqueries": """
        select * from (select * from (select o_id, o_day from orders where o_id < 50) as a where o_id > 10) as b""",
}  # fmt: skip


@pytest.mark.parametrize("name", QUERIES)
def test_both_engines_give_the_same_rows_and_types(name, tables):
    polars, duckdb = (answer(QUERIES[name], tables, engine) for engine in ("polars", "duckdb"))
    assert polars.schema == duckdb.schema
    assert rounded(polars) == rounded(duckdb)
    assert len(polars) > 0


def half_up(value: Decimal, digits: str = "0.01") -> Decimal:
    return value.quantize(Decimal(digits), ROUND_HALF_UP)


def test_the_pricing_summary_is_what_python_computes(tables, engine):
    groups = defaultdict(list)
    for row in LINES.iter_rows(named=True):
        if row["l_ship"] <= date(1996, 12, 1) - timedelta(days=90):
            groups[row["l_flag"]].append(row)
    expected = [
        (
            flag,
            sum(row["l_quantity"] or 0 for row in rows),
            sum(row["l_price"] for row in rows),
            sum(row["l_price"] * (1 - row["l_discount"]) for row in rows),
            len(rows),
        )
        for flag, rows in sorted(groups.items())
    ]
    rows = answer(QUERIES["pricing summary"], tables, engine)
    assert rows.select("l_flag", "quantity", "price", "charged", "n").rows() == expected


def test_the_running_total_is_what_python_computes(tables, engine):
    expected, running = {}, defaultdict(int)
    for row in LINES.sort("l_order", "l_number").iter_rows(named=True):
        seen = row["l_quantity"] is not None or expected.get((row["l_order"], row["l_number"] - 1)) is not None
        running[row["l_order"]] += row["l_quantity"] or 0
        expected[row["l_order"], row["l_number"]] = running[row["l_order"]] if seen else None
    rows = answer(QUERIES["running total"], tables, engine).rows()
    assert {(order, number): total for order, number, total in rows} == expected


def test_halves_are_rounded_away_from_zero(tables, engine):
    rows = answer(
        "select round(l_weight, 1) as r, cast(l_weight as decimal(9, 1)) as d, l_weight as w from lines", tables, engine
    )
    for rounded_float, as_decimal, weight in rows.rows():
        wanted = half_up(Decimal(weight), "0.1")
        assert as_decimal == wanted
        assert rounded_float == float(wanted)


def test_date_differences_are_what_the_calendar_says(tables, engine):
    end = date(1996, 2, 29)
    days = dict(ORDERS.select("o_id", "o_day").iter_rows())
    for o_id, in_days, weeks, months, quarters, years, hours in answer(
        QUERIES["date differences"], tables, engine
    ).rows():
        day = days[o_id]
        assert in_days == (end - day).days
        assert weeks == int((end - day).days / 7)
        assert months == (end.year - day.year) * 12 + end.month - day.month
        assert quarters == (end.year - day.year) * 4 + (end.month - 1) // 3 - (day.month - 1) // 3
        assert years == end.year - day.year
        at = datetime(day.year, day.month, day.day, tzinfo=UTC)
        assert hours == (datetime(1996, 1, 1, 10, tzinfo=UTC) - at).total_seconds() // 3600


@pytest.mark.parametrize(
    "sql",
    [
        "select count_if(o_id > 0) as n from orders where o_id < 0",
        "select count_if(o_priority = 'x') as n from orders where o_priority is null",
        "select count_if(o_id > 0) filter (where o_id < 0) as n from orders",
        "select count_if(o_id > 0) + 0 as n from (select o_id from orders limit 0) as none having count(*) = 0",
        "select c_id, (select count_if(o_id > 0) from orders where o_id < 0) as n from customers",
    ],
)
def test_what_is_counted_where_nothing_is_is_zero(tables, engine, sql):
    assert set(answer(sql, tables, engine)["n"]) == {0}


def test_a_count_over_an_empty_frame_is_zero(tables):
    sql = """select o_id, count_if(o_id > 0) over (order by o_id rows between 1 following and 2 following) as n
        from orders where o_id in (1, 2, 3, 4)"""
    assert sorted(answer(sql, tables, "duckdb").rows()) == [(1, 2), (2, 2), (3, 1), (4, 0)]


def test_nulls_come_last_in_either_direction(tables, engine):
    for direction in ("", "desc"):
        sql = f"select o_priority from orders order by o_priority {direction}"
        values = answer(sql, tables, engine)["o_priority"].to_list()
        assert values[-1] is None
        assert values[0] is not None
    first = answer("select o_priority from orders order by o_priority nulls first", tables, engine)
    assert first["o_priority"][0] is None
