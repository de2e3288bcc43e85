"""Merging rows into a table by their key: what is new is added, what has changed replaced, all else left alone.

Only the data files that hold a replaced row are written anew. They are found
by the log's statistics and then by the keys themselves.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import polars as pl

from ..errors import RowsDoNotBalance, TooManyDeletes
from ..specs import Column
from .publish import Change
from .rewrite import PATH, rewrite, rows_of
from .stage import Staging
from .table import Table

BATCH_ROWS = 1_000_000  # compared at a time, in memory
ROWS_PER_FILE = 500_000  # smaller than usual: what is replaced is written anew by the file
DELETED_AT = "_deleted_at"
MOST_DELETED = 0.5  # a share of the table's rows
FEW_ROWS = 100  # of a table so small any share may go, but for all of them
_NOW = "__now"  # behind a column's name: what the table has
_GONE = "__gone"


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Rows to merge: every key has a value."""

    rows: pl.LazyFrame  # with the columns of `order`, which are not stored when they begin with two underscores
    keys: tuple[str, ...]
    order: tuple[str, ...] = ()  # of two rows with one key the one greater in these counts; none: keys are unique
    newer_by: str = ""  # the column that says which of a row and the table's is newer; empty: always the row
    compare: tuple[str, ...] = ()  # a row that equals the table's in these is unchanged


@dataclass(frozen=True, slots=True, kw_only=True)
class Absent:
    """Which of the table's rows are no longer there: those whose key is not among `present`."""

    present: pl.LazyFrame  # the keys
    among: pl.Expr | None = None  # only these of the table's rows; None: all
    marked_at: datetime | None = None  # mark them with `_deleted_at` and keep them; None: remove them
    is_guarded: bool = True  # refuse when most rows would go


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    change: Change
    unchanged: int = 0
    updated: int = 0  # keys whose row in the table made room for another
    superseded: int = 0  # an older state of a row than another in the batch, or than the table's
    deleted: int = 0


def merge(
    table: Table | None,
    batch: Batch,
    columns: tuple[Column, ...],
    staging: Staging,
    *,
    partition: Mapping[str, Any] | None = None,
    absent: Absent | None = None,
) -> Merged:
    """Stage what makes of the table one that holds the batch. `columns` are those it is to have.

    `partition` gives the partition's values when the batch lacks those columns.
    Where the table has several rows of a key, one is left as soon as one of
    them is replaced. A row whose key comes back loses its `_deleted_at`.
    Raises `TooManyDeletes`, and `RowsDoNotBalance` when a row that should have
    stayed did not.
    """
    newest, superseded = _newest(batch)
    before = len(staging.files)
    if table is None or not table.rows:
        staging.sink(_plain(newest), partition=partition)
        return Merged(change=Change(files=staging.files[before:]), superseded=superseded)
    compared = [_compare(table, part, batch, columns, staging, partition) for part in _parts(newest, batch.keys[0])]
    files = staging.files[before:]
    gone = _gone(table, batch.keys, columns, absent) if absent else None
    replaced = pl.concat([one.replaced for one in compared])
    change = _rewrite(table, batch.keys, columns, staging, replaced, gone, absent, with_partitions=partition is None)
    return Merged(
        change=replace(change, files=files),
        unchanged=sum(one.unchanged for one in compared),
        updated=replaced.select(batch.keys).unique().height,
        superseded=superseded + sum(one.superseded for one in compared),
        deleted=0 if gone is None else gone.height,
    )


def _plain(rows: pl.LazyFrame) -> pl.LazyFrame:
    return rows.select(name for name in rows.collect_schema().names() if not name.startswith("__"))


def _newest(batch: Batch) -> tuple[pl.LazyFrame, int]:
    """The newest row of each key, and how many older ones there are."""
    if not batch.order:
        return batch.rows, 0
    position = batch.order[-1]
    places = batch.rows.select(list(dict.fromkeys([*batch.keys, *batch.order]))).collect(engine="streaming")
    order = [pl.col(name).fill_nan(None) if places.schema[name].is_float() else pl.col(name) for name in batch.order]
    newest = places.sort(order, nulls_last=False).unique(batch.keys, keep="last")
    if newest.height == places.height:
        return batch.rows, 0
    return batch.rows.join(newest.lazy().select(position), on=position, how="semi"), places.height - newest.height


def _parts(rows: pl.LazyFrame, key: str) -> Iterator[pl.DataFrame]:
    """The rows in parts of a bounded size, cut by ranges of the first key, so that each touches few files."""
    height = rows.select(pl.len()).collect(engine="streaming").item()
    if height <= BATCH_ROWS:
        yield rows.collect(engine="streaming")
        return
    values = rows.select(key).collect(engine="streaming").to_series().sort()
    cuts = values.gather_every(BATCH_ROWS, offset=BATCH_ROWS).unique(maintain_order=True).to_list()
    for low, high in zip([None, *cuts], [*cuts, None], strict=True):
        inside = pl.lit(True)
        if low is not None:
            inside &= pl.col(key) >= pl.lit(low, dtype=values.dtype)
        if high is not None:
            inside &= pl.col(key) < pl.lit(high, dtype=values.dtype)
        part = rows.filter(inside).collect(engine="streaming")
        if part.height:
            yield part.sort(key)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Compared:
    replaced: pl.DataFrame  # PATH of every row of the table that makes room, and its key
    unchanged: int = 0
    superseded: int = 0


def _compare(
    table: Table,
    rows: pl.DataFrame,
    batch: Batch,
    columns: tuple[Column, ...],
    staging: Staging,
    partition: Mapping[str, Any] | None,
) -> _Compared:
    """Stage the rows that are new or changed."""
    keys = list(batch.keys)
    now = _current(table, rows, batch, columns, with_partitions=partition is None)
    pairs = (
        rows.lazy()
        .join(now.lazy(), on=keys, how="inner", suffix=_NOW)
        .select(*keys, _is_same(rows, now, batch).alias("same"), _is_older(rows, now, batch).alias("older"))
    )
    verdicts = (
        pairs.group_by(keys).agg(same=(pl.len() == 1) & pl.col("same").all(), older=pl.col("older").any()).collect()
    )
    same, older = verdicts.filter("same"), verdicts.filter(~pl.col("same") & pl.col("older"))
    left_out = pl.concat([same, older]).select(keys)
    wanted = rows.lazy().join(left_out.lazy(), on=keys, how="anti", maintain_order="left")
    staging.sink(_plain(wanted), partition=partition)
    changed = verdicts.filter(~pl.col("same") & ~pl.col("older")).select(keys)
    replaced = now.select(*keys, PATH).join(changed, on=keys, how="semi")
    return _Compared(replaced=replaced, unchanged=same.height, superseded=older.height)


def _current(
    table: Table, rows: pl.DataFrame, batch: Batch, columns: tuple[Column, ...], *, with_partitions: bool
) -> pl.DataFrame:
    """The table's rows of these keys."""
    bounds = {key: (rows[key].min(), rows[key].max()) for key in batch.keys}
    looked_at = table.data_files if rows.height else ()
    files = [file for file in looked_at if all(file.may_hold(key, *bounds[key]) for key in batch.keys)]
    files = files or table.data_files[:1]  # for its columns
    held = {column.name for column in columns} - (set() if with_partitions else set(table.partition_by))
    wanted = [*dict.fromkeys([*batch.keys, *batch.compare, *filter(None, [batch.newer_by])]), DELETED_AT, PATH]
    wanted = [name for name in wanted if name in held or name == PATH]
    frame = rows_of(table, files, columns, with_path=True, with_partitions=with_partitions).select(wanted)
    keys = rows.lazy().select(batch.keys)
    return frame.join(keys, on=list(batch.keys), how="semi").collect(engine="streaming")


def _is_same(rows: pl.DataFrame, now: pl.DataFrame, batch: Batch) -> pl.Expr:
    compared = [name for name in batch.compare if name not in batch.keys]
    same = [pl.col(name).eq_missing(pl.col(name + _NOW)) for name in compared]
    if DELETED_AT in now.columns:
        same.append(pl.col(DELETED_AT + _NOW if DELETED_AT in rows.columns else DELETED_AT).is_null())
    return pl.all_horizontal(same) if same else pl.lit(True)


def _is_older(rows: pl.DataFrame, now: pl.DataFrame, batch: Batch) -> pl.Expr:
    if not batch.newer_by or batch.newer_by in batch.keys:
        return pl.lit(False)
    value, current = pl.col(batch.newer_by), pl.col(batch.newer_by + _NOW)
    if rows.schema[batch.newer_by].is_float():
        value, current = value.fill_nan(None), current.fill_nan(None)
    return (value < current).fill_null(False)


def _gone(table: Table, keys: Sequence[str], columns: tuple[Column, ...], absent: Absent) -> pl.DataFrame:
    """Keys and PATH of the table's rows that are no longer there."""
    rows = rows_of(table, table.data_files, columns, with_path=True).filter(pl.col(key).is_not_null() for key in keys)
    live = rows.filter(pl.col(DELETED_AT).is_null()) if DELETED_AT in {column.name for column in columns} else rows
    looked_at = live if absent.marked_at is not None else rows
    chosen = looked_at if absent.among is None else looked_at.filter(absent.among)
    missing = chosen.join(absent.present, on=list(keys), how="anti").select(keys)
    gone = looked_at.select(*keys, PATH).join(missing, on=list(keys), how="semi").collect(engine="streaming")
    if absent.is_guarded and gone.height:
        _check_share(gone.height, live.select(pl.len()).collect(engine="streaming").item())
    return gone


def _check_share(gone: int, rows: int) -> None:
    if gone < rows and (rows < FEW_ROWS or gone <= MOST_DELETED * rows):
        return
    raise TooManyDeletes(
        f"{gone:,} of the table's {rows:,} rows are no longer at the source; more than half of them, or all, "
        "is more likely a fault of the source than a deletion.",
        hint="Nothing was published. Check the source. If the rows are really gone, load once with "
        "write_mode overwrite, or with delete_detection off.",
        gone=gone,
        rows=rows,
    )


def _rewrite(
    table: Table,
    keys: Sequence[str],
    columns: tuple[Column, ...],
    staging: Staging,
    replaced: pl.DataFrame,
    gone: pl.DataFrame | None,
    absent: Absent | None,
    *,
    with_partitions: bool,
) -> Change:
    """Write the touched files anew without the rows that make room."""
    names = list(keys)
    marked = gone if gone is not None and absent.marked_at is not None else None
    dropped = replaced if gone is None or marked is not None else pl.concat([replaced, gone])
    touched = set(dropped[PATH]) | (set(marked[PATH]) if marked is not None else set())
    leaving = dropped.lazy().select(names).unique()

    def without(rows: pl.LazyFrame) -> pl.LazyFrame:
        rest = rows.join(leaving, on=names, how="anti", maintain_order="left")
        return rest if marked is None else _with_mark(rest, names, marked, absent.marked_at)

    files = (file for file in table.data_files if file.path in touched)
    change = rewrite(table, files, columns, staging, without, with_partitions=with_partitions)
    kept, held = sum(file.rows for file in change.kept), sum(file.rows for file in change.replaced)
    if held - kept != dropped.height:
        raise RowsDoNotBalance(
            f"{held} rows lay in the files to replace, {dropped.height} of them make room, and {kept} were kept.",
            hint="Nothing was published. This is a bug in Assay: please report it.",
        )
    return change


def _with_mark(rows: pl.LazyFrame, keys: list[str], marked: pl.DataFrame, at: datetime) -> pl.LazyFrame:
    gone = marked.lazy().select(*keys, pl.lit(True).alias(_GONE)).unique()
    told = pl.when(pl.col(_GONE)).then(pl.lit(at, dtype=pl.Datetime("us", "UTC"))).otherwise(pl.col(DELETED_AT))
    return rows.join(gone, on=keys, how="left", maintain_order="left").with_columns(told.alias(DELETED_AT)).drop(_GONE)
