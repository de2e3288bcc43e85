"""What crosses from the control plane to the data plane: frozen, JSON-able, complete.

A spec is stored on its run, so a run can be repeated and explained. It holds
no secret: what a step needs to reach its source comes beside it (access.py).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Discriminator, TypeAdapter

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

    uri: str  # where the bytes are now: a local absolute path, or s3://bucket/key
    name: str  # what the person calls it: `orders.csv`
    mark: str = ""  # what the source says of its content (size and time, or ETag); empty when it says nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class FilesSource:
    files: tuple[SourceFile, ...]
    connection: str = ""  # of S3; empty: the worker's own credentials
    known_files: int = 0  # others, which the source still has as they were when they were loaded
    type: Literal["files"] = "files"


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseSource:
    """A table or a query; exactly one of both is given."""

    connection: str
    kind: str  # postgresql | mysql | sqlite | mssql | oracle
    table_name: str = ""
    query: str = ""
    batch_rows: int = 50_000
    statement_timeout_seconds: int = 3600
    type: Literal["database"] = "database"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiSource:
    """Pages of an HTTP API. `auth` and `pagination` are as in docs/ingest.md; secrets are not in it."""

    url: str
    connection: str = ""
    method: Literal["GET", "POST"] = "GET"
    headers: dict[str, str] = field(default_factory=dict)
    params: dict[str, Any] = field(default_factory=dict)
    body: Any = None
    auth: dict[str, Any] = field(default_factory=dict)
    pagination: dict[str, Any] = field(default_factory=dict)
    watermark: dict[str, Any] = field(default_factory=dict)  # which parameter takes the watermark's lower bound
    limits: dict[str, Any] = field(default_factory=dict)  # timeouts, tries, rate, pages
    type: Literal["api"] = "api"


Source = Annotated[FilesSource | DatabaseSource | ApiSource, Discriminator("type")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Watermark:
    """How far a job has read, by a column that grows. Values are JSON: a number, or a text that sorts (ISO 8601)."""

    column: str
    last: str | int | float | None = None  # the greatest value that is published; None: nothing yet
    lag: str = ""  # how far behind it a run looks again: `15m`, `2h`, `1d`, or a number; empty: not at all


@dataclass(frozen=True, slots=True, kw_only=True)
class Nested:
    """What becomes of a nested value, by its path in the record: `customer`, `order.items`."""

    path: str
    keep_as: Literal["flatten", "json", "child_table"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """The dates that a run is about; the SQL sees `:start_date` (inclusive) and `:end_date` (inclusive)."""

    start_date: str | None = None  # YYYY-MM-DD
    end_date: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CsvOptions:
    delimiter: str = ","
    quote_char: str = '"'  # empty: fields are never quoted
    has_header: bool = True
    encoding: str = "utf-8"
    null_values: tuple[str, ...] = ("",)
    skip_rows: int = 0
    decimal: Literal[".", ","] = "."
    date_formats: tuple[str, ...] = ()  # strptime's; tried in this order before those that are known


@dataclass(frozen=True, slots=True, kw_only=True)
class ExcelOptions:
    sheet: str = ""  # empty: the first
    header_row: int = 1  # its number in the sheet, from 1; 0: there is none


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestSpec:
    """A source in, one Bronze version out."""

    run_id: str
    workflow: str
    job: str
    source: Source
    format: Literal["csv", "json", "ndjson", "parquet", "excel"]  # of what is landed; databases land Parquet
    csv: CsvOptions = CsvOptions()
    excel: ExcelOptions = ExcelOptions()
    records_path: str = ""  # where a JSON document keeps its records; empty: the top level
    nested: tuple[Nested, ...] = ()
    landing_uri: str  # …/landing/{workflow}/{job}
    target: TableTarget
    schema_mode: Literal["infer", "user", "evolve"] = "infer"
    columns: tuple[Column, ...] = ()  # `user`: what the job declares; else what is settled of some of them
    renames: dict[str, str] = field(default_factory=dict)  # the source's name -> the table's
    write_mode: Literal["append", "overwrite", "merge"] = "overwrite"
    key_columns: tuple[str, ...] = ()  # what identifies a record: for merge, deletes and child tables
    watermark: Watermark | None = None  # incremental jobs have one
    window: Window = Window()  # replace exactly the rows of these days, by the watermark's column
    delete_detection: Literal["off", "soft", "hard"] = "off"
    skip_loaded_files: bool = True  # files whose content was loaded before; an overwrite reads them all the same
    error_handling: Literal["fail", "quarantine"] = "fail"
    quarantine_uri: str = ""  # …/quarantine/{workflow}/{job}
    bad_row_threshold: float = 0.05  # a share of the rows read, 0..1
    ingested_at: datetime  # aware, UTC

    def __post_init__(self) -> None:
        if self.error_handling == "quarantine" and not self.quarantine_uri:
            raise InvalidSpec("error_handling='quarantine' needs a quarantine_uri.")
        if self.schema_mode == "user" and not self.columns:
            raise InvalidSpec("schema_mode='user' needs columns.")
        if self.write_mode == "merge" and not self.key_columns:
            raise InvalidSpec("write_mode='merge' needs key_columns.")


RefreshMode = Literal["full_refresh", "overwrite_partition", "append", "merge"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetSpec:
    """What every run of a Silver or Gold job has: pinned inputs in, one version of a table out.

    What a template needs on top stands in a spec of its own (template_specs.py); `type` tells them apart.
    """

    run_id: str
    workflow: str
    job: str
    inputs: tuple[TableInput, ...]
    columns: tuple[Column, ...]  # the target schema; what is made is cast to it
    engine: Engine = "polars"
    target: TableTarget
    refresh_mode: RefreshMode = "full_refresh"
    merge_keys: tuple[str, ...] = ()
    window: Window = Window()
    run_time: datetime  # aware, UTC
    memory_limit_mb: int = 2048
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class SqlSpec(DatasetSpec):
    """A checked query over the inputs.

    `sql` is in the canonical dialect (DuckDB's). The executor guards it again:
    only text regenerated from a checked tree ever runs.
    """

    sql: str
    type: Literal["sql"] = "sql"
