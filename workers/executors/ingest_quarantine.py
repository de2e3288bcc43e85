"""Rows that are set aside: where they are kept, how many, why, and when they are too many."""

from __future__ import annotations

from datetime import UTC
from pathlib import Path

import polars as pl

from ..errors import BadRows
from ..lake.paths import date_folder
from ..lake.store import open_store, reaching
from ..readers.base import FILE, ROW, PlainFile
from ..specs import IngestSpec
from .ingest_rows import Reading

TOP_REASONS = 5
_WHY = ("_column", "_rule")
_KEPT = ("_raw", "_offset", "_column", "_rule", "_reason")


def refused_rows(reading: Reading, run_id: str) -> pl.LazyFrame:
    """All rejected records and bad rows: `_raw, _line, _offset, _column, _reason, _rule, _run_id, _source_file`.

    `_line` is the record's number in its file, from 1, header and skipped
    lines counted, blank lines not. `_offset` is its byte in the unpacked file
    where that is known. `_raw` is the text of a rejected record, and JSON of
    the values of a row whose values do not fit.
    """
    bad = pl.scan_parquet(reading.bad, glob=False)
    parts = [part for file in reading.files for part in _of_file(file, bad)]
    rows = pl.concat(parts).with_columns(_run_id=pl.lit(run_id))
    return rows.select("_raw", "_line", "_offset", "_column", "_reason", "_rule", "_run_id", "_source_file")


def _of_file(file: PlainFile, bad: pl.LazyFrame) -> list[pl.LazyFrame]:
    rejected = pl.concat([pl.scan_parquet(p, glob=False) for p in file.rejected]) if file.rejected else None
    own = bad.filter(pl.col(FILE) == file.number)
    record = pl.col(ROW).cast(pl.Int64)
    if rejected is not None:
        # The scan numbered the records that were kept; each rejected one before them pushes them on.
        gaps = rejected.select("kept_before").collect().to_series()
        record = record + record.map_batches(
            lambda rows: gaps.search_sorted(rows, side="right").cast(pl.Int64), return_dtype=pl.Int64
        )
    nowhere = pl.lit(None, dtype=pl.Int64)
    frames = [own.with_columns(record=record, _offset=nowhere)]
    if rejected is not None:
        frames.append(rejected.with_columns(_offset=nowhere) if file.is_converted else rejected)
    line = pl.col("record") + file.records_before + 1
    return [frame.select(*_KEPT, _line=line, _source_file=pl.lit(file.name)) for frame in frames]


def write_quarantine(spec: IngestSpec, refused: pl.LazyFrame, folder: Path) -> tuple[str, int, dict[str, int]]:
    """Keep the refused rows in the lake: the file's address, its rows (from its footer) and how many by reason.

    The file has the run's name and is replaced whole, so trying a run again
    leaves one file. Nothing is written, and the address empty, when no row
    was refused.
    """
    local = folder / "quarantine.parquet"
    refused.sink_parquet(local, compression="zstd")
    rows = pl.scan_parquet(local, glob=False).select(pl.len()).collect().item()
    if not rows:
        return "", 0, {}
    store = open_store(spec.quarantine_uri)
    key = f"{date_folder('yyyy/MM/dd', spec.ingested_at.astimezone(UTC))}/{spec.run_id}.parquet"
    with reaching(store.uri), local.open("rb") as source:
        store.write(key, source)
    return store.uri_of(key), rows, reasons_of(pl.scan_parquet(local, glob=False))


def reasons_of(refused: pl.LazyFrame) -> dict[str, int]:
    """Refused rows by reason, most frequent first: `{"amount: type": 12, "too_few_fields": 3}`."""
    counts = refused.group_by(_WHY).len().sort("len", *_WHY, descending=[True, False, False], nulls_last=True).collect()
    return {f"{column}: {rule}" if column else rule: rows for column, rule, rows in counts.iter_rows()}


def refuse(spec: IngestSpec, refused: pl.LazyFrame) -> None:
    """Raises `BadRows` about the first refused row, if there is one: the job allows none."""
    first = refused.sort("_source_file", "_line").head(1).collect()
    if first.is_empty():
        return
    row = first.row(0, named=True)
    where = f"{row['_source_file']}, line {row['_line']}"
    what = f"{row['_column']}: {row['_reason']}" if row["_column"] else row["_reason"]
    raise BadRows(
        f"{where}: {what}.",
        hint=f"Correct the file, {_remedy(row['_rule'])}, or set error_handling to quarantine to load the other rows.",
        file=row["_source_file"],
        line=row["_line"],
        column=row["_column"],
        reason=row["_reason"],
        rule=row["_rule"],
        raw=row["_raw"][:2000],
        rows=refused.select(pl.len()).collect().item(),
    )


def _remedy(rule: str) -> str:
    remedies = {
        "type": "declare the column as string",
        "not_null": "make the column nullable",
        "encoding": "set the encoding that the file really has",
        "quote": "set the quote sign that the file really uses, or none",
    }
    return remedies.get(rule, "check the job's format and delimiter")


def check_threshold(spec: IngestSpec, rows_read: int, rows: int, reasons: dict[str, int], path: str) -> None:
    """Raises `BadRows` when more than the job's share of the rows was refused. Their file is kept."""
    share = rows / rows_read if rows_read else 0.0
    if share <= spec.bad_row_threshold:
        return
    top = dict(list(reasons.items())[:TOP_REASONS])
    told = ", ".join(f"{reason} ({count})" for reason, count in top.items())
    raise BadRows(
        f"{rows} of {rows_read} rows ({share:.1%}) were refused; the job allows {spec.bad_row_threshold:.1%}. "
        f"Most often: {told}.",
        hint=f"Nothing was published. Look at the rows in {path}, then correct the source, the column types or "
        "bad_row_threshold.",
        rows_read=rows_read,
        quarantined_rows=rows,
        share=share,
        reasons=top,
        quarantine_path=path,
    )
