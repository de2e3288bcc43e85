# ruff: noqa: DTZ001 - timestamps without a zone are what some of these tests are about
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import duckdb
import polars as pl
import pyarrow.parquet as pq
import pytest

from workers.errors import AuditFailed, InvalidSpec
from workers.lake.paths import check_date_pattern, date_folder, landing_uri, quarantine_uri, table_uri
from workers.lake.publish import publish
from workers.lake.stage import Staging
from workers.lake.table import open_table
from workers.specs import Column, TableTarget

from .conftest import load, new_id, rows_of

DAY = date(2026, 11, 22)


def staged(target, rows, **options):
    staging = Staging(target, new_id())
    staging.sink(rows.lazy() if isinstance(rows, pl.DataFrame) else pl.LazyFrame(rows), **options)
    return staging


@pytest.mark.parametrize(
    ("pattern", "folder"),
    [("yyyy/MM/dd", "2026/11/22"), ("yyyy-MM", "2026-11"), ("dd.MM.yyyy", "22.11.2026"), ("yyyyMM/HH", "202611/00")],
)
def test_a_date_lies_below_its_pattern_and_in_a_hive_segment(by_day, pattern, folder):
    files = staged(replace(by_day, date_pattern=pattern), {"id": [1], "day": [DAY]}).files
    assert files[0].path.rpartition("/")[0] == f"{folder}/day=2026-11-22".lstrip("/")


def test_an_hour_is_part_of_a_timestamps_folder(tmp_path):
    target = TableTarget(dataset="a.b.c", uri=str(tmp_path), partition_by=("hour",), date_pattern="yyyy/MM/dd/HH")
    rows = {"id": [1], "hour": [datetime(2026, 11, 22, 7, tzinfo=UTC)]}
    load(target, rows)
    assert list(tmp_path.glob("2026/11/22/07/hour=*/*.parquet"))
    assert rows_of(target) == [(1, datetime(2026, 11, 22, 7, tzinfo=UTC))]


@pytest.mark.parametrize("pattern", ["year=yyyy", "../yyyy", "/yyyy", "yyyy//MM", "%Y", "YYYY", "yyyy/./MM"])
def test_a_pattern_that_would_confuse_readers_or_leave_the_table_is_refused(pattern):
    with pytest.raises(InvalidSpec):
        check_date_pattern(pattern)


def test_an_early_year_has_four_digits():
    assert date_folder("yyyy/MM/dd", date(33, 4, 3)) == "0033/04/03"


def test_layout_addresses():
    assert table_uri("s3://b/lake/", "bronze.shop.orders") == "s3://b/lake/bronze/shop/orders"
    assert landing_uri("/lake", "shop", "orders") == "/lake/landing/shop/orders"
    assert quarantine_uri("/lake", "shop", "orders") == "/lake/quarantine/shop/orders"
    with pytest.raises(InvalidSpec):
        table_uri("/lake", "bronze.../x.orders")


def test_staged_files_tell_rows_size_partition_and_statistics(by_day):
    rows = {"id": [1, 2], "name": ["a", None], "day": [DAY, DAY]}
    staging = staged(by_day, rows)
    (file,) = staging.files
    assert (file.rows, file.size, file.partition_values) == (2, Path(file.uri).stat().st_size, {"day": "2026-11-22"})
    assert file.stats == {
        "numRecords": 2,
        "minValues": {"id": 1, "name": "a"},
        "maxValues": {"id": 2, "name": "a"},
        "nullCount": {"id": 0, "name": 1},
    }
    assert [column.name for column in file.columns] == ["id", "name"]
    assert staging.scan().collect().to_dict(as_series=False) == rows


def test_a_partition_that_all_rows_share_can_be_named_instead_of_written(by_day):
    staging = staged(by_day, {"id": [1, 2]}, partition={"day": DAY})
    assert staging.scan().collect().rows() == [(1, DAY), (2, DAY)]
    assert staging.files[0].path.startswith("2026/11/22/day=2026-11-22/")


def test_several_sinks_share_one_pass_and_one_staging(target):
    rows = pl.LazyFrame({"id": range(100)})
    staging = Staging(target, new_id())
    even = staging.sink(rows.filter(pl.col("id") % 2 == 0), lazy=True)
    odd = staging.sink(rows.filter(pl.col("id") % 2 == 1), lazy=True)
    pl.collect_all([even, odd], engine="streaming")
    assert sum(file.rows for file in staging.files) == 100
    assert sorted(staging.scan().collect()["id"]) == list(range(100))


def test_nothing_staged_still_has_its_columns(by_day):
    staging = staged(by_day, pl.DataFrame(schema={"id": pl.Int64, "day": pl.Date}))
    assert staging.files == ()
    assert staging.scan().collect_schema() == {"id": pl.Int64, "day": pl.Date}


def test_types_that_the_lake_has_not_become_the_next_wider_one(target):
    rows = pl.DataFrame(
        {"u": [2**64 - 1], "n": [datetime(2026, 1, 1)], "c": ["x"], "z": [None], "t": [datetime(2026, 7, 1, 12)]},
        schema={
            "u": pl.UInt64,
            "n": pl.Datetime("ns"),
            "c": pl.Categorical,
            "z": pl.Null,
            "t": pl.Datetime("ms", "Europe/Paris"),
        },
    )
    load(target, rows)
    assert [column.type for column in open_table(target.uri).columns] == [
        "decimal(20,0)", "timestamp", "string", "string", "timestamptz",
    ]  # fmt: skip
    instant = rows["t"][0].astimezone(UTC)
    assert rows_of(target) == [(Decimal(2**64 - 1), datetime(2026, 1, 1), "x", None, instant)]


@pytest.mark.parametrize(
    ("name", "codec"),
    [("snappy", "SNAPPY"), ("zstd", "ZSTD"), ("gzip", "GZIP"), ("lz4", "LZ4"), ("none", "UNCOMPRESSED")],
)
def test_files_are_compressed_as_the_job_says(target, name, codec):
    (file,) = staged(replace(target, compression=name), {"id": [1]}).files
    assert pq.read_metadata(file.uri).row_group(0).column(0).compression == codec


@pytest.mark.parametrize("rows", [{"id": [1]}, {"id": [1], "day": [1.5]}, {"id": [1], "day": [[1]]}])
def test_rows_that_cannot_be_partitioned_are_refused(by_day, rows):
    with pytest.raises(InvalidSpec):
        staged(by_day, rows)


def test_an_empty_text_in_a_partition_is_refused_as_delta_reads_it_as_null(by_day):
    with pytest.raises(InvalidSpec, match="empty text"):
        _ = staged(by_day, {"id": [1], "day": [""]}).files


def test_duckdbs_files_are_adopted_to_where_ours_would_lie(tmp_path):
    target = TableTarget(dataset="silver.shop.x", uri=str(tmp_path / "x"), partition_by=("region", "day"))
    with Staging(target, new_id()) as staging:
        Path(staging.folder).mkdir(parents=True)
        written = duckdb.execute(
            "copy (select * from (values (1::bigint, 'a/b %', date '2026-11-22'), (2, null, null)) v(id, region, day)) "
            f"to '{staging.folder}' (format parquet, partition_by (region, day), return_stats true)"
        ).fetchall()
        staging.adopt(*(row[0] for row in written))
        columns = (
            Column(name="id", type="int64"),
            Column(name="region", type="string"),
            Column(name="day", type="date"),
        )
        publish(target, staging.files, run_id=new_id(), mode="append", columns=columns)
    assert rows_of(target) == [(1, "a/b %", DAY), (2, None, None)]
    assert all("_staging" not in file for file in open_table(target.uri).files())
    assert any("/2026/11/22/day=2026-11-22/" in file for file in open_table(target.uri).files())


def test_a_sum_that_duckdb_has_turned_into_a_double_is_refused(target):
    with Staging(target, new_id()) as staging:
        Path(staging.folder).mkdir(parents=True)
        duckdb.execute(f"copy (select sum(x) as total from range(3) t(x)) to '{staging.folder}/a.parquet'")
        staging.adopt("a.parquet")
        with pytest.raises(AuditFailed, match="total is float64, not int64"):
            publish(target, staging.files, run_id=new_id(), mode="append", columns=[Column(name="total", type="int64")])


def test_files_outside_the_staging_or_without_their_partition_are_not_adopted(by_day, tmp_path):
    staging = Staging(by_day, new_id())
    with pytest.raises(InvalidSpec):
        staging.adopt("/etc/passwd")
    with pytest.raises(InvalidSpec, match="partition columns"):
        staging.adopt(f"{staging.folder}/a.parquet")


def test_two_tries_of_one_run_never_write_the_same_file(target):
    run = new_id()
    first, second = Staging(target, run), Staging(target, run)
    first.sink(pl.LazyFrame({"id": [1]}))
    second.sink(pl.LazyFrame({"id": [2]}))
    assert not {file.path for file in first.files} & {file.path for file in second.files}
    assert first.scan().collect()["id"].to_list() == [1]
