"""Jobs that read a database, and what became of their rows."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import polars as pl
import psycopg
import pymysql
import pytest

from workers.access import Access, Connection
from workers.executors.ingest.run import run_ingest
from workers.ids import new_run_id
from workers.network import NetworkPolicy
from workers.results import StepResult
from workers.specs import DatabaseSource, IngestSpec, TableTarget

AT = datetime(2026, 11, 22, 10, 30, tzinfo=UTC)
PROVENANCE = ["_ingested_at", "_run_id", "_source_file"]
LOCAL = NetworkPolicy(allow=("*",))


class Job:
    """A job on one database, with a lake of its own."""

    def __init__(self, lake: Path, connection: Connection) -> None:
        self.lake, self.connection = lake, connection

    @property
    def access(self) -> Access:
        return Access(connections={"db": self.connection}, services=LOCAL)

    def spec(self, table_name: str = "", *, query: str = "", timeout: int = 60, **changes: object) -> IngestSpec:
        facts = {
            "run_id": str(new_run_id()),
            "workflow": "shop",
            "job": "orders",
            "source": DatabaseSource(
                connection="db",
                kind=self.connection.kind,
                table_name=table_name,
                query=query,
                statement_timeout_seconds=timeout,
            ),
            "format": "parquet",
            "landing_uri": f"{self.lake}/landing/shop/orders",
            "quarantine_uri": f"{self.lake}/quarantine/shop/orders",
            "target": TableTarget(dataset="bronze.shop.orders", uri=f"{self.lake}/bronze/shop/orders"),
            "ingested_at": AT,
        }
        return IngestSpec(**facts | changes)

    def run(self, table_name: str = "", **changes: object) -> StepResult:
        result = run_ingest(self.spec(table_name, **changes), access=self.access)
        assert result.rows_read == result.rows_written + result.quarantined_rows
        return result

    def rows(self) -> pl.DataFrame:
        return pl.read_delta(f"{self.lake}/bronze/shop/orders").drop(PROVENANCE)

    def quarantine(self) -> list[tuple]:
        rows = pl.concat(map(pl.read_parquet, Path(self.lake, "quarantine").rglob("*.parquet")))
        return rows.sort("_line").select("_line", "_column", "_reason").rows()


def types_of(result: StepResult) -> dict[str, str]:
    return {column.name: column.type for column in result.columns if column.name not in PROVENANCE}


def connection_of(url: str, **changes: object) -> Connection:
    parts = urlsplit(url)
    facts = {
        "name": "db",
        "kind": parts.scheme,
        "host": parts.hostname,
        "port": parts.port,
        "database": parts.path.lstrip("/"),
        "username": parts.username or "",
        "password": parts.password or "",
    }
    return Connection(**facts | changes)


@pytest.fixture
def postgres(postgres_url, tmp_path):
    """A job on an empty PostgreSQL database, and a way to run SQL there."""
    with psycopg.connect(postgres_url, autocommit=True) as server:
        yield Job(tmp_path / "lake", connection_of(postgres_url)), server.execute


@pytest.fixture
def mariadb(mariadb_url, tmp_path):
    """A job on an empty MariaDB database, and a way to run SQL there."""
    connection = connection_of(mariadb_url)
    server = pymysql.connect(
        host=connection.host,
        port=connection.port,
        user=connection.username,
        password=connection.password,
        database=connection.database,
        autocommit=True,
    )
    with server, server.cursor() as cursor:
        yield Job(tmp_path / "lake", connection), cursor.execute
