"""The exact look at a CSV file: where each record starts and ends, and which are no rows.

Polars reads well-formed files fastest, but one stray quote makes it refuse
a whole file, and it cannot tell a short row from empty fields. This splitter
follows RFC 4180 to the letter, in bounded memory: what it lets through,
Polars reads without a doubt. A record that is not well-formed costs one
physical line; reading goes on behind it, so that an unclosed quote never
swallows the rest of the file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import BinaryIO, NamedTuple

from ..errors import InvalidSpec, UnreadableSource
from ..specs import CsvOptions
from .base import Fault

CHUNK_BYTES = 4 << 20
MAX_RECORD_BYTES = 16 << 20
RUN_BYTES = 32 << 10


class Kept(NamedTuple):
    """Whole well-formed records, one after the other."""

    offset: int
    content: bytes
    records: int


class Blank(NamedTuple):
    """An empty line: no record at all."""

    offset: int


@dataclass(frozen=True)
class Dialect:
    delimiter: bytes
    quote: bytes  # empty: fields are never quoted

    @classmethod
    def of(cls, options: CsvOptions) -> Dialect:
        """Raises `InvalidSpec` for signs of more than one byte, which no reader takes."""
        delimiter, quote = options.delimiter.encode(), options.quote_char.encode()
        if len(delimiter) != 1 or len(quote) > 1 or delimiter == quote or {delimiter, quote} & {b"\n", b"\r"}:
            raise InvalidSpec(
                "The delimiter and the quote sign must be two different ASCII characters.",
                hint='For example , or ; or a tab, and ".',
            )
        return cls(delimiter, quote)

    @cached_property
    def _field(self) -> bytes:
        d, q = re.escape(self.delimiter), re.escape(self.quote)
        return rb"(?:%(q)s[^%(q)s]*+(?:%(q)s%(q)s[^%(q)s]*+)*+%(q)s|[^%(q)s%(d)s\n]*+)" % {b"q": q, b"d": d}

    @cached_property
    def record(self) -> re.Pattern[bytes]:
        """A well-formed record with its line end."""
        return re.compile(rb"%b(?:%b%b)*+\r?\n" % (self._field, re.escape(self.delimiter), self._field))

    @cached_property
    def unclosed(self) -> re.Pattern[bytes]:
        """A record whose last field opens a quote that nothing closes."""
        d, q = re.escape(self.delimiter), re.escape(self.quote)
        return re.compile(rb"(?:%b%b)*?%b[^%b]*+(?:%b%b[^%b]*+)*+\Z" % (self._field, d, q, q, q, q, q))

    @cached_property
    def quoted(self) -> re.Pattern[bytes]:
        q = re.escape(self.quote)
        return re.compile(rb"%b[^%b]*+(?:%b%b[^%b]*+)*+%b" % (q, q, q, q, q, q))

    @cached_property
    def one_field(self) -> re.Pattern[bytes]:
        return re.compile(rb"%b(%b)" % (re.escape(self.delimiter), self._field))

    def rows(self, content: bytes) -> Iterator[list[str]]:
        """The texts of well-formed records, each with its line end."""
        position = 0
        while match := self.record.match(content, position):
            position = match.end()
            yield [self._text(field) for field in self._fields(match[0].removesuffix(b"\n").removesuffix(b"\r"))]

    def _fields(self, record: bytes) -> list[bytes]:
        if not self.quote or self.quote not in record:
            return record.split(self.delimiter)
        return self.one_field.findall(self.delimiter + record)

    def _text(self, field: bytes) -> str:
        if self.quote and field.startswith(self.quote):
            field = field[1:-1].replace(self.quote * 2, self.quote)
        return field.decode("utf-8", "replace")

    def width(self, record: bytes) -> int:
        """The number of fields of a well-formed record."""
        if self.quote and self.quote in record:
            record = self.quoted.sub(b"", record)
        return record.count(self.delimiter) + 1


def split(
    file: BinaryIO, dialect: Dialect, width: int | None, name: str, end: int | None = None
) -> Iterator[Kept | Fault | Blank]:
    """What the file holds from where it stands, in order, as runs of good records and single faults.

    `width` is the number of fields that a row has; None lets any number
    through. With `end` reading stops at the last whole record before that byte. Raises `UnreadableSource` for a
    line of more than 16 MiB.
    """
    offset, rest, wanted = file.tell(), b"", CHUNK_BYTES
    while True:
        room = wanted if end is None else min(wanted, end - offset - len(rest))
        chunk = file.read(room) if room > 0 else b""
        buffer, is_last = rest + chunk, not chunk
        if is_last and end is not None and offset + len(rest) >= end:
            return
        if is_last and buffer and not buffer.endswith(b"\n"):
            buffer += b"\n"
        cut = buffer.rfind(b"\n") + 1
        done = yield from _Block(buffer[:cut], offset, dialect, width, is_last).events()
        offset, rest = offset + done, buffer[done:]
        if is_last:
            return
        if len(rest) > 2 * MAX_RECORD_BYTES and cut == 0:
            raise UnreadableSource(
                f"{name} has a line of more than {MAX_RECORD_BYTES >> 20} MiB at byte {offset}.",
                hint="Check that it is a text file, and its encoding.",
            )
        # A record longer than the buffer: read as much again, so that it is not searched over and over.
        wanted = max(CHUNK_BYTES, len(rest))


@dataclass
class _Block:
    """Whole lines. A record may still go on behind them, unless they are the last."""

    content: bytes
    offset: int
    dialect: Dialect
    width: int | None
    is_last: bool
    is_utf8: bool = True
    _doubtful_until: int = 0

    def events(self) -> Iterator[Kept | Fault | Blank]:
        """Yields what is in it; returns how many bytes are done with."""
        try:
            self.content.decode()
        except UnicodeDecodeError:
            self.is_utf8 = False
        start = position = records = 0
        while position < len(self.content):
            count, event = 1, None
            length = self._plain_run(position)
            if length:
                count = self.content.count(b"\n", position, position + length)
            else:
                length, event = self._next(position)
            if length == 0:
                break
            if event is None:
                records += count
            else:
                if records:
                    yield Kept(self.offset + start, self.content[start:position], records)
                yield event
                start, records = position + length, 0
            position += length
        if records:
            yield Kept(self.offset + start, self.content[start:position], records)
        return position

    def _plain_run(self, position: int) -> int:
        """The length of a run of lines that are plainly good (the usual case, told at C speed), or 0."""
        if not self.is_utf8 or not self.width or position < self._doubtful_until:
            return 0
        end = self.content.find(b"\n", position + RUN_BYTES) + 1 or len(self.content)
        delimiters, delimiter = self.width - 1, self.dialect.delimiter
        if not self.dialect.quote or self.content.find(self.dialect.quote, position, end) < 0:
            lines = self.content[position:end].split(b"\n")[:-1]
            if delimiters and {line.count(delimiter) for line in lines} == {delimiters}:
                return end - position
        self._doubtful_until = end
        return 0

    def _next(self, position: int) -> tuple[int, Fault | Blank | None]:
        """The length of what stands at `position`, 0 if it goes on behind the block; None for a good record."""
        content, dialect = self.content, self.dialect
        line_end = content.index(b"\n", position) + 1
        if not dialect.quote or content.find(dialect.quote, position, line_end) < 0:
            end, problem = line_end, None
        elif match := dialect.record.match(content, position):
            end, problem = match.end(), None
        else:
            end, problem = line_end, self._quote_problem(position)
            if problem is None:
                return 0, None
        raw = content[position:end].rstrip(b"\n").removesuffix(b"\r")
        if not raw:
            return end - position, Blank(self.offset + position)
        problem = problem or self._problem(raw)
        return end - position, problem and Fault(self.offset + position, raw, *problem)

    def _quote_problem(self, position: int) -> tuple[str, str] | None:
        """Why the quotes from here on are wrong; None when only more bytes can tell."""
        if not self.dialect.unclosed.match(self.content, position):
            return "quote", "a quote stands inside a field, or something stands behind its closing quote"
        if self.is_last or len(self.content) - position > MAX_RECORD_BYTES:
            return "quote", "a quote is opened and never closed"
        return None

    def _problem(self, raw: bytes) -> tuple[str, str] | None:
        if not self.is_utf8 and not _is_utf8(raw):
            return "encoding", "bytes that the encoding does not know"
        if self.width is None:
            return None
        width = self.dialect.width(raw)
        if width == self.width:
            return None
        rule = "too_few_fields" if width < self.width else "too_many_fields"
        return rule, f"{width} fields where {self.width} are expected"


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True
