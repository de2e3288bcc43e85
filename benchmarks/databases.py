"""Databases against the bare driver on the same table.

    python -m benchmarks.databases [--rows 2000000] [--repeat 3] [--postgres URL] [--mariadb URL]

"bare ADBC" fetches record batches and writes them to one Parquet file as they
come, decimals as text. "whole run" is everything: landing with types and
hash, reading, audit and commit. "last 1 %" is an incremental run of a job
that has read the other 99 %. dlt loads with its fastest backend that keeps
all types, on Arrow, into a Delta table.
"""

from __future__ import annotations

import argparse
import re
import shutil
import tempfile
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pymysql
from adbc_driver_postgresql import dbapi

from benchmarks.harness import compare
from workers.access import Access, Connection
from workers.executors.ingest.run import run_ingest
from workers.ids import new_run_id
from workers.network import NetworkPolicy
from workers.specs import DatabaseSource, IngestSpec, TableTarget, Watermark

POSTGRES_URL = "postgresql://postgres@127.0.0.1:5432/postgres"
MARIADB_URL = "mysql://root@127.0.0.1:3306/test"
DATABASE = "assay_bench"
WARM_UP_ROWS = 50_000
COLUMNS = """
    order_id bigint PRIMARY KEY, customer_id bigint, product varchar(40), quantity int, unit_price numeric(12,2),
    discount double precision, country char(2), status varchar(20), is_gift boolean, order_date date,
    updated_at {moment}, note text
"""
_SELECT = """
    SELECT i, i * 7919 % 250000, {product}, i % 20 + 1, {price}, i % 40 / 100.0,
           {country}, {status}, i % 10 = 0, {day}, {stamp}, {note}
    FROM {series}
"""


def bare(url: str, table: str, folder: str) -> None:
    with closing(dbapi.connect(_plain(url))) as link, closing(link.cursor()) as cursor:
        cursor.execute(f"SELECT * FROM {table}")
        with closing(cursor.fetch_record_batch()) as stream:
            plain = pa.schema([pa.field(f.name, getattr(f.type, "storage_type", f.type)) for f in stream.schema])
            with pq.ParquetWriter(f"{folder}/bare.parquet", plain, compression="snappy") as sink:
                for batch in stream:
                    arrays = [getattr(values, "storage", values) for values in batch.columns]
                    sink.write_batch(pa.record_batch(arrays, schema=plain))


def bare_part(url: str, table: str, folder: str, column: str, since: str) -> None:
    """The rows that the incremental run reads."""
    bare(url, f"{table} WHERE {column} >= '{since}'", folder)


def bare_rows(url: str, table: str, folder: str) -> None:
    """MariaDB: the driver's rows, thrown away."""
    with closing(_mariadb(url)) as link, link.cursor(pymysql.cursors.SSCursor) as cursor:
        cursor.execute(f"SELECT * FROM {table}")
        while cursor.fetchmany(50_000):
            pass


def whole(url: str, table: str, folder: str) -> None:
    """The whole job, in a lake of its own for each kind of database: their types differ."""
    run_ingest(_spec(url, table, f"{folder}/whole-{urlsplit(_plain(url)).scheme}"), access=_access(url))


def part(url: str, table: str, folder: str, column: str, since: str) -> None:
    """The last 1 %, appended to a lake that has the rest; `prepare` has made one for each call."""
    lake = sorted(Path(folder, "lakes").iterdir())[0]
    ready = lake.rename(Path(folder, f"used-{lake.name}"))
    watermark = Watermark(column=column, last=since)
    run_ingest(_spec(url, table, str(ready), watermark=watermark, write_mode="append"), access=_access(url))
    shutil.rmtree(ready)


def _spec(url: str, table: str, lake: str, **changes: object) -> IngestSpec:
    facts = {
        "run_id": str(new_run_id()),
        "workflow": "bench",
        "job": "orders",
        "source": DatabaseSource(connection="db", kind=urlsplit(_plain(url)).scheme, table_name=table),
        "format": "parquet",
        "landing_uri": f"{lake}/landing/bench/orders",
        "target": TableTarget(
            dataset="bronze.bench.orders", uri=f"{lake}/bronze/bench/orders", partition_by=("_ingest_date",)
        ),
        "ingested_at": datetime(2026, 1, 1, tzinfo=UTC),
    }
    return IngestSpec(**facts | changes)


def _plain(url: str) -> str:
    """Without the driver, which only SQLAlchemy, and so dlt, wants to be told."""
    return re.sub(r"^(\w+)\+\w+:", r"\1:", url)


def _access(url: str) -> Access:
    parts = urlsplit(_plain(url))
    connection = Connection(
        name="db",
        kind=parts.scheme,
        host=parts.hostname or "127.0.0.1",
        port=parts.port,
        database=parts.path.lstrip("/"),
        username=parts.username or "",
        password=parts.password or "",
    )
    return Access(connections={"db": connection}, services=NetworkPolicy(allow=("*",)))


def _mariadb(url: str) -> pymysql.Connection:
    parts = urlsplit(url)
    told = {
        "host": parts.hostname,
        "port": parts.port or 3306,
        "user": parts.username,
        "password": parts.password or "",
    }
    return pymysql.connect(**told, database=parts.path.lstrip("/"), autocommit=True)


def fill_postgres(url: str, table: str, rows: int) -> str:
    """The table, and the moment from which the last 1 % of its rows were updated."""
    select = _SELECT.format(
        product="'SKU-' || (i * 31 % 9000)",
        price="(i * 37 % 5000000)::numeric / 100",
        country="(ARRAY['DE','FR','US','GB','NL','ES','IT','PL'])[i % 8 + 1]",
        status="(ARRAY['paid','shipped','returned','open'])[i % 4 + 1]",
        day="date '2024-01-01' + (i % 700)::int",
        stamp="timestamptz '2024-01-01' + i * interval '7 seconds'",
        note="'note ' || md5(i::text) || ' for the order'",
        series=f"generate_series(1, {rows}::bigint) i",
    )
    with psycopg.connect(url, autocommit=True) as server:
        server.execute(f"CREATE TABLE {table} ({COLUMNS.format(moment='timestamptz')})")
        server.execute(f"INSERT INTO {table} {select}")
        server.execute(f"CREATE INDEX ON {table} (updated_at)")
        server.execute(f"VACUUM ANALYZE {table}")
        mark = server.execute(f"SELECT updated_at FROM {table} WHERE order_id = {rows * 99 // 100}").fetchone()[0]
        return mark.astimezone(UTC).isoformat()


def fill_mariadb(url: str, table: str, rows: int) -> None:
    select = _SELECT.format(
        product="concat('SKU-', i * 31 % 9000)",
        price="cast(i * 37 % 5000000 as decimal(12,2)) / 100",
        country="elt(i % 8 + 1, 'DE','FR','US','GB','NL','ES','IT','PL')",
        status="elt(i % 4 + 1, 'paid','shipped','returned','open')",
        day="date '2024-01-01' + interval i % 700 day",
        stamp="timestamp '2024-01-01 00:00:00' + interval i * 7 second",
        note="concat('note ', md5(i), ' for the order')",
        series=f"(SELECT seq i FROM seq_1_to_{rows}) s",
    )
    with closing(_mariadb(url)) as server, server.cursor() as cursor:
        cursor.execute(f"DROP TABLE IF EXISTS {table}")
        cursor.execute(f"CREATE TABLE {table} ({COLUMNS.format(moment='datetime(6)')}) CHARACTER SET utf8mb4")
        cursor.execute(f"INSERT INTO {table} {select}")


def prepare(url: str, table: str, folder: str, mark: str, calls: int) -> str:
    """A lake for each call that holds what is older than the mark; says how far its watermark is."""
    first = Path(folder, "first")
    old = DatabaseSource(connection="db", kind="postgresql", query=f"SELECT * FROM {table} WHERE updated_at < '{mark}'")
    spec = _spec(url, table, str(first), source=old, watermark=Watermark(column="updated_at"), write_mode="append")
    last = run_ingest(spec, access=_access(url)).watermark
    shutil.rmtree(first / "landing")
    for number in range(calls):
        shutil.copytree(first, Path(folder, "lakes", str(number)))
    shutil.rmtree(first)
    return last


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--postgres", default=POSTGRES_URL)
    parser.add_argument("--mariadb", default=MARIADB_URL)
    parser.add_argument(
        "--no-dlt", action="store_true", help="leave dlt out, whose environment takes a minute to set up"
    )
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="assay-bench-") as folder:
        Path(folder, "warm-up").mkdir()
        if asked.postgres:
            _compare_postgres(asked, folder)
        if asked.mariadb:
            _compare_mariadb(asked, folder)


def _compare_postgres(asked: argparse.Namespace, folder: str) -> None:
    url = urlsplit(asked.postgres)._replace(path=f"/{DATABASE}").geturl()
    with psycopg.connect(asked.postgres, autocommit=True) as server:
        server.execute(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")
        server.execute(f"CREATE DATABASE {DATABASE}")
        try:
            marks, places = {}, {"small": f"{folder}/warm-up", "orders": folder}
            for table, rows in (("small", WARM_UP_ROWS), ("orders", asked.rows)):
                mark = fill_postgres(url, table, rows)
                marks[table] = prepare(url, table, places[table], mark, asked.repeat)
            told = url.replace("postgresql:", "postgresql+psycopg2:")
            warm_up, facts = ({"url": told, "table": table, "folder": places[table]} for table in places)
            sides = {"bare ADBC to Parquet": "bare", "Assay, whole run": "whole", "dlt to Delta": "dlt:load_table"}
            _compare(f"PostgreSQL: {asked.rows:,} rows × 12, full", sides, facts, asked, warm_up)
            warm_up |= {"column": "updated_at", "since": marks["small"]}
            facts |= {"column": "updated_at", "since": marks["orders"]}
            sides = {
                "bare ADBC to Parquet": "bare_part",
                "Assay, whole run": "part",
                "dlt to Delta": "dlt:load_table_since",
            }
            _compare("PostgreSQL: the last 1 %, incremental", sides, facts, asked, warm_up)
        finally:
            server.execute(f"DROP DATABASE {DATABASE} WITH (FORCE)")


def _compare_mariadb(asked: argparse.Namespace, folder: str) -> None:
    tables = {"small": WARM_UP_ROWS, "orders": asked.rows}
    for table, rows in tables.items():
        fill_mariadb(asked.mariadb, f"{DATABASE}_{table}", rows)
    facts, warm_up = (
        {"url": asked.mariadb, "table": f"{DATABASE}_{table}", "folder": folder} for table in ("orders", "small")
    )
    sides = {"bare driver, rows thrown away": "bare_rows", "Assay, whole run": "whole"}
    _compare(f"MariaDB: {asked.rows:,} rows × 12, full", sides, facts, asked, warm_up)
    with closing(_mariadb(asked.mariadb)) as server, server.cursor() as cursor:
        for table in tables:
            cursor.execute(f"DROP TABLE {DATABASE}_{table}")


def _compare(title: str, sides: dict[str, str], facts: dict, asked: argparse.Namespace, warm_up: dict) -> None:
    functions = {
        name: f"dlt:benchmarks.dlt_side:{side[4:]}" if side.startswith("dlt:") else f"benchmarks.databases:{side}"
        for name, side in sides.items()
        if not (asked.no_dlt and side.startswith("dlt:"))
    }
    compare(title, functions, facts, asked.repeat, warm_up)


if __name__ == "__main__":
    main()
