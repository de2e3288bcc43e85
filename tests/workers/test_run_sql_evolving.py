"""What each refresh mode does when the job's target schema has changed, and to partitions of several columns."""

from __future__ import annotations

from datetime import UTC, date, datetime

import polars as pl
import pytest

from workers import errors
from workers.executors.sql import run as run_sql
from workers.ids import new_run_id
from workers.lake.publish import publish
from workers.lake.stage import Staging
from workers.lake.table import open_table
from workers.schema import columns_of
from workers.specs import Column, SqlSpec, TableInput, TableTarget, Window

DAYS = [date(2026, 1, 1), date(2026, 1, 2)]
ID, DAY, LAND = (Column(name="id", type="int64"), Column(name="day", type="date"), Column(name="land", type="string"))


@pytest.fixture(params=["polars", "duckdb"])
def engine(request):
    return request.param


@pytest.fixture
def run(tmp_path, engine):
    """Run a query over rows of (id, day, land); returns its spec and result."""

    def make(rows: list[tuple], columns, mode="full_refresh", partition_by=("day",), sql="", window=()):
        frame = pl.DataFrame(rows, schema={"id": pl.Int64, "day": pl.Date, "land": pl.String}, orient="row")
        source = TableTarget(dataset="bronze.shop.orders", uri=f"{tmp_path}/bronze/shop/orders")
        run_id = str(new_run_id())
        with Staging(source, run_id) as staging:
            staging.sink(frame.lazy())
            held = columns_of(frame.schema)
            done = publish(source, staging.files, run_id=run_id, mode="overwrite", columns=held)
        uri = f"{tmp_path}/silver/shop/orders"
        spec = SqlSpec(
            run_id=str(new_run_id()),
            workflow="shop",
            job="orders",
            inputs=(TableInput(dataset=source.dataset, alias="orders", uri=source.uri, version=done.version),),
            sql=sql or f"select {', '.join(column.name for column in columns)} from orders",
            columns=tuple(columns),
            engine=engine,
            target=TableTarget(dataset="silver.shop.orders", uri=uri, partition_by=partition_by),
            refresh_mode=mode,
            merge_keys=("id",) if mode == "merge" else (),
            window=Window(start_date=window[0], end_date=window[1]) if window else Window(),
            run_time=datetime(2026, 11, 22, 10, 30, tzinfo=UTC),
        )
        return spec, run_sql(spec)

    return make


def rows_of(spec: SqlSpec, *names: str) -> set[tuple]:
    return set(open_table(spec.target.uri).scan().select(names).collect().rows())


OLD = [(1, DAYS[0], "DE"), (2, DAYS[1], "FR")]
NEW = [(2, DAYS[1], "IT"), (3, DAYS[1], "ES")]


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("full_refresh", {(2, "IT"), (3, "ES")}),
        ("overwrite_partition", {(1, None), (2, "IT"), (3, "ES")}),
        ("append", {(1, None), (2, None), (2, "IT"), (3, "ES")}),
        ("merge", {(1, None), (2, "IT"), (3, "ES")}),
    ],
)
def test_a_column_added_to_the_target_schema_later_is_null_in_the_rows_that_stay(run, mode, expected):
    run(OLD, [ID, DAY], mode)
    spec, result = run(NEW, [ID, DAY, LAND], mode)
    assert rows_of(spec, "id", "land") == expected
    assert result.columns == (ID, DAY, LAND)
    assert open_table(spec.target.uri).columns == (ID, DAY, LAND)


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("overwrite_partition", {(1, "DE"), (2, None), (3, None)}),
        ("append", {(1, "DE"), (2, "FR"), (2, None), (3, None)}),
        ("merge", {(1, "DE"), (2, "FR"), (3, None)}),  # 2 equals the table's row in all that the job has
    ],
)
def test_a_column_taken_out_of_the_target_schema_stays_in_the_table_and_is_null_in_new_rows(run, mode, expected):
    run(OLD, [ID, DAY, LAND], mode)
    spec, result = run(NEW, [ID, DAY], mode)
    assert rows_of(spec, "id", "land") == expected
    assert result.columns == (ID, DAY, LAND)


def test_a_full_refresh_drops_a_column_that_the_target_schema_no_longer_has(run):
    run(OLD, [ID, DAY, LAND])
    spec, _ = run(NEW, [ID, DAY])
    assert open_table(spec.target.uri).columns == (ID, DAY)


@pytest.mark.parametrize("mode", ["overwrite_partition", "append", "merge"])
def test_a_type_may_become_wider_and_old_rows_follow(run, mode):
    small = Column(name="id", type="int32")
    sql = "select cast(id as int) as id, day from orders"
    run(OLD, [small, DAY], mode, sql=sql)
    spec, result = run([(2**40, DAYS[1], "IT")], [ID, DAY], mode)
    assert {row[0] for row in rows_of(spec, "id")} >= {1, 2**40}
    assert result.columns == (ID, DAY)


WINDOWED = "select id, day, land from orders where day between :start_date and :end_date"


def test_a_window_empties_partitions_of_several_columns_too(run):
    by = ("day", "land")
    run([*OLD, (4, DAYS[1], "DE")], [ID, DAY, LAND], partition_by=by)
    window = ("2026-01-02", "2026-01-02")
    spec, _ = run([(5, DAYS[1], "FR")], [ID, DAY, LAND], "overwrite_partition", by, WINDOWED, window)
    # (2, FR) is replaced; (4, DE) has no rows any more; the first day is not of the window.
    assert rows_of(spec, "id", "land") == {(1, "DE"), (5, "FR")}


def test_rows_outside_the_window_fail_with_several_partition_columns_too(run):
    by = ("land", "day")
    sql = WINDOWED.replace("between :start_date and :end_date", ">= :start_date")
    with pytest.raises(errors.AuditFailed, match="outside its window of 2026-01-01 to 2026-01-01: 2026-01-02"):
        run(OLD, [ID, DAY, LAND], "overwrite_partition", by, sql, ("2026-01-01", "2026-01-01"))
