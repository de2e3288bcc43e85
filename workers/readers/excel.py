"""Workbooks (.xlsx, .xlsb, .xls, .ods): one sheet is written out as a plain CSV, and read as that.

So quarantine, inference and provenance are those of CSV, and `_line` is the
number of the row in the sheet. A workbook is unpacked by native code that
holds the whole sheet in memory; that happens in a child process, which a
broken or huge one may take down without the run.
"""

from __future__ import annotations

import csv as csv_writer
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import polars as pl

from ..errors import AssayError, ResourceLimit, UnreadableSource
from ..specs import CsvOptions, ExcelOptions, IngestSpec, from_json, to_json
from . import csv
from .base import PlainFile, Sample
from .casts import ColumnPlan
from .csv import exact_plans

__all__ = ["SELF_DESCRIBING", "count", "exact_plans", "examine", "open_files", "sample", "scan"]

SELF_DESCRIBING = False
MEMORY_MB = 3072
SECONDS = 900
GLANCE_ROWS = 10_000
EXACT_FLOATS = 1 << 53  # beyond it a float64 may mean several whole numbers


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
    sheet, gaps = folder / f"{file.number}.sheet.csv", folder / f"{file.number}.gaps.parquet"
    request = {
        "workbook": str(file.path),
        "name": file.name,
        "options": to_json(options),
        "sheet": str(sheet),
        "gaps": str(gaps),
        "rows": GLANCE_ROWS if is_glance else None,
    }
    # A glance is taken in a child process as it is (executors/ingest_preview.py), with limits of its own.
    write_sheet(request) if is_glance else _in_child(request)
    return replace(file, path=sheet, gaps=gaps if gaps.exists() else None)


def _in_child(request: dict[str, Any]) -> None:
    from ..sandbox import run_in_child

    try:
        run_in_child(
            "workers.readers.excel:write_sheet",
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
        raise _unreadable(request["name"], "reading it failed") from error


def write_sheet(request: dict[str, Any]) -> dict[str, Any]:
    """Write the sheet's rows to the CSV file `sheet`, and where empty rows stood to `gaps`. Answers nothing.

    Called in a child process. Raises `UnreadableSource`.
    """
    name, options = request["name"], from_json(ExcelOptions, request["options"])
    try:
        _write(Path(request["workbook"]), name, options, request)
    except (AssayError, MemoryError, KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # a panic of native code is no Exception
        raise _unreadable(name, str(error) or type(error).__name__) from error
    return {}


def _write(workbook: Path, name: str, options: ExcelOptions, request: dict[str, Any]) -> None:
    from python_calamine import CalamineWorkbook

    with workbook.open("rb") as content, CalamineWorkbook.from_filelike(content) as book:
        sheet = _chosen(book, options.sheet, name)
        rows = _Rows(sheet, options.header_row, name)
        with Path(request["sheet"]).open("w", encoding="utf-8", newline="") as sink:
            writer = csv_writer.writer(sink, lineterminator="\n")
            writer.writerows(islice(rows.texts(), request["rows"]))
    if rows.gaps:
        pl.DataFrame({"before": rows.gaps}, schema={"before": pl.Int64}).write_parquet(request["gaps"])


def _chosen(book: Any, wanted: str, name: str) -> Any:
    """The sheet of that name, else of that number from 1; without either the first that is shown."""
    from python_calamine import SheetTypeEnum, SheetVisibleEnum

    sheets = [sheet for sheet in book.sheets_metadata if sheet.typ == SheetTypeEnum.WorkSheet]
    names = [sheet.name for sheet in sheets]
    if not names:
        raise UnreadableSource(f"{name} has no sheets with rows.", hint="Check that it is the right file.")
    shown = [sheet.name for sheet in sheets if sheet.visible == SheetVisibleEnum.Visible]
    if not wanted:
        return book.get_sheet_by_name((shown or names)[0])
    if wanted not in names and wanted.isdecimal() and 1 <= int(wanted) <= len(names):
        wanted = names[int(wanted) - 1]
    if wanted not in names:
        raise UnreadableSource(
            f"{name} has no sheet “{wanted}”. It has: {', '.join(names)}.", hint="Correct the job's sheet."
        )
    return book.get_sheet_by_name(wanted)


@dataclass
class _Rows:
    """A sheet's rows as texts, from the header on; notes how many records stand before each empty row."""

    sheet: Any
    header_row: int  # from 1; 0: there is none
    name: str

    def __post_init__(self) -> None:
        self.gaps: list[int] = []

    def texts(self) -> Iterator[list[str]]:
        numbered = enumerate(self.sheet.iter_rows(), 1)
        width = self.sheet.width
        if self.header_row:
            header = next((_texts(row) for number, row in numbered if number == self.header_row), None)
            if not header or not any(header):
                raise UnreadableSource(
                    f"Row {self.header_row} of sheet “{self.sheet.name}” of {self.name} is empty.",
                    hint="Set header_row to the row with the columns' names, or to 0 if there is none.",
                )
            header = _without_empty_end(header)
            width = len(header)
            yield header
        records = 0
        empty: list[int] = []  # noted once a record follows: what is below the last one is no gap
        for _, row in numbered:
            texts = _without_empty_end(_texts(row))
            if not texts:
                empty.append(records)
                continue
            self.gaps += empty
            empty.clear()
            records += 1
            yield texts + [""] * (width - len(texts))


def _texts(row: list[Any]) -> list[str]:
    return [_text(value) for value in row]


def _without_empty_end(texts: list[str]) -> list[str]:
    while texts and not texts[-1]:
        texts.pop()
    return texts


def _text(value: Any) -> str:
    """A cell's value as it would stand in a CSV. An empty one and an error such as #N/A have none."""
    if isinstance(value, str):
        return value.replace("\x00", "")
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < EXACT_FLOATS:
        return str(int(value))
    if isinstance(value, datetime):
        return value.isoformat(" ")
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return _duration(value)
    return "" if value is None else str(value)


def _duration(value: timedelta) -> str:
    """As Excel shows it: 30:00:00."""
    seconds = int(abs(value).total_seconds())
    sign = "-" if value < timedelta() else ""
    return f"{sign}{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"


def _unreadable(name: str, why: str) -> UnreadableSource:
    if "password" in why.lower():
        return UnreadableSource(f"{name} is protected by a password.", hint="Save it without one.")
    return UnreadableSource(
        f"{name} cannot be read as a workbook: {why}", hint="Open it in a spreadsheet program and save it again."
    )
