"""The timeline of a dimension: from observations, in whatever order they came, to versions.

An *observation* says of a key what was true at a time: its values, or that
it was gone. The versions are a function of the *set* of observations, so it
does not matter in which order, in which batches, or how often they arrive.
A version keeps its first observation only; what the versions do not tell of
the others is their *evidence* (evidence.py), and with both the set can
be had again. Nothing here knows of tables.
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from workers.errors import RowsDoNotBalance
from workers.lake.evolve import storage_type
from workers.lake.lattice import text_of
from workers.schema import parse_type, type_name
from workers.specs import Column

FROM, TO, IS_CURRENT = "effective_from", "effective_to", "is_current"
ADDED = (FROM, TO, IS_CURRENT)
GONE = "__gone"
_START = "__start"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """The columns of a dimension, and what each is to it."""

    columns: tuple[Column, ...]  # all of the table's, in order
    keys: tuple[str, ...]
    tracked: tuple[str, ...]  # a change of these makes a version

    @property
    def values(self) -> tuple[str, ...]:
        """Every column that is observed and no key, in order."""
        return tuple(column.name for column in self.columns if column.name not in (*self.keys, *ADDED))

    @property
    def untracked(self) -> tuple[str, ...]:
        """Columns that tell what they were when the version began."""
        return tuple(name for name in self.values if name not in self.tracked)

    @property
    def schema(self) -> pl.Schema:
        """The types as they are stored."""
        return pl.Schema({column.name: storage_type(parse_type(column.type)) for column in self.columns})

    @property
    def observed(self) -> pl.Schema:
        """The columns of observations; the values of one that is gone are null."""
        stored = self.schema
        names = (*self.keys, FROM, *self.values)
        return pl.Schema({name: stored[name] for name in names} | {GONE: pl.Boolean()})

    @property
    def versions(self) -> pl.Schema:
        """The columns of versions: those of the table."""
        return self.schema

    @property
    def place(self) -> list[str]:
        """What names an observation, and a version."""
        return [*self.keys, FROM]


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    versions: pl.DataFrame  # sorted by key and time
    evidence: pl.DataFrame  # observations that began neither a version nor a gap


def timeline(observations: pl.DataFrame, shape: Shape) -> Timeline:
    """The versions that follow from the observations of some keys, all of each key's.

    Tracked values that are equal to those before them, nulls and NaN too, make
    no version. A version ends where the next one begins, or where its key is
    gone; the last one has no end and is current.
    """
    seen = winners(observations, shape)
    marked = seen.with_columns(_begins(seen, shape).alias(_START))
    starts = marked.filter(_START)
    same_key = pl.all_horizontal(pl.col(key).eq(pl.col(key).shift(-1)) for key in shape.keys)
    ends = pl.when(same_key).then(pl.col(FROM).shift(-1)).otherwise(None)
    versions = starts.with_columns(ends.alias(TO)).filter(~pl.col(GONE))
    versions = versions.with_columns(pl.col(TO).is_null().alias(IS_CURRENT)).select(shape.versions.names())
    return Timeline(versions=versions, evidence=marked.filter(~pl.col(_START)).drop(_START))


def winners(observations: pl.DataFrame, shape: Shape) -> pl.DataFrame:
    """One observation for each key and time, sorted by them.

    Where there are several, being gone counts most, then the greater values,
    column by column; null is less than everything, NaN more. The order in
    which they came counts for nothing.
    """
    place = shape.place
    ordered = observations.sort(place)
    doubled = pl.all_horizontal(pl.col(name).eq(pl.col(name).shift(1)) for name in place).fill_null(False)
    if not ordered.select(doubled.any()).item():
        return ordered
    # Only rows that share their place are compared in full: mostly there are few.
    shared = ordered.select(place).filter(doubled).unique()
    several = ordered.join(shared, on=place, how="semi", nulls_equal=True)
    order = [*place, GONE, *(comparable(name, observations.schema[name]) for name in shape.values)]
    chosen = several.sort(order, nulls_last=False).unique(place, keep="last", maintain_order=True)
    alone = ordered.join(shared, on=place, how="anti", nulls_equal=True)
    return pl.concat([alone, chosen]).sort(place)


def comparable(name: str, dtype: pl.DataType) -> pl.Expr:
    """A column as it is compared: nested values by their text."""
    return text_of(pl.col(name), type_name(dtype)) if dtype.is_nested() else pl.col(name)


def differs(name: str, dtype: pl.DataType, other: str) -> pl.Expr:
    """Whether two columns of one type have different values; null equals null, NaN equals NaN."""
    return comparable(name, dtype).ne_missing(comparable(other, dtype))


def _begins(seen: pl.DataFrame, shape: Shape) -> pl.Expr:
    """Whether something begins with the observation: a version, or a gap behind one."""
    same_key = pl.all_horizontal(pl.col(key).eq(pl.col(key).shift(1)) for key in shape.keys).fill_null(False)
    compared = [comparable(name, seen.schema[name]) for name in shape.tracked]
    changed = [pl.col(GONE).ne_missing(pl.col(GONE).shift(1)), *(one.ne_missing(one.shift(1)) for one in compared)]
    # To be gone before there was anything closes nothing.
    return pl.when(same_key).then(pl.any_horizontal(changed)).otherwise(~pl.col(GONE))


def known_observations(versions: pl.DataFrame, evidence: pl.DataFrame, shape: Shape) -> pl.DataFrame:
    """The observations that made these versions: all of the keys' versions, and all of their evidence.

    `evidence` has keys, time, GONE and the untracked values; of two rows with
    one key and time the later one counts. Raises `RowsDoNotBalance` when it
    tells of a time that no version covers.
    """
    observed = list(shape.observed)
    starts = versions.with_columns(pl.lit(False).alias(GONE)).select(observed)
    ends = versions.filter(pl.col(TO).is_not_null()).select(*shape.keys, pl.col(TO).alias(FROM)).unique()
    gaps = gone_observations(ends.join(starts, on=shape.place, how="anti"), shape)
    told = pl.concat([starts, gaps])
    # What begins at the same time was seen later than the evidence, which is older than the version.
    further = evidence.unique(shape.place, keep="last", maintain_order=True).join(told, on=shape.place, how="anti")
    if not further.height:
        return told
    gone = gone_observations(further.filter(GONE).select(shape.place), shape)
    confirmed = _as_covered(further.filter(~pl.col(GONE)), starts, shape)
    return pl.concat([told, gone, confirmed])


def gone_observations(places: pl.DataFrame, shape: Shape) -> pl.DataFrame:
    """Observations of keys that are gone, from their keys and times."""
    nothing = (pl.lit(None, dtype=shape.schema[name]).alias(name) for name in shape.values)
    return places.with_columns(*nothing, pl.lit(True).alias(GONE)).select(list(shape.observed))


def _as_covered(confirmations: pl.DataFrame, starts: pl.DataFrame, shape: Shape) -> pl.DataFrame:
    """Observations that made no version: their tracked values are those of the version that covers their time."""
    if not confirmations.height:
        return pl.DataFrame(schema=shape.observed)
    numbered = starts.sort(shape.place).with_row_index(_START)
    places = pl.concat(
        [
            numbered.select(*shape.place, _START),
            confirmations.select(*shape.place, pl.lit(None, dtype=pl.UInt32).alias(_START)),
        ]
    ).sort(shape.place)
    covering = places.with_columns(_start=pl.col(_START).forward_fill()).filter(pl.col(_START).is_null())
    rows = numbered.select(*shape.keys, *shape.tracked)[covering["_start"].fill_null(0)] if numbered.height else None
    same = rows is not None and rows.select(shape.keys).equals(covering.select(shape.keys))
    if not (same and covering["_start"].null_count() == 0):
        raise RowsDoNotBalance(
            "The dimension's evidence tells of times that none of its versions covers.",
            hint="Nothing was published. Roll the dimension back to an earlier version and run the job again.",
        )
    told = confirmations.sort(shape.place).drop(name for name in shape.tracked if name in confirmations.columns)
    return told.with_columns(rows.select(shape.tracked).get_columns()).select(list(shape.observed))


def overlaps(versions: pl.DataFrame, shape: Shape) -> int:
    """How many versions reach into the next one of their key, end before they begin, or are current beside another."""
    ordered = versions.sort(shape.place)
    same_key = pl.all_horizontal(pl.col(key).eq(pl.col(key).shift(-1)) for key in shape.keys).fill_null(False)
    reaches = same_key & (pl.col(TO).is_null() | (pl.col(TO) > pl.col(FROM).shift(-1)))
    return ordered.select((reaches | (pl.col(TO) <= pl.col(FROM)).fill_null(False)).sum()).item()
