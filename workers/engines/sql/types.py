"""Types across engines: what DuckDB calls them, what Assay calls them, and what may become what."""

from __future__ import annotations

import re

import polars as pl

from workers.schema import duckdb_type, parse_type, split_top_level

_ASSAY = {
    "VARCHAR": "string", "JSON": "string", "UUID": "string", "BOOLEAN": "boolean", "TINYINT": "int8",
    "SMALLINT": "int16", "INTEGER": "int32", "BIGINT": "int64", "HUGEINT": "int64", "UHUGEINT": "int64",
    "UTINYINT": "int16", "USMALLINT": "int32", "UINTEGER": "int64", "UBIGINT": "int64", "FLOAT": "float32",
    "DOUBLE": "float64", "DATE": "date", "TIME": "time", "TIMESTAMP": "timestamp", "TIMESTAMP_NS": "timestamp",
    "TIMESTAMP_MS": "timestamp", "TIMESTAMP_S": "timestamp", "TIMESTAMP WITH TIME ZONE": "timestamptz",
    "BLOB": "binary", '"NULL"': "string",
}  # fmt: skip
_DECIMAL = re.compile(r"DECIMAL\((\d+),(\d+)\)")


def assay_type(duckdb: str) -> str | None:
    """The name of a DuckDB type in Assay: `BIGINT[]` is `list<int64>`; None for one the lake cannot hold (INTERVAL).

    HUGEINT, which a sum of integers has, is an int64: the cast at the end refuses what does not fit.
    """
    if duckdb in _ASSAY:
        return _ASSAY[duckdb]
    if match := _DECIMAL.fullmatch(duckdb):
        return f"decimal({match[1]},{match[2]})"
    if duckdb.endswith("]"):
        inner = assay_type(duckdb[: duckdb.rindex("[")])
        return inner and f"list<{inner}>"
    if duckdb.startswith("STRUCT(") and duckdb.endswith(")"):
        return _struct(duckdb[7:-1])
    return None


def _struct(fields: str) -> str | None:
    # split_top_level knows angle brackets and parentheses, which is all that DuckDB's types have.
    found = []
    for part in split_top_level(fields):
        match = re.fullmatch(r'\s*(?:"((?:[^"]|"")*)"|(\w+))\s+(.+?)\s*', part, re.DOTALL)
        kind = match and assay_type(match[3])
        if not kind:
            return None
        found.append(f"{match[1] or match[2]}: {kind}")
    return f"struct<{', '.join(found)}>"


def cast_problem(source: str, target: str) -> str | None:
    """Why a column of type `source` cannot become `target` by itself, as a hint; None if it can.

    Numbers become wider and narrower ones (what does not fit ends the run),
    decimals are rounded to the scale, timestamps are cut to their day. What
    guesses (text to number), prints (number to text) or drops a fraction
    (12.7 to an integer) has to be written in the query.
    """
    return _problem(parse_type(source), parse_type(target), source, target)


def _problem(source: pl.DataType, target: pl.DataType, source_name: str, target_name: str) -> str | None:
    if source == target or (_temporal(source) and _temporal(target)):
        return None
    if isinstance(source, pl.List) and isinstance(target, pl.List):
        return _problem(source.inner, target.inner, source_name, target_name)
    if isinstance(source, pl.Struct) and isinstance(target, pl.Struct):
        return _struct_problem(source, target, source_name, target_name)
    if source.is_numeric() and target.is_numeric():
        fraction = source.is_float() or (source.is_decimal() and source.scale > 0)
        if target.is_integer() and fraction:
            return f"Write CAST(… AS {duckdb_type(target_name)}), which rounds, or make the column {source_name}."
        return None
    return f"Write CAST(… AS {duckdb_type(target_name)}) in the query, or make the column {source_name}."


def _temporal(dtype: pl.DataType) -> bool:
    return isinstance(dtype, pl.Date | pl.Datetime)


def _struct_problem(source: pl.Struct, target: pl.Struct, source_name: str, target_name: str) -> str | None:
    if [field.name for field in source.fields] != [field.name for field in target.fields]:
        return f"The fields differ: make the column {source_name}."
    pairs = zip(source.fields, target.fields, strict=True)
    return next((p for a, b in pairs if (p := _problem(a.dtype, b.dtype, source_name, target_name))), None)
