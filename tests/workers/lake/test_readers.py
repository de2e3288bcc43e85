# ruff: noqa: DTZ001 - timestamps without a zone are what some of these tests are about
"""What independent readers see of a table, and the silent traps that were found on the way there."""

import math
from dataclasses import replace
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path

import duckdb
import polars as pl
import pyarrow as pa
import pytest
from deltalake import DeltaTable, QueryBuilder, write_deltalake
from deltalake.transaction import AddAction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from workers.errors import LakeUnavailable, StaleRun, TableMissing
from workers.lake.publish import restore
from workers.lake.table import open_table, table_exists
from workers.schema import parse_type
from workers.specs import Column, TableTarget

from .conftest import load, new_id, rows_of

DAY_1, DAY_2 = date(2026, 11, 21), date(2026, 11, 22)
ROWS = {
    "id": [1, 2, 3, 4],
    "price": [Decimal("1.50"), None, Decimal("-3.25"), Decimal("0.00")],
    "at": [datetime(2026, 1, 1, 10, 5, 3, 999_999, tzinfo=UTC)] * 4,
    "tags": [["a"], [], None, ["b", "c"]],
    "region": ["a/b c%", "é=x'\"", None, "ü/../*?"],
    "day": [DAY_1, DAY_2, DAY_2, None],
}


@pytest.fixture
def odd(tmp_path):
    return TableTarget(dataset="silver.shop.odd", uri=str(tmp_path / "odd"), partition_by=("region", "day"))


def as_rows(table: pa.Table) -> list[tuple]:
    return sorted(zip(*(table.column(name).to_pylist() for name in ROWS), strict=True))


WANTED = sorted(zip(*ROWS.values(), strict=True))


def test_polars_reads_nulls_and_odd_characters_in_partitions(odd):
    load(odd, ROWS)
    assert sorted(open_table(odd.uri).scan().collect().rows()) == WANTED


def test_delta_rs_reads_the_same(odd):
    load(odd, ROWS)
    table = DeltaTable(odd.uri)
    assert as_rows(table.to_pyarrow_table()) == WANTED
    query = QueryBuilder().register("t", table).execute("select * from t")
    assert as_rows(pa.table(query.read_all())) == WANTED


def test_duckdb_reads_the_same_from_the_file_list(odd):
    load(odd, ROWS)
    table = open_table(odd.uri)
    query = "select * from read_parquet($files, union_by_name=true, hive_partitioning=true, hive_types={'day': DATE})"
    rows = duckdb.execute(query, {"files": table.files()}).to_arrow_table()
    assert as_rows(rows.cast(rows.schema.set(2, pa.field("at", pa.timestamp("us", "UTC"))))) == WANTED


def test_every_reader_sees_old_files_without_a_new_column_and_with_a_widened_one(by_day):
    load(by_day, pl.DataFrame({"id": [1], "day": [DAY_1]}, schema_overrides={"id": pl.Int32}))
    load(by_day, {"id": [2**40], "day": [DAY_2], "note": ["x"]})
    wanted = [(1, DAY_1, None), (2**40, DAY_2, "x")]
    assert sorted(open_table(by_day.uri).scan().collect().rows()) == wanted
    rows = DeltaTable(by_day.uri).to_pyarrow_table()
    assert sorted(zip(*(rows.column(name).to_pylist() for name in ("id", "day", "note")), strict=True)) == wanted
    query = "select id, day, note from read_parquet($files, union_by_name=true, hive_partitioning=true) order by id"
    assert duckdb.execute(query, {"files": open_table(by_day.uri).files()}).fetchall() == wanted


def test_a_table_of_another_tool_with_narrower_old_files_reads_whole(tmp_path):
    uri = str(tmp_path / "foreign")
    write_deltalake(uri, pl.DataFrame({"id": [1], "x": [0.5]}, schema={"id": pl.Int64, "x": pl.Float64}))
    pl.DataFrame({"id": [2]}, schema={"id": pl.Int32}).write_parquet(f"{uri}/narrow.parquet")
    size = Path(uri, "narrow.parquet").stat().st_size
    table = DeltaTable(uri)
    action = AddAction("narrow.parquet", size, {}, 0, True, "{}")
    table.create_write_transaction([action], "append", table.schema())
    assert sorted(open_table(uri).scan().collect().rows(), key=repr) == [(1, 0.5), (2, None)]
    assert open_table(uri).rows == 2  # counted from the footer, as the log does not tell


def test_a_filter_on_a_partition_does_not_even_open_the_other_files(by_day):
    load(by_day, {"id": [1, 2], "day": [DAY_1, DAY_2]})
    table = open_table(by_day.uri)
    other = next(file for file in table.data_files if file.partition_values["day"] == DAY_1)
    Path(other.uri).unlink()
    assert table.scan().filter(pl.col("day") == DAY_2).collect()["id"].to_list() == [2]


def test_a_filter_on_a_column_skips_files_by_their_statistics(target):
    load(target, {"id": [1, 2]})
    (first,) = open_table(target.uri).files()
    load(target, {"id": [3, 4]})
    Path(first).unlink()
    assert open_table(target.uri).scan().filter(pl.col("id") == 4).collect()["id"].to_list() == [4]


BOUNDARIES = {
    "timestamp": st.datetimes(datetime(1990, 1, 1), datetime(2050, 1, 1)),
    "timestamptz": st.datetimes(datetime(1990, 1, 1), datetime(2050, 1, 1)).map(lambda at: at.replace(tzinfo=UTC)),
    "date": st.dates(),
    "float64": st.floats(),
    "decimal(38,18)": st.decimals(-(10**15), 10**15, places=18),
    "string": st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=80),
    "int64": st.integers(-(2**63), 2**63 - 1),
    "boolean": st.booleans(),
}


@pytest.mark.parametrize("kind", BOUNDARIES)
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_statistics_never_hide_a_row_from_a_filter(tmp_path, kind, data):
    values = data.draw(st.lists(st.none() | BOUNDARIES[kind], min_size=1, max_size=5))
    target = TableTarget(dataset="silver.shop.x", uri=str(tmp_path / new_id()))
    rows = pl.DataFrame({"x": pl.Series(values, dtype=parse_type(kind))})
    load(target, rows)
    scan = open_table(target.uri).scan()
    for value in {value for value in values if value is not None and value == value}:
        literal = pl.lit(value, dtype=rows.schema["x"])
        for test in (pl.col("x") == literal, pl.col("x") >= literal, pl.col("x") <= literal):
            assert scan.filter(test).collect().height == rows.filter(test).height
    assert scan.filter(pl.col("x").is_null()).collect().height == rows["x"].null_count()


def test_nan_is_found_by_a_filter_although_no_footer_tells_of_it(target):
    load(target, {"x": [1.0, math.nan]})
    assert open_table(target.uri).scan().filter(pl.col("x") > 5).collect().height == 1


def test_a_time_and_json_come_back_as_what_they_were(target):
    columns = (Column(name="opens", type="time"), Column(name="doc", type="json"))
    rows = {"opens": [time(8, 30, 0, 5), None], "doc": ['{"a": 1}', None]}
    load(target, rows, columns=columns)
    assert open_table(target.uri).columns == columns
    assert open_table(target.uri).scan().collect().rows() == [(time(8, 30, 0, 5), '{"a": 1}'), (None, None)]


def test_a_timestamp_without_zone_reads_back_however_it_came_into_the_table(target):
    # Without its table feature delta-rs commits such a column, and then refuses to read the table.
    rows = {"at": [datetime(2026, 1, 1, 10)]}
    load(target, {"at": [DAY_1]})
    load(target, rows)
    assert [row[0] for row in rows_of(target)] == [datetime(2026, 1, 1, 10), datetime(2026, 11, 21)]
    load(target, {"id": [1]}, mode="overwrite")
    load(target, rows, mode="overwrite")
    assert DeltaTable(target.uri).to_pyarrow_table().to_pydict() == rows
    restore(target, 0, new_id())
    assert rows_of(target) == [(DAY_1,)]
    fresh = replace(target, uri=f"{target.uri}-2")
    load(fresh, {"id": [1]})
    load(fresh, rows, mode="overwrite")
    assert rows_of(fresh) == [(datetime(2026, 1, 1, 10),)]


def test_an_old_handle_tells_the_versions_and_history_of_its_own_time(target):
    # delta-rs numbers later commits from the handle's version.
    runs = [new_id() for _ in range(4)]
    for run in runs:
        load(target, {"id": [1]}, run_id=run)
    old = open_table(target.uri, 2)
    assert (old.version, old.rows, len(old.files())) == (2, 3, 3)
    assert [(commit.version, commit.run_id) for commit in old.history()] == [(2, runs[2]), (1, runs[1]), (0, runs[0])]
    assert [commit.version for commit in open_table(target.uri).history(limit=1)] == [3]


def test_a_run_is_recognised_behind_a_checkpoint(target):
    first = new_id()
    load(target, {"id": [0]}, run_id=first)
    load(target, {"id": [1]})
    open_table(target.uri).delta.create_checkpoint()
    load(target, {"id": [2]})
    assert open_table(target.uri).rows == 3
    assert load(target, {"id": [0]}, run_id=first).version == 0


def test_a_run_whose_commit_the_log_has_forgotten_is_not_published_again(target):
    first = new_id()
    load(target, {"id": [0]}, run_id=first)
    load(target, {"id": [1]})
    open_table(target.uri).delta.create_checkpoint()
    Path(target.uri, "_delta_log", f"{0:020d}.json").unlink()
    with pytest.raises(StaleRun):
        load(target, {"id": [0]}, run_id=first)
    assert rows_of(target) == [(0,), (1,)]


def test_a_missing_table_and_a_broken_one_are_told_apart(target):
    assert not table_exists(target.uri)
    with pytest.raises(TableMissing):
        open_table(target.uri)
    load(target, {"id": [1]})
    Path(target.uri, "_delta_log", f"{0:020d}.json").write_text("nonsense")
    with pytest.raises(LakeUnavailable):
        open_table(target.uri)
