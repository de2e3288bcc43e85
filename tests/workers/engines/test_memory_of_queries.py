"""What a query may use of memory, and what happens when it needs more: an error that says where to go."""

from __future__ import annotations

from datetime import UTC, datetime

import polars as pl
import pytest

from workers import errors
from workers.engines.memory import may_outgrow, needed_mb
from workers.engines.sql import check_sql
from workers.executors.sql import run
from workers.ids import new_run_id
from workers.lake.table import open_table
from workers.schema import columns_of
from workers.specs import Column, SqlSpec, TableTarget

ROWS = 4_000_000
SORTED = "select i, s from wide order by s desc, i"


@pytest.fixture(scope="session")
def wide(load):
    """Rows that take some 15 MB in files and a good 300 MB once they are sorted."""
    number = pl.int_range(ROWS, dtype=pl.Int64, eager=True)
    return load("wide", pl.DataFrame({"i": number}).with_columns(s=pl.format("text number {} of many, so long", "i")))


@pytest.fixture
def job(wide, tmp_path):
    def make(**changes) -> SqlSpec:
        facts = {
            "run_id": str(new_run_id()),
            "workflow": "shop",
            "job": "wide",
            "inputs": (wide,),
            "sql": SORTED,
            "columns": (Column(name="i", type="int64"), Column(name="s", type="string")),
            "target": TableTarget(dataset="silver.shop.wide", uri=f"{tmp_path}/silver/shop/wide"),
            "run_time": datetime(2026, 11, 22, tzinfo=UTC),
            "memory_limit_mb": 100,
        }
        return SqlSpec(**facts | changes)

    return make


def test_polars_ends_with_an_error_that_names_engines_that_can_and_nothing_is_left(job, tmp_path):
    with pytest.raises(errors.ResourceLimit, match=r"100 are allowed|more than 100 MB") as failure:
        run(job(engine="polars"))
    assert "duckdb" in failure.value.hint
    assert "spark" in failure.value.hint
    assert not list((tmp_path / "silver").rglob("*.parquet"))


def test_duckdb_does_the_same_in_so_much_memory_on_disk(job):
    assert run(job(engine="duckdb", memory_limit_mb=200)).rows_written == ROWS


@pytest.mark.parametrize("partition_by", [(), ("part",)])
def test_in_a_process_of_its_own_polars_makes_the_same_table(job, wide, partition_by):
    spec = job(
        sql="select i, i % 3 as part, count(*) over (partition by i % 7) as n from wide where i < 100 and s > ''",
        columns=(Column(name="i", type="int64"), Column(name="part", type="int64"), Column(name="n", type="int64")),
    )
    spec = job(sql=spec.sql, columns=spec.columns, target=TableTarget(
        dataset=spec.target.dataset, uri=spec.target.uri, partition_by=partition_by))  # fmt: skip
    table = open_table(wide.uri)
    checked = check_sql(spec.sql, {"wide": table.columns}, "polars")
    assert may_outgrow(checked, {"wide": table}, spec.memory_limit_mb)
    assert run(spec).rows_written == 100
    rows = open_table(spec.target.uri).scan().select("i", "part", "n").sort("i").collect().rows()
    assert rows == [(i, i % 3, len(range(i % 7, 100, 7))) for i in range(100)]


def test_a_value_that_does_not_fit_is_told_from_the_other_process_too(job):
    sql = f"{SORTED.replace('i, s', 'cast(s as int) as i, s')}"
    with pytest.raises(errors.QueryFailed, match="Polars ended the query"):
        run(job(sql=sql.replace("order by s desc, i", "where i < 10 order by s")))


@pytest.mark.parametrize(
    ("sql", "keeps"),
    [
        ("select i, s from wide where i > 10", False),
        ("select sum(i) as i from wide", False),
        ("select i from wide union all select i + 1 as i from wide", False),
        ("select i from wide union select i from wide", True),
        ("select distinct i from wide", True),
        ("select i from wide order by i", True),
        ("select i, row_number() over (order by i) as n from wide", True),
        ("select a.i from wide a join wide b on a.i = b.i", True),
        ("select i from wide where i in (select i from wide)", True),
    ],
)
def test_only_what_keeps_rows_is_counted(sql, keeps):
    columns = columns_of(pl.Schema({"i": pl.Int64(), "s": pl.String()}))
    assert check_sql(sql, {"wide": columns}, "polars").keeps_rows is keeps


def test_only_the_columns_that_are_read_count_and_those_of_exists_do_not(wide):
    tables = {"wide": open_table(wide.uri), "other": open_table(wide.uri)}
    known = {alias: table.columns for alias, table in tables.items()}

    def needed(sql: str) -> int:
        return needed_mb(check_sql(sql, known, "polars"), tables)

    # Twice: 8 bytes for a number, 32 for a text.
    assert needed("select i from wide order by i") == 2 * 8 * ROWS // 2**20
    assert needed("select i from wide order by s") == 2 * 40 * ROWS // 2**20
    exists = "select i from wide where exists (select * from other where other.i = wide.i)"
    assert needed(exists) == 2 * 16 * ROWS // 2**20
