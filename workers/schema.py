"""Column types: the names that people write, and what Polars, Arrow and DuckDB call them.

`string boolean int8..int64 float32 float64 decimal(p,s) date time timestamp
timestamptz binary json list<T> struct<a: T, ...>`. A `json` column is stored
as text; `timestamptz` is UTC with microseconds.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import polars as pl

from .errors import InvalidSpec
from .specs import Column

_SIMPLE: dict[str, pl.DataType] = {
    "string": pl.String(),
    "json": pl.String(),
    "boolean": pl.Boolean(),
    "int8": pl.Int8(),
    "int16": pl.Int16(),
    "int32": pl.Int32(),
    "int64": pl.Int64(),
    "float32": pl.Float32(),
    "float64": pl.Float64(),
    "date": pl.Date(),
    "time": pl.Time(),
    "timestamp": pl.Datetime("us"),
    "timestamptz": pl.Datetime("us", "UTC"),
    "binary": pl.Binary(),
}
_NAMES = {str(dtype): name for name, dtype in _SIMPLE.items() if name != "json"}
_DUCKDB = {
    "string": "VARCHAR",
    "json": "VARCHAR",
    "boolean": "BOOLEAN",
    "int8": "TINYINT",
    "int16": "SMALLINT",
    "int32": "INTEGER",
    "int64": "BIGINT",
    "float32": "REAL",
    "float64": "DOUBLE",
    "date": "DATE",
    "time": "TIME",
    "timestamp": "TIMESTAMP",
    "timestamptz": "TIMESTAMPTZ",
    "binary": "BLOB",
}
_DECIMAL = re.compile(r"decimal\(\s*(\d{1,2})\s*,\s*(\d{1,2})\s*\)", re.IGNORECASE)


def parse_type(text: str) -> pl.DataType:
    """The Polars type of a written one. Raises `InvalidSpec` naming the types there are."""
    name = text.strip()
    if name.lower() in _SIMPLE:
        return _SIMPLE[name.lower()]
    if match := _DECIMAL.fullmatch(name):
        return _decimal(int(match[1]), int(match[2]), name)
    if name.lower().startswith("list<") and name.endswith(">"):
        return pl.List(parse_type(name[5:-1]))
    if name.lower().startswith("struct<") and name.endswith(">"):
        return pl.Struct([_field(part) for part in split_top_level(name[7:-1])])
    raise InvalidSpec(
        f"“{text}” is no column type.",
        hint=f"Use {', '.join(_SIMPLE)}, decimal(p,s), list<T> or struct<a: T, …>.",
    )


def _decimal(precision: int, scale: int, text: str) -> pl.DataType:
    if not 1 <= precision <= 38 or scale > precision:
        raise InvalidSpec(f"“{text}”: a decimal has 1 to 38 digits, and no more of them behind the point.")
    return pl.Decimal(precision, scale)


def _field(text: str) -> pl.Field:
    name, colon, kind = text.partition(":")
    if not colon or not name.strip():
        raise InvalidSpec(f"“{text.strip()}” is no struct field.", hint="Write `name: type`.")
    return pl.Field(name.strip(), parse_type(kind))


def split_top_level(text: str) -> list[str]:
    """Split at the commas that stand in no bracket: `a: decimal(10,2), b: list<int64>` has two parts."""
    parts, depth, start = [], 0, 0
    for position, char in enumerate(text):
        depth += (char in "<(") - (char in ">)")
        if char == "," and depth == 0:
            parts.append(text[start:position])
            start = position + 1
    return [part for part in [*parts, text[start:]] if part.strip()]


def type_name(dtype: pl.DataType) -> str:
    """The written name of a Polars type; the exact inverse of `parse_type` (a `json` reads back as `string`)."""
    if isinstance(dtype, pl.Decimal):
        return f"decimal({dtype.precision},{dtype.scale})"
    if isinstance(dtype, pl.List | pl.Array):
        return f"list<{type_name(dtype.inner)}>"
    if isinstance(dtype, pl.Struct):
        return f"struct<{', '.join(f'{f.name}: {type_name(f.dtype)}' for f in dtype.fields)}>"
    if isinstance(dtype, pl.Datetime):
        return "timestamptz" if dtype.time_zone else "timestamp"
    if dtype == pl.Null:
        return "string"
    return _NAMES.get(str(dtype)) or _wider(dtype)


def _wider(dtype: pl.DataType) -> str:
    """Types that the lake has no name for: unsigned integers go to the next signed one, the rest to text."""
    wider = {pl.UInt8: "int16", pl.UInt16: "int32", pl.UInt32: "int64", pl.UInt64: "decimal(20,0)"}
    wider[pl.Int128] = "decimal(38,0)"
    return next((name for known, name in wider.items() if dtype == known), "string")


def duckdb_type(text: str) -> str:
    """The DuckDB spelling of a written type: `list<int64>` is `BIGINT[]`."""
    name = text.strip()
    if name.lower() in _DUCKDB:
        return _DUCKDB[name.lower()]
    if name.lower().startswith("list<"):
        return duckdb_type(name[5:-1]) + "[]"
    if name.lower().startswith("struct<"):
        fields = (part.partition(":") for part in split_top_level(name[7:-1]))
        return "STRUCT(" + ", ".join(f'"{n.strip()}" {duckdb_type(t)}' for n, _, t in fields) + ")"
    parse_type(name)
    return name.upper()


def polars_schema(columns: Iterable[Column]) -> pl.Schema:
    return pl.Schema({column.name: parse_type(column.type) for column in columns})


def columns_of(schema: pl.Schema) -> tuple[Column, ...]:
    return tuple(Column(name=name, type=type_name(dtype)) for name, dtype in schema.items())
