"""A guess at how a file is written, for a form to begin with. What a person then chooses is what counts."""

from __future__ import annotations

import codecs
import csv
import io
import json
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

from .unpack import PACKING_ERRORS, unpacking

HEAD_BYTES = 1 << 18
RECORDS = 50
LONGEST_MEASURE = 60
DELIMITERS = (",", ";", "\t", "|")
_COMMA_NUMBER = re.compile(r"-?(?:\d{1,3}(?:\.\d{3})+|\d+),\d+")
_POINT_NUMBER = re.compile(r"-?(?:\d{1,3}(?:,\d{3})+|\d+)\.\d+")
_MEASURE = re.compile(r"[-+]?[\d.,:/ TZ+-]*\d[\d.,:/ TZ+-]*|(?i:true|false)")  # a number, a date, a time, a truth


def sniff_csv(path: Path) -> dict[str, Any]:
    """The likely `delimiter`, `encoding`, `decimal` sign and `has_header`; nothing for what cannot be read."""
    content = _head(path)
    if not content:
        return {}
    encoding = _encoding(content)
    text = content.decode(encoding, errors="replace").removeprefix("\ufeff")
    delimiter = max(DELIMITERS, key=lambda sign: _agreement(text, sign))
    rows = _rows(text, delimiter)
    return {
        "delimiter": delimiter,
        "encoding": encoding,
        "decimal": _decimal(rows, delimiter),
        "has_header": _has_header(rows),
    }


def sniff_json(path: Path) -> dict[str, str]:
    """The `records_path` of a small document whose records stand deeper than at its top; else nothing."""
    content = _head(path)
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):  # broken, or longer than what was looked at
        return {}
    found = _records_path(document)
    return {"records_path": found} if found else {}


def _head(path: Path) -> bytes:
    try:
        with unpacking(path) as file:
            return file.read(HEAD_BYTES)
    except PACKING_ERRORS:
        return b""


def _encoding(content: bytes) -> str:
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    try:
        # Incremental: the last character may have been cut in two.
        codecs.getincrementaldecoder("utf-8")().decode(content)
    except UnicodeDecodeError:
        return "windows-1252"
    return "utf-8"


def _rows(text: str, delimiter: str) -> list[list[str]]:
    """The first records; without those behind a mistake."""
    rows: list[list[str]] = []
    with suppress(csv.Error):
        for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter):
            if row:
                rows.append(row)
            if len(rows) == RECORDS:
                break
    return rows


def _agreement(text: str, delimiter: str) -> tuple[int, int]:
    """How many of the first records have as many fields as the header, and how many fields that is."""
    rows = _rows(text, delimiter)
    width = len(rows[0]) if rows else 0
    return (sum(len(row) == width for row in rows), width) if width > 1 else (0, 0)


def _decimal(rows: list[list[str]], delimiter: str) -> str:
    values = [value.strip() for row in rows[1:] for value in row if len(value) <= LONGEST_MEASURE]
    commas = sum(bool(_COMMA_NUMBER.fullmatch(value)) for value in values)
    points = sum(bool(_POINT_NUMBER.fullmatch(value)) for value in values)
    return "," if commas > points and delimiter != "," else "."


def _has_header(rows: list[list[str]]) -> bool:
    """Whether the first record names the columns: no name is empty, and it stands out where others have numbers."""
    if len(rows) < 2:
        return True
    first, others = rows[0], [row for row in rows[1:] if len(row) == len(rows[0])]
    if not others:
        return True
    columns = [[row[i] for row in others if row[i]] for i in range(len(first))]
    measured = [i for i, values in enumerate(columns) if values and all(map(_is_measure, values))]
    return not measured or not all(_is_measure(first[i]) for i in measured)


def _is_measure(text: str) -> bool:
    return len(text) <= LONGEST_MEASURE and bool(_MEASURE.fullmatch(text.strip()))


def _records_path(document: Any) -> str:
    """The way down through single objects to the first list of objects; empty when there is none, or it is the top."""
    level = [("", document)]
    while level:
        deeper = []
        for path, value in level:
            if path and isinstance(value, list) and value and isinstance(value[0], dict):
                return path
            if isinstance(value, dict):
                deeper += [(f"{path}.{key}" if path else key, child) for key, child in value.items() if "." not in key]
        level = deeper
    return ""
