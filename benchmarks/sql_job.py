"""A SQL job against the bare engine: the same query on the same files.

    python -m benchmarks.sql_job [--rows 6000000] [--repeat 3]

"bare" reads the Parquet files and writes one; "job" is `run_sql`: check,
read at a pinned version, cast, stage, audit and commit.
"""

from __future__ import annotations

import argparse
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import polars as pl

from benchmarks.harness import compare
from workers.engines.sql import check_sql
from workers.executors.sql import run as run_sql
from workers.ids import new_run_id
from workers.lake.publish import publish
from workers.lake.stage import Staging
from workers.lake.table import open_table
from workers.schema import columns_of
from workers.specs import SqlSpec, TableInput, TableTarget

QUERIES = {
    "join, aggregate to few rows": """
        select c.country, date_trunc('month', l.day) as month, sum(l.price * (1 - l.discount)) as revenue,
          sum(l.quantity) as units, count(*) as lines
        from lines l join customers c on c.customer_id = l.customer_id
        group by c.country, date_trunc('month', l.day)""",
    "join, write every row": """
        select l.line_id, l.day, c.country, l.quantity, l.price * (1 - l.discount) as net
        from lines l join customers c on c.customer_id = l.customer_id where l.quantity > 2""",
}


def write_tables(lake: str, rows: int) -> None:
    """Lines as large as TPC-H's at scale 1 (6 million), and their customers."""
    number = pl.int_range(rows, dtype=pl.Int64)
    lines = pl.LazyFrame().select(
        line_id=number,
        customer_id=(number * 7919) % 150_000,
        day=pl.date(1992, 1, 1) + pl.duration(days=(number * 31) % 2500),
        quantity=((number * 17) % 50 + 1).cast(pl.Int32),
        price=(((number * 104_729) % 10_000_000) / 100).cast(pl.Decimal(12, 2)),
        discount=((number % 11) / 100).cast(pl.Decimal(12, 2)),
    )
    key = pl.int_range(150_000, dtype=pl.Int64)
    customers = pl.LazyFrame().select(customer_id=key, country=pl.format("country {}", key % 25))
    for name, frame in {"lines": lines, "customers": customers}.items():
        target, run_id = _target(lake, name), str(new_run_id())
        with Staging(target, run_id) as staging:
            staging.sink(frame)
            columns = columns_of(frame.collect_schema())
            publish(target, staging.files, run_id=run_id, mode="overwrite", columns=columns)


def _target(lake: str, name: str) -> TableTarget:
    return TableTarget(dataset=f"silver.bench.{name}", uri=f"{lake}/silver/bench/{name}")


def bare_polars(lake: str, sql: str) -> None:
    frames = {name: pl.scan_parquet(open_table(_target(lake, name).uri).files()) for name in ("lines", "customers")}
    pl.SQLContext(frames).execute(sql).sink_parquet(f"{lake}/bare.parquet", compression="snappy")


def bare_duckdb(lake: str, sql: str) -> None:
    connection = duckdb.connect()
    for name in ("lines", "customers"):
        files = open_table(_target(lake, name).uri).files()
        connection.execute(f"CREATE VIEW {name} AS SELECT * FROM read_parquet({files})")
    connection.execute(f"COPY ({sql}) TO '{lake}/bare.parquet' (FORMAT parquet)")


def job_polars(lake: str, sql: str) -> None:
    _run(lake, sql, "polars")


def job_duckdb(lake: str, sql: str) -> None:
    _run(lake, sql, "duckdb")


def _run(lake: str, sql: str, engine: str) -> None:
    tables = {name: open_table(_target(lake, name).uri) for name in ("lines", "customers")}
    inputs = tuple(
        TableInput(dataset=f"silver.bench.{name}", alias=name, uri=table.uri, version=table.version)
        for name, table in tables.items()
    )
    columns = check_sql(sql, {name: table.columns for name, table in tables.items()}, "duckdb").columns
    run_sql(
        SqlSpec(
            run_id=str(new_run_id()),
            workflow="bench",
            job="revenue",
            inputs=inputs,
            sql=sql,
            columns=columns,
            engine=engine,
            target=TableTarget(dataset="gold.bench.revenue", uri=f"{lake}/gold/bench/revenue"),
            run_time=datetime.now(UTC),
        )
    )


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rows", type=int, default=6_000_000)
    options.add_argument("--repeat", type=int, default=3)
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        lake = str(Path(folder) / "lake")
        write_tables(lake, given.rows)
        for title, sql in QUERIES.items():
            for engine in ("polars", "duckdb"):
                sides = {
                    f"bare {engine}": f"benchmarks.sql_job:bare_{engine}",
                    "job": f"benchmarks.sql_job:job_{engine}",
                }
                compare(f"{title}, {given.rows:,} rows, {engine}", sides, {"lake": lake, "sql": sql}, given.repeat)


if __name__ == "__main__":
    main()
