"""What the columns of a table hold, for people: shares of nulls, distinct values, bounds, means, frequent values.

They are those of at most `MAX_ROWS` rows, a few columns at a time, in two streaming
passes: frequencies and bars need to know first how many values there are, and from
where to where. Of larger tables the log tells nulls and bounds, where it has them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from datetime import date, datetime, time
from typing import Any

import polars as pl

from workers.lake.table import DataFile, Table, open_table
from workers.specs import Column

MAX_ROWS = 1_000_000
MAX_COLUMNS = 200
MAX_TEXT = 80  # characters of a value
FEW = 1_000  # so many distinct values are counted one by one,
FEW_STEPS = 24  # so many of those that have distances between them: more are drawn as bars
TOP = 5
BATCH = 8  # columns at once: a column's distinct values are held in memory
BARS = 16


def of_table(spec: dict[str, Any]) -> dict[str, Any]:
    """In a child process: `{uri, version}` → `table_statistics` of it."""
    return table_statistics(open_table(spec["uri"], spec["version"]), spec.get("max_rows", MAX_ROWS))


def table_statistics(table: Table, max_rows: int = MAX_ROWS) -> dict[str, Any]:
    """`{rows, rows_looked_at, columns: [{name, type, nulls, null_share, distinct, min, max, mean, top, bars}]}`.

    Where not all rows are looked at, `nulls`, `min` and `max` are still those
    of the whole table if its log has them. `distinct` leaves nulls out, and is
    null for nested columns. `top` has up to 5 values with their counts where
    there are at most 1,000 different ones (24 of numbers and times), `bars` the
    counts in 16 equal intervals from `min` to `max` of numbers and times with
    more. Values are JSON: dates, times and decimals as text.
    """
    columns, total = table.columns[:MAX_COLUMNS], table.rows
    looked_at = min(total, max_rows)
    told = []
    for start in range(0, len(columns), BATCH):
        told += _of_columns(table, columns[start : start + BATCH], looked_at, total)
    return {"rows": total, "rows_looked_at": looked_at, "columns": told}


def _of_columns(table: Table, columns: Sequence[Column], looked_at: int, total: int) -> list[dict[str, Any]]:
    rows = table.scan().select(column.name for column in columns).head(looked_at)
    schema = rows.collect_schema()
    facts = _first_pass(rows, schema)
    details = _second_pass(rows, schema, facts)
    told = []
    for column in columns:
        found, counted = facts[column.name], looked_at
        if looked_at < total:
            found |= _of_log(column.name, table.data_files, schema[column.name])
            counted = total if found.pop("is_whole", False) else looked_at
        found["null_share"] = found["nulls"] / counted if counted else 0.0
        told.append({"name": column.name, "type": column.type, **_as_json(found), **details.get(column.name, _NOTHING)})
    return told


_NOTHING: dict[str, Any] = {"top": [], "bars": []}


def _first_pass(rows: pl.LazyFrame, schema: pl.Schema) -> dict[str, dict[str, Any]]:
    asked = [pl.len().alias("rows")]
    for place, (name, kind) in enumerate(schema.items()):
        values = pl.col(name)
        asked.append(values.null_count().alias(f"{place}.nulls"))
        if not kind.is_nested():
            # Of their hashes, which take eight bytes however long the values are.
            asked.append(values.drop_nulls().hash().n_unique().alias(f"{place}.distinct"))
        if _has_order(kind):
            asked += [values.min().alias(f"{place}.min"), values.max().alias(f"{place}.max")]
        if kind.is_numeric():
            asked.append(values.cast(pl.Float64).mean().alias(f"{place}.mean"))
        if kind.is_numeric() or kind in (pl.Date, pl.Datetime):
            asked += [_as_float(name).min().alias(f"{place}.low"), _as_float(name).max().alias(f"{place}.high")]
    found = rows.select(asked).collect(engine="streaming").row(0, named=True)
    facts = ("nulls", "distinct", "min", "max", "mean", "low", "high")
    return {name: {fact: found.get(f"{place}.{fact}") for fact in facts} for place, name in enumerate(schema)}


def _has_order(kind: pl.DataType) -> bool:
    return not kind.is_nested() and kind not in (pl.Boolean, pl.Binary, pl.Null)


def _second_pass(rows: pl.LazyFrame, schema: pl.Schema, facts: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """`{column: {top, bars}}`."""
    counted, binned = [], []
    for name, kind in schema.items():
        known = facts[name]
        if not known["distinct"] or kind == pl.Binary:
            continue
        has_distances = known["low"] is not None and math.isfinite(known["high"] - known["low"])
        if known["distinct"] <= (FEW_STEPS if has_distances else FEW):
            counted.append(name)
        elif has_distances:
            binned.append(name)
    frames = [_frequencies(rows, name) for name in counted] + [_intervals(rows, name, facts[name]) for name in binned]
    found = pl.collect_all(frames, engine="streaming") if frames else []
    details = {name: {"top": _top(frame), "bars": []} for name, frame in zip(counted, found, strict=False)}
    for name, frame in zip(binned, found[len(counted) :], strict=True):
        details[name] = {"top": [], "bars": _bars(frame)}
    return details


def _frequencies(rows: pl.LazyFrame, name: str) -> pl.LazyFrame:
    values = rows.select(pl.col(name).alias("value")).filter(pl.col("value").is_not_null())
    counts = values.group_by("value").agg(pl.len().alias("count"))
    return counts.sort("count", "value", descending=[True, False]).head(TOP)


def _intervals(rows: pl.LazyFrame, name: str, known: dict[str, Any]) -> pl.LazyFrame:
    share = (_as_float(name) - known["low"]) / (known["high"] - known["low"])
    place = (share * BARS).floor().clip(0, BARS - 1)
    values = rows.select(place.alias("value")).filter(pl.col("value").is_finite())
    return values.group_by("value").agg(pl.len().alias("count"))


def _as_float(name: str) -> pl.Expr:
    """Numbers as they are, days and moments as the numbers that they are stored as."""
    return pl.col(name).to_physical().cast(pl.Float64)


def _top(frame: pl.DataFrame) -> list[dict[str, Any]]:
    return [{"value": _json(value), "count": count} for value, count in frame.iter_rows()]


def _bars(frame: pl.DataFrame) -> list[int]:
    counts = {int(place): count for place, count in frame.iter_rows()}
    return [counts.get(place, 0) for place in range(BARS)]


# --- what the log tells ---------------------------------------------------------------


def _of_log(name: str, files: Iterable[DataFile], kind: pl.DataType) -> dict[str, Any]:
    """Nulls and bounds of the whole table where every file tells them; `is_whole` where the nulls are."""
    files = list(files)
    told: dict[str, Any] = {}
    nulls = [_nulls_in(file, name) for file in files]
    if files and None not in nulls:
        told |= {"nulls": sum(nulls), "is_whole": True}
    filled = [file for file, empty in zip(files, nulls, strict=True) if empty != file.rows]
    if not _has_order(kind) or not filled:
        return told
    lows, highs = ([_bound_of(file, name, side) for file in filled] for side in ("lows", "highs"))
    if None not in lows and None not in highs:
        told |= {"min": min(lows), "max": _shortened(max(highs))}
    return told


def _shortened(value: Any) -> Any:
    """The log has moments in milliseconds, and the table's reader rounds them up."""
    return value.replace(microsecond=value.microsecond - 999) if _is_rounded(value) else value


def _is_rounded(value: Any) -> bool:
    return isinstance(value, datetime) and value.microsecond % 1000 == 999


def _nulls_in(file: DataFile, name: str) -> int | None:
    if name in file.partition_values:
        return file.rows if file.partition_values[name] is None else 0
    return file.nulls.get(name)


def _bound_of(file: DataFile, name: str, side: str) -> Any:
    if name in file.partition_values:
        return file.partition_values[name]
    return getattr(file, side).get(name)


# --- as JSON ----------------------------------------------------------------------------


def _as_json(found: dict[str, Any]) -> dict[str, Any]:
    return {name: _json(value) for name, value in found.items() if name not in ("low", "high")}


def _json(value: Any) -> Any:
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    text = value.isoformat() if isinstance(value, datetime | date | time) else str(value)
    return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}…"
