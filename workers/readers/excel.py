"""Workbooks (.xlsx, .xlsb, .xls, .ods): one sheet is written out as a plain CSV, and read as that.

So quarantine, inference and provenance are those of CSV, and `_line` is the
number of the row in the sheet. A workbook is unpacked by native code that
holds the whole sheet in memory; that happens in a child process, which a
broken or huge one may take down without the run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl

from ..errors import ResourceLimit, UnreadableSource
from ..specs import CsvOptions, ExcelOptions, IngestSpec
from ..workbook import unreadable, write_sheet
from . import csv
from .base import PlainFile, Sample
from .casts import ColumnPlan
from .csv import exact_plans

__all__ = ["SELF_DESCRIBING", "count", "exact_plans", "examine", "open_files", "sample", "scan"]

SELF_DESCRIBING = False
MEMORY_MB = 3072
SECONDS = 900
GLANCE_ROWS = 10_000


def open_files(
    files: Sequence[PlainFile], spec: IngestSpec, folder: Path, *, is_glance: bool = False
) -> list[PlainFile]:
    """The chosen sheet of each workbook as CSV. Raises `UnreadableSource` for a broken or encrypted one,
    for a sheet that is not there, and for one that is too large.
    """
    plain = [_as_csv(file, spec.excel, folder, is_glance=is_glance) for file in files]
    opened = csv.open_files(plain, _as_csv_spec(spec), folder, is_glance=is_glance)
    first_row = spec.excel.header_row  # what `_line` counts before the first record
    return [replace(file, records_before=first_row, is_converted=True) for file in opened]


def sample(files: Sequence[PlainFile], spec: IngestSpec) -> Sample:
    return csv.sample(files, _as_csv_spec(spec))


def scan(file: PlainFile, plans: Sequence[ColumnPlan], spec: IngestSpec) -> pl.LazyFrame:
    return csv.scan(file, plans, _as_csv_spec(spec))


def count(file: PlainFile, spec: IngestSpec) -> int:
    return csv.count(file, _as_csv_spec(spec))


def examine(file: PlainFile, plans: Sequence[ColumnPlan], spec: IngestSpec, folder: Path) -> PlainFile:
    return csv.examine(file, plans, _as_csv_spec(spec), folder)


def _as_csv_spec(spec: IngestSpec) -> IngestSpec:
    return replace(spec, csv=CsvOptions(has_header=spec.excel.header_row > 0))


def _as_csv(file: PlainFile, options: ExcelOptions, folder: Path, *, is_glance: bool) -> PlainFile:
    sheet, gaps = folder / f"{file.number}.sheet.csv", folder / f"{file.number}.gaps"
    request = {
        "workbook": str(file.path),
        "name": file.name,
        "sheet": options.sheet,
        "header_row": options.header_row,
        "rows": GLANCE_ROWS if is_glance else None,
        "to": str(sheet),
        "gaps": str(gaps),
    }
    # A glance is taken in a child process as it is (executors/ingest/preview.py), with limits of its own.
    write_sheet(request) if is_glance else _in_child(request)
    return replace(file, path=sheet, gaps=gaps if gaps.exists() else None)


def _in_child(request: dict[str, Any]) -> None:
    from ..sandbox import run_in_child

    try:
        run_in_child(
            "workers.workbook:write_sheet",
            request,
            memory_mb=MEMORY_MB,
            cpu_seconds=SECONDS,
            wall_seconds=SECONDS,
        )
    except ResourceLimit as error:
        raise UnreadableSource(
            f"{request['name']} is too large to be read as a workbook. {error.message}",
            hint="Save the sheet as CSV, or split it.",
        ) from error
    except RuntimeError as error:  # the child died of something that is no limit
        raise unreadable(request["name"], "reading it failed") from error
