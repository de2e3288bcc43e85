"""Asking the engines themselves, on tables without rows: does it bind, and what types come out?

DuckDB describes the statement, Polars builds its plan, and runs it only where
that is sure to be nothing: even without rows, constants can be made to grow.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from itertools import pairwise

import duckdb
import polars as pl

from workers.engines.statement import quoted
from workers.errors import SqlRejected
from workers.schema import duckdb_type, polars_schema
from workers.specs import Column

from .guard import place_at
from .types import assay_type

LOCKDOWN = """
SET TimeZone = 'UTC';
SET autoinstall_known_extensions = false; SET autoload_known_extensions = false; SET allow_community_extensions = false;
SET enable_external_access = false; SET lock_configuration = true;
"""


def duckdb_columns(statement: str, inputs: Mapping[str, tuple[Column, ...]], text: str) -> tuple[Column, ...]:
    """The names and types that DuckDB gives the result. Raises `SqlRejected` with its reason."""
    try:
        described = _described(statement, tuple(inputs.items()))
    except duckdb.Error as error:
        raise _duckdb_refusal(str(error), text) from None
    return tuple(_column(name, kind) for name, kind in described)


@lru_cache(maxsize=64)  # a form asks the same for every engine that it shows
def _described(statement: str, inputs: tuple[tuple[str, tuple[Column, ...]], ...]) -> list[tuple[str, str]]:
    connection = duckdb.connect(":memory:", config={"python_enable_replacements": "false", "threads": "1"})
    try:
        for alias, columns in inputs:
            fields = ", ".join(f"{quoted(column.name)} {duckdb_type(column.type)}" for column in columns)
            connection.execute(f"CREATE TABLE {quoted(alias)} ({fields})")
        connection.execute(LOCKDOWN)
        return [(name, kind) for name, kind, *_ in connection.execute(f"DESCRIBE {statement}").fetchall()]
    finally:
        connection.close()


def _column(name: str, kind: str) -> Column:
    known = assay_type(kind)
    if known is None:
        raise SqlRejected(
            f"{name} is of type {kind}, which a dataset cannot hold.",
            hint="Make it a number, a text or a date: for an interval, date_diff('day', a, b).",
        )
    return Column(name=name, type=known)


def _duckdb_refusal(message: str, text: str) -> SqlRejected:
    """DuckDB's first sentence, and the place in the person's own text of the word that its caret points to."""
    lines = message.splitlines()
    summary = re.sub(r"^(\w+ )*Error: ", "", lines[0])
    return SqlRejected(
        f"{summary}"[:400], hint="Check names, functions and types; see docs/sql.md.", **_caret(lines, text)
    )


def _caret(lines: list[str], text: str) -> dict[str, int]:
    for shown, pointer in pairwise(lines):
        if shown.startswith("LINE ") and pointer.strip() == "^":
            at = pointer.index("^")
            # At an operator the word before it tells the place.
            word = re.match(r'"?(\w+)', shown[at:]) or re.search(r"(\w+)\W*$", shown[:at])
            found = word and re.search(rf"\b{re.escape(word[1])}\b", text, re.IGNORECASE)
            return place_at(text, found.start()) if found else {}
    return {}


def polars_accepts(
    statement: str, inputs: Mapping[str, tuple[Column, ...]], text: str, *, harmless: bool = False
) -> None:
    """Raises `SqlRejected`, naming the engine that can, when Polars cannot do what DuckDB has accepted.

    A `harmless` statement is run on the empty tables: some of what Polars
    lacks it only says then.
    """
    frames = {alias: pl.LazyFrame(schema=polars_schema(columns)) for alias, columns in inputs.items()}
    try:
        # An explicit context: pl.sql() would read the caller's variables.
        plan = pl.SQLContext(frames, eager=False).execute(statement)
        plan.collect() if harmless else plan.collect_schema()
    except pl.exceptions.PolarsError as error:
        raise polars_refusal(error, text) from None


def polars_refusal(error: Exception, text: str) -> SqlRejected:
    reason = str(error).splitlines()[0][:300]
    word = re.search(r"function '(\w+)'", reason)
    found = word and re.search(rf"\b{re.escape(word[1])}\b", text, re.IGNORECASE)
    facts = place_at(text, found.start()) if found else {}
    return SqlRejected(
        f"Polars cannot run this query: {reason}.",
        hint="The engine duckdb can: choose it for this job, or write it in another way.",
        engines=["duckdb"],
        **facts,
    )
