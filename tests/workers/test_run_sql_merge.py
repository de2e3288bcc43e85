"""A query whose rows are merged into the table by their keys: what is new, what has changed, what stays as it is."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

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

AT = datetime(2026, 11, 22, 10, 30, tzinfo=UTC)
COLUMNS = (
    Column(name="order_id", type="int64", nullable=False),
    Column(name="day", type="date"),
    Column(name="status", type="string"),
    Column(name="amount", type="decimal(10,2)"),
)
FIRST = [
    (1, date(2026, 1, 1), "open", Decimal("10.00")),
    (2, date(2026, 1, 1), "open", None),
    (3, date(2026, 1, 2), "paid", Decimal("30.00")),
    (4, date(2026, 1, 3), None, Decimal("40.00")),
]
# 2 changes, 3 comes as it is, 4 gains what was null, 5 is new; 1 is not there and stays.
SECOND = [
    (2, date(2026, 1, 1), "paid", None),
    (3, date(2026, 1, 2), "paid", Decimal("30.00")),
    (4, date(2026, 1, 3), "open", Decimal("40.00")),
    (5, date(2026, 1, 3), "open", Decimal("50.00")),
]
MERGED = {FIRST[0], *SECOND}


@pytest.fixture(params=["polars", "duckdb"])
def engine(request):
    return request.param


@pytest.fixture
def load(tmp_path):
    """Publish rows as the orders that a query reads; returns the pinned input."""

    def make(rows: list[tuple]) -> TableInput:
        frame = pl.DataFrame(rows, schema={"order_id": pl.Int64, "day": pl.Date, "status": pl.String,
                                           "amount": pl.Decimal(10, 2)}, orient="row")  # fmt: skip
        target = TableTarget(dataset="bronze.shop.orders", uri=f"{tmp_path}/bronze/shop/orders")
        run_id = str(new_run_id())
        with Staging(target, run_id) as staging:
            staging.sink(frame.lazy())
            columns = columns_of(frame.schema)
            done = publish(target, staging.files, run_id=run_id, mode="overwrite", columns=columns)
        return TableInput(dataset=target.dataset, alias="orders", uri=target.uri, version=done.version)

    return make


@pytest.fixture
def job(tmp_path, load, engine):
    """The spec of a run that merges these rows by the order's id."""

    def make(rows: list[tuple], partition_by=(), **changes) -> SqlSpec:
        uri = f"{tmp_path}/silver/shop/orders"
        facts = {
            "run_id": str(new_run_id()),
            "workflow": "shop",
            "job": "orders",
            "inputs": (load(rows),),
            "sql": "select order_id, day, status, amount from orders",
            "columns": COLUMNS,
            "engine": engine,
            "target": TableTarget(dataset="silver.shop.orders", uri=uri, partition_by=partition_by),
            "refresh_mode": "merge",
            "merge_keys": ("order_id",),
            "run_time": AT,
        }
        return SqlSpec(**(facts | changes))

    return make


def rows_of(spec: SqlSpec, names=None) -> list[tuple]:
    names = names or [column.name for column in spec.columns]
    return sorted(open_table(spec.target.uri).scan().select(names).collect().rows(), key=repr)


@pytest.mark.parametrize("partition_by", [(), ("day",)])
def test_a_merge_adds_what_is_new_replaces_what_changed_and_keeps_the_rest(job, partition_by):
    first = run_sql(job(FIRST, partition_by))
    assert (first.rows_written, first.facts) == (4, {"merge": {"inserted": 4, "updated": 0, "unchanged": 0}})
    spec = job(SECOND, partition_by)
    result = run_sql(spec)
    assert rows_of(spec) == sorted(MERGED, key=repr)
    assert result.facts == {"merge": {"inserted": 1, "updated": 2, "unchanged": 1}}
    assert (result.rows_read, result.rows_written) == (4, 3)
    assert [check["name"] for check in result.checks] == ["rows", "not_null", "merge_keys", "schema"]


def test_rows_that_did_not_change_leave_every_file_as_it_is(job):
    run_sql(job(FIRST))
    before = open_table(job(FIRST).target.uri).files()
    spec = job(FIRST)
    result = run_sql(spec)
    assert open_table(spec.target.uri).files() == before
    assert result.facts["merge"] == {"inserted": 0, "updated": 0, "unchanged": 4}


def test_only_files_that_hold_a_replaced_row_are_written_anew(job):
    run_sql(job(FIRST, ("day",)))
    before = {file.rsplit("day=", 1)[1][:10]: file for file in open_table(job(FIRST).target.uri).files()}
    spec = job([(4, date(2026, 1, 3), "paid", Decimal("41.00"))], ("day",))
    run_sql(spec)
    after = {file.rsplit("day=", 1)[1][:10]: file for file in open_table(spec.target.uri).files()}
    assert {day for day, file in before.items() if after[day] != file} == {"2026-01-03"}


def test_a_row_that_moves_to_another_partition_leaves_the_old_one(job):
    run_sql(job(FIRST, ("day",)))
    spec = job([(1, date(2026, 1, 3), "open", Decimal("10.00"))], ("day",))
    run_sql(spec)
    assert [row[:2] for row in rows_of(spec)] == [
        (1, date(2026, 1, 3)), (2, date(2026, 1, 1)), (3, date(2026, 1, 2)), (4, date(2026, 1, 3)),
    ]  # fmt: skip


def test_a_key_may_be_of_several_columns_a_partition_among_them(job):
    keys = {"partition_by": ("day",), "merge_keys": ("day", "order_id")}
    run_sql(job(FIRST, **keys))
    spec = job([(1, date(2026, 1, 1), "paid", Decimal("10.00")), (1, date(2026, 1, 2), "open", None)], **keys)
    result = run_sql(spec)
    assert result.facts["merge"] == {"inserted": 1, "updated": 1, "unchanged": 0}
    assert {(row[0], row[1], row[2]) for row in rows_of(spec)} == {
        (1, date(2026, 1, 1), "paid"), (1, date(2026, 1, 2), "open"), (2, date(2026, 1, 1), "open"),
        (3, date(2026, 1, 2), "paid"), (4, date(2026, 1, 3), None),
    }  # fmt: skip


def test_a_merge_of_a_window_leaves_the_other_days_alone(job):
    run_sql(job(FIRST))
    changed = [(number, day, "late", amount) for number, day, _, amount in FIRST]
    spec = job(
        changed,
        sql="select * from orders where day between :start_date and :end_date",
        window=Window(start_date="2026-01-02", end_date="2026-01-02"),
    )
    run_sql(spec)
    assert [row[2] for row in rows_of(spec)] == ["open", "open", "late", None]


def test_a_run_that_has_merged_does_not_merge_again(job):
    run_sql(job(FIRST))
    spec = job(SECOND)
    first, again = run_sql(spec), run_sql(spec)
    assert again.published.already
    assert (again.facts, again.rows_written) == (first.facts, first.rows_written)
    assert open_table(spec.target.uri).version == 1


def test_no_rows_merge_into_nothing_and_into_a_table(job):
    spec = job([])
    assert run_sql(spec).facts["merge"] == {"inserted": 0, "updated": 0, "unchanged": 0}
    assert open_table(spec.target.uri).columns == COLUMNS
    run_sql(job(FIRST))
    assert run_sql(job([])).published.table_rows == 4


def test_keys_that_come_twice_publish_nothing_and_are_shown(job):
    run_sql(job(FIRST))
    twice = [*SECOND, (5, date(2026, 1, 4), "paid", None), (2, None, None, None), (2, None, "x", None)]
    with pytest.raises(errors.AuditFailed, match=r"2 keys come more than once in the result, in 5 rows") as failure:
        run_sql(job(twice))
    assert failure.value.facts["examples"] == ["order_id = 2 (3 rows)", "order_id = 5 (2 rows)"]
    assert "QUALIFY row_number()" in failure.value.hint
    assert rows_of(job(FIRST)) == sorted(FIRST, key=repr)


def test_a_key_without_a_value_publishes_nothing(job):
    columns = (Column(name="status", type="string"), Column(name="orders", type="int64"))
    sql = "select status, count(*) as orders from orders group by status"
    with pytest.raises(errors.AuditFailed, match=r"1 rows of the result have no value in a merge key \(status\)"):
        run_sql(job(FIRST, sql=sql, columns=columns, merge_keys=("status",)))


def test_a_merge_needs_keys(job):
    with pytest.raises(errors.InvalidSpec, match="merge_keys"):
        run_sql(job(FIRST, merge_keys=()))


def test_a_merge_leaves_no_scratch_behind(job, tmp_path):
    run_sql(job(FIRST))
    spec = job(SECOND)
    run_sql(spec)
    known = {file for version in (0, 1) for file in open_table(spec.target.uri, version).files()}
    assert {str(file) for file in (tmp_path / "silver").rglob("*.parquet")} == known
