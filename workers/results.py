"""What comes back from the data plane: frozen, JSON-able facts about what was done."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .specs import Column


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaChange:
    """One difference between the table before and after a run."""

    column: str
    change: str  # added | widened
    old: str | None
    new: str


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
class StepResult:
    """What every executor returns. Always rows_read == rows_written + quarantined_rows for an ingest.

    A query's `rows_read` is the number of rows in its pinned inputs.
    """

    rows_read: int
    rows_written: int
    quarantined_rows: int = 0
    published: Published
    columns: tuple[Column, ...]  # the table's schema at that version, provenance columns included
    schema_changes: tuple[SchemaChange, ...] = ()
    landing_path: str = ""  # relative to the lake
    quarantine_path: str = ""
    reasons: dict[str, int] = field(default_factory=dict)  # quarantined rows by reason
    checks: tuple[dict[str, Any], ...] = ()  # {name, passed, detail}: what the audit looked at
    phases: dict[str, float] = field(default_factory=dict)  # seconds in land, read, audit, publish


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """The first rows of something, with nothing written. `rows` are JSON-able, at most 50."""

    columns: tuple[Column, ...]
    rows: tuple[dict[str, Any], ...]
    profile: tuple[dict[str, Any], ...] = ()  # a column each: {name, type, nulls, distinct, min, max, examples}
    rejected: tuple[dict[str, Any], ...] = ()  # the first rows that would not load: {_line, _column, _reason, _raw}
    rows_sampled: int = 0
    sql: str = ""  # the text that ran, for a query
