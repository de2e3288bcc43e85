"""How a table's columns may change under an append, and how they are written down in Delta's schema."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import polars as pl
import pyarrow as pa
from deltalake import DeltaTable, Field, Schema

from ..errors import InvalidSpec, SchemaChanged
from ..schema import columns_of, parse_type, type_name
from ..specs import Column
from .lattice import LARGEST_EXACT, converted, least_holding

LOGICAL_TYPE = "assay.type"  # in a Delta field's metadata: `json` and `time` are stored as text


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


def is_exact_in_float64(delta: DeltaTable, column: str) -> bool:
    """Whether the log's statistics prove that a float64 holds every value of an integer column."""
    return all(_is_exact(file, column) for file in pa.table(delta.get_add_actions(flatten=True)).to_pylist())


def _is_exact(file: dict[str, Any], column: str) -> bool:
    low, high = file.get(f"min.{column}"), file.get(f"max.{column}")
    if low is None or high is None:
        # No bounds: the file has no value there, or does not tell.
        return file["num_records"] is not None and file.get(f"null_count.{column}") == file["num_records"]
    return -LARGEST_EXACT <= low <= high <= LARGEST_EXACT


def _is_never_exact(column: str) -> bool:
    return False


def evolve(
    table: tuple[Column, ...],
    new: tuple[Column, ...],
    dataset: str,
    is_exact: Callable[[str], bool] = _is_never_exact,
) -> Evolution:
    """What an append of rows with the columns `new` does to the table's. Raises `SchemaChanged` when it cannot be.

    An int64 column becomes float64 only if `is_exact` says so of its values.
    """
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
    merged = tuple(_merge(old, given.get(old.name, old), dataset, is_exact) for old in table)
    added = tuple(column for column in new if column.name not in known)
    return Evolution(
        columns=merged + added,
        added=added,
        widened=tuple(now for old, now in zip(table, merged, strict=True) if now.type != old.type),
        relaxed=tuple(now.name for old, now in zip(table, merged, strict=True) if now.nullable and not old.nullable),
    )


def _merge(old: Column, new: Column, dataset: str, is_exact: Callable[[str], bool]) -> Column:
    kind = least_holding(old.type, new.type)
    if (old.type, new.type) == ("int64", "float64") and is_exact(old.name):
        kind = "float64"
    # The new rows lie in files already: the table can take their type, not they the table's.
    if kind is None or stored_name(kind) != stored_name(new.type):
        raise SchemaChanged(
            f"{dataset}.{old.name} is {old.type}; the new rows have {new.type}.",
            hint=f"Cast the column to {old.type}, or replace the whole table.",
            column=old.name,
            old=old.type,
            new=new.type,
        )
    return Column(name=old.name, type=kind, nullable=old.nullable or new.nullable)


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


def held_names(uri: str, storage_options: dict) -> frozenset[str]:
    """The columns that a data file has itself: one that is older than a column of its table lacks it."""
    rows = pl.scan_parquet(uri, hive_partitioning=False, glob=False, storage_options=storage_options or None)
    return frozenset(rows.collect_schema().names())


def widened_rows(uri: str, change: Evolution, partition_by: tuple[str, ...], storage_options: dict) -> pl.LazyFrame:
    """One data file's rows with the types and columns that the table is to have; no partition columns."""
    rows = pl.scan_parquet(uri, hive_partitioning=False, glob=False, storage_options=storage_options or None)
    held = rows.collect_schema()
    wanted = {column.name: storage_type(parse_type(column.type)) for column in change.columns}
    return rows.select(
        (
            converted(pl.col(name), type_name(held[name]), stored_name(type_name(dtype)))
            if name in held
            else pl.lit(None, dtype=dtype)
        ).alias(name)
        for name, dtype in wanted.items()
        if name not in partition_by
    )
