"""What the roads to databases share: columns, conditions, and the shape of a road."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

import pyarrow as pa

from ...access import Connection
from ...network import NetworkPolicy
from ...specs import DatabaseSource

Batch = Sequence[Any]  # the values of each column, as the driver gives them: an Arrow array or a list


class Misfit(ValueError):
    """Some value of a batch is none of its column's type: the column goes on as text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DbColumn:
    """A column of what is read, settled before the first row from the catalog or the cursor's description."""

    name: str
    native: str  # what the database calls its type
    type: str  # what its values are, as in docs/types.md; `decimal`: as many digits as they need
    arrow: pa.DataType  # how they land while all of them fit
    typed: Callable[[Any], pa.Array]  # the driver's values so; raises `Misfit` or an error of Arrow's
    text: Callable[[Any], pa.Array]  # the driver's values as exact text
    nullable: bool = True
    fraction_digits: int = 6  # of a second, that a moment may have


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """`column op value`, the value being of the column's type and bound, never pasted into the SQL."""

    column: DbColumn
    op: str  # >=  <  is null
    value: Any = None


def where_clause(
    conditions: Sequence[Condition], name_of: Callable[[DbColumn], str], placeholder: str
) -> tuple[str, list[Any]]:
    """` WHERE …`, or nothing, with names as `name_of` quotes them, and the values for its placeholders, in order."""
    parts, values = [], []
    for condition in conditions:
        name = name_of(condition.column)
        if condition.op == "is null":
            parts.append(f"{name} IS NULL")
            continue
        parts.append(f"{name} {condition.op} {placeholder}")
        values.append(condition.value)
    return (f" WHERE {' AND '.join(parts)}" if parts else ""), values


class Reader(Protocol):
    """An open read-only transaction on one table or query. All it reads is of one moment, where the database can."""

    columns: tuple[DbColumn, ...]

    def batches(
        self, columns: Sequence[DbColumn], where: Sequence[Condition] = (), limit: int | None = None
    ) -> Iterator[Batch]:
        """The rows, in batches that fit into memory."""

    def count(self, where: Sequence[Condition]) -> int:
        """How many rows there are."""


class Road(Protocol):
    """One kind of database."""

    def reading(
        self, connection: Connection, policy: NetworkPolicy, source: DatabaseSource
    ) -> AbstractContextManager[Reader]:
        """Connect, and find the columns. Raises `SourceUnavailable`, `SourceMissing`, `UnreadableSource`."""

    def version(self, connection: Connection, policy: NetworkPolicy) -> str:
        """What the server says it is."""

    def tables(self, connection: Connection, policy: NetworkPolicy, search: str, limit: int) -> list[dict[str, Any]]:
        """`{schema, name, kind, rows, columns: [{name, type, nullable}]}`; `rows` is an estimate or None."""


def column_named(columns: Sequence[DbColumn], name: str) -> DbColumn | None:
    exact = next((column for column in columns if column.name == name), None)
    return exact or next((column for column in columns if column.name.lower() == name.lower()), None)
