"""What a dimension knows of some keys, read from no more files than it takes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import polars as pl

from workers.lake.rewrite import PATH, rows_of
from workers.lake.table import DataFile, Table
from workers.specs import Column

from .evidence import Evidence
from .timeline import FROM, GONE, IS_CURRENT, TO, Shape, differs, known_observations, winners

FIRST = "__first"
MOST_SHARE = 0.2
_KNOWN, _LAST = "__known", "__last"


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """The table at one version, with the evidence that belongs to it."""

    table: Table
    columns: tuple[Column, ...]  # that the table is to have
    evidence: Evidence
    shape: Shape  # as it was when the table was last written

    def files(self, *, current: bool) -> list[DataFile]:
        return [file for file in self.table.data_files if file.partition_values[IS_CURRENT] is current]

    def scan(self, files: list[DataFile], *, current: bool) -> pl.LazyFrame:
        """Versions, with the PATH of their file."""
        names = [*self.shape.versions.names(), PATH]
        if not files:
            return pl.LazyFrame(schema={**self.shape.versions, PATH: pl.String()})
        rows = rows_of(self.table, files, self.columns, with_path=True)
        return rows.with_columns(pl.lit(current).alias(IS_CURRENT)).select(names)

    def versions(self, keys: pl.DataFrame, *, current: bool) -> pl.DataFrame:
        """The keys' versions of one kind."""
        files = [file for file in self.files(current=current) if keys.height and self._may_hold(file, keys)]
        rows = self.scan(files, current=current)
        if keys.height < MOST_SHARE * sum(file.rows for file in files):
            # The reader applies this before it decodes the other columns; it looks up each key, so not for many.
            first = self.shape.keys[0]
            rows = rows.filter(is_among(first, keys[first]))
        return rows.join(keys.lazy(), on=list(self.shape.keys), how="semi").collect(engine="streaming")

    def late(self, firsts: pl.DataFrame, current: pl.DataFrame) -> pl.DataFrame:
        """Keys of which something is known that is not earlier than what is now observed first (FIRST)."""
        names = list(self.shape.keys)
        by_current = firsts.join(current.select(*names, pl.col(FROM)), on=names).filter(pl.col(FROM) >= pl.col(FIRST))
        found = [by_current.select(names)]
        # A key that has a current version has no later end than that version's beginning.
        without = firsts.join(current, on=names, how="anti")
        if without.height:
            found.append(self._ended_since(without))
        if firsts.height and (evidence := self.evidence.since(firsts[FIRST].min(), firsts)) is not None:
            later = evidence.select(*names, FROM).join(firsts.lazy(), on=names).filter(pl.col(FROM) >= pl.col(FIRST))
            found.append(later.select(names).collect(engine="streaming"))
        return pl.concat(found).unique()

    def _ended_since(self, firsts: pl.DataFrame) -> pl.DataFrame:
        names, low = list(self.shape.keys), firsts[FIRST].min()
        files = [file for file in self.files(current=False) if _ends_since(file, low) and self._may_hold(file, firsts)]
        ends = self.scan(files, current=False).select(*names, TO)
        return ends.join(firsts.lazy(), on=names).filter(pl.col(TO) >= pl.col(FIRST)).select(names).collect()

    def _may_hold(self, file: DataFile, keys: pl.DataFrame) -> bool:
        return all(file.may_hold(name, keys[name].min(), keys[name].max()) for name in self.shape.keys)

    def observations(self, versions: pl.DataFrame, evidence: pl.DataFrame) -> pl.DataFrame:
        return known_observations(versions.drop(PATH, strict=False), evidence, self.shape)

    def between(self, low: Any, high: Any) -> pl.DataFrame:
        """All observations whose first key lies from `low` to below `high` (None: no bound)."""
        key = self.shape.keys[0]
        inside = in_range(key, self.shape.schema[key], low, high)
        parts = [self.scan(self.files(current=is_current), current=is_current) for is_current in (True, False)]
        versions = pl.concat(parts).filter(inside).collect(engine="streaming")
        return self.observations(versions, self.evidence.scan().filter(inside).collect(engine="streaming"))

    def unknown(self, batch: pl.DataFrame, current: pl.DataFrame) -> pl.DataFrame:
        """The observations that current versions do not tell already: neither as their beginning, nor by evidence."""
        return _unseen(batch, current.with_columns(pl.lit(False).alias(GONE)), self.shape)


def late_news(batch: pl.DataFrame, seen: pl.DataFrame, shape: Shape) -> pl.DataFrame:
    """Keys of which something is observed that was not known, and that is not later than all that was."""
    names = list(shape.keys)
    last = seen.group_by(names).agg(pl.col(FROM).max().alias(_LAST))
    late = batch.join(last, on=names).filter(pl.col(FROM) <= pl.col(_LAST)).drop(_LAST)
    # Of several observations of one time only the one that counts is ever known.
    counting = winners(pl.concat([late, seen.join(late, on=shape.place, how="semi")]), shape)
    return _unseen(counting, seen, shape).select(names).unique()


def _unseen(batch: pl.DataFrame, seen: pl.DataFrame, shape: Shape) -> pl.DataFrame:
    """The observations of `batch` that are not, with the same values, among those of `seen`."""
    told = seen.select(*shape.place, *shape.values, GONE, pl.lit(True).alias(_KNOWN))
    pairs = batch.join(told, on=shape.place, how="left", suffix="__now", maintain_order="left")
    same = [pl.col(_KNOWN).fill_null(False)]
    same += [~differs(name, batch.schema[name], f"{name}__now") for name in (*shape.values, GONE)]
    return pairs.filter(~pl.all_horizontal(same)).select(batch.columns)


def _ends_since(file: DataFile, low: Any) -> bool:
    most = file.highs.get(TO)
    return most is None or _plain(most) >= _plain(low)


def _plain(value: Any) -> Any:
    """The log tells times with their zone, Polars too; only dates stay as they are."""
    return value.replace(tzinfo=None) if isinstance(value, datetime) else value


def is_among(name: str, values: pl.Series) -> pl.Expr:
    return pl.col(name).is_in(values.unique().implode())


def in_range(name: str, dtype: pl.DataType, low: Any, high: Any) -> pl.Expr:
    inside = pl.lit(True)
    if low is not None:
        inside &= pl.col(name) >= pl.lit(low, dtype=dtype)
    if high is not None:
        inside &= pl.col(name) < pl.lit(high, dtype=dtype)
    return inside
