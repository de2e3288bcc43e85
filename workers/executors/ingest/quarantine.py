"""Rows that are set aside: where they are kept, how many, why, and when they are too many."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC
from pathlib import Path

import polars as pl

from workers.errors import BadRows
from workers.lake.paths import date_folder
from workers.lake.store import open_store, reaching
from workers.readers.base import FILE, ROW, PlainFile
from workers.readers.casts import ColumnPlan
from workers.readers.json_types import as_text
from workers.results import ContractChange
from workers.specs import IngestSpec

from .contract import DECIDE, as_facts
from .rows import VALUE_CHARS, Reading

TOP_REASONS = 5
COLUMNS = (
    "_raw", "_line", "_offset", "_column", "_reason", "_rule", "_wanted_type", "_value", "_run_id", "_source_file",
)  # fmt: skip
_WHY = ("_column", "_rule")
_KEPT = ("_raw", "_offset", "_column", "_rule", "_reason", "_wanted_type", "_value")


def refused_rows(reading: Reading, run_id: str, plans: Sequence[ColumnPlan] = ()) -> pl.LazyFrame:
    """All rejected records and bad rows, with the columns `COLUMNS`.

    `_line` is the record's number in its file, from 1, header and skipped
    lines counted, blank lines not. `_offset` is its byte in the unpacked file
    where that is known. `_raw` is the text of a rejected record, and JSON of
    the values of a row whose values do not fit. `_wanted_type` and `_value`
    (up to 200 characters) tell of the value that does not fit.
    """
    bad = pl.scan_parquet(reading.bad, glob=False)
    wanted = {plan.name: plan.type for plan in plans}
    # A frame for each of many files takes longer than all the rest.
    held = {reading.files[0].number, *bad.select(FILE).unique().collect().to_series()}
    told = [file for file in reading.files if file.number in held or file.rejected]
    parts = [part for file in told for part in _of_file(file, bad, wanted)]
    rows = pl.concat(parts).with_columns(_run_id=pl.lit(run_id))
    return rows.select(COLUMNS)


def _of_file(file: PlainFile, bad: pl.LazyFrame, wanted: dict[str, str]) -> list[pl.LazyFrame]:
    rejected = pl.concat([pl.scan_parquet(p, glob=False) for p in file.rejected]) if file.rejected else None
    own = bad.filter(pl.col(FILE) == file.number)
    record = file.record_of(pl.col(ROW))
    nowhere = pl.lit(None, dtype=pl.Int64)
    frames = [own.with_columns(record=record, _offset=nowhere)]
    if rejected is not None:
        rejected = rejected.with_columns(*_misfit(file, wanted))
        frames.append(rejected.with_columns(_offset=nowhere) if file.is_converted else rejected)
    line, name = file.line_of(pl.col("record")), file.name_of(pl.col("record"))
    return [frame.select(*_KEPT, _line=line, _source_file=name) for frame in frames]


def _misfit(file: PlainFile, wanted: dict[str, str]) -> tuple[pl.Expr, pl.Expr]:
    """The type and the value of a record that was rejected for a nested value; null for any other."""
    keys = dict(zip(file.header, file.keys, strict=False))

    def value_of(row: dict[str, str]) -> str | None:
        try:
            return as_text(json.loads(row["_raw"]).get(keys[row["_column"]]))[:VALUE_CHARS]
        except (ValueError, KeyError):
            return None

    is_misfit = (pl.col("_rule") == "type") & pl.col("_column").is_not_null()
    record = pl.when(is_misfit).then(pl.struct("_raw", "_column"))
    kind = pl.col("_column").replace_strict(wanted, default=None, return_dtype=pl.String)
    value = record.map_elements(value_of, return_dtype=pl.String)
    return pl.when(is_misfit).then(kind).alias("_wanted_type"), value.alias("_value")


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


def refuse(spec: IngestSpec, refused: pl.LazyFrame, contract: Sequence[ContractChange] = ()) -> None:
    """Raises `BadRows` about the first refused row, if there is one: the job allows none."""
    first = refused.sort("_source_file", "_line").head(1).collect()
    if first.is_empty():
        return
    row = first.row(0, named=True)
    where = f"{row['_source_file']}, line {row['_line']}"
    what = f"{row['_column']}: {row['_reason']}" if row["_column"] else row["_reason"]
    raise BadRows(
        f"{where}: {what}.",
        hint=f"Correct the source, {_remedy(row['_rule'])}, set error_handling to quarantine to load the other rows"
        + f", {DECIDE}." * bool(contract)
        + "." * (not contract),
        file=row["_source_file"],
        line=row["_line"],
        column=row["_column"],
        reason=row["_reason"],
        rule=row["_rule"],
        wanted_type=row["_wanted_type"],
        value=row["_value"],
        raw=row["_raw"][:2000],
        contract_changes=as_facts(contract),
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


def check_threshold(
    spec: IngestSpec,
    rows_read: int,
    rows: int,
    reasons: dict[str, int],
    path: str,
    contract: Sequence[ContractChange] = (),
) -> None:
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
        f"bad_row_threshold{', ' + DECIDE if contract else ''}.",
        rows_read=rows_read,
        quarantined_rows=rows,
        share=share,
        reasons=top,
        quarantine_path=path,
        contract_changes=as_facts(contract),
    )
