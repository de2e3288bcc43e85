"""What an input tells of a dimension: its rows as observations."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime, timedelta
from typing import Any

import polars as pl

from workers.errors import AuditFailed
from workers.lake.lattice import converted
from workers.lake.paths import partition_value
from workers.lake.rewrite import rows_of
from workers.lake.stage import in_storage_types
from workers.lake.table import DataFile, Table
from workers.schema import type_name
from workers.template_specs import Scd2Spec

from .timeline import FROM, GONE, Shape

_ENDED = "__ended"


def shape_of(spec: Scd2Spec) -> Shape:
    return Shape(columns=spec.columns, keys=spec.business_keys, tracked=spec.tracked)


def input_rows(table: Table, files: Iterable[DataFile] | None = None) -> pl.LazyFrame:
    """The rows of some of the table's files (None: of all), in the types they are stored in, with every column."""
    if files is None:
        return in_storage_types(table.scan())
    wanted = list(files)
    if not wanted:
        return in_storage_types(table.scan().clear())
    if not table.partition_by:
        return rows_of(table, wanted, table.columns)
    types = in_storage_types(table.scan().clear()).collect_schema()
    return pl.concat([_with_partition(table, file, types) for file in wanted])


def _with_partition(table: Table, file: DataFile, types: pl.Schema) -> pl.LazyFrame:
    values = {
        name: partition_value(value, types[name]) if isinstance(value, str) else value
        for name, value in file.partition_values.items()
    }
    constants = (pl.lit(value, dtype=types[name]).alias(name) for name, value in values.items())
    return rows_of(table, [file], table.columns).with_columns(*constants).select(types.names())


def check_places(rows: pl.LazyFrame, spec: Scd2Spec) -> None:
    """Raises `AuditFailed` when a row has no key or no time: it would otherwise be lost without a word."""
    place = [*spec.business_keys, spec.effective_time_column]
    missing = rows.select(place).filter(pl.any_horizontal(pl.col(name).is_null() for name in place))
    counted = missing.select(pl.len(), *(pl.col(name).null_count() for name in place))
    found = counted.collect(engine="streaming").row(0)
    if not found[0]:
        return
    nulls = {name: count for name, count in zip(place, found[1:], strict=True) if count}
    example = missing.head(1).collect().row(0, named=True)
    told = ", ".join(f"{name} = {'null' if value is None else value}" for name, value in example.items())
    raise AuditFailed(
        f"{found[0]:,} rows of {spec.inputs[0].dataset} have no {' or no '.join(nulls)}, e.g. {told}. "
        "Nothing was published.",
        hint="A dimension needs a business key and an effective time in every row: fill them in, or filter these "
        "rows out in a job before this one.",
        nulls=nulls,
        rows=found[0],
    )


def may_lack_places(files: Iterable[DataFile], spec: Scd2Spec) -> bool:
    """Whether the log leaves open that a row has no key or no time."""
    place = (*spec.business_keys, spec.effective_time_column)
    return any(_may_be_null(file, name) for file in files for name in place)


def _may_be_null(file: DataFile, name: str) -> bool:
    return file.partition_values[name] is None if name in file.partition_values else file.may_hold_null(name)


def observations(rows: pl.LazyFrame, spec: Scd2Spec, shape: Shape) -> pl.LazyFrame:
    """The rows as observations, with the dimension's types.

    Where a time of deletion is given, a row tells of two: its values, and that
    its key is gone then, and, should that be later, still at its own time. A
    row that is only marked as deleted tells that its key is gone.
    """
    held = rows.collect_schema()
    named = {FROM: spec.effective_time_column} | {name: name for name in (*shape.keys, *shape.values)}
    cast = [_as(held, source, name, shape.schema[name]) for name, source in named.items()]
    marker = spec.deleted_column if spec.delete_mode == "close" else ""
    if not marker:
        return rows.select(cast).with_columns(pl.lit(False).alias(GONE)).select(list(shape.observed))
    if held[marker] == pl.Boolean:
        marked = rows.select(*cast, pl.col(marker).fill_null(False).alias(GONE))
        return marked.select(*shape.place, *_unless(pl.col(GONE), shape), GONE).select(list(shape.observed))
    ended = _moment(pl.col(marker), held[marker], shape.schema[FROM]).alias(_ENDED)
    marked = rows.select(*cast, ended).with_columns((pl.col(_ENDED) <= pl.col(FROM)).fill_null(False).alias(GONE))
    nothing = (pl.lit(None, dtype=shape.schema[name]).alias(name) for name in shape.values)
    ends = marked.filter(pl.col(_ENDED).is_not_null()).select(
        *shape.keys, pl.col(_ENDED).alias(FROM), *nothing, pl.lit(True).alias(GONE)
    )
    own = marked.select(*shape.place, *_unless(pl.col(GONE), shape), GONE)
    return pl.concat([own.select(list(shape.observed)), ends.select(list(shape.observed))])


def _unless(gone: pl.Expr, shape: Shape) -> list[pl.Expr]:
    return [pl.when(~gone).then(pl.col(name)).alias(name) for name in shape.values]


def _as(held: pl.Schema, source: str, name: str, dtype: pl.DataType) -> pl.Expr:
    if source not in held:
        return pl.lit(None, dtype=dtype).alias(name)
    value = converted(pl.col(source), type_name(held[source]), type_name(dtype))
    # There is one zero: minus zero equals it, and which of the two was there must not depend on who came first.
    return (value + pl.lit(0.0, dtype=dtype) if dtype.is_float() else value).alias(name)


def _moment(value: pl.Expr, given: pl.DataType, wanted: pl.DataType) -> pl.Expr:
    """A date or time in the type of the effective time; one without a zone is UTC."""
    if given == wanted:
        return value
    plain = value.cast(pl.Datetime("us", "UTC" if getattr(given, "time_zone", None) else None))
    plain = plain.dt.replace_time_zone(None)
    if wanted == pl.Date:
        return plain.dt.date()
    return plain.dt.replace_time_zone("UTC") if wanted.time_zone else plain


def moment(at: datetime, dtype: pl.DataType) -> Any:
    """An aware time as a value of the type of the effective time."""
    utc = at.astimezone(tz=None) if at.tzinfo is None else at
    value = pl.Series([utc]).cast(pl.Datetime("us", "UTC"))
    return pl.select(_moment(pl.lit(value), pl.Datetime("us", "UTC"), dtype)).item()


def later(dtype: pl.DataType) -> timedelta:
    """The least step between two times of the type."""
    return timedelta(days=1) if dtype == pl.Date else timedelta(microseconds=1)


def day_bounds(start: date | None, end: date | None, dtype: pl.DataType) -> pl.Expr:
    """Whether the effective time falls on one of the days, in UTC."""
    day = pl.col(FROM) if dtype == pl.Date else pl.col(FROM).dt.date()
    inside = pl.lit(True)
    if start is not None:
        inside &= day >= start
    if end is not None:
        inside &= day <= end
    return inside
