"""A table or a query of a database."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pydantic import Field, model_validator

from assay.common.problems import Problem
from ops.connections.kinds import DATABASES
from ops.connections.models import Connection
from workers.errors import SourceMissing
from workers.specs import DatabaseSource

from .base import Name, Options, Source

if TYPE_CHECKING:
    from ingest.models import IngestJob


class DatabaseOptions(Options):
    connection: Name = Field(description="the connection that is read")
    table_name: str | None = Field(
        None, min_length=1, max_length=200, description="`schema.table`, read whole; a name with a dot stands in quotes"
    )
    query: str | None = Field(None, min_length=1, max_length=20_000, description="a SELECT, instead of a table")
    statement_timeout_seconds: int = Field(
        3600, ge=1, le=86_400, description="after so many seconds the server gives a statement up"
    )
    batch_rows: int = Field(
        50_000, ge=100, le=1_000_000, description="rows fetched at a time; PostgreSQL goes by their size instead"
    )

    @model_validator(mode="after")
    def _one_of_both(self) -> DatabaseOptions:
        if (self.table_name is None) == (self.query is None):
            raise ValueError("name either a table_name or a query")
        return self


class Database(Source):
    name, part, options, available = "database", "db", DatabaseOptions, True
    connection_kinds = DATABASES
    # Rows come typed: the format plays no part, so none is refused but the one for spreadsheets.
    formats = ("csv", "json", "ndjson", "parquet")

    def problems(self, options: DatabaseOptions, path: str) -> Iterator[Problem]:
        kind = _kind(options.connection)
        if options.query and kind and (problem := _query_problem(options.query, kind)):
            yield Problem(f"{path}.query", problem, "sql_rejected")

    def to_spec(self, options: DatabaseOptions, job: IngestJob) -> DatabaseSource:
        kind = _kind(options.connection)
        if kind is None:
            raise SourceMissing(
                f"There is no connection “{options.connection}”.", hint="Make it again, or name another one in the job."
            )
        return DatabaseSource(
            connection=options.connection,
            kind=kind,
            table_name=options.table_name or "",
            query=options.query or "",
            batch_rows=options.batch_rows,
            statement_timeout_seconds=options.statement_timeout_seconds,
        )

    def reading(self, options: DatabaseOptions) -> dict[str, Any]:
        """Whatever the job says: databases land Parquet."""
        return {"format": "parquet"}


def _kind(connection: str) -> str | None:
    return Connection.objects.filter(name=connection).values_list("kind", flat=True).first()


def _query_problem(query: str, kind: str) -> str:
    from workers.sources.database.queries import query_problem  # sqlglot takes a moment to import

    return query_problem(query, kind)
