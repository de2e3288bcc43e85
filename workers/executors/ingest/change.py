"""What a run's rows do to the table: added, compared first, merged, or put in place of a window."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC
from typing import Any, Self

import polars as pl

from workers.checks.balance import check_balance, check_received
from workers.errors import MissingColumns, PublishConflict, UnreadableSource
from workers.lake.evolve import held_names
from workers.lake.landing import CUT_SHORT, Landed, LandedFile
from workers.lake.merge import ROWS_PER_FILE, Absent, Batch, Merged, merge
from workers.lake.publish import Change
from workers.lake.rewrite import highest, rewrite, rows_of
from workers.lake.stage import Staging
from workers.lake.state import state_of
from workers.lake.table import DataFile, Table
from workers.readers.casts import ColumnPlan
from workers.specs import Column, IngestSpec

from .incremental import (
    POSITION,
    Cursor,
    Sieve,
    in_window,
    is_window,
    next_value,
    window_bounds,
)
from .landed import converted_like, files_of, scan_landed
from .late import late_rows
from .rows import Reading, key_names, partition_of

COMPARED_ROWS = 1_000_000  # at a time, in memory


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """What was set aside."""

    rows: int
    check: Callable[[int], None]  # with the rows read; raises when too many were refused


class RunChange:
    """The change of one run, made anew for each version of the table that its commit is tried on.

    As a context manager it discards what it staged when an error passes, as `Staging` does.
    """

    def __init__(
        self,
        spec: IngestSpec,
        *,
        landed: Landed,
        reading: Reading,
        staged: Staging,
        plans: Sequence[ColumnPlan],
        cursor: Cursor | None,
        sieve: Sieve,
        refused: Refused,
    ) -> None:
        self.spec, self.landed, self.reading, self.staged = spec, landed, reading, staged
        self.plans, self.cursor, self.sieve, self.refused = plans, cursor, sieve, refused
        self._staging = Staging(spec.target, spec.run_id, ROWS_PER_FILE)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: Any) -> None:
        self._staging.__exit__(*error)

    def __call__(self, table: Table | None, columns: tuple[Column, ...]) -> Change:
        """Raises `PublishConflict` when the table has moved on from where this run began to read."""
        self._staging.discard()
        self._check_unmoved(table)
        if self.spec.write_mode == "merge":
            merged = self._merge(table, columns)
            skipped = {"unchanged": merged.unchanged, "superseded": merged.superseded}
            change, deleted = merged.change, merged.deleted
        elif is_window(self.spec) and self.spec.write_mode == "append":
            change, deleted = self._replace_window(table, columns)
            skipped = {}
        else:
            known = self._stage_unseen(table, columns) if self.sieve.has_waiting else 0
            change, deleted, skipped = Change(files=self._staging.files), 0, {"already_loaded": known}
        change = replace(change, files=(*self.staged.files, *change.files))
        told = self._facts(table, change, self.reading.skipped | {rule: n for rule, n in skipped.items() if n})
        return replace(change, metadata=told | {"deleted_rows": deleted})

    # --- what is known of the table -------------------------------------------------

    def _check_unmoved(self, table: Table | None) -> None:
        watermark = self.spec.watermark
        if watermark is None or table is None:
            return
        now = state_of(table.uri, table.version).value_of(watermark.column, watermark.last)
        compares = self.cursor is not None and self.sieve.has_waiting and self.sieve.upper is not None
        upper = highest(table, self.cursor.name, self.cursor.dtype) if compares else None
        if now != watermark.last or (upper is not None and upper > self.sieve.upper):
            raise PublishConflict(
                f"{self.spec.target.dataset} has moved on: its {watermark.column} was at {watermark.last!r} when this "
                f"run began to read, and is at {now!r} now.",
                hint="Another run published meanwhile. Start again from where the table is.",
            )

    # --- append -----------------------------------------------------------------------

    def _stage_unseen(self, table: Table, columns: tuple[Column, ...]) -> int:
        """Stage those of the waiting rows that the table has not; how many it has. Rows count as often as they come."""
        waiting, known = pl.scan_parquet(self.reading.waiting, glob=False), 0
        height = waiting.select(pl.len()).collect().item()
        parts = -(-height // COMPARED_ROWS)
        if not height:
            return 0
        there = [
            (names, rows_of(table, files, columns).filter(self._in_reach(table)))
            for names, files in self._compared(table)
        ]
        shared = [name for name in there[0][0] if all(name in names for names, _ in there)]
        for part in range(parts):
            mine = (pl.struct(shared).hash() % parts) == part if parts > 1 else pl.lit(True)
            left = waiting.filter(mine).sort(POSITION).collect(engine="streaming")
            before = left.height
            for names, rows in there:
                left = _unknown(left, rows.filter(mine), names)
            known += before - left.height
            self._staging.sink(left.drop(POSITION).lazy(), partition=partition_of(self.spec))
        return known

    def _compared(self, table: Table) -> list[tuple[list[str], list[DataFile]]]:
        """The columns that tell whether a row is in the table, with the files that have them; most columns first.

        They are those that source and file both have. Where a format leaves out
        what has no value, all columns of the file count. A file that is older
        than a column lacks it: what the source has there now tells nothing of its rows.
        """
        given, alike = self._given(), {}
        for file in self._files_in_reach(table):
            # Statistics of a column prove that the file has it, and spare a look into the file.
            is_told = all(file.nulls.get(name) is not None for name in given)
            held = given if is_told else held_names(file.uri, table.storage_options)
            alike.setdefault(tuple(name for name in given if name in held), []).append(file)
        return [(list(names), files) for names, files in sorted(alike.items(), key=lambda of: -len(of[0]))]

    def _given(self) -> list[str]:
        if self.spec.format in ("json", "ndjson"):
            return [plan.name for plan in self.plans]
        found = {name for file in self.reading.files for name in file.header}
        return [plan.name for plan in self.plans if plan.name in found]

    def _has_cursor(self, table: Table) -> bool:
        return self.cursor.name in {column.name for column in table.columns}

    def _files_in_reach(self, table: Table) -> list[DataFile]:
        name, lower = self.cursor.name, self.cursor.lower
        if not self._has_cursor(table):
            return list(table.data_files)
        near = [file for file in table.data_files if file.may_hold(name, lower, None) or file.may_hold_null(name)]
        return near or list(table.data_files[:1])

    def _in_reach(self, table: Table) -> pl.Expr:
        if not self._has_cursor(table) or self.cursor.lower is None:
            return pl.lit(True)
        return self.cursor.has_none() | (pl.col(self.cursor.name) >= self.cursor.literal(self.cursor.lower))

    # --- a window ---------------------------------------------------------------------

    def _replace_window(self, table: Table | None, columns: tuple[Column, ...]) -> tuple[Change, int]:
        """The rows of the table in the window make room; how many they are."""
        if table is None or not self._has_cursor(table):
            return Change(), 0
        low, high = window_bounds(self.spec, self.cursor)
        inside = in_window(self.spec, self.cursor)
        near = [file for file in table.data_files if file.may_hold(self.cursor.name, low, high)]
        touched = [
            file
            for file in near
            if rows_of(table, [file], columns).select(inside.any()).collect(engine="streaming").item()
        ]
        change = rewrite(table, touched, columns, self._staging, lambda rows: rows.filter(~inside))
        removed = sum(file.rows for file in change.replaced) - sum(file.rows for file in change.kept)
        return change, removed

    # --- merge ------------------------------------------------------------------------

    def _merge(self, table: Table | None, columns: tuple[Column, ...]) -> Merged:
        keys = self._keys()
        rows = pl.scan_parquet(self.reading.waiting, glob=False)
        newer_by = self.cursor.name if self.cursor else ""
        batch = Batch(
            rows=rows,
            keys=keys,
            order=tuple(filter(None, (newer_by, POSITION))),
            newer_by=newer_by,
            compare=tuple(self._given()),
        )
        absent = self._absent(rows, keys)
        return merge(table, batch, columns, self._staging, partition=partition_of(self.spec), absent=absent)

    def _keys(self) -> tuple[str, ...]:
        keys = key_names(self.spec, self.plans)
        if missing := [name for name in self.spec.key_columns if name.lower() not in {key.lower() for key in keys}]:
            raise MissingColumns(
                f"The source has no column {', '.join(missing)}, by which the rows are to be merged.",
                hint="Correct key_columns.",
                missing=missing,
                present=[plan.name for plan in self.plans],
            )
        return keys

    def _absent(self, rows: pl.LazyFrame, keys: tuple[str, ...]) -> Absent | None:
        """What this run knows of rows that are gone: those of a window, or those of a source that it saw whole."""
        marked_at = self.spec.ingested_at.astimezone(UTC) if self.spec.delete_detection == "soft" else None
        here = [rows.select(keys)]
        if self.reading.bad_keys:
            here.append(pl.scan_parquet(self.reading.bad_keys, glob=False).select(keys))
        if is_window(self.spec):
            among = in_window(self.spec, self.cursor)
            return Absent(present=pl.concat(here), among=among, marked_at=marked_at, is_guarded=False)
        if self.spec.delete_detection == "off" or not self.knows_all_keys():
            return None
        here += [self._keys_in(file, keys) for file in files_of(self.landed, "keys")]
        return Absent(present=pl.concat(here), marked_at=marked_at)

    def knows_all_keys(self) -> bool:
        """Whether a key that this run did not meet is really gone."""
        if self.spec.watermark is not None and not files_of(self.landed, "keys"):
            return False
        if self.landed.facts.get(CUT_SHORT) or any(file.rejected for file in self.reading.files):
            return False
        if not self.reading.bad_keys:
            return True
        bad = pl.scan_parquet(self.reading.bad_keys, glob=False).select(pl.all().is_null().any()).collect()
        return not any(bad.row(0)) if bad.height else True

    def _keys_in(self, file: LandedFile, keys: tuple[str, ...]) -> pl.LazyFrame:
        schema = pl.scan_parquet(self.reading.waiting, glob=False).collect_schema()
        rows = converted_like(scan_landed(file), {name: schema[name] for name in keys}, self.spec.renames)
        if any(rows.select(pl.all().is_null().any()).collect(engine="streaming").row(0)):
            raise UnreadableSource(
                f"Some keys that the source has now ({', '.join(keys)}) are null or do not fit the table's types.",
                hint="Without them nobody can tell which rows are gone. Correct key_columns, or turn "
                "delete_detection off.",
            )
        return rows

    # --- what the commit tells --------------------------------------------------------

    def _facts(self, table: Table | None, change: Change, skipped: dict[str, int]) -> dict[str, Any]:
        """The run's numbers, once they add up. Raises `RowsDoNotBalance` and `BadRows`."""
        received, written = self.reading.received, sum(file.rows for file in change.files)
        rows_read = received - sum(skipped.values())
        checks = [check_balance(rows_read, written, self.refused.rows)]
        if skipped:
            checks.append(check_received(received, written + self.refused.rows, skipped))
        self.refused.check(rows_read)
        facts, frames = dict(self.landed.facts), self._good_rows()
        watermark = None
        if self.cursor:
            watermark = {"column": self.spec.watermark.column, "value": next_value(self.spec, self.cursor, *frames)}
            facts |= self._cursor_facts(table, change, frames)
        if self.spec.delete_detection != "off" and not is_window(self.spec) and not self.knows_all_keys():
            facts["deletes_not_looked_for"] = "the keys of some rows of the source are not known"
        return {
            "rows_read": rows_read,
            "rows_written": written,
            "quarantined_rows": self.refused.rows,
            "skipped": skipped,
            "watermark": watermark,
            "checks": checks,
            "facts": facts,
        }

    def _good_rows(self) -> list[pl.LazyFrame]:
        """Every good row that the run took, whether or not the table had it."""
        frames = [self.staged.scan()] if self.staged.files else []
        if self.reading.waiting:
            frames.append(pl.scan_parquet(self.reading.waiting, glob=False))
        return frames

    def _cursor_facts(self, table: Table | None, change: Change, frames: list[pl.LazyFrame]) -> dict[str, Any]:
        nulls, ahead = self.cursor.counted(*frames)
        facts: dict[str, Any] = {}
        if nulls:
            facts["null_watermarks"] = nulls
        if warning := self._warning(frames, ahead):
            facts["warning"] = warning
        if not is_window(self.spec) and self.cursor.last is not None and table is not None:
            files = [file.uri for file in change.files]
            here = files_of(self.landed, "late")
            if told := late_rows(self.cursor, files, here, table, self.spec):
                facts["late"] = told
        return facts

    def _warning(self, frames: list[pl.LazyFrame], ahead: int) -> str:
        name = self.cursor.name
        if ahead:
            return (
                f"{ahead:,} rows have a {name} more than ten years ahead. They are loaded, and do not move the "
                "watermark."
            )
        reached = self.cursor.reached(*frames)
        if reached is not None and self.cursor.is_ahead(reached, self.spec.ingested_at):
            return (
                f"The watermark is in the future: {name} reaches {reached}. Rows before it will be read as late ones."
            )
        return ""


def _unknown(rows: pl.DataFrame, table: pl.LazyFrame, names: list[str]) -> pl.DataFrame:
    """Those of the rows that the table has not, in their order. A row counts as often as it comes."""
    there = table.select(names).group_by(names).agg(pl.len().alias("__there"))
    here = rows.lazy().with_columns(pl.int_range(pl.len()).over(names).alias("__nth"))
    joined = here.join(there, on=names, how="left", nulls_equal=True)
    unseen = joined.filter((pl.col("__nth") >= pl.col("__there")).fill_null(True))
    return unseen.drop("__nth", "__there").sort(POSITION).collect(engine="streaming")
