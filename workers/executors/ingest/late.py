"""How late rows come: those that a run still caught behind the watermark, and those that it no longer looked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl

from workers.lake.landing import LandedFile
from workers.lake.table import Table
from workers.specs import IngestSpec
from workers.watermark import LATE_SECONDS, LATER

from .incremental import Cursor
from .landed import converted_like, scan_landed


def late_rows(
    cursor: Cursor, new_files: Sequence[str], landed: Sequence[LandedFile], table: Table, spec: IngestSpec
) -> dict[str, Any]:
    """`{caught, missed, max_seconds, buckets: {"900": n}, missed_buckets}`, or nothing when nobody was late or looked.

    Late is a row whose value lies before the watermark that was reached when it
    came. Caught rows are in the run's new files; `landed` holds keys and
    values of an older window at the source, of which some are in no table.
    A column of numbers has `max_distance` and no buckets.
    """
    frames = [_caught(cursor, new_files, table)] if new_files else []
    caught = sum(frame.len() for frame in frames)
    missed = [_missed(cursor, file, table, spec) for file in landed]
    if not caught and not landed:
        return {}
    told = {"caught": caught, "missed": sum(frame.len() for frame in missed)}
    distances = pl.concat([*frames, *missed]).drop_nulls()
    if not cursor.is_moment:
        return told | ({"max_distance": distances.max()} if distances.len() else {})
    told |= {"max_seconds": distances.max() or 0.0, "buckets": _buckets(distances)}
    return told | {"missed_buckets": _buckets(pl.concat(missed))} if told["missed"] else told


def _buckets(seconds: pl.Series) -> dict[str, int]:
    counts, before = {}, 0
    for end in LATE_SECONDS:
        until = int((seconds <= end).sum())
        counts[str(end)], before = until - before, until
    counts[LATER] = seconds.len() - before
    return {end: rows for end, rows in counts.items() if rows}


def _caught(cursor: Cursor, files: Sequence[str], table: Table) -> pl.Series:
    rows = pl.scan_parquet(files, glob=False, hive_partitioning=False, storage_options=table.storage_options or None)
    late = rows.filter(pl.col(cursor.name) < cursor.literal(cursor.last))
    return late.select(_distance(cursor)).collect(engine="streaming").to_series()


def _distance(cursor: Cursor) -> pl.Expr:
    """How far behind the watermark a value lies: seconds, or units of its own; null for text, which has none."""
    if cursor.dtype == pl.String:
        return pl.when(False).then(pl.col(cursor.name).str.len_bytes()).cast(pl.Float64).alias("late")
    distance = cursor.literal(cursor.last) - pl.col(cursor.name)
    seconds = distance.dt.total_microseconds() / 1_000_000 if cursor.is_moment else distance
    return seconds.cast(pl.Float64).alias("late")


def _missed(cursor: Cursor, file: LandedFile, table: Table, spec: IngestSpec) -> pl.Series:
    """The distances of the source's rows that the table has not: by key where the job has one, else by value."""
    held = table.scan().collect_schema()
    keys = [name for name in spec.key_columns if name in held and name != cursor.name]
    wanted = {name: held[name] for name in keys} | {cursor.name: cursor.dtype}
    there = converted_like(scan_landed(file), wanted, spec.renames).filter(~cursor.has_none())
    there = there.collect(engine="streaming")
    if there.is_empty():
        return pl.Series("late", [], dtype=pl.Float64)
    low = cursor.literal(there[cursor.name].min())
    here = table.scan().select(list(wanted)).cast({cursor.name: cursor.dtype}).filter(pl.col(cursor.name) >= low)
    if keys:
        newest = here.group_by(keys).agg(pl.col(cursor.name).max().alias("__here"))
        joined = there.lazy().join(newest, on=keys, how="left", nulls_equal=True)
        absent = joined.filter(pl.col("__here").is_null() | (pl.col("__here") < pl.col(cursor.name)))
    else:
        counts = here.group_by(cursor.name).agg(pl.len().alias("__here"))
        numbered = there.lazy().with_columns(pl.int_range(pl.len()).over(cursor.name).alias("__nth"))
        joined = numbered.join(counts, on=cursor.name, how="left")
        absent = joined.filter(pl.col("__nth") >= pl.col("__here").fill_null(0))
    return absent.select(_distance(cursor)).collect(engine="streaming").to_series()
