"""A sheet of a workbook as plain CSV. Runs in a child process (readers/excel.py), so it imports little.

The library holds the whole sheet in memory, and a broken or endless one may end the process.
"""

from __future__ import annotations

import csv
from array import array
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

from .errors import AssayError, UnreadableSource

EXACT_FLOATS = 1 << 53  # beyond it a float64 may mean several whole numbers


def write_sheet(request: dict[str, Any]) -> dict[str, Any]:
    """Write the rows of a sheet to a CSV file.

    `workbook`, `name` (for messages), `sheet` and `header_row` (as in
    specs.ExcelOptions), `rows` (at most so many, or null), `to` (the CSV
    file), `gaps` (a file of int64: how many records stand before each empty
    row; only where there are any). Answers nothing. Raises `UnreadableSource`.
    """
    try:
        _write(request)
    except (AssayError, MemoryError, KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # a panic of native code is no Exception
        raise unreadable(request["name"], str(error) or type(error).__name__) from error
    return {}


def unreadable(name: str, why: str) -> UnreadableSource:
    if "password" in why.lower():
        return UnreadableSource(f"{name} is protected by a password.", hint="Save it without one.")
    return UnreadableSource(
        f"{name} cannot be read as a workbook: {why}", hint="Open it in a spreadsheet program and save it again."
    )


def _write(request: dict[str, Any]) -> None:
    from python_calamine import CalamineWorkbook

    with Path(request["workbook"]).open("rb") as content, CalamineWorkbook.from_filelike(content) as book:
        sheet = _chosen(book, request["sheet"], request["name"])
        gaps = array("q")
        with Path(request["to"]).open("w", encoding="utf-8", newline="") as sink:
            rows = _rows(sheet, request["header_row"], request["name"], gaps)
            csv.writer(sink, lineterminator="\n").writerows(islice(rows, request["rows"]))
    if gaps:
        Path(request["gaps"]).write_bytes(gaps.tobytes())


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


def _rows(sheet: Any, header_row: int, name: str, gaps: array) -> Iterator[list[str]]:
    """The rows as texts, from the header on, without empty ones, which `gaps` notes."""
    numbered = enumerate(sheet.iter_rows(), 1)
    width = sheet.width
    if header_row:
        header = _without_empty_end(next((row for number, row in numbered if number == header_row), []))
        if not header:
            raise UnreadableSource(
                f"Row {header_row} of sheet “{sheet.name}” of {name} is empty.",
                hint="Set header_row to the row with the columns' names, or to 0 if there is none.",
            )
        width = len(header)
        yield header
    records, empty = 0, 0
    for _, row in numbered:
        texts = _without_empty_end(row)
        if not texts:
            empty += 1
            continue
        gaps.extend([records] * empty)  # only now: what is below the last record is no gap
        records, empty = records + 1, 0
        yield texts + [""] * (width - len(texts))


def _without_empty_end(row: list[Any]) -> list[str]:
    texts = [_text(value) for value in row]
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
