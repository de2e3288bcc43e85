"""Rows of a table, file by file: which files may hold something, and what is kept of those that are replaced."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import groupby
from typing import Any

import polars as pl

from ..schema import parse_type
from ..specs import Column
from .evolve import Evolution, storage_type, widened_rows
from .paths import partition_text
from .publish import Change
from .stage import Staging
from .table import DataFile, Table

PATH = "__path"  # beside the rows of several files: where each comes from


def highest(table: Table, column: str, dtype: pl.DataType) -> Any:
    """The greatest value of the column, told from the log where it can be, as a value of the type; None: it has none.

    NaN counts for nothing.
    """
    told = [file.highs.get(column) for file in table.data_files if file.nulls.get(column) != file.rows]
    if told and None not in told:
        values = pl.Series(told)
    else:
        rows = table.scan().select(column)
        if rows.collect_schema()[column].is_float():
            rows = rows.filter(~pl.col(column).is_nan())
        values = rows.select(pl.col(column).max()).collect(engine="streaming").to_series()
    return values.drop_nulls().cast(dtype).max()


def rows_of(
    table: Table,
    files: Iterable[DataFile],
    columns: tuple[Column, ...],
    *,
    with_path: bool = False,
    with_partitions: bool = False,
) -> pl.LazyFrame:
    """The files' rows with these columns and types, those of the partitions left out unless asked for."""
    evolution = Evolution(columns=columns)
    types = {column.name: storage_type(parse_type(column.type)) for column in columns}
    frames = []
    for file in files:
        rows = widened_rows(file.uri, evolution, table.partition_by, table.storage_options)
        beside = [pl.lit(file.path).alias(PATH)] if with_path else []
        if with_partitions:
            values = file.partition_values.items()
            beside += [pl.lit(value).cast(types[name]).alias(name) for name, value in values]
        frames.append(rows.with_columns(beside) if beside else rows)
    return pl.concat(frames)


def rewrite(
    table: Table,
    files: Iterable[DataFile],
    columns: tuple[Column, ...],
    staging: Staging,
    change: Callable[[pl.LazyFrame], pl.LazyFrame],
    *,
    with_partitions: bool = False,
) -> Change:
    """Write the files' rows anew, streaming, as `change` makes them: the files to add and those they replace.

    `with_partitions`: `change` sees the partition columns too.
    """
    replaced = sorted(files, key=_partition)
    before = len(staging.files)
    for _, group in groupby(replaced, key=_partition):
        same = list(group)
        rows = change(rows_of(table, same, columns, with_partitions=with_partitions))
        staging.sink(rows.drop(table.partition_by, strict=False), partition=same[0].partition_values)
    return Change(kept=staging.files[before:], replaced=tuple(replaced))


def _partition(file: DataFile) -> tuple[str, ...]:
    return tuple(str(partition_text(value)) for value in file.partition_values.values())
