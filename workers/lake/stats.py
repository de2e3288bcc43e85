"""What a Parquet file's footer says about its rows, as Delta's log wants it.

Readers skip files on these numbers, so a bound that might be wrong is left
out: it costs some skipping, never a row.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow.parquet as pq

TEXT_BYTES = 64  # writers may cut longer texts, and a cut text is no bound


def footer_stats(metadata: pq.FileMetaData, leave_out: Collection[str] = ()) -> dict[str, Any]:
    """`{numRecords, minValues, maxValues, nullCount}` of the flat columns; no data is read.

    Floats have no bounds: NaN sorts above them and the footer does not count
    it. Nested and binary columns have none either, nor have texts of 64 bytes
    or more and numbers that JSON cannot hold exactly.
    """
    lows, highs, nulls = {}, {}, {}
    for index in range(metadata.num_columns):
        name = metadata.schema.column(index).path
        if "." in name or name in leave_out or metadata.schema.column(index).max_repetition_level:
            continue
        chunks = [metadata.row_group(g).column(index).statistics for g in range(metadata.num_row_groups)]
        if all(chunk is not None and chunk.has_null_count for chunk in chunks):
            nulls[name] = sum(chunk.null_count for chunk in chunks)
        if bounds := _bounds(chunks):
            lows[name], highs[name] = bounds
    return {"numRecords": metadata.num_rows, "minValues": lows, "maxValues": highs, "nullCount": nulls}


def _bounds(chunks: list[Any]) -> tuple[Any, Any] | None:
    """The lowest and highest value of all row groups, or None where one of them does not tell."""
    known = [chunk for chunk in chunks if chunk is not None]
    valued = [chunk for chunk in known if chunk.has_min_max]
    silent = [chunk for chunk in known if not chunk.has_min_max and chunk.num_values > 0]
    if len(known) < len(chunks) or silent or not valued:
        return None
    try:
        low, high = min(chunk.min for chunk in valued), max(chunk.max for chunk in valued)
    except (OverflowError, ValueError):  # a date beyond the year 9999
        return None
    bounds = _json(low), _json(high)
    return None if None in bounds else bounds


def _json(value: Any) -> Any:
    """The value as the log spells it, or None where that would not be exact."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value
    if isinstance(value, str):
        return value if len(value.encode()) < TEXT_BYTES else None
    if isinstance(value, datetime):
        return _timestamp(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return float(value) if math.isfinite(value) and Decimal(repr(float(value))) == value else None
    return None


def _timestamp(value: datetime) -> str:
    zone = "Z" if value.tzinfo else ""
    utc = value.astimezone(UTC) if value.tzinfo else value
    return utc.replace(tzinfo=None).isoformat(timespec="microseconds") + zone
