"""Queries as analysts write them, by what they are about, over `orders` and `customers`."""

from __future__ import annotations

import random
from datetime import date, datetime, timedelta
from decimal import Decimal

import polars as pl

_pick = random.Random(11)
_FIRST = datetime.fromisoformat("2023-11-28T07:30")
CUSTOMERS = pl.DataFrame(
    [
        (n, f"{_pick.choice(['Ada', 'Bob', 'Chloé'])} {_pick.choice(['Lee', 'Smith'])}", f" User{n}@Example.COM ",
         _pick.choice(["DE", "FR", "US", None]), date(2023, 1, 31) + timedelta(days=11 * n), n % 3 > 0)
        for n in range(30)
    ],
    orient="row",
    schema={"customer_id": pl.Int64, "name": pl.String, "email": pl.String, "country": pl.String,
            "signed_up": pl.Date, "is_active": pl.Boolean},
)  # fmt: skip
ORDERS = pl.DataFrame(
    [
        (n, _pick.choice([None, *range(5, 35)]), _FIRST + timedelta(hours=7 * n, seconds=13 * n),
         (_FIRST + timedelta(hours=7 * n)).date(), _pick.choice(["paid", "open", "returned", None]),
         Decimal(_pick.randrange(-500, 20_000)) / 100, _pick.choice([None, 1, 2, 3, 10]), _pick.randrange(0, 40) / 8,
         _pick.choice(["gift: yes; box: red", "", None, "call 030-1234567"]))
        for n in range(200)
    ],
    orient="row",
    schema={"order_id": pl.Int64, "customer_id": pl.Int64, "ordered_at": pl.Datetime("us"), "ordered_on": pl.Date,
            "status": pl.String, "amount": pl.Decimal(12, 2), "quantity": pl.Int32, "weight": pl.Float64,
            "note": pl.String},
)  # fmt: skip
TABLES = {"orders": ORDERS, "customers": CUSTOMERS}

EVERYWHERE = {
    "days": "select date_trunc('day', ordered_at) as day, sum(amount) as revenue from orders group by 1 order by 1",
    "months": "select cast(date_trunc('month', ordered_on) as date) as month, count(*) as n from orders group by 1",
    "parts of a date": """select order_id, extract(year from ordered_at) as y, extract(dow from ordered_on) as d,
        extract(epoch from ordered_at) as e, date_part('week', ordered_on) as w from orders""",
    "coalesce": "select order_id, coalesce(status, note, 'unknown') as s, coalesce(quantity, 0) as q from orders",
    "nullif": "select order_id, amount / nullif(quantity, 0) as price from orders",
    "rounded mean": "select status, round(avg(amount), 2) as mean from orders group by status",
    "rounded share": """select status, round(100.0 * sum(amount) / sum(sum(amount)) over (), 1) as share from orders
        group by status""",
    "concat": "select customer_id, concat(name, ' <', trim(email), '>') as who from customers",
    "pipes": "select customer_id, name || ' (' || coalesce(country, '?') || ')' as who from customers",
    "like": "select order_id from orders where note like 'gift%' or note ilike '%BOX%' or note not like '%a%'",
    "in and between": """select order_id from orders where status in ('paid', 'open')
        and ordered_on between date '2023-12-01' and date '2023-12-31' and customer_id not in (1, 2)""",
    "date as text": "select order_id from orders where ordered_on >= '2023-12-01' and ordered_at < '2024-01-01'",
    "case": """select order_id, case when amount < 0 then 'refund' when amount < 50 then 'small' else 'large' end
        as size from orders""",
    "case of a value": "select order_id, case status when 'paid' then 1 when 'open' then 0 end as code from orders",
    "pivot by case": """select customer_id, sum(case when status = 'paid' then amount else 0 end) as paid,
        count(case when status = 'returned' then 1 end) as returned from orders group by customer_id""",
    "row_number": """select * from (select *, row_number() over (partition by customer_id order by ordered_at desc,
        order_id) as r from orders) as ranked where r = 1""",
    "qualify": "select * from orders qualify rank() over (partition by status order by amount desc, order_id) <= 3",
    "lag": """select order_id, ordered_at - lag(ordered_at) over (partition by customer_id order by ordered_at)
        > interval 2 day as long from orders""",
    "lead": """select order_id, lead(status, 1, 'last') over (partition by customer_id order by order_id) as n
        from orders""",
    "days between orders": """select order_id, date_diff('day', lag(ordered_on) over (partition by customer_id order by
        order_id), ordered_on) as days from orders""",
    "running total": "select order_id, sum(amount) over (partition by customer_id order by order_id) as t from orders",
    "running total by rows": """select order_id, sum(amount) over (order by order_id rows between unbounded preceding
        and current row) as t from orders""",
    "share of a group": "select order_id, amount / sum(amount) over (partition by status) as share from orders",
    "count distinct": "select status, count(distinct customer_id) as customers from orders group by status",
    "filter": """select count(*) filter (where status = 'paid') as paid, sum(amount) filter (where quantity > 1) as many
        from orders""",
    "domain of an address": "select customer_id, lower(split_part(trim(email), '@', 2)) as domain from customers",
    "initials": "select customer_id, upper(left(name, 1)) || right(name, 2) || length(name) as x from customers",
    "padding": "select customer_id, right('00000' || customer_id, 5) as code from customers",
    "substring": "select customer_id, substring(name, 1, 3) as s, substr(name, 5) as rest from customers",
    "substring from a place": "select customer_id, substring(name, strpos(name, ' ') + 1) as surname from customers",
    "replace": "select order_id, replace(note, ';', ',') as note from orders",
    "digits only": "select order_id, regexp_replace(note, '[^0-9]', '', 'g') as digits from orders",
    "matches": "select order_id, regexp_matches(note, '^call [0-9]+') as is_call from orders",
    "intervals": """select order_id from orders where ordered_on > date '2024-01-15' - interval 30 day
        and ordered_at < ordered_on + interval '18 hours'""",
    "interval of months": """select customer_id, signed_up + interval '1 month' as next, signed_up - 7 as week
        from customers""",
    "age in months": "select customer_id, datediff('month', signed_up, date '2024-03-01') as age from customers",
    "hours between": "select order_id, date_diff('hour', ordered_on, ordered_at) as h from orders",
    "casts": """select order_id, cast(amount as integer) as whole, amount::double as f, order_id::varchar as text,
        cast(ordered_at as date) as d, try_cast(note as integer) as n from orders""",
    "last of the month": """select order_id, cast(date_trunc('month', ordered_on) + interval 1 month - interval 1 day as
        date) as last from orders""",
    "union all": """select 'order' as kind, order_id as id from orders union all
        select 'customer', customer_id from customers""",
    "except": "select customer_id from customers except select customer_id from orders",
    "rollup": "select status, customer_id, sum(amount) as s from orders group by rollup (status, customer_id)",
    "grouping sets": """select status, ordered_on, count(*) as n from orders
        group by grouping sets ((status), (ordered_on), ())""",
    "texts together": """select customer_id, string_agg(status, ', ' order by order_id) as all_of_them from orders
        group by customer_id""",
    "left join": """select c.customer_id, c.name, count(o.order_id) as orders, coalesce(sum(o.amount), 0) as revenue
        from customers c left join orders o on o.customer_id = c.customer_id group by c.customer_id, c.name""",
    "join using": "select customer_id, name, order_id from orders join customers using (customer_id)",
    "full join": """select coalesce(o.customer_id, c.customer_id) as id, c.name, o.order_id from orders o
        full join customers c on o.customer_id = c.customer_id""",
    "steps": """with first as (select customer_id, min(ordered_on) as first_on from orders group by 1),
        cohorts as (select date_trunc('month', first_on) as cohort, count(*) as n from first group by 1)
        select cohort, n, sum(n) over (order by cohort) as so_far from cohorts""",
    "not exists": """select customer_id from customers c where not exists
        (select 1 from orders o where o.customer_id = c.customer_id)""",
    "above the mean": "select order_id from orders where amount > (select avg(amount) from orders)",
    "having": "select customer_id, sum(amount) as s from orders group by 1 having count(*) > 3 and sum(amount) > 100",
    "key of several": """select concat_ws('-', status, customer_id, ordered_on) as key, count(*) as n from orders
        group by 1""",
    "greatest": "select order_id, greatest(amount, 0) as a, least(quantity, 5) as q from orders",
    "month as text": "select strftime(ordered_on, '%Y-%m') as month, count(*) as n from orders group by 1",
    "boolean": "select country, count(*) filter (where is_active) as a, bool_or(not is_active) as some from customers "
    "group by country",
    "weekend": "select order_id, dayofweek(ordered_on) in (0, 6) as is_weekend from orders",
    "distinct": "select distinct status, date_trunc('quarter', ordered_on) as q from orders order by 1, 2",
    "top ten": "select customer_id, sum(amount) as s from orders group by 1 order by s desc, 1 limit 10",
    "bins": "select floor(weight / 0.5) * 0.5 as bin, count(*) as n from orders group by 1",
    "ntile": "select order_id, ntile(4) over (order by amount, order_id) as quartile from orders",
    "moving mean": """select order_id, avg(weight) over (order by order_id rows between 6 preceding and current row)
        as m from orders""",
    "first value": """select order_id, first_value(status) over (partition by customer_id order by order_id) as f
        from orders""",
    "part of a pattern": "select order_id, regexp_extract(note, 'box: ([a-z]+)', 1) as box from orders",
    "last_day": "select order_id, last_day(ordered_on) as l from orders",
    "name of a day": "select order_id, dayname(ordered_on) as d, monthname(ordered_on) as m from orders",
    "list": "select customer_id, array_agg(order_id order by order_id) as l from orders group by customer_id",
    "median": "select status, median(weight) as m, quantile_cont(weight, 0.9) as p90 from orders group by status",
    "deviation": "select status, stddev(weight) as s, var_samp(weight) as v from orders group by status",
    "percentile": "select status, percentile_cont(0.5) within group (order by weight) as p from orders group by status",
    "places in texts": "select order_id, position('a' in status) as p, char_length(status) as l from orders",
    "age in days": "select order_id, current_date - ordered_on as age, current_date as today from orders",
    "date_add": "select order_id, date_add(ordered_on, interval 3 day) as d from orders",
}

# Queries that Polars refuses, with what its refusal names.
NOT_ON_POLARS = {
    "round()": "select round(amount, -2) as hundreds, count(*) as n from orders group by 1",
    "any_value()": "select customer_id, any_value(customer_id) as c from orders group by customer_id",
    "arg_max()": "select customer_id, arg_max(status, order_id) as last from orders group by customer_id",
    "md5()": "select md5(order_id || '-' || coalesce(status, '')) as key from orders",
    "floats": "select order_id, cast(weight as varchar) as w from orders",
    "a text is compared with a number": "select order_id from orders where order_id = '7'",
    "date_from_parts()": "select order_id, make_date(year(ordered_on), 1, 1) as d from orders",
    "medians": "select status, median(amount) as m from orders group by status",
    "stddev_pop()": "select status, stddev_pop(weight) as s from orders group by status",
    "approx_distinct()": "select approx_count_distinct(customer_id) as n from orders",
    "mode()": "select mode(status) as m from orders",
    "initcap()": "select customer_id, initcap(name) as n from customers",
}
