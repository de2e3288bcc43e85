"""The files of a dimension: current versions in files sorted by key, of which only the touched are written anew."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from workers.errors import RowsDoNotBalance
from workers.lake.evolve import storage_type
from workers.lake.publish import Change
from workers.lake.rewrite import PATH, rows_of
from workers.lake.stage import StagedFile, Staging
from workers.lake.table import DataFile
from workers.schema import parse_type

from .known import Known, in_range
from .timeline import IS_CURRENT, Shape

ROWS_PER_FILE = 250_000
SMALL_ROWS = 50_000  # of history: what one run closed
MOST_SMALL = 24
AT_ONCE = 4  # files that are written side by side
# A file's new rows are put behind its others. To keep files in order costs a third of a run, and only packs them
# tighter: so they are put in order now and then, and when many rows come.
IN_ORDER_EVERY = 8  # versions of the table
IN_ORDER_SHARE = 0.1


def sink(rows: pl.DataFrame, staging: Staging, *, current: bool) -> None:
    """Stage versions of one kind in files of a fair size, in the order they have."""
    plain = rows.drop(IS_CURRENT, strict=False)
    parts = [plain.slice(offset, size) for offset, size in _slices(plain.height)]
    sinks = [staging.sink(part.lazy(), partition={IS_CURRENT: current}, lazy=True) for part in parts]
    for some in _at_once(sinks):
        pl.collect_all(some, engine="streaming")


def _slices(rows: int) -> Iterator[tuple[int, int]]:
    number = -(-rows // ROWS_PER_FILE)
    for place in range(number):
        start, end = rows * place // number, rows * (place + 1) // number
        yield start, end - start


def _at_once(sinks: list[Any]) -> Iterator[list[Any]]:
    for start in range(0, len(sinks), AT_ONCE):
        yield sinks[start : start + AT_ONCE]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewriting:
    """What happens to the files of a table: rows that leave, by PATH, and current ones that come."""

    known: Known
    shape: Shape
    staging: Staging
    removed: pl.LazyFrame  # key, time and PATH of versions
    added: pl.LazyFrame  # current versions, sorted by key

    def change(self) -> Change:
        """Stage the touched files anew. Raises `RowsDoNotBalance`."""
        before, coming = len(self.staging.files), self.added.select(pl.len()).collect().item()
        leaving = dict(self.removed.group_by(PATH).len().collect(engine="streaming").iter_rows())
        current = self._current_files(leaving, coming)
        history = [file for file in self.known.files(current=False) if file.path in leaving]
        merged = [
            (self._merged(file, some, has_leaving=file.path in leaving), True, file.rows + some.height)
            for file, some in self._with_added(current)
        ]
        merged += [(self._merged(file, None, has_leaving=True), False, file.rows) for file in history]
        self._write(merged)
        folded = self._fold([file for file in self.known.files(current=False) if file.path not in leaving])
        replaced = [*current, *history, *folded]
        kept = self.staging.files[before:]
        self._check(replaced, kept, coming, sum(leaving.values()))
        return Change(kept=kept, replaced=tuple(replaced))

    def _current_files(self, leaving: Mapping[str, int], coming: int) -> list[DataFile]:
        """The files of current versions that are touched, by their least key."""
        files = self.known.files(current=True)
        touched = [file for file in files if file.path in leaving]
        if not touched and files and coming:
            # New keys only: they join the smallest file, so that runs of few rows do not leave a file each.
            smallest = min(files, key=lambda file: file.rows)
            touched = [smallest] if smallest.rows < ROWS_PER_FILE else []
        key = self.shape.keys[0]
        return sorted(touched, key=lambda file: (file.lows.get(key) is not None, file.lows.get(key)))

    def _with_added(self, files: list[DataFile]) -> Iterator[tuple[DataFile, pl.DataFrame]]:
        """Each touched file with the new rows that belong between it and the next one."""
        key = self.shape.keys[0]
        dtype = self.shape.schema[key]
        if not files:
            sink(self.added.collect(), self.staging, current=True)
            return
        lows = [file.lows.get(key) for file in files]
        bounds = [None, *lows[1:]]
        for place, file in enumerate(files):
            low, high = bounds[place], bounds[place + 1] if place + 1 < len(files) else None
            if place + 1 < len(files) and high is None:
                yield file, self.added.clear().collect()
                continue
            yield file, self.added.filter(in_range(key, dtype, low, high)).collect(engine="streaming")

    def _merged(self, file: DataFile, coming: pl.DataFrame | None, *, has_leaving: bool) -> pl.LazyFrame:
        rows = rows_of(self.known.table, [file], self.known.columns)
        if has_leaving:
            gone = self.removed.filter(pl.col(PATH) == file.path).select(self.shape.place)
            rows = rows.join(gone, on=self.shape.place, how="anti", maintain_order="left")
        if coming is None or not coming.height:
            return rows
        merged = pl.concat([rows, self._as_stored(coming.lazy())])
        return merged.sort(self.shape.keys) if self._is_to_be_in_order(file, coming.height) else merged

    def _is_to_be_in_order(self, file: DataFile, coming: int) -> bool:
        is_due = self.known.table.version % IN_ORDER_EVERY == IN_ORDER_EVERY - 1
        return is_due or coming > IN_ORDER_SHARE * file.rows or file.rows + coming > 2 * ROWS_PER_FILE

    def _as_stored(self, rows: pl.LazyFrame) -> pl.LazyFrame:
        """With the columns that the table has beyond those of the job, empty."""
        held = rows.collect_schema().names()
        wanted = [column for column in self.known.columns if column.name != IS_CURRENT]
        return rows.select(
            pl.col(column.name)
            if column.name in held
            else pl.lit(None, dtype=storage_type(parse_type(column.type))).alias(column.name)
            for column in wanted
        )

    def _write(self, merged: list[tuple[pl.LazyFrame, bool, int]]) -> None:
        """Stage each (rows, whether they are current, about how many); a file that has become too large is cut."""
        sinks = []
        for rows, current, count in merged:
            if count > 2 * ROWS_PER_FILE:
                sink(rows.collect(engine="streaming"), self.staging, current=current)
            else:
                sinks.append(self.staging.sink(rows, partition={IS_CURRENT: current}, lazy=True))
        for some in _at_once(sinks):
            pl.collect_all(some, engine="streaming")

    def _fold(self, untouched: Iterable[DataFile]) -> list[DataFile]:
        """Make one of the small files of history when there are many."""
        small = [file for file in untouched if file.rows < SMALL_ROWS]
        if len(small) <= MOST_SMALL:
            return []
        rows = rows_of(self.known.table, small, self.known.columns).sort(self.shape.place)
        self.staging.sink(rows, partition={IS_CURRENT: False})
        return small

    def _check(self, replaced: list[DataFile], kept: Iterable[StagedFile], coming: int, leaving: int) -> None:
        held, written = sum(file.rows for file in replaced), sum(file.rows for file in kept)
        if written != held - leaving + coming:
            raise RowsDoNotBalance(
                f"{held} versions lay in the files to replace, {leaving} of them leave and {coming} come, "
                f"and {written} were written.",
                hint="Nothing was published. This is a bug in Assay: please report it.",
            )
