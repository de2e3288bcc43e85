"""Spark reads pinned versions and leaves staged Parquet, as the other engines do: odd tables, odd values, failures."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path

import duckdb
import polars as pl
import pyarrow.parquet as pq
import pytest

from tests.spark_cluster import LOCAL, needs_spark
from workers import errors
from workers.executors.sql import run
from workers.ids import new_run_id
from workers.lake.publish import publish
from workers.lake.stage import Staging
from workers.lake.table import open_table
from workers.schema import columns_of, polars_schema
from workers.specs import Column, SqlSpec, TableInput, TableTarget

pytestmark = needs_spark
AT = datetime(2026, 11, 22, 10, 30, tzinfo=UTC)

EVERY_TYPE = pl.DataFrame(
    {
        "i8": [1, None], "i16": [300, -300], "i32": [70_000, 0], "i64": [2**40, -(2**40)], "f32": [1.5, None],
        "f64": [0.1, float("nan")], "dec": [Decimal("12.345"), Decimal("-0.001")], "text": ["ä 'x' \\", None],
        "yes": [True, None], "day": [date(1, 1, 1), date(9999, 12, 31)],
        "plain": [datetime.fromisoformat("1500-02-03T04:05:06.123456"), None],
        "zoned": [datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC), None], "clock": [time(1, 2, 3, 4), time(23, 0)],
        "raw": [b"\x00\xff", None], "many": [["a", None], []], "who": [{"a": 1, "b": [{"c": 1.5}]}, None],
    },
    schema_overrides={"i8": pl.Int8, "i16": pl.Int16, "i32": pl.Int32, "f32": pl.Float32, "dec": pl.Decimal(9, 3)},
)  # fmt: skip


@pytest.fixture
def load(tmp_path):
    def make(rows: pl.DataFrame, name="t", partition_by=(), mode="overwrite", columns=None) -> TableInput:
        target = TableTarget(dataset=f"bronze.x.{name}", uri=f"{tmp_path}/lake/bronze/x/{name}",
                             partition_by=partition_by)  # fmt: skip
        run_id = str(new_run_id())
        with Staging(target, run_id) as staging:
            staging.sink(rows.lazy())
            done = publish(target, staging.files, run_id=run_id, mode=mode, columns=columns or columns_of(rows.schema))
        return TableInput(dataset=target.dataset, alias=name, uri=target.uri, version=done.version)

    return make


@pytest.fixture
def job(tmp_path):
    """Runs a query on Spark; gives the table that it made."""

    def make(sql, source, columns, partition_by=(), **changes):
        target = TableTarget(dataset="gold.x.made", uri=f"{tmp_path}/lake/gold/x/made", partition_by=partition_by,
                             compression=changes.pop("compression", "snappy"))  # fmt: skip
        facts = {"run_id": str(new_run_id()), "workflow": "x", "job": "made", "inputs": (source,), "sql": sql,
                 "columns": columns, "engine": "spark", "target": target, "run_time": AT}  # fmt: skip
        facts |= {"settings": LOCAL} | changes
        run(SqlSpec(**facts))
        return open_table(target.uri)

    return make


def of(**kinds) -> tuple[Column, ...]:
    return tuple(Column(name=name, type=kind) for name, kind in kinds.items())


def test_every_type_of_the_lake_goes_through_unchanged(load, job):
    source = load(EVERY_TYPE)
    table = job("select * from t", source, open_table(source.uri).columns)
    rows = table.scan().collect()
    assert rows.schema == EVERY_TYPE.schema
    assert rows.sort("i64").rows(named=True).__repr__() == EVERY_TYPE.sort("i64").rows(named=True).__repr__()


def test_old_files_lack_columns_and_hold_narrower_types(load, job):
    load(pl.DataFrame({"a": [1], "b": [1.5]}, schema={"a": pl.Int32, "b": pl.Float32}))
    wider = of(a="int64", b="float64", c="string")
    source = load(pl.DataFrame({"a": [2**40], "b": [0.1], "c": ["new"]}), mode="append", columns=wider)
    rows = job("select a, b, c from t", source, wider).scan().collect()
    assert set(rows.rows()) == {(1, 1.5, None), (2**40, 0.1, "new")}


def test_a_pinned_version_has_its_own_files_only(load, job):
    source = load(pl.DataFrame({"a": [1]}))
    load(pl.DataFrame({"a": [2]}), mode="append")
    assert job("select a from t", source, of(a="int64")).scan().collect()["a"].to_list() == [1]


def test_a_table_without_rows_is_read_and_made(load, job):
    source = load(pl.DataFrame(schema=EVERY_TYPE.schema))
    columns = open_table(source.uri).columns
    table = job("select * from t", source, columns)
    assert table.scan().collect().schema == polars_schema(columns)
    assert table.rows == 0


PARTITIONED = pl.DataFrame(
    {
        "day": [date(2026, 1, 1), date(2026, 1, 1), date(2026, 1, 2), None],
        "place": ["a/b=c 100%", "ö'\"#?*[x]{y}", None, "nul\\l"],
        "n": [1, 2, 3, 4],
    },
    schema_overrides={"n": pl.Int32},
)


def test_partitions_are_read_with_the_values_of_the_log_and_written_for_every_reader(load, job):
    source = load(PARTITIONED, partition_by=("day", "place"))
    table = job("select day, place, n * 2 as n from t", source, of(day="date", place="string", n="int64"),
                partition_by=("day", "place"))  # fmt: skip
    expected = {(day, place, n * 2) for day, place, n in PARTITIONED.rows()}
    assert set(table.scan().select("day", "place", "n").collect().rows()) == expected
    assert {(f.partition_values["day"], f.partition_values["place"]) for f in table.data_files} == {
        (day, place) for day, place, _ in PARTITIONED.rows()
    }
    files = [file for file in table.files() if "__HIVE_DEFAULT_PARTITION__" not in file]
    assert duckdb.sql("select sum(n) from read_parquet($files)", params={"files": files}).fetchone() == (6,)
    assert "n" in pq.read_schema(files[0]).names
    assert "day" not in pq.read_schema(files[0]).names


def test_a_table_of_many_partitions_is_read_by_the_names_of_its_files(load, job):
    rows = pl.DataFrame({"k": list(range(100)), "at": [datetime(2026, 1, 1, n % 24, tzinfo=UTC) for n in range(100)],
                         "n": [n * n for n in range(100)]})  # fmt: skip
    source = load(rows, partition_by=("k", "at"))
    made = job("select k, at, n from t where k % 2 = 1", source, of(k="int64", at="timestamptz", n="int64"))
    assert set(made.scan().collect().rows()) == set(rows.filter(pl.col("k") % 2 == 1).rows())


def test_an_empty_text_is_no_partition(load, job):
    with pytest.raises(errors.InvalidSpec, match="empty text"):
        job("select a, 1 as n from t", load(pl.DataFrame({"a": ["", "x"]})), of(a="string", n="int64"), ("a",))


@pytest.mark.parametrize("compression", ["snappy", "zstd", "gzip", "lz4", "none"])
def test_files_are_compressed_as_the_job_says(load, job, compression):
    table = job("select a from t", load(pl.DataFrame({"a": [1, 2]})), of(a="int64"), compression=compression)
    told = duckdb.sql(f"select compression from parquet_metadata('{table.files()[0]}')").fetchone()[0]
    assert told == {"none": "UNCOMPRESSED", "lz4": "LZ4_RAW"}.get(compression, compression.upper())
    assert sorted(table.scan().collect()["a"]) == [1, 2]


def test_nothing_but_the_table_s_files_is_left(load, job, tmp_path):
    table = job("select a, a % 2 as p from t", load(pl.DataFrame({"a": [1, 2]})), of(a="int64", p="int64"), ("p",))
    left = {path.name for path in Path(table.uri).rglob("*") if path.is_file() and "_delta_log" not in path.parts}
    assert left == {Path(file).name for file in table.files()}


@pytest.mark.parametrize(
    ("sql", "told"),
    [
        ("select cast(s as int) as a from t", "twelve"),
        ("select n * n as a from t", "overflow"),
        ("select cast(n as int) as a from t", "INT"),
        ("select cast(cast(n as decimal(5, 2)) as int) as a from t", "Decimal"),
        ("select n as a from t", "SMALLINT"),
    ],
    ids=["text", "product", "integer", "decimal", "target"],
)
def test_a_value_that_does_not_fit_ends_the_run_and_is_told(load, job, sql, told):
    source = load(pl.DataFrame({"n": [2**40], "s": ["twelve"]}))
    with pytest.raises(errors.QueryFailed, match="Spark ended the query") as failure:
        job(sql, source, of(a="int16"))
    assert told in failure.value.message
    assert "SQLSTATE" not in failure.value.message
    assert "TRY_CAST" in failure.value.hint


def test_a_failed_run_leaves_no_files(load, job, tmp_path):
    source = load(pl.DataFrame({"s": ["1", "twelve"]}))
    with pytest.raises(errors.QueryFailed):
        job("select cast(s as int) as a from t", source, of(a="int32"))
    made = tmp_path / "lake" / "gold"
    assert [path for path in made.rglob("*") if path.is_file()] == []


def test_an_input_whose_file_is_gone_is_told(load, job, tmp_path):
    source = load(pl.DataFrame({"a": [1]}))
    for file in open_table(source.uri).files():
        Path(file).unlink()
    with pytest.raises((errors.QueryFailed, errors.LakeUnavailable)):
        job("select a from t", source, of(a="int64"))


def test_decimals_are_rounded_away_from_zero_and_products_are_exact(load, job):
    rows = pl.DataFrame(
        {"p": [Decimal("0.125"), Decimal("-0.125")], "q": [Decimal("1.000000001")] * 2, "f": [0.125, -0.125]},
        schema_overrides={"p": pl.Decimal(18, 3), "q": pl.Decimal(18, 9)},
    )
    made = job("select p, p * q as x, f from t", load(rows), of(p="decimal(9,2)", x="decimal(38,12)", f="decimal(9,2)"))
    assert set(made.scan().collect().rows()) == {
        (Decimal("0.13"), Decimal("0.125000000125"), Decimal("0.13")),
        (Decimal("-0.13"), Decimal("-0.125000000125"), Decimal("-0.13")),
    }


@pytest.mark.s3
def test_a_lake_on_s3_is_copied_to_where_spark_can_read_it(s3_lake):
    from tests.workers.lake.conftest import load as load_table

    source = TableTarget(dataset="bronze.shop.orders", uri=f"{s3_lake}/bronze/spark", partition_by=("day",))
    rows = pl.DataFrame({"day": [date(2026, 1, 1), date(2026, 1, 1), date(2026, 1, 2)], "i": [1, 2, 3]})
    version = load_table(source, rows).version
    inputs = (TableInput(dataset=source.dataset, alias="t", uri=source.uri, version=version),)
    target = TableTarget(dataset="gold.shop.daily", uri=f"{s3_lake}/gold/spark", partition_by=("day",))
    spec = SqlSpec(run_id=str(new_run_id()), workflow="x", job="y", inputs=inputs, engine="spark", target=target,
                   sql="select day, sum(i) as total from t group by day", columns=of(day="date", total="int64"),
                   run_time=AT, settings=LOCAL)  # fmt: skip
    run(spec)
    assert sorted(open_table(target.uri).scan().collect().rows()) == [(date(2026, 1, 1), 3), (date(2026, 1, 2), 3)]
