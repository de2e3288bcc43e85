"""The first rows of a query, with nothing written and nothing at risk."""

from __future__ import annotations

import base64
from dataclasses import asdict
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import polars as pl

from workers.lake.table import open_table
from workers.results import Preview
from workers.sandbox import run_in_child
from workers.specs import Column, TableInput

from .base import Limits, engine_named
from .statement import ALL_DATES, CheckedSql, Parameters

MAX_ROWS = 50
MAX_TEXT = 1_000  # characters of one value
LIMITS = Limits(memory_mb=1024, threads=2, may_spill=False)
# A JVM takes longer to start than a preview may take, and has its own idea of memory limits.
STAND_INS = {"spark": ("duckdb", "DuckDB has shown these rows; a run of the job uses Spark.")}


def preview_sql(
    sql: str,
    inputs: tuple[TableInput, ...],
    engine: str,
    columns: tuple[Column, ...] | None = None,
    parameters: Parameters = ALL_DATES,
    limit: int = MAX_ROWS,
    limits: Limits = LIMITS,
    seconds: int = 30,
) -> Preview:
    """At most `limit` (50) rows of the query, cast to `columns` if they are given.

    The query is checked here and run in a child process, which may use so many
    `seconds` by the clock and of processor time. A query for Spark is checked
    for Spark and shown by DuckDB, which `note` says. Raises `SqlRejected`,
    `QueryFailed`, `ResourceLimit`, and `TableMissing` for an input that has no
    table yet.
    """
    from .sql import check_sql  # slow to import, and the child does without

    known = {each.alias: open_table(each.uri, each.version).columns for each in inputs}
    checked = check_sql(sql, known, engine, columns, parameters)
    stand_in, note = STAND_INS.get(engine, (engine, ""))
    if stand_in != engine:
        checked = check_sql(sql, known, stand_in, columns, parameters)
    answer = run_in_child(
        "workers.engines.preview:first_rows",
        {
            "checked": asdict(checked),
            "inputs": [asdict(each) for each in inputs],
            "limit": min(limit, MAX_ROWS),
            "limits": asdict(limits),
        },
        memory_mb=limits.memory_mb,
        cpu_seconds=seconds,
        wall_seconds=seconds,
    )
    rows = tuple(answer["rows"])
    return Preview(columns=checked.columns, rows=rows, rows_sampled=len(rows), sql=checked.statement, note=note)


def first_rows(spec: dict[str, Any]) -> dict[str, Any]:
    """In the child: run the checked query and give its rows as JSON values."""
    told = spec["checked"]
    columns = tuple(Column(**each) for each in told["columns"])
    checked = CheckedSql(**(told | {"columns": columns}))
    tables = {each["alias"]: open_table(each["uri"], each["version"]) for each in spec["inputs"]}
    limits = Limits(**spec["limits"])
    return {"rows": json_rows(engine_named(checked.engine).first_rows(checked, tables, spec["limit"], limits))}


def json_rows(frame: pl.DataFrame) -> list[dict[str, Any]]:
    """The rows with every value as JSON has it: dates and decimals as text, bytes in base 64, long text cut."""
    return [{name: _json(value) for name, value in row.items()} for row in frame.iter_rows(named=True)]


def _json(value: Any) -> Any:
    if isinstance(value, str):
        return value if len(value) <= MAX_TEXT else value[:MAX_TEXT] + "…"
    if isinstance(value, bytes):
        return _json(base64.b64encode(value).decode())
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, Decimal | timedelta):
        return str(value)
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return str(value)  # JSON has no NaN
    if isinstance(value, list):
        return [_json(each) for each in value[:MAX_ROWS]]
    if isinstance(value, dict):
        return {name: _json(each) for name, each in value.items()}
    return value
