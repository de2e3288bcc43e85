"""Restatement: which observations are taken from the input anew, and what that would change."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import polars as pl

from workers.errors import InvalidSpec
from workers.lake.paths import partition_value
from workers.schema import type_name
from workers.template_specs import Restatement

from .observations import day_bounds
from .timeline import FROM, Shape

MOST_KEYS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Observations of these keys (None: of all) on these days."""

    keys: pl.DataFrame | None
    inside: pl.Expr

    def of(self, observations: pl.LazyFrame) -> pl.LazyFrame:
        chosen = observations.filter(self.inside)
        if self.keys is None:
            return chosen
        return chosen.join(self.keys.lazy(), on=self.keys.columns, how="semi", maintain_order="left")

    def without(self, observations: pl.DataFrame, shape: Shape) -> pl.DataFrame:
        """The observations that stay."""
        leaving = self.of(observations.lazy()).select(shape.place).collect()
        return observations.join(leaving, on=shape.place, how="anti", maintain_order="left")


def scope_of(restatement: Restatement, shape: Shape) -> Scope:
    """Raises `InvalidSpec` when a key is not one of the dimension's, or a value has not its type."""
    start, end = restatement.start_date, restatement.end_date
    if start and end and start > end:
        raise InvalidSpec(f"The days {start} to {end} end before they begin.", hint="Exchange them.")
    keys = key_frame(restatement.keys, shape) if restatement.keys else None
    return Scope(keys=keys, inside=day_bounds(start, end, shape.schema[FROM]))


def key_frame(keys: Iterable[Mapping[str, Any]], shape: Shape) -> pl.DataFrame:
    """Keys, as JSON or an address tells them, in the types of the dimension."""
    rows = list(keys)
    if len(rows) > MOST_KEYS:
        raise InvalidSpec(f"{len(rows):,} keys are too many at once.", hint=f"Give at most {MOST_KEYS:,}, or days.")
    for row in rows:
        if set(row) != set(shape.keys):
            raise InvalidSpec(
                f"A key of this dimension is {', '.join(shape.keys)}; this one has {', '.join(row) or 'nothing'}.",
                hint="Give each key as {column: value}, with every column of the business key.",
            )
    columns = {
        name: pl.Series(name, [_value(row[name], name, shape.schema[name]) for row in rows], dtype=shape.schema[name])
        for name in shape.keys
    }
    return pl.DataFrame(columns).unique(maintain_order=True)


def _value(given: Any, name: str, dtype: pl.DataType) -> Any:
    try:
        if given is None:
            raise ValueError
        text = given.isoformat() if isinstance(given, date | datetime) else str(given)
        value = partition_value(text.lower() if dtype == pl.Boolean else text, dtype)
        return pl.Series([value], dtype=dtype, strict=True)[0]
    except (ValueError, KeyError, ArithmeticError, TypeError, OverflowError, pl.exceptions.PolarsError) as error:
        raise InvalidSpec(f"“{given}” is no {type_name(dtype)}, as {name} is.", hint="Correct the key.") from error
