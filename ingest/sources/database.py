"""A table or a query of a database."""

from __future__ import annotations

from pydantic import Field, model_validator

from ops.connections.kinds import DATABASES

from .base import Name, Options, Source


class DatabaseOptions(Options):
    connection: Name = Field(description="the connection that is read")
    table_name: str | None = Field(None, min_length=1, max_length=200, description="`schema.table`, read whole")
    query: str | None = Field(None, min_length=1, max_length=20_000, description="a SELECT, instead of a table")

    @model_validator(mode="after")
    def _one_of_both(self) -> DatabaseOptions:
        if (self.table_name is None) == (self.query is None):
            raise ValueError("name either a table_name or a query")
        return self


class Database(Source):
    name, part, options = "database", "db", DatabaseOptions
    connection_kinds = DATABASES
    # Rows come typed: the format plays no part, so none is refused but the one for spreadsheets.
    formats = ("csv", "json", "ndjson", "parquet")
