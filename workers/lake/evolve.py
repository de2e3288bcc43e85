"""How a table's columns may change under an append, and how they are written down in Delta's schema."""

from __future__ import annotations

import re
from dataclasses import dataclass

import polars as pl
import pyarrow as pa
from deltalake import DeltaTable, Field, Schema

from ..errors import InvalidSpec, SchemaChanged
from ..schema import columns_of, parse_type, type_name
from ..specs import Column

LOGICAL_TYPE = "assay.type"  # in a Delta field's metadata: `json` and `time` are stored as text
_INTEGERS = ("int8", "int16", "int32", "int64")
_DIGITS = {"int8": 3, "int16": 5, "int32": 10, "int64": 19}
_WIDER = {
    "float32": {"float64"},
    "int8": {"float32", "float64"},
    "int16": {"float32", "float64"},
    "int32": {"float64"},
    "date": {"timestamp"},
}


@dataclass(frozen=True, slots=True)
class Evolution:
    columns: tuple[Column, ...]  # the table's afterwards: its own in their order, then new ones
    added: tuple[Column, ...] = ()
    widened: tuple[Column, ...] = ()  # with their new type
    relaxed: tuple[str, ...] = ()  # required so far, and no longer


def storage_type(dtype: pl.DataType) -> pl.DataType:
    """What the lake stores a type as: one that `docs/types.md` names; a `time`, which Delta lacks, as text."""
    known = parse_type(type_name(dtype))
    return pl.String() if known == pl.Time else known


def stored_name(written: str) -> str:
    """The written name of the type that a column of this type has in a file: `json` is `string`."""
    return type_name(storage_type(parse_type(written)))


def can_widen(old: str, new: str) -> bool:
    """Whether every value of the old type is one of the new type too."""
    if new == "string" and old in {*_INTEGERS, "boolean", "date"}:
        return True
    if old in _INTEGERS and new in _INTEGERS:
        return _INTEGERS.index(old) <= _INTEGERS.index(new)
    before, after = parse_type(old), parse_type(new)
    if isinstance(after, pl.Decimal) and (old in _DIGITS or isinstance(before, pl.Decimal)):
        digits, scale = (_DIGITS[old], 0) if old in _DIGITS else (before.precision - before.scale, before.scale)
        return after.scale >= scale and after.precision - after.scale >= digits
    return new in _WIDER.get(old, ())


def evolve(table: tuple[Column, ...], new: tuple[Column, ...], dataset: str) -> Evolution:
    """What an append of rows with the columns `new` does to the table's. Raises `SchemaChanged` when it cannot be."""
    given = {column.name: column for column in new}
    if missing := [old.name for old in table if old.name not in given and not old.nullable]:
        raise SchemaChanged(
            f"{dataset} needs {', '.join(missing)}, which the new rows lack.",
            hint="Give the column, or replace the whole table.",
            columns=missing,
        )
    known = {column.name for column in table}
    if required := [column.name for column in new if column.name not in known and not column.nullable]:
        raise SchemaChanged(
            f"{', '.join(required)} cannot be added to {dataset} as required: its older rows have no value there.",
            hint="Make the new column nullable, or replace the whole table.",
            columns=required,
        )
    merged = tuple(_merge(old, given.get(old.name, old), dataset) for old in table)
    added = tuple(column for column in new if column.name not in known)
    return Evolution(
        columns=merged + added,
        added=added,
        widened=tuple(now for old, now in zip(table, merged, strict=True) if now.type != old.type),
        relaxed=tuple(now.name for old, now in zip(table, merged, strict=True) if now.nullable and not old.nullable),
    )


def _merge(old: Column, new: Column, dataset: str) -> Column:
    nullable = old.nullable or new.nullable
    kind = None
    if old.type == new.type or {old.type, new.type} == {"json", "string"} or (old.type, new.type) == ("string", "time"):
        kind = old.type
    elif can_widen(old.type, new.type):
        kind = new.type
    if kind is None:
        raise SchemaChanged(
            f"{dataset}.{old.name} is {old.type}; the new rows have {new.type}.",
            hint=f"Cast the column to {old.type}, or replace the whole table.",
            column=old.name,
            old=old.type,
            new=new.type,
        )
    return Column(name=old.name, type=kind, nullable=nullable)


def needs_plain_timestamps(columns: tuple[Column, ...]) -> bool:
    """Whether a column holds timestamps without a zone, at any depth: a feature that a table must declare."""
    return any(re.search(r"\btimestamp\b", column.type) for column in columns)


def delta_schema(columns: tuple[Column, ...]) -> Schema:
    return Schema(delta_fields(columns))


def delta_fields(columns: tuple[Column, ...]) -> list[Field]:
    stored = pl.Schema({column.name: storage_type(parse_type(column.type)) for column in columns})
    try:
        plain = Schema.from_arrow(stored).fields
    except Exception as error:  # delta-rs raises a bare Exception here
        raise InvalidSpec(
            f"A Delta table cannot hold these columns: {str(error).splitlines()[0]}",
            hint="Inside list and struct there is no `time`; use string.",
        ) from error
    return [_field(column, told) for column, told in zip(columns, plain, strict=True)]


def _field(column: Column, told: Field) -> Field:
    logical = {LOGICAL_TYPE: column.type} if column.type in ("json", "time") else {}
    return Field(column.name, told.type, nullable=column.nullable, metadata=logical)


def columns_of_delta(delta: DeltaTable) -> tuple[Column, ...]:
    """A table's columns as we write them, in order, partition columns included."""
    schema = delta.schema()
    named = columns_of(pl.Schema(pa.schema(schema.to_arrow())))
    return tuple(
        Column(name=column.name, type=told.metadata.get(LOGICAL_TYPE, column.type), nullable=told.nullable)
        for column, told in zip(named, schema.fields, strict=True)
    )


def widened_rows(uri: str, change: Evolution, partition_by: tuple[str, ...], storage_options: dict) -> pl.LazyFrame:
    """One data file's rows with the types and columns that the table is to have; no partition columns."""
    rows = pl.scan_parquet(uri, hive_partitioning=False, glob=False, storage_options=storage_options or None)
    held = rows.collect_schema()
    wanted = {column.name: storage_type(parse_type(column.type)) for column in change.columns}
    return rows.select(
        (pl.col(name) if name in held else pl.lit(None)).cast(dtype).alias(name)
        for name, dtype in wanted.items()
        if name not in partition_by
    )
