"""What comes back from the data plane: frozen, JSON-able facts about what was done."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .specs import Column


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaChange:
    """One difference between the table before and after a run."""

    column: str
    change: str  # added | widened; when all rows are replaced also changed | removed
    old: str | None
    new: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ContractChange:
    """A difference that no rule allows: a person decides whether the table follows."""

    column: str
    change: str  # type | missing | added | required
    old: str | None
    new: str | None  # of a missing column: the one that it may have become
    examples: tuple[str, ...] = ()
    rows: int = 0  # that were refused because of it


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRead:
    """A file of the source, and what the run did with it."""

    name: str
    size: int  # bytes
    sha256: str
    mark: str = ""  # as in specs.SourceFile
    loaded_by: str = ""  # an earlier run that had loaded the same content: the file was skipped


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """What a commit made. `already` is true when an earlier try of the same run had made it."""

    version: int
    rows: int  # rows that this run's files hold
    table_rows: int  # rows in the table at that version
    table_bytes: int
    table_files: int
    already: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """A table that the run wrote beside its own, of records that were nested in it."""

    dataset: str
    path: str
    published: Published
    columns: tuple[Column, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StepResult:
    """What every executor returns. Always rows_read == rows_written + quarantined_rows for an ingest.

    A source may send more than is read: what a named rule left out is counted in `skipped`.

    A query's `rows_read` is the number of rows in its pinned inputs.
    """

    rows_read: int
    rows_written: int
    quarantined_rows: int = 0
    published: Published | None  # None: there was no table yet, and nothing came that could make one
    columns: tuple[Column, ...]  # the table's schema at that version, provenance columns included
    schema_changes: tuple[SchemaChange, ...] = ()
    landing_path: str = ""  # relative to the lake
    quarantine_path: str = ""
    reasons: dict[str, int] = field(default_factory=dict)  # quarantined rows by reason
    checks: tuple[dict[str, Any], ...] = ()  # {name, passed, detail}: what the audit looked at
    phases: dict[str, float] = field(default_factory=dict)  # seconds in land, read, audit, publish
    skipped: dict[str, int] = field(default_factory=dict)  # rows left out, by rule: already_loaded, before_watermark, …
    deleted_rows: int = 0  # of the table: gone at the source, or in a window that was replaced
    watermark: str | int | float | None = None  # how far the table is after this run
    files: tuple[FileRead, ...] = ()
    children: tuple[Child, ...] = ()
    contract_changes: tuple[ContractChange, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)  # what else is worth telling: null_watermarks, late, requests


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """The first rows of something, with nothing written. `rows` are JSON-able, at most 50."""

    columns: tuple[Column, ...]
    rows: tuple[dict[str, Any], ...]
    profile: tuple[dict[str, Any], ...] = ()  # a column each: {name, type, nulls, distinct, min, max, examples}
    rejected: tuple[dict[str, Any], ...] = ()  # the first rows that would not load: {_line, _column, _reason, _raw}
    rows_sampled: int = 0
    children: tuple[dict[str, Any], ...] = ()  # the tables that lists would become: {dataset, path, columns}
    sql: str = ""  # the text that ran, for a query
    note: str = ""  # what to know about these rows, in a sentence
