"""What the columns of some rows hold, at a glance."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import polars as pl

from ..specs import Column

EXAMPLES = 3


def profile(rows: pl.DataFrame, columns: Iterable[Column]) -> pl.DataFrame:
    """A row for each column: `name, type, nulls, distinct, min, max, examples`.

    The figures are those of the rows given, and exact. `min` and `max` are
    null for nested columns and booleans, `distinct` too for nested ones;
    `examples` are up to 3 different values. Values are text as people read it.
    """
    told = [_of_column(rows.get_column(column.name), column.type) for column in columns]
    texts = dict.fromkeys(("name", "type", "min", "max"), pl.String)
    counts = dict.fromkeys(("nulls", "distinct"), pl.Int64)
    return pl.DataFrame(told, schema=texts | counts | {"examples": pl.List(pl.String)})


def _of_column(values: pl.Series, type_: str) -> dict[str, Any]:
    there = values.drop_nulls()
    is_nested = there.dtype.is_nested()
    has_order = not is_nested and there.dtype != pl.Boolean and len(there) > 0
    examples = there.head(EXAMPLES) if is_nested else there.unique(maintain_order=True).head(EXAMPLES)
    return {
        "name": values.name,
        "type": type_,
        "nulls": values.null_count(),
        "distinct": None if is_nested else there.n_unique(),
        "min": str(there.min()) if has_order else None,
        "max": str(there.max()) if has_order else None,
        "examples": [str(value) for value in examples],
    }
