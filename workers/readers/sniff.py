"""A guess at how a file is written, for a form to begin with. What a person then chooses is what counts."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import json
import zlib
from pathlib import Path
from typing import Any

HEAD_BYTES = 1 << 18
RECORDS = 50
DELIMITERS = (",", ";", "\t", "|")
_GZIP = b"\x1f\x8b"


def sniff_csv(path: Path) -> dict[str, str]:
    """The likely `delimiter` and `encoding` of a plain or gzipped file; nothing for what cannot be read."""
    content = _head(path)
    if not content:
        return {}
    encoding = _encoding(content)
    text = content.decode(encoding, errors="replace").removeprefix("\ufeff")
    return {"delimiter": max(DELIMITERS, key=lambda sign: _agreement(text, sign)), "encoding": encoding}


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
    with path.open("rb") as file:
        is_packed = file.read(2) == _GZIP
    try:
        with gzip.open(path) if is_packed else path.open("rb") as file:
            return file.read(HEAD_BYTES)
    except (OSError, EOFError, zlib.error):
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


def _agreement(text: str, delimiter: str) -> tuple[int, int]:
    """How many of the first records have as many fields as the header, and how many fields that is."""
    try:
        reader = csv.reader(io.StringIO(text), delimiter=delimiter)
        rows = [row for row, _ in zip((row for row in reader if row), range(RECORDS), strict=False)]
    except csv.Error:
        return 0, 0
    width = len(rows[0]) if rows else 0
    return (sum(len(row) == width for row in rows), width) if width > 1 else (0, 0)


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
