"""How much memory a query may come to need, told from what is known before it runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

from workers.lake.table import Table
from workers.schema import parse_type
from workers.specs import Column

from .statement import CheckedSql

COPIES = 2  # a sort holds what it read and what it makes, a join a table of one side beside the other
FIXED_BYTES = {pl.Boolean: 1, pl.Int8: 1, pl.Int16: 2, pl.Int32: 4, pl.Float32: 4, pl.Date: 4, pl.Decimal: 16}
NUMBER_BYTES, TEXT_BYTES, NESTED_BYTES = 8, 32, 64  # of one value; a text has 16 of its own and some characters


def needed_mb(checked: CheckedSql, tables: Mapping[str, Table]) -> int:
    """For a query that keeps rows: as if it kept the columns that it reads of every row of its inputs."""
    return COPIES * sum(_bytes_of(tables[alias], names) for alias, names in checked.columns_read.items()) // 2**20


def may_outgrow(checked: CheckedSql, tables: Mapping[str, Table], memory_mb: int) -> bool:
    """Whether an engine that keeps rows in memory may need more than this for the query."""
    return checked.keeps_rows and needed_mb(checked, tables) > memory_mb


def _bytes_of(table: Table, names: Sequence[str]) -> int:
    read = [column for column in table.columns if column.name in names]
    return table.rows * sum(map(_width, read))


def _width(column: Column) -> int:
    kind = parse_type(column.type)
    if kind.is_nested():
        return NESTED_BYTES
    if kind in (pl.String, pl.Binary):
        return TEXT_BYTES
    return FIXED_BYTES.get(kind.base_type(), NUMBER_BYTES)
