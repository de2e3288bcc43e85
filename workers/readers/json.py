"""JSON documents: an array of records, an object that holds one, or objects one after the other.

A document is turned into NDJSON record by record, in bounded memory, and
read as that.
"""

from __future__ import annotations

import codecs
import json
import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import BinaryIO, TextIO

from ..errors import UnreadableSource
from ..json_path import split_path
from ..specs import IngestSpec
from . import ndjson
from .base import PlainFile
from .ndjson import count, exact_plans, examine, sample, scan

__all__ = ["SELF_DESCRIBING", "count", "exact_plans", "examine", "open_files", "sample", "scan"]

SELF_DESCRIBING = True
CHUNK_CHARS = 1 << 20
MAX_VALUE_CHARS = 64 << 20
JOINED_BYTES = 32 << 20
_BLANK = re.compile(r"[ \t\r\n]*")
_COMMA = re.compile(r"[ \t\r\n]*,[ \t\r\n]*")


def open_files(
    files: Sequence[PlainFile], spec: IngestSpec, folder: Path, *, is_glance: bool = False
) -> list[PlainFile]:
    """Each document's records as NDJSON. Raises `UnreadableSource` where a document is broken, saying where.

    The pages of an API are many and small, and of one kind: they are joined, for each file takes a while.
    """
    if spec.source.type == "api" and not is_glance:
        return ndjson.open_files(list(_joined(files, spec.records_path, folder)), spec, folder)
    converted = []
    for file in files:
        path = folder / f"{file.number}.ndjson"
        try:
            _convert(file, path, spec.records_path, ndjson.SAMPLE_ROWS if is_glance else None)
        except UnreadableSource:
            if not is_glance or not path.stat().st_size:
                raise
        converted.append(replace(file, path=path, is_converted=True))
    return ndjson.open_files(converted, spec, folder, is_glance=is_glance)


def _joined(files: Sequence[PlainFile], records_path: str, folder: Path) -> Iterator[PlainFile]:
    """Some files each as one, whose `pages` they are."""
    ahead = deque(files)
    while ahead:
        first, pages, count = ahead[0], [], 0
        path = folder / f"{first.number}.ndjson"
        with path.open("w", encoding="utf-8", newline="") as sink:
            while ahead and sink.tell() < JOINED_BYTES:
                file = ahead.popleft()
                pages.append((count, file.name))
                with file.path.open("rb") as source:
                    count += _write(records(source, records_path, file.name), sink)
        yield replace(first, path=path, is_converted=True, pages=tuple(pages))


def _convert(file: PlainFile, path: Path, records_path: str, limit: int | None) -> None:
    with file.path.open("rb") as source, path.open("w", encoding="utf-8", newline="") as sink:
        _write(islice(records(source, records_path, file.name), limit), sink)


def _write(texts: Iterable[str], sink: TextIO) -> int:
    """One line a record; how many there were."""
    written = 0
    for text in texts:
        # Line ends in a record stand between its tokens: inside a text they are escaped.
        sink.write(text.replace("\n", " ").replace("\r", " ") + "\n")
        written += 1
    return written


def records(source: BinaryIO, records_path: str, name: str) -> Iterator[str]:
    """The text of each record: an array's items, or else the values themselves.

    `records_path` names the keys to go down, parted by dots; it says the same
    for each of several documents in one file. Null in the place of records
    means that there are none.
    """
    document, path = _Document(source, name), split_path(records_path)
    while not document.is_at_end():
        yield from document.records(path)


class _Document:
    """A sliding window over a JSON text."""

    def __init__(self, source: BinaryIO, name: str) -> None:
        self._source, self._name = source, name
        self._decode = codecs.getincrementaldecoder("utf-8")().decode
        self._decoder = json.JSONDecoder()
        self._text, self._at, self._before, self._ended = "", 0, 0, False

    def is_at_end(self) -> bool:
        return self._peek() == ""

    def records(self, path: list[str]) -> Iterator[str]:
        if path:
            yield from self._go_down(path)
        elif self._peek() == "[":
            yield from self._items()
        else:
            yield self._value()

    def _go_down(self, path: list[str]) -> Iterator[str]:
        if self._peek() == "n":
            self._value()
            return
        if self._peek() != "{":
            raise self._broken(f"there is no object to look for “{path[0]}” in")
        found = False
        for key in self._keys():
            if key == path[0] and not found:
                found = True
                if path[1:] or self._peek() != "n":
                    yield from self.records(path[1:])
                else:
                    self._value()
            else:
                self._value()
        if not found:
            raise self._broken(f"the object that ends here has no “{path[0]}”")

    def _items(self) -> Iterator[str]:
        self._at += 1
        if self._peek() == "]":
            self._at += 1
            return
        while True:
            yield from self._whole_items()
            yield self._value()
            if self._one_of(",]") == "]":
                return

    def _whole_items(self) -> Iterator[str]:
        """The items that lie whole in the window, with one more behind each: the quick way through most of them."""
        text, at, scan, separator = self._text, self._at, self._decoder.scan_once, _COMMA.match
        try:
            while comma := separator(text, scan(text, at)[1]):
                yield text[at : comma.start()]
                at = self._at = comma.end()
        except (ValueError, RecursionError, StopIteration):
            return  # cut off, or broken: the careful way will tell

    def _keys(self) -> Iterator[str]:
        """Each key of an object; the caller takes the value behind it before it asks for the next."""
        self._at += 1
        if self._peek() == "}":
            self._at += 1
            return
        while True:
            if self._peek() != '"':
                raise self._broken("a key in quotes is missing")
            key = json.loads(self._value())
            self._one_of(":")
            yield key
            if self._one_of(",}") == "}":
                return

    def _one_of(self, signs: str) -> str:
        found = self._peek()
        if not found or found not in signs:
            raise self._broken(f"“{' or '.join(signs)}” is missing")
        self._at += 1
        return found

    def _value(self) -> str:
        """The text of the value that stands next."""
        self._peek()
        while True:
            try:
                _, end = self._decoder.raw_decode(self._text, self._at)
                # A number at the window's end may go on behind it.
                is_whole = end < len(self._text) or self._ended
            except (ValueError, RecursionError) as error:
                is_whole, problem = False, str(error)
            else:
                problem = "it is not complete"
            if is_whole:
                start, self._at = self._at, end
                return self._text[start:end]
            self._read_on(problem)

    def _read_on(self, problem: str) -> None:
        if self._ended:
            raise self._broken(problem)
        if len(self._text) - self._at > MAX_VALUE_CHARS:
            raise self._broken(f"a record is broken, or longer than {MAX_VALUE_CHARS >> 20} MiB: {problem}")
        self._fill(max(CHUNK_CHARS, len(self._text) - self._at))

    def _peek(self) -> str:
        """The next sign that is no blank, without taking it; empty at the end."""
        while True:
            self._at = _BLANK.match(self._text, self._at).end()
            if self._at < len(self._text):
                return self._text[self._at]
            if self._ended:
                return ""
            self._fill(CHUNK_CHARS)

    def _fill(self, size: int) -> None:
        chunk = self._source.read(size)
        self._ended = not chunk
        self._before += self._at
        try:
            self._text = self._text[self._at :] + self._decode(chunk, final=self._ended)
        except UnicodeDecodeError as error:
            raise UnreadableSource(
                f"{self._name} holds bytes that are no UTF-8.", hint="Set the encoding that the file really has."
            ) from error
        self._at = 0

    def _broken(self, problem: str) -> UnreadableSource:
        position = self._before + self._at
        return UnreadableSource(
            f"{self._name} is no sound JSON at character {position + 1}: {problem}.",
            hint="Correct the document; for one object a line choose the format ndjson; check records_path.",
            position=position,
        )
