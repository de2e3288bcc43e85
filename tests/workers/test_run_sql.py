"""A query over pinned tables becomes one version of another: on both engines, on real tables."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

import duckdb
import polars as pl
import pytest

from workers import errors
from workers.engines.sql import check_sql
from workers.executors.sql import run as run_sql
from workers.ids import new_run_id
from workers.lake.publish import publish
from workers.lake.stage import Staging
from workers.lake.table import open_table, table_exists
from workers.schema import columns_of
from workers.specs import Column, SqlSpec, TableInput, TableTarget, Window

AT = datetime(2026, 11, 22, 10, 30, tzinfo=UTC)
ORDERS = pl.DataFrame(
    {
        "order_id": [1, 2, 3, 4, 5],
        "day": [date(2026, 1, 1), date(2026, 1, 1), date(2026, 1, 2), date(2026, 1, 3), date(2026, 1, 3)],
        "country": ["DE", "FR", "DE", None, "FR"],
        "amount": [Decimal("10.10"), Decimal("20.20"), Decimal("30.30"), Decimal("0.05"), None],
    },
    schema_overrides={"order_id": pl.Int32, "amount": pl.Decimal(10, 2)},
)
REVENUE = "select day, count(*) as orders, sum(amount) as revenue from orders group by day"
REVENUE_COLUMNS = (
    Column(name="day", type="date", nullable=False),
    Column(name="orders", type="int64", nullable=False),
    Column(name="revenue", type="decimal(18,2)"),
)
EXPECTED = {
    (date(2026, 1, 1), 2, Decimal("30.30")),
    (date(2026, 1, 2), 1, Decimal("30.30")),
    (date(2026, 1, 3), 2, Decimal("0.05")),
}


@pytest.fixture(params=["polars", "duckdb"])
def engine(request):
    return request.param


@pytest.fixture
def lake(tmp_path):
    return tmp_path / "lake"


@pytest.fixture
def load(lake):
    """Publish a frame as a table; returns it as the input of a query."""

    def make(rows: pl.DataFrame, name="orders", partition_by=(), mode="overwrite") -> TableInput:
        target = TableTarget(dataset=f"bronze.shop.{name}", uri=f"{lake}/bronze/shop/{name}", partition_by=partition_by)
        run_id = str(new_run_id())
        with Staging(target, run_id) as staging:
            staging.sink(rows.lazy())
            columns = columns_of(rows.schema)
            done = publish(target, staging.files, run_id=run_id, mode=mode, columns=columns)
        return TableInput(dataset=target.dataset, alias=name, uri=target.uri, version=done.version)

    return make


@pytest.fixture
def job(lake, load, engine):
    """Makes a spec; what is not named is the daily revenue of ORDERS."""

    def make(**changes) -> SqlSpec:
        partition_by = changes.pop("partition_by", ())
        inputs = changes.pop("inputs", None) or (load(ORDERS, partition_by=("day",)),)
        facts = {
            "run_id": str(new_run_id()),
            "workflow": "shop",
            "job": "revenue",
            "inputs": inputs,
            "sql": REVENUE,
            "columns": REVENUE_COLUMNS,
            "engine": engine,
            "target": TableTarget(
                dataset="gold.shop.revenue", uri=f"{lake}/gold/shop/revenue", partition_by=partition_by
            ),
            "run_time": AT,
        }
        return SqlSpec(**(facts | changes))

    return make


def rows_of(spec: SqlSpec, version=None) -> set[tuple]:
    return set(open_table(spec.target.uri, version).scan().collect().rows())


def test_the_rows_of_a_query_become_a_table(job):
    spec = job()
    result = run_sql(spec)
    assert rows_of(spec) == EXPECTED
    assert (result.rows_read, result.rows_written, result.published.version) == (5, 3, 0)
    assert result.columns == REVENUE_COLUMNS
    assert [check["passed"] for check in result.checks] == [True, True, True]
    assert set(result.phases) == {"check", "read", "audit", "publish"}


def test_an_independent_reader_sees_the_same_rows(job):
    spec = job(partition_by=("day",))
    run_sql(spec)
    files = [str(file) for file in open_table(spec.target.uri).files()]
    seen = duckdb.sql(
        "select cast(day as date), orders, revenue from read_parquet($files, hive_partitioning = true)",
        params={"files": files},
    ).fetchall()
    assert set(seen) == EXPECTED


def test_a_run_that_has_published_is_not_run_again(job):
    spec = job()
    first, again = run_sql(spec), run_sql(spec)
    assert again.published.already
    assert not first.published.already
    assert again.published.version == first.published.version == open_table(spec.target.uri).version
    assert again.rows_written == first.rows_written


def test_a_query_reads_the_version_it_pins(job, load):
    pinned = load(ORDERS)
    load(ORDERS.head(1))
    spec = job(inputs=(pinned,))
    assert run_sql(spec).rows_read == 5
    assert rows_of(spec) == EXPECTED


def test_a_table_whose_old_files_lack_a_column_reads_null_there(job, load):
    load(ORDERS.drop("country"))
    newer = load(ORDERS, mode="append")
    spec = job(
        inputs=(newer,),
        sql="select coalesce(country, '-') as country, count(*) as orders from orders group by all",
        columns=(Column(name="country", type="string"), Column(name="orders", type="int64")),
    )
    run_sql(spec)
    assert rows_of(spec) == {("-", 6), ("DE", 2), ("FR", 2)}


def test_an_input_without_rows_gives_a_table_without_rows(job, load):
    spec = job(inputs=(load(ORDERS.clear()),))
    assert run_sql(spec).rows_written == 0
    assert rows_of(spec) == set()
    assert open_table(spec.target.uri).columns == REVENUE_COLUMNS


def test_a_full_refresh_replaces_every_row(job):
    run_sql(job())
    spec = job(sql=REVENUE.replace("group by", "where country = 'DE' group by"))
    run_sql(spec)
    assert {row[0] for row in rows_of(spec)} == {date(2026, 1, 1), date(2026, 1, 2)}


def test_append_adds_rows_once_for_each_run(job):
    spec = job(refresh_mode="append")
    run_sql(spec)
    run_sql(spec)
    run_sql(job(refresh_mode="append"))
    assert open_table(spec.target.uri).rows == 6


WINDOWED = REVENUE.replace("group by", "where day between :start_date and :end_date group by")


def test_a_windowed_run_replaces_only_the_days_of_its_window(job, load):
    day = ("day",)
    run_sql(job(partition_by=day))
    corrected = load(ORDERS.filter(pl.col("day") != date(2026, 1, 2)).with_columns(amount=pl.lit(Decimal("1.00"))))
    spec = job(
        inputs=(corrected,),
        sql=WINDOWED,
        partition_by=day,
        refresh_mode="overwrite_partition",
        window=Window(start_date="2026-01-02", end_date="2026-01-03"),
    )
    run_sql(spec)
    # The second has no rows any more and is emptied; the first lies outside and is kept.
    assert rows_of(spec) == {(date(2026, 1, 1), 2, Decimal("30.30")), (date(2026, 1, 3), 2, Decimal("2.00"))}


def test_a_table_can_be_partitioned_by_instants(job, load):
    moments = [datetime(2026, 11, 22, hour, 30, tzinfo=UTC) for hour in (1, 2)]
    rows = load(pl.DataFrame({"at": moments, "n": [1, 2]}), "moments")
    columns = (Column(name="at", type="timestamptz"), Column(name="n", type="int64"))
    given = {"inputs": (rows,), "columns": columns, "partition_by": ("at",), "refresh_mode": "overwrite_partition"}
    run_sql(job(sql="select at, n from moments", **given))
    again = job(sql="select at, n * 10 as n from moments where n = 2", **given)
    run_sql(again)
    assert rows_of(again) == {(moments[0], 1), (moments[1], 20)}


def test_without_a_window_the_partitions_of_the_rows_are_replaced(job):
    day = ("day",)
    run_sql(job(partition_by=day))
    spec = job(
        sql="select day, cast(0 as bigint) as orders, sum(amount) as revenue from orders where day = '2026-01-02' "
        "group by day",
        partition_by=day,
        refresh_mode="overwrite_partition",
    )
    run_sql(spec)
    assert {row[:2] for row in rows_of(spec)} == {(date(2026, 1, 1), 2), (date(2026, 1, 2), 0), (date(2026, 1, 3), 2)}


def test_rows_outside_the_window_are_not_published(job):
    spec = job(
        sql=REVENUE.replace("group by", "where day >= :start_date group by"),
        partition_by=("day",),
        refresh_mode="overwrite_partition",
        window=Window(start_date="2026-01-02", end_date="2026-01-02"),
    )
    with pytest.raises(errors.AuditFailed, match="outside its window of 2026-01-02 to 2026-01-02: 2026-01-03"):
        run_sql(spec)


def test_parameters_have_types_and_the_run_s_values(job):
    sql = "select :start_date as first, :end_date as last, :run_time as at, :run_time - interval 1 hour as before"
    known = check_sql(f"{sql} from orders", {"orders": columns_of(ORDERS.schema)}, "duckdb")
    types = {column.name: column.type for column in known.columns}
    assert types == {"first": "date", "last": "date", "at": "timestamptz", "before": "timestamptz"}
    assert known.parameters_used == ("end_date", "run_time", "start_date")

    window = Window(start_date="2026-01-02", end_date="2026-01-31")
    spec = job(sql=f"{sql} from orders limit 1", columns=known.columns, window=window)
    run_sql(spec)
    assert rows_of(spec) == {(date(2026, 1, 2), date(2026, 1, 31), AT, AT - timedelta(hours=1))}


@pytest.mark.parametrize(
    ("condition", "days"),
    [
        ("day >= :start_date and day < :end_date", [2]),
        ("day between :start_date - interval 1 day and :start_date", [1, 1, 2]),
        ("day > :end_date - 2", [2, 3, 3]),
        ("cast(day as timestamp) < :run_time", [1, 1, 2, 3, 3]),
        ("cast('2026-11-22 10:30:00' as timestamp) between cast(day as timestamp) and :run_time", [1, 1, 2, 3, 3]),
        ("day >= date_trunc('month', :start_date)", [1, 1, 2, 3, 3]),
        ("day <= cast(:run_time as date) and :start_date < :end_date", [1, 1, 2, 3, 3]),
    ],
)
def test_parameters_may_be_calculated_and_compared_with(job, condition, days):
    spec = job(
        sql=f"select order_id, day(day) as d from orders where {condition}",
        columns=(Column(name="order_id", type="int64"), Column(name="d", type="int64")),
        window=Window(start_date="2026-01-02", end_date="2026-01-03"),
    )
    run_sql(spec)
    assert sorted(row[1] for row in rows_of(spec)) == days


def test_a_run_without_dates_is_about_all_of_them(job):
    spec = job(sql=WINDOWED)
    run_sql(spec)
    assert rows_of(spec) == EXPECTED


def test_the_clock_of_a_query_is_the_run_s(job):
    columns = (Column(name="at", type="timestamptz"), Column(name="day", type="date"), Column(name="same", type="date"))
    spec = job(sql="select now() as at, current_date as day, cast(:run_time as date) as same", columns=columns)
    run_sql(spec)
    assert rows_of(spec) == {(AT, AT.date(), AT.date())}


def test_a_null_where_none_may_be_publishes_nothing(job, lake):
    spec = job(
        sql="select country, count(*) as orders from orders group by country",
        columns=(Column(name="country", type="string", nullable=False), Column(name="orders", type="int64")),
    )
    with pytest.raises(errors.AuditFailed, match="country in 1 of 3 rows") as failure:
        run_sql(spec)
    assert failure.value.facts["nulls"] == {"country": 1}
    assert "COALESCE" in failure.value.hint
    assert not list((lake / "gold").rglob("*.parquet"))


def test_a_null_in_a_partition_column_counts_too(job):
    columns = (Column(name="country", type="string", nullable=False), Column(name="orders", type="int64"))
    spec = job(
        sql="select country, count(*) as orders from orders group by country",
        columns=columns,
        partition_by=("country",),
    )
    with pytest.raises(errors.AuditFailed, match="country in 1 of 3 rows"):
        run_sql(spec)


@pytest.mark.parametrize(
    ("sql", "kind"),
    [
        ("select cast(country as int) as x from orders", "int32"),
        ("select cast(order_id as bigint) * 100000 as x from orders", "int16"),
        ("select amount * 1000000 as x from orders", "decimal(4,2)"),
    ],
)
def test_a_value_that_does_not_fit_ends_the_run_and_publishes_nothing(job, sql, kind):
    spec = job(sql=sql, columns=(Column(name="x", type=kind),))
    with pytest.raises(errors.QueryFailed) as failure:
        run_sql(spec)
    assert failure.value.hint
    assert not table_exists(spec.target.uri)


def test_sums_do_not_wrap(job, load):
    big = pl.DataFrame({"i": [2**31 - 1] * 3, "b": [2**62, 2**62, -(2**62)]}, schema={"i": pl.Int32, "b": pl.Int64})
    columns = tuple(Column(name=name, type="int64") for name in "ibpq")
    sql = "select sum(i) as i, sum(b) as b, sum(i * 4) as p, sum(1 - i * 4 * 2) as q from numbers"
    spec = job(inputs=(load(big, "numbers"),), sql=sql, columns=columns)
    run_sql(spec)
    assert rows_of(spec) == {(3 * (2**31 - 1), 2**62, 12 * (2**31 - 1), 3 - 24 * (2**31 - 1))}


def test_a_sum_too_large_for_its_column_ends_the_run(job, load):
    big = pl.DataFrame({"b": [2**62, 2**62]})
    spec = job(
        inputs=(load(big, "numbers"),), sql="select sum(b) as b from numbers", columns=(Column(name="b", type="int64"),)
    )
    with pytest.raises(errors.QueryFailed):
        run_sql(spec)


def test_a_stored_query_is_guarded_again_when_it_runs(job):
    with pytest.raises(errors.SqlRejected, match="read_csv"):
        run_sql(job(sql="select * from orders where country in (select read_csv('/etc/passwd'))"))


def test_a_column_that_a_star_gained_is_left_out_and_told(job, load):
    spec = job(sql="select * from orders", columns=columns_of(ORDERS.drop("country").schema))
    result = run_sql(spec)
    assert rows_of(spec) == set(ORDERS.drop("country").rows())
    assert result.checks[-1]["detail"] == "not in the target schema, left out: country"


def test_every_type_passes_through_unchanged(job, load):
    rows = pl.DataFrame(
        {
            "i8": [1, None], "i16": [2, None], "i32": [3, None], "i64": [4, None], "f32": [1.5, None],
            "f64": [2.5, None], "d": [Decimal("1.25"), None], "s": ["aé", None], "b": [True, None],
            "day": [date(2026, 1, 1), None], "ts": [datetime(2026, 1, 1, 1, 2, 3, 456789), None],  # noqa: DTZ001
            "tz": [AT, None], "bin": [b"\x00\xff", None], "list": [[1, 2], None], "st": [{"a": 1, "b": ["x"]}, None],
        },
        schema={
            "i8": pl.Int8, "i16": pl.Int16, "i32": pl.Int32, "i64": pl.Int64, "f32": pl.Float32, "f64": pl.Float64,
            "d": pl.Decimal(10, 2), "s": pl.String, "b": pl.Boolean, "day": pl.Date, "ts": pl.Datetime("us"),
            "tz": pl.Datetime("us", "UTC"), "bin": pl.Binary, "list": pl.List(pl.Int64),
            "st": pl.Struct({"a": pl.Int64, "b": pl.List(pl.String)}),
        },
    )  # fmt: skip
    spec = job(inputs=(load(rows, "types"),), sql="select * from types", columns=columns_of(rows.schema))
    result = run_sql(spec)
    assert result.columns == columns_of(rows.schema)
    assert sorted(map(repr, open_table(spec.target.uri).scan().collect().rows())) == sorted(map(repr, rows.rows()))


def test_a_time_of_day_survives_the_table(job):
    spec = job(
        sql="select cast('10:20:30' as time) as a, cast('10:20:30.5' as time) as b",
        columns=(Column(name="a", type="time"), Column(name="b", type="time")),
    )
    run_sql(spec)
    assert rows_of(spec) == {(time(10, 20, 30), time(10, 20, 30, 500000))}
    again = job(
        inputs=(TableInput(dataset="gold.shop.revenue", alias="x", uri=spec.target.uri, version=0),),
        sql="select a, b from x where b > a and hour(b) = 10",
        columns=(Column(name="a", type="time"), Column(name="b", type="time")),
    )
    run_sql(again)
    assert rows_of(again) == {(time(10, 20, 30), time(10, 20, 30, 500000))}


def test_overwrite_partition_needs_a_partition(job):
    with pytest.raises(errors.InvalidSpec, match="partition_by"):
        run_sql(job(refresh_mode="overwrite_partition"))


def test_a_missing_input_is_named(job, lake):
    gone = TableInput(dataset="bronze.shop.gone", alias="orders", uri=f"{lake}/bronze/shop/gone", version=0)
    with pytest.raises(errors.TableMissing):
        run_sql(job(inputs=(gone,)))


def test_a_run_that_somebody_cancels_leaves_nothing(job, lake):
    def stop(phase, **_):
        if phase == "publish":
            raise errors.Cancelled("Cancelled.")

    with pytest.raises(errors.Cancelled):
        run_sql(job(), stop)
    assert not list((lake / "gold").rglob("*.parquet"))


def test_a_later_run_fences_an_earlier_one(job):
    early = job()
    run_sql(job(run_time=AT + timedelta(hours=1)))
    with pytest.raises(errors.StaleRun):
        run_sql(early)


def test_duckdb_sorts_on_disk_what_its_memory_does_not_hold(job, load):
    rows = pl.DataFrame({"i": range(2_000_000)}).with_columns(s=pl.format("text number {} of many", "i"))
    spec = job(
        engine="duckdb",
        inputs=(load(rows, "many"),),
        sql="select i, s from many order by s desc, i",
        columns=(Column(name="i", type="int64"), Column(name="s", type="string")),
        memory_limit_mb=120,
    )
    assert run_sql(spec).rows_written == 2_000_000
