"""Polars: the default engine. Reads and writes in a stream; sorts and joins are held in memory.

Polars has no limit of its own. A query whose inputs may outgrow the step's
memory runs in a process that is watched and ended (`polars_child.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import polars as pl

from workers.errors import QueryFailed, ResourceLimit
from workers.lake.stage import Staging
from workers.lake.table import Table
from workers.progress import Progress, silent
from workers.schema import parse_type
from workers.specs import Column

from .base import Limits
from .memory import may_outgrow
from .polars_child import stage_in_child
from .statement import CheckedSql


class PolarsEngine:
    name = "polars"

    def run(
        self,
        checked: CheckedSql,
        tables: Mapping[str, Table],
        staging: Staging,
        limits: Limits,
        progress: Progress = silent,
    ) -> None:
        if may_outgrow(checked, tables, limits.memory_mb):
            stage_in_child(checked, tables, staging, limits)
        else:
            sink(checked, tables, staging)

    def first_rows(self, checked: CheckedSql, tables: Mapping[str, Table], limit: int, limits: Limits) -> pl.DataFrame:
        with failing_clearly():
            return _plan(checked, tables).head(limit).collect(engine="streaming")


def sink(checked: CheckedSql, tables: Mapping[str, Table], staging: Staging) -> None:
    with failing_clearly():
        staging.sink(_plan(checked, tables))


def _plan(checked: CheckedSql, tables: Mapping[str, Table]) -> pl.LazyFrame:
    frames = {alias: tables[alias].scan() for alias in checked.inputs_used}
    # An explicit context: pl.sql() would read the caller's variables.
    rows = pl.SQLContext(frames, eager=False).execute(checked.statement)
    found = {name.lower(): (name, dtype) for name, dtype in rows.collect_schema().items()}
    return rows.select(_cast(*found[column.name.lower()], column) for column in checked.columns)


def _cast(name: str, found: pl.DataType, column: Column) -> pl.Expr:
    """The column as the target has it. Strict: a value that does not fit ends the query."""
    wanted, value = parse_type(column.type), pl.col(name)
    if isinstance(wanted, pl.Decimal) and (found.is_float() or found.is_decimal()):
        # The cast alone rounds halves to the even neighbour; DuckDB rounds them away from zero.
        value = value.round(wanted.scale, mode="half_away_from_zero")
    return (value if found == wanted else value.cast(wanted, strict=True)).alias(column.name)


@contextmanager
def failing_clearly() -> Iterator[None]:
    try:
        yield
    except MemoryError as error:
        raise ResourceLimit(
            "The query needed more memory than there is.", hint="Choose the engine duckdb, which works on disk."
        ) from error
    except pl.exceptions.PolarsError as error:
        reason = str(error).strip().splitlines()[0][:400]
        raise QueryFailed(
            f"Polars ended the query: {reason}",
            hint="A value does not fit its type? TRY_CAST gives null instead; CAST to a wider type keeps it.",
        ) from error
