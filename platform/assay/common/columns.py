"""Columns as people declare them: `[{name, type, nullable}]`."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from pydantic import Field

from workers.errors import InvalidSpec
from workers.specs import Column

from .options import Options, read_options
from .problems import Problem


class ColumnOptions(Options):
    name: str = Field(min_length=1, max_length=200)
    type: str = Field(description="string, int64, decimal(10,2), timestamptz, list<T>, struct<a: T>, … (docs/types.md)")
    nullable: bool = True


def column_problems(columns: Any, path: str, reserved: Collection[str] = ()) -> list[Problem]:
    """What is wrong with declared columns: their form, unknown types, names that are taken, twice or unprintable."""
    if not isinstance(columns, list):
        return [Problem(path, "This must be a list of columns.", "wrong_type")]
    return list(_problems(columns, path, {name.lower() for name in reserved}))


def _problems(columns: list[Any], path: str, reserved: Collection[str]) -> Iterator[Problem]:
    seen: set[str] = set()
    for position, given in enumerate(columns):
        at = f"{path}.{position}"
        column, faults = read_options(ColumnOptions, given, at)
        yield from faults
        if column is None:
            continue
        yield from _type_problems(column.type, f"{at}.type")
        name = column.name.lower()
        if not column.name.isprintable() or column.name != column.name.strip():
            yield Problem(f"{at}.name", "A name has no spaces around it and no control characters.", "invalid_name")
        if name in reserved:
            yield Problem(f"{at}.name", f"“{column.name}” is a column that Assay adds itself.", "reserved_name")
        if name in seen:
            yield Problem(f"{at}.name", f"There are two columns “{column.name}” (case does not matter).", "duplicate")
        seen.add(name)


def _type_problems(text: str, path: str) -> Iterator[Problem]:
    from workers.schema import parse_type  # brings Polars, which most processes never need

    try:
        parse_type(text)
    except InvalidSpec as error:
        yield Problem(path, f"{error.message} {error.hint}".strip(), "unknown_type")


def as_columns(columns: list[dict[str, Any]]) -> tuple[Column, ...]:
    """Declared columns, which were validated, as the data plane takes them."""
    return tuple(Column(**column) for column in columns)
