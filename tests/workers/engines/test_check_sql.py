"""Checking a query: names, types, what it returns and where it goes wrong."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from workers.engines.sql import Parameters, check_sql
from workers.errors import InvalidSpec, SqlRejected
from workers.specs import Column


def columns(**types: str) -> tuple[Column, ...]:
    return tuple(Column(name=name, type=kind) for name, kind in types.items())


INPUTS = {
    "orders": columns(
        order_id="int32", customer_id="int64", day="date", at="timestamptz", amount="decimal(10,2)", note="string",
        weight="float64", lines="list<struct<sku: string, quantity: int64>>", Status="string",
        address="struct<city: string, zip: string>",
    ),
    "customers": columns(customer_id="int64", name="string", country="string", since="timestamp"),
}  # fmt: skip


def refusal(sql: str, target=None, engine="duckdb", **options) -> SqlRejected:
    with pytest.raises(SqlRejected) as caught:
        check_sql(sql, INPUTS, engine, target, **options)
    return caught.value


def place(error: SqlRejected) -> tuple[int, int]:
    return error.facts["line"], error.facts["column"]


# --- what comes out -----------------------------------------------------------------


@pytest.mark.parametrize("engine", ["polars", "duckdb", "spark"])
def test_the_result_s_columns_and_types_are_told_whatever_the_engine(engine):
    sql = """select customer_id, count(*) as n, sum(order_id) as ids, sum(amount) as total, avg(amount) as mean,
             max(at) as last, year(day) as y, amount / 2 as half, weight * 2 as w, note || '!' as loud, [1, 2] as l
             from orders group by all"""
    checked = check_sql(sql, INPUTS, engine)
    assert {column.name: column.type for column in checked.columns} == {
        "customer_id": "int64", "n": "int64", "ids": "int64", "total": "decimal(38,2)", "mean": "float64",
        "last": "timestamptz", "y": "int64", "half": "float64", "w": "float64", "loud": "string", "l": "list<int32>",
    }  # fmt: skip


def test_lineage_follows_ctes_joins_subqueries_and_aliases():
    sql = """with spent as (select customer_id as id, sum(amount) as total from orders group by customer_id)
             select c.name, s.total * 2 as twice, twice + 1 as more, (select max(day) from orders) as latest, 1 as one
             from spent s join customers c on c.customer_id = s.id"""
    lineage = check_sql(sql, INPUTS, "duckdb").column_lineage
    assert lineage == {
        "name": (("customers", "name"),),
        "twice": (("orders", "amount"),),
        "more": (("orders", "amount"),),
        "latest": (("orders", "day"),),
        "one": (),
    }


def test_lineage_of_a_union_holds_both_sides():
    sql = "select customer_id as id from orders union all select customer_id from customers"
    lineage = check_sql(sql, INPUTS, "polars").column_lineage
    assert lineage == {"id": (("orders", "customer_id"), ("customers", "customer_id"))}


def test_the_inputs_that_are_used_are_told():
    assert check_sql("select name from customers", INPUTS, "polars").inputs_used == ("customers",)
    sql = "select order_id from orders semi join customers using (customer_id)"
    assert check_sql(sql, INPUTS, "polars").inputs_used == ("orders", "customers")


def test_a_star_is_written_out_once_and_for_all():
    checked = check_sql("select * exclude (since) replace (upper(name) as name) from customers", INPUTS, "duckdb")
    assert [column.name for column in checked.columns] == ["customer_id", "name", "country"]
    joined = check_sql("select * from orders join customers using (customer_id)", INPUTS, "polars")
    assert [column.name for column in joined.columns].count("customer_id") == 1


def test_case_of_names_does_not_matter_on_either_engine():
    for engine in ("polars", "duckdb"):
        checked = check_sql(
            "select STATUS, Orders.ORDER_ID as Id from ORDERS group by status, order_id", INPUTS, engine
        )
        assert [column.name for column in checked.columns] == ["Status", "Id"]


def test_fields_of_structs_can_be_read():
    for engine in ("polars", "duckdb"):
        checked = check_sql("select address.city, orders.address.zip as code from orders", INPUTS, engine)
        assert [column.name for column in checked.columns] == ["city", "code"]
        assert checked.column_lineage["code"] == (("orders", "address"),)


# --- parameters ---------------------------------------------------------------------


def test_parameters_become_typed_literals_and_stay_in_the_canonical_text():
    sql = "select order_id from orders where day between :start_date and :end_date and at < :run_time"
    parameters = Parameters(
        start_date=date(2026, 1, 1), end_date=date(2026, 1, 31), run_time=datetime(2026, 2, 1, tzinfo=UTC)
    )
    checked = check_sql(sql, INPUTS, "duckdb", parameters=parameters)
    assert "CAST('2026-01-01' AS DATE)" in checked.statement
    assert "CAST('2026-02-01 00:00:00+00:00' AS TIMESTAMPTZ)" in checked.statement
    assert ":start_date" in checked.sql
    assert ":start_date" not in checked.statement
    assert checked.parameters_used == ("end_date", "run_time", "start_date")


def test_a_parameter_may_stand_anywhere_a_value_may():
    for engine in ("polars", "duckdb"):
        checked = check_sql("select :start_date as a, cast(:run_time as date) as b from orders", INPUTS, engine)
        assert checked.columns == columns(a="date", b="date")


def test_a_colon_in_a_text_or_a_cast_is_no_parameter():
    checked = check_sql("select ':start_date' as a, order_id::bigint as b from orders", INPUTS, "polars")
    assert "':start_date'" in checked.statement
    assert checked.parameters_used == ()


# --- where it goes wrong --------------------------------------------------------------


@pytest.mark.parametrize(
    ("sql", "at", "message", "hint"),
    [
        ("select order_id,\n  ammount\nfrom orders", (2, 3), "“ammount”", "Did you mean amount?"),
        ("select o.ammount from orders o", (1, 10), "“o” has no column “ammount”", "Did you mean amount?"),
        ("select x.amount from orders o", (1, 8), "“x” is neither", "There are"),
        ("select 1 as a\nfrom\n  ordrs", (3, 3), "no input “ordrs”", "Did you mean orders?"),
        ("select order_id from orders\nwhere amuont > 1", (2, 7), "“amuont”", "amount"),
        ("select count(*) as n from orders group by dayy", (1, 43), "“dayy”", "day"),
        ("select sum(amount) as s from orders order by tota", (1, 46), "“tota”", ""),
        ("select customer_id from orders, customers", (1, 8), "ambiguous: there are orders.customer_id and", "which"),
        ("select order_id,\nsume(amount) as s from orders", (2, 1), "sume()", "Did you mean sum"),
        ("select order_id\nfrom orders\nwhere order_id === 1", (3, 18), "cannot be read", ""),
        ("select from where", (1, 13), "cannot be read", ""),
        ("select order_id from orders limit", (1, 29), "cannot be read", ""),
        ("select amount + 1 from orders", (1, 8), "has no name", "AS name"),
        ("select order_id, order_id from orders", (1, 18), "Two columns are called “order_id”", "AS"),
        ("select order_id from orders union select customer_id, name from customers", (1, 42), "1 and 2 columns", ""),
        ("select sum(note) as s from orders", (1, 8), "sum(VARCHAR)", ""),
        ("select note + 1 as x from orders", (1, 8), "+(VARCHAR", ""),
        ("select order_id, sum(amount) as s from orders", (1, 8), "GROUP BY", ""),
        ("select order_id from orders\nwhere amount > :mindest", (2, 16), "no parameter “mindest”", ":start_date"),
        ("select order_id from orders;\n select 1", (2, 2), "2 statements", "Write one SELECT"),
        ("-- all of them\ndelete from orders", (2, 1), "not DELETE", "Write one SELECT"),
        ("", (1, 1), "empty", "Write one SELECT"),
        ("select day - at as x from orders", (None, None), "INTERVAL", "date_diff"),
    ],
)  # fmt: skip
def test_an_error_says_what_and_where(sql, at, message, hint):
    error = refusal(sql)
    assert message in error.message
    assert hint in error.hint
    assert (error.facts.get("line"), error.facts.get("column")) == at


@pytest.mark.parametrize(
    "sql",
    [
        "select arg_max(note, amount) as x from orders",
        "select md5(note) as x from orders",
        "select mode(note) as x from orders",
        "select any_value(note) as x from orders",
        "select initcap(note) as x from orders",
    ],
)
def test_what_polars_lacks_is_refused_naming_the_engine_that_has_it(sql):
    error = refusal(sql, engine="polars")
    assert "Polars" in error.message
    assert "duckdb" in error.hint
    assert error.facts["engines"] == ["duckdb"]
    assert place(error) == (1, 8)
    check_sql(sql, INPUTS, "duckdb")


def test_an_engine_that_there_is_not_is_refused():
    with pytest.raises(InvalidSpec, match="trino"):
        check_sql("select 1 as a", INPUTS, "trino")


# --- the target schema ----------------------------------------------------------------


def test_a_missing_and_an_extra_column_are_named():
    error = refusal("select order_id, amount as totl from orders", columns(order_id="int64", total="decimal(10,2)"))
    assert error.facts["missing"] == ["total"]
    assert error.facts["extra"] == ["totl"]
    assert "Did you mean totl?" in error.hint
    assert place(error) == (1, 18)


@pytest.mark.parametrize("kind", ["int8", "int64", "float32", "float64", "decimal(5,1)"])
def test_numbers_may_become_wider_or_narrower(kind):
    assert check_sql("select order_id as x from orders", INPUTS, "polars", columns(x=kind)).columns == columns(x=kind)


@pytest.mark.parametrize(
    ("expression", "kind", "hint"),
    [
        ("note", "int64", "CAST(… AS BIGINT)"),
        ("note", "date", "CAST(… AS DATE)"),
        ("order_id", "string", "CAST(… AS VARCHAR)"),
        ("day", "string", "CAST(… AS VARCHAR)"),
        ("weight", "int64", "rounds"),
        ("amount", "int32", "rounds"),
        ("amount > 1", "int32", "CAST"),
        ("lines", "string", "CAST"),
        ("address", "struct<city: string>", "fields differ"),
        ("lines", "list<string>", "CAST"),
    ],
)
def test_what_guesses_or_loses_has_to_be_written(expression, kind, hint):
    error = refusal(f"select order_id as id, {expression} as x from orders", columns(id="int64", x=kind))
    assert error.facts["types"][0]["column"] == "x"
    assert error.facts["types"][0]["target"] == kind
    assert hint in error.hint
    assert place(error)[0] == 1


@pytest.mark.parametrize(
    ("expression", "kind"),
    [("day", "timestamp"), ("at", "date"), ("date_trunc('month', day)", "date"), ("note", "json"), ("null", "date"),
     ("amount", "decimal(4,0)"), ("lines", "list<struct<sku: string, quantity: int32>>")],
)  # fmt: skip
def test_what_is_plain_needs_no_cast(expression, kind):
    check_sql(f"select {expression} as x from orders", INPUTS, "polars", columns(x=kind))


def test_a_run_leaves_out_what_a_star_has_gained():
    checked = check_sql("select * from customers", INPUTS, "polars", columns(name="string"), leave_out_extra=True)
    assert checked.columns == columns(name="string")
    assert checked.left_out == ("customer_id", "country", "since")


# --- properties -------------------------------------------------------------------------

VOCABULARY = """
    select from where group by order having limit union all with as join left on using and or not null is in between
    case when then else end sum count avg max over partition cast distinct exists orders customers order_id amount day
    name customer_id nope read_csv drop table copy attach * ( ) , . = < > + - / ' " ; -- /* */ :start_date $1 1 1.5 'a'
    "x" [ ] { } :: || ~ @ # % interval date
"""
WORDS = st.sampled_from([*VOCABULARY.split(), "\n"])


@settings(max_examples=300, deadline=None)
@given(st.lists(WORDS, min_size=1, max_size=25).map(" ".join))
@example("select (select (select order_id from orders) from orders) as x from orders")
def test_any_text_is_checked_or_refused(text):
    try:
        checked = check_sql(text, INPUTS, "duckdb")
    except SqlRejected:
        return
    assert checked.columns


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=200))
def test_any_characters_are_checked_or_refused(text):
    with pytest.raises(SqlRejected):
        check_sql(text, INPUTS, "polars")


EXPRESSIONS = st.recursive(
    st.sampled_from(
        ["order_id", "amount", "weight", "1", "2.5", "orders.order_id", "(select max(order_id) from orders)"]
    ),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["+", "-", "*", "/"]), inner).map(" ".join).map("({})".format),
        inner.map("abs({})".format),
        inner.map("round({}, 1)".format),
        inner.map("coalesce({}, 0)".format),
        inner.map("cast({} as bigint)".format),
        st.tuples(inner, inner).map(lambda pair: f"case when {pair[0]} > {pair[1]} then {pair[0]} end"),
    ),
    max_leaves=8,
)


@settings(max_examples=100, deadline=None)
@given(EXPRESSIONS, EXPRESSIONS, st.sampled_from(["polars", "duckdb"]))
def test_the_canonical_text_is_its_own(value, condition, engine):
    sql = f"select {value} as x, customer_id from orders where {condition} > 0 order by {value} desc limit 5"
    checked = check_sql(sql, INPUTS, engine)
    again = check_sql(checked.sql, INPUTS, engine)
    assert again.sql == checked.sql
    assert again.statement == checked.statement
    assert again.columns == checked.columns


def test_a_word_of_sql_used_as_a_name_is_refused_in_plain_words():
    error = refusal("select order_id from glob")
    assert "near “glob”: Expected table name." in error.message
    assert "Token" not in error.message
    assert "double quotes" in error.hint
