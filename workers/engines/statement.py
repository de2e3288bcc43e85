"""A query that has been checked, as it travels: without the checker, which is slow to import."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime

from workers.specs import Column


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """What `:start_date`, `:end_date` and `:run_time` stand for; a run without dates is about all of them."""

    start_date: date = date.min
    end_date: date = date.max
    run_time: datetime = datetime(2000, 1, 1, tzinfo=UTC)  # aware


ALL_DATES = Parameters()


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedSql:
    """A query that may run. Made by `check_sql` only."""

    sql: str  # canonical: parsed and written again, parameters still in it; checking it gives itself
    engine: str
    statement: str  # what the engine runs: parameters bound, rewritten so that engines agree
    columns: tuple[Column, ...]  # of the result: the target's, where there is a target
    query_columns: tuple[Column, ...]  # of the query itself, before it is cast to the target
    inputs_used: tuple[str, ...]  # aliases
    column_lineage: dict[str, tuple[tuple[str, str], ...]]  # output → (alias, input column) pairs
    parameters_used: tuple[str, ...] = ()  # of start_date, end_date, run_time
    columns_read: dict[str, tuple[str, ...]] = field(default_factory=dict)  # of each input, wherever they are named
    keeps_rows: bool = True  # whether rows must be kept while it runs: it joins, sorts, groups or compares them
    left_out: tuple[str, ...] = ()  # columns of the query that the target does not have


def quoted(name: str) -> str:
    """A name as DuckDB's dialect quotes it."""
    return '"' + name.replace('"', '""') + '"'
