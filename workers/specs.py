"""What crosses from the control plane to the data plane: frozen, JSON-able, complete.

A spec is stored on its run, so a run can be repeated and explained. It names
no secret: credentials come from the worker's environment.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any, Literal, TypeVar

from pydantic import TypeAdapter

from .errors import InvalidSpec

Spec = TypeVar("Spec")

Compression = Literal["snappy", "zstd", "gzip", "lz4", "none"]
Engine = Literal["polars", "duckdb", "spark"]


@cache
def _adapter(kind: type) -> TypeAdapter:
    return TypeAdapter(kind)


def to_json(spec: Any) -> dict[str, Any]:
    """A spec or result as plain JSON values."""
    return _adapter(type(spec)).dump_python(spec, mode="json")


def from_json(kind: type[Spec], data: dict[str, Any]) -> Spec:
    """The spec or result again. Raises pydantic's ValidationError on what does not fit."""
    return _adapter(kind).validate_python(data)


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column; `type` is spelled as in docs/types.md, e.g. `decimal(10,2)`."""

    name: str
    type: str
    nullable: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class TableTarget:
    """The Delta table that a run publishes to."""

    dataset: str  # layer.workflow.name
    uri: str  # a local absolute path, or s3://bucket/key
    partition_by: tuple[str, ...] = ()
    date_pattern: str = "yyyy/MM/dd"  # folders in front of the hive segment of a date partition
    compression: Compression = "snappy"


@dataclass(frozen=True, slots=True, kw_only=True)
class TableInput:
    """One pinned input of a query."""

    dataset: str
    alias: str
    uri: str
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFile:
    """One file as the source has it."""

    uri: str  # where the bytes are now: local absolute path
    name: str  # what the person calls it: `orders.csv`


@dataclass(frozen=True, slots=True, kw_only=True)
class CsvOptions:
    delimiter: str = ","
    quote_char: str = '"'  # empty: fields are never quoted
    has_header: bool = True
    encoding: str = "utf-8"
    null_values: tuple[str, ...] = ("",)
    skip_rows: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestFileSpec:
    """Files in, one Bronze version out."""

    run_id: str
    workflow: str
    job: str
    files: tuple[SourceFile, ...]
    format: Literal["csv", "json", "ndjson"]
    csv: CsvOptions = CsvOptions()
    records_path: str = ""  # where a JSON document keeps its records; empty: the top level
    landing_uri: str  # …/landing/{workflow}/{job}
    target: TableTarget
    schema_mode: Literal["infer", "user", "evolve"] = "infer"
    columns: tuple[Column, ...] = ()  # `user`: what the job declares; else what Bronze has so far
    write_mode: Literal["append", "overwrite"] = "overwrite"
    error_handling: Literal["fail", "quarantine"] = "fail"
    quarantine_uri: str = ""  # …/quarantine/{workflow}/{job}
    bad_row_threshold: float = 0.05  # a share of the rows read, 0..1
    ingested_at: datetime  # aware, UTC

    def __post_init__(self) -> None:
        if self.error_handling == "quarantine" and not self.quarantine_uri:
            raise InvalidSpec("error_handling='quarantine' needs a quarantine_uri.")
        if self.schema_mode == "user" and not self.columns:
            raise InvalidSpec("schema_mode='user' needs columns.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """The dates that a run is about; the SQL sees `:start_date` (inclusive) and `:end_date` (inclusive)."""

    start_date: str | None = None  # YYYY-MM-DD
    end_date: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SqlSpec:
    """A checked query over pinned inputs, one version of a Silver or Gold table out.

    `sql` is in the canonical dialect (DuckDB's). The executor guards it again:
    only text regenerated from a checked tree ever runs.
    """

    run_id: str
    workflow: str
    job: str
    inputs: tuple[TableInput, ...]
    sql: str
    columns: tuple[Column, ...]  # the target schema; the query's result is cast to it
    engine: Engine = "polars"
    target: TableTarget
    refresh_mode: Literal["full_refresh", "overwrite_partition", "append", "merge"] = "full_refresh"
    merge_keys: tuple[str, ...] = ()
    window: Window = Window()
    run_time: datetime  # aware, UTC
    memory_limit_mb: int = 2048
    settings: dict[str, Any] = field(default_factory=dict)
