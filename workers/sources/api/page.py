"""One page as it came, and what is in it."""

from __future__ import annotations

import csv
import io
import json
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

from ...errors import UnreadableSource
from ...json_path import MISSING, find
from ...specs import IngestSpec

GZIP = b"\x1f\x8b"


class BrokenPage(Exception):
    """What came is not whole, or not what it should be; the message says how. Asking again may help."""


@dataclass(frozen=True, kw_only=True)
class Page:
    """The answer to one request. `content` is the body as received, without its transfer's compression."""

    number: int
    name: str  # of the file that keeps it
    label: str  # for messages: `page 3 of https://…`
    address: str  # whence it came, without secrets
    url: str  # whence it came
    headers: Mapping[str, str]
    content: BinaryIO
    size: int  # bytes
    document: Any = None  # what the JSON of the page says
    records: list[Any] | None = None  # None where they were not looked at

    @property
    def count(self) -> int:
        return len(self.records or ())

    @property
    def is_empty(self) -> bool:
        """Whether it is known to hold no record."""
        return self.records is not None and not self.records


def look_into(content: BinaryIO, spec: IngestSpec, label: str, max_bytes: int) -> dict[str, Any]:
    """`document` and `records` of a page. Raises `BrokenPage`, and `UnreadableSource` where it has no records."""
    content.seek(0)
    body = _plain(content.read(), label, max_bytes)
    if spec.format == "json":
        document = _json(body)
        return {"document": document, "records": _records(document, spec.records_path, label)}
    if spec.format == "ndjson":
        return {"records": [line for line in body.splitlines() if line.strip()]}
    return {"records": _csv_rows(body, spec)}


def _plain(body: bytes, label: str, max_bytes: int) -> bytes:
    """Unpacked, when the body is itself a gzip file."""
    if not body.startswith(GZIP):
        return body
    unpacker = zlib.decompressobj(wbits=31)
    try:
        plain = unpacker.decompress(body, max_bytes)
    except zlib.error as error:
        raise BrokenPage(f"it cannot be unpacked ({error})") from None
    if unpacker.unconsumed_tail:
        raise UnreadableSource(f"{label} unpacks to more than {max_bytes:,} bytes.", hint="Raise max_page_bytes.")
    return plain


def _json(body: bytes) -> Any:
    if not body.strip():
        return None
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BrokenPage(f"it is no JSON ({error})") from None


def _records(document: Any, path: str, label: str) -> list[Any]:
    """The records of a page: a list's items, or the one object that there is; null is none, and so is no body."""
    found = find(document, path)
    if found is MISSING and any(find(document, above) is None for above in ("", *above_of(path))):
        return []
    if found is MISSING:
        has = ", ".join(map(str, document)) if isinstance(document, dict) else f"a JSON {type(document).__name__}"
        raise UnreadableSource(
            f"{label} has nothing at {path}. It has: {has[:300] or 'nothing'}.",
            hint="Check records_path against what the API answers.",
        )
    if found is None:
        return []
    if isinstance(found, list):
        return found
    if isinstance(found, dict):
        return [found]
    raise UnreadableSource(
        f"{label} has no list and no object at {path or 'its top'}, but {json.dumps(found)[:80]}.",
        hint="Check records_path against what the API answers.",
    )


def above_of(path: str) -> list[str]:
    """The paths that a path goes through."""
    return [path[: dot.start()] for dot in re.finditer(r"(?<!\\)\.", path)]


def _csv_rows(body: bytes, spec: IngestSpec) -> list[Any]:
    text = body.decode(spec.csv.encoding, "replace").lstrip("\ufeff")
    quote = {"quotechar": spec.csv.quote_char} if spec.csv.quote_char else {"quoting": csv.QUOTE_NONE}
    try:
        rows = [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=spec.csv.delimiter, **quote) if row]
    except csv.Error:
        return text.splitlines()[1:]  # the reader will tell; here only their number matters
    return rows[spec.csv.skip_rows + spec.csv.has_header :]
