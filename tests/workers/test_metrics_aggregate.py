"""Metrics by declaration: the SQL it makes, what that returns on both engines, and what is refused where."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import polars as pl
import pytest

from workers.engines.base import Limits, engine_named
from workers.engines.sql import check_sql
from workers.errors import InvalidConfig
from workers.executors.metrics.run import output_columns, to_sql
from workers.ids import new_run_id
from workers.lake.publish import publish
from workers.lake.stage import Staging
from workers.lake.table import open_table
from workers.schema import columns_of
from workers.specs import Column, TableTarget

ROWS = [
    # at, country, amount, units
    (datetime.fromisoformat("2024-01-01T05:00"), "DE", Decimal("1.05"), 1),
    (datetime.fromisoformat("2024-01-01T06:30"), "DE", Decimal("2.10"), 2),
    (datetime.fromisoformat("2024-01-03T02:00"), None, Decimal("3.00"), 3),
    (None, "FR", None, 4),
    (datetime.fromisoformat("2024-01-04T00:00"), "FR", Decimal("-4.00"), 5),
    (datetime.fromisoformat("2024-03-31T23:59"), "DE", Decimal("7.00"), None),
]
ORDERS = pl.DataFrame(
    ROWS,
    schema={"at": pl.Datetime("us"), "country": pl.String, "amount": pl.Decimal(10, 2), "units": pl.Int32},
    orient="row",
).with_columns(zoned=pl.col("at").dt.replace_time_zone("UTC"), day=pl.col("at").dt.date())
CONFIG = {
    "base": "orders",
    "time_column": "at",
    "time_grain": "day",
    "dimensions": ["country"],
    "metrics": [
        {"name": "revenue", "expression": "sum(amount)"},
        {"name": "orders", "expression": "count(*)"},
        {"name": "large", "expression": "count(*)", "filter": "amount > 2"},
        {"name": "per_unit", "expression": "sum(amount) / sum(units)", "filter": "units < 5"},
        {"name": "best", "expression": "max(amount)"},
    ],
    "fill_gaps": False,
}
INPUTS = {"orders": columns_of(ORDERS.schema)}


@pytest.fixture(params=["polars", "duckdb"])
def engine(request):
    return request.param


@pytest.fixture
def result(tmp_path, engine):
    """Runs a configuration over a table of ORDERS; its rows as a set."""

    def run(config, rows=ORDERS) -> set[tuple]:
        target = TableTarget(dataset="silver.shop.orders", uri=f"{tmp_path}/orders")
        run_id = str(new_run_id())
        with Staging(target, run_id) as staging:
            staging.sink(rows.lazy())
            publish(target, staging.files, run_id=run_id, mode="overwrite", columns=columns_of(rows.schema))
        tables = {"orders": open_table(target.uri)}
        checked = check_sql(to_sql(config, INPUTS), INPUTS, engine)
        return set(engine_named(engine).first_rows(checked, tables, 1_000_000, Limits()).rows())

    return run


def start_of(at: datetime, grain: str) -> date | datetime:
    """The start of the period, by Python's own calendar."""
    day = at.date()
    return {
        "hour": at.replace(minute=0, second=0, microsecond=0),
        "day": day,
        "week": day - timedelta(days=day.weekday()),
        "month": day.replace(day=1),
        "quarter": day.replace(month=(day.month - 1) // 3 * 3 + 1, day=1),
        "year": day.replace(month=1, day=1),
    }[grain]


def expected(grain: str) -> set[tuple]:
    """The metrics of CONFIG, computed row by row."""
    groups = defaultdict(list)
    for at, country, amount, units in ROWS:
        groups[at and start_of(at, grain), country].append((amount, units))
    return {(*key, *metrics(rows)) for key, rows in groups.items()}


def metrics(rows):
    amounts = [amount for amount, _ in rows if amount is not None]
    few = [(amount, units) for amount, units in rows if units is not None and units < 5]
    few_amounts = [amount for amount, _ in few if amount is not None]
    per_unit = float(sum(few_amounts)) / sum(units for _, units in few) if few_amounts else None
    large = sum(1 for amount in amounts if amount > 2)
    return (sum(amounts) if amounts else None, len(rows), large, per_unit, max(amounts, default=None))


@pytest.mark.parametrize("grain", ["hour", "day", "week", "month", "quarter", "year"])
def test_metrics_are_what_counting_by_hand_gives(result, grain):
    assert result(CONFIG | {"time_grain": grain}) == expected(grain)


def test_timestamps_with_a_zone_are_cut_in_utc(result):
    rows = result(
        CONFIG | {"time_column": "zoned", "time_grain": "hour", "dimensions": [], "metrics": CONFIG["metrics"][1:2]}
    )
    assert (datetime(2024, 3, 31, 23, tzinfo=UTC), 1) in rows
    assert len(rows) == 6


def test_gaps_are_filled_for_every_combination_that_there_is(result):
    rows = result(CONFIG | {"fill_gaps": True})
    days = [date(2024, 1, 1) + timedelta(days=n) for n in range(91)]
    assert {row[:2] for row in rows} == {(day, who) for day in days for who in ("DE", "FR", None)} | {(None, "FR")}
    assert len(rows) == 91 * 3 + 1


def test_a_filled_count_or_sum_is_zero_and_anything_else_is_null(result):
    rows = result(CONFIG | {"fill_gaps": True})
    assert (date(2024, 2, 1), "DE", Decimal("0.00"), 0, 0, None, None) in rows
    # What was found stays, a negative sum too.
    assert (date(2024, 1, 4), "FR", Decimal("-4.00"), 1, 0, None, Decimal("-4.00")) in rows


@pytest.mark.parametrize(
    ("grain", "periods"),
    [("hour", 2179), ("day", 91), ("week", 13), ("month", 3), ("quarter", 1), ("year", 1)],
)
def test_every_period_between_the_first_and_the_last_is_there(result, grain, periods):
    config = CONFIG | {"time_grain": grain, "dimensions": [], "metrics": CONFIG["metrics"][1:2], "fill_gaps": True}
    found = {row[0] for row in result(config) if row[0] is not None}
    assert len(found) == periods
    assert (min(found), max(found)) == (start_of(ROWS[0][0], grain), start_of(ROWS[-1][0], grain))


def test_hours_with_a_zone_are_filled_too(result):
    config = CONFIG | {"time_column": "zoned", "time_grain": "hour", "dimensions": [], "fill_gaps": True}
    found = {row[0] for row in result(config) if row[0] is not None}
    assert len(found) == 2179
    assert datetime(2024, 2, 29, 12, tzinfo=UTC) in found


def test_no_rows_give_no_metrics(result):
    assert result(CONFIG, ORDERS.clear()) == set()
    assert result(CONFIG | {"fill_gaps": True}, ORDERS.clear()) == set()


def test_the_suggested_schema_is_the_query_s():
    assert output_columns(CONFIG, INPUTS) == (
        Column(name="at", type="date"),
        Column(name="country", type="string"),
        Column(name="revenue", type="decimal(38,2)"),
        Column(name="orders", type="int64"),
        Column(name="large", type="int64"),
        Column(name="per_unit", type="float64"),
        Column(name="best", type="decimal(10,2)"),
    )
    hourly = output_columns(CONFIG | {"time_column": "zoned", "time_grain": "hour", "fill_gaps": True}, INPUTS)
    assert hourly[0] == Column(name="zoned", type="timestamptz")


def test_the_sql_can_be_read_and_is_its_own_canonical_form():
    sql = to_sql(CONFIG | {"dimensions": [], "metrics": CONFIG["metrics"][:1]}, INPUTS)
    assert sql.splitlines()[:3] == [
        "SELECT",
        '  CAST(DATE_TRUNC(\'DAY\', "at") AS DATE) AS "at",',
        '  SUM(amount) AS "revenue"',
    ]
    assert check_sql(sql, INPUTS, "polars").columns[1].type == "decimal(38,2)"


def test_the_only_input_is_the_base_when_none_is_named():
    assert to_sql({key: value for key, value in CONFIG.items() if key != "base"}, INPUTS) == to_sql(CONFIG, INPUTS)


def metric(**changes):
    return {"metrics": [{"name": "x", "expression": "count(*)"} | changes]}


@pytest.mark.parametrize(
    ("change", "field", "message"),
    [
        ({"base": "order"}, "config.base", "no input “order”"),
        ({"time_column": "att"}, "config.time_column", "no column “att”"),
        ({"time_column": "country"}, "config.time_column", "not a date or timestamp"),
        ({"time_grain": "dayly"}, "config.time_grain", "no time grain"),
        ({"time_column": "day", "time_grain": "hour"}, "config.time_grain", "has no hours"),
        ({"dimensions": ["country", "city"]}, "config.dimensions.1", "no column “city”"),
        ({"dimensions": ["country", "country"]}, "config.dimensions.1", "there already"),
        ({"dimensions": "country"}, "config.dimensions", "a list"),
        ({"metrics": []}, "config.metrics", "no metric"),
        ({"metrics": ["count(*)"]}, "config.metrics.0", "name and an expression"),
        ({"fill_gaps": "yes"}, "config.fill_gaps", "true or false"),
        ({"filter": "x"}, "config.filter", "no option “filter”"),
        (metric(unit="EUR"), "config.metrics.0.unit", "no option “unit”"),
        (metric(name="net revenue"), "config.metrics.0.name", "no column name"),
        (metric(name="Country"), "config.metrics.0.name", "Another column"),
        (metric(expression=""), "config.metrics.0.expression", "not one expression"),
        (metric(expression="amount"), "config.metrics.0.expression", "does not aggregate"),
        (metric(expression="sum(amount) + units"), "config.metrics.0.expression", "outside an aggregate|GROUP BY"),
        (metric(expression="sum(amount), 1"), "config.metrics.0.expression", "not one expression"),
        (metric(expression="sum(amount) as y, 1"), "config.metrics.0.expression", "not one expression|cannot be read"),
        (metric(expression="sum(sum(amount))"), "config.metrics.0.expression", "nested|inside another"),
        (metric(expression="sum(amuont)"), "config.metrics.0.expression", "no column “amuont”. .line 1, column 5"),
        (metric(expression="sum(country)"), "config.metrics.0.expression", "sum"),
        (metric(expression="sum(amount) over ()"), "config.metrics.0.expression", "window"),
        (metric(expression="(select max(amount) from orders)"), "config.metrics.0.expression", "subquery"),
        (metric(expression="sum(amount) from orders; drop table orders; --"), "config.metrics.0.expression", "."),
        (metric(expression="sum(amount) from orders -- "), "config.metrics.0.expression", "."),
        (metric(expression="count(*) from orders where 1 = 1 union select 1"), "config.metrics.0.expression", "."),
        (metric(expression="max(read_text('/etc/passwd'))"), "config.metrics.0.expression", "read_text"),
        (metric(filter="amount > "), "config.metrics.0.filter", "cannot be read"),
        (metric(filter="sum(amount) > 1"), "config.metrics.0.filter", "WHERE|one row"),
        (metric(filter="true group by 1"), "config.metrics.0.filter", "not one expression"),
        (metric(filter="true union select 1 from orders"), "config.metrics.0.filter", "not one expression"),
        (metric(filter="amount in (select 1)"), "config.metrics.0.filter", "subquery"),
        (metric(filter="amount > (select max(a) from read_csv('x'))"), "config.metrics.0.filter", "."),
        (metric(filter="1 = 1) or (1 = 1"), "config.metrics.0.filter", "."),
    ],
)
def test_what_is_wrong_is_told_with_its_field(change, field, message):
    with pytest.raises(InvalidConfig, match=message) as refusal:
        to_sql(CONFIG | change, INPUTS)
    assert refusal.value.facts["problems"][0]["field"] == field


def test_all_problems_are_told_at_once():
    with pytest.raises(InvalidConfig) as refusal:
        to_sql(CONFIG | {"time_grain": "x", "dimensions": ["y"]} | metric(expression="z"), INPUTS)
    fields = [problem["field"] for problem in refusal.value.facts["problems"]]
    assert fields == ["config.time_grain", "config.dimensions.0", "config.metrics.0.expression"]
