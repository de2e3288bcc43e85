"""CSV: read by Polars on trust where a sample says nothing against it, and by the letter where it does."""

from __future__ import annotations

import io
import mmap
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

import polars as pl
import pyarrow as pa

from ..errors import UnreadableSource
from ..specs import CsvOptions, IngestSpec
from .base import ROW, SUSPECT, Fault, PlainFile, Rejected, Sample
from .casts import ColumnPlan
from .clean import CleanCopy
from .csv_records import Dialect, Kept, split
from .names import source_names, unique_names

SELF_DESCRIBING = False
SAMPLE_ROWS = 10_000
SAMPLED_FILES = 20
PART_BYTES = 256 << 10  # of the sample in the middle and at the end
HEAD_BYTES = 4 << 20
CHUNK_BYTES = 1 << 20
_LONE_CR = re.compile(rb"\r(?!\n)")


def open_files(
    files: Sequence[PlainFile], spec: IngestSpec, folder: Path, *, is_glance: bool = False
) -> list[PlainFile]:
    """Find each file's header and first record. Raises `UnreadableSource` for a file without even a header."""
    dialect = Dialect.of(spec.csv)
    return [_open(_with_line_feeds(file, dialect, folder), spec) for file in files]


def _with_line_feeds(file: PlainFile, dialect: Dialect, folder: Path) -> PlainFile:
    """The file, or a copy of one whose lines end in a lone CR, as on old Macs: every lone CR becomes an LF."""
    if not _ends_lines_in_cr(file.path, dialect):
        return file
    path, held = folder / f"{file.number}.lf", b""
    with file.path.open("rb") as source, path.open("wb") as sink:
        while chunk := source.read(CHUNK_BYTES):
            chunk = held + chunk
            held = b"\r" if chunk.endswith(b"\r") else b""  # an LF may follow
            sink.write(_LONE_CR.sub(b"\n", chunk.removesuffix(held)))
        sink.write(held.replace(b"\r", b"\n"))
    return replace(file, path=path)


def _ends_lines_in_cr(path: Path, dialect: Dialect) -> bool:
    with path.open("rb") as file:
        head = file.read(CHUNK_BYTES)
        head += file.read(1) if head.endswith(b"\r") else b""
    if b"\r" not in head:
        return False
    outside = dialect.quoted.sub(b"", head) if dialect.quote else head
    first = re.search(rb"\r\n?|\n", outside)
    # A stray quote may have hidden some line ends and uncovered others: the more frequent sign counts.
    is_usual = len(_LONE_CR.findall(outside)) > outside.count(b"\n")
    return first is not None and first[0] == b"\r" and is_usual


def _open(file: PlainFile, spec: IngestSpec) -> PlainFile:
    options, dialect = spec.csv, Dialect.of(spec.csv)
    with file.path.open("rb") as source:
        for _ in range(options.skip_rows):
            source.readline()
        if options.has_header:
            header = _header(source, dialect, file.name)
        else:
            header = _numbered(source, dialect, spec)
        offset = source.tell()
    has_quotes = bool(dialect.quote) and _contains(file.path, dialect.quote)
    return replace(
        file,
        header=header,
        data_offset=offset,
        data_line=_lines_before(file.path, offset),
        records_before=options.skip_rows + options.has_header,
        has_quotes=has_quotes,
        is_even=not has_quotes and _is_even(file.path, offset, len(header), options),
    )


def _header(source: io.BufferedReader, dialect: Dialect, name: str) -> tuple[str, ...]:
    """The names in the first record; leaves the file right behind it."""
    for event in split(source, dialect, None, name):
        if isinstance(event, Fault):
            why = f"{event.reason}: {event.raw[:80].decode('utf-8', 'replace')}"
            raise UnreadableSource(f"The header of {name} is broken: {why}", hint="Check skip_rows and the encoding.")
        if isinstance(event, Kept):
            end = dialect.record.match(event.content).end()
            source.seek(min(event.offset + end, source.seek(0, io.SEEK_END)))
            return unique_names(next(dialect.rows(event.content)))
    raise UnreadableSource(f"{name} is empty: it has not even a header.", hint="Check what the source sent.")


def _numbered(source: io.BufferedReader, dialect: Dialect, spec: IngestSpec) -> tuple[str, ...]:
    """The names of a file without a header: those that Bronze or the job has, else `column_1` and so on."""
    start = source.tell()
    widths = Counter(len(row) for row in _rows(source, dialect, None, SAMPLE_ROWS))
    source.seek(start)
    usual = widths.most_common(1)[0][0] if widths else 0
    known = source_names(spec.columns)
    if spec.schema_mode == "user" or len(known) >= usual:
        return known
    return known + tuple(f"column_{number}" for number in range(len(known) + 1, usual + 1))


def sample(files: Sequence[PlainFile], spec: IngestSpec) -> Sample:
    """Up to 10,000 records from the heads of up to 20 files, and some from the middle and end of large ones."""
    dialect, chosen = Dialect.of(spec.csv), files[:SAMPLED_FILES]
    frames, rejected, is_suspect = [], [], False
    for file in chosen:
        look = _Look(file, dialect, SAMPLE_ROWS // len(chosen))
        frames.append(_frame(look.rows, file.header, spec.csv).with_columns(_numbers(look)))
        rejected += look.rejected
        is_suspect = is_suspect or look.is_suspect
    return Sample(rows=pl.concat(frames, how="diagonal"), rejected=tuple(rejected), is_suspect=is_suspect)


class _Look:
    """The sampled rows of one file, and what is odd about it."""

    def __init__(self, file: PlainFile, dialect: Dialect, limit: int) -> None:
        self.rows: list[list[str]] = []
        self.numbers: list[int] = []  # of the first rows; those from the middle and the end have none
        self.rejected: list[Rejected] = []
        self.is_suspect = False
        width, size = len(file.header), file.path.stat().st_size
        with file.path.open("rb") as source:
            source.seek(file.data_offset)
            self._read_head(source, dialect, width, limit, file.name)
            for start in (size // 2, size - PART_BYTES) if size > file.data_offset + HEAD_BYTES else ():
                source.seek(start)
                source.readline()  # the rest of some record
                self.rows += _rows(source, dialect, width, limit // 4, start + PART_BYTES)
        sign = dialect.quote.decode()
        ends_empty = not file.is_even and any(not row[-1] for row in self.rows)
        self.is_suspect = (
            self.is_suspect
            or ends_empty
            or any(file.has_quotes and any(sign in value or "\n" in value for value in row) for row in self.rows)
        )

    def _read_head(self, source: io.BufferedReader, dialect: Dialect, width: int, limit: int, name: str) -> None:
        end, kept, records = source.tell() + HEAD_BYTES, 0, 0
        for event in split(source, dialect, width, name, end):
            if isinstance(event, Kept):
                self.rows += islice(dialect.rows(event.content), limit - len(self.rows))
                self.numbers += range(records, records + len(self.rows) - len(self.numbers))
                kept, records = kept + event.records, records + event.records
                if len(self.rows) >= limit:
                    return
            else:
                self.is_suspect = True
            if isinstance(event, Fault):
                self.rejected.append(event.rejected(records, kept))
                records += 1


def _numbers(look: _Look) -> pl.Series:
    unknown = [None] * (len(look.rows) - len(look.numbers))
    return pl.Series(ROW, look.numbers + unknown, dtype=pl.Int64)


def _rows(
    source: io.BufferedReader, dialect: Dialect, width: int | None, limit: int, end: int | None = None
) -> Iterator[list[str]]:
    kept = (event for event in split(source, dialect, width, "", end) if isinstance(event, Kept))
    return islice((row for run in kept for row in dialect.rows(run.content)), limit)


def _frame(rows: list[list[str]], header: tuple[str, ...], options: CsvOptions) -> pl.DataFrame:
    frame = pl.DataFrame(rows, schema=dict.fromkeys(header, pl.String), orient="row")
    return frame.with_columns(pl.when(~pl.all().is_in(options.null_values)).then(pl.all()))


def scan(file: PlainFile, plans: Sequence[ColumnPlan], spec: IngestSpec) -> pl.LazyFrame:
    """The planned columns as text; a column that the file lacks is null."""
    rows = _scan(file, spec.csv, row_index=ROW)
    there = set(file.header)
    columns = [_text(plan, file, spec.csv) if plan.name in there else _absent(plan) for plan in plans]
    return rows.select(ROW, _suspect(file, plans, spec.csv), *columns)


def _scan(file: PlainFile, options: CsvOptions, row_index: str | None = None) -> pl.LazyFrame:
    if file.path.stat().st_size <= file.data_offset:
        # Nothing stands behind a header without a line end, which Polars would take for a record.
        empty = pl.LazyFrame(schema=dict.fromkeys(file.header, pl.String))
        return empty.with_row_index(row_index) if row_index else empty
    return pl.scan_csv(
        file.path,
        has_header=False,
        skip_lines=file.data_line,
        schema=dict.fromkeys(file.header, pl.String),
        separator=options.delimiter,
        quote_char=options.quote_char or None,
        null_values=[text for text in options.null_values if text],
        empty_string_is_null="" in options.null_values,
        raise_if_empty=False,
        glob=False,
        row_index_name=row_index,
    )


def _text(plan: ColumnPlan, file: PlainFile, options: CsvOptions) -> pl.Expr:
    text = pl.col(plan.name)
    if file.has_quotes and "" in options.null_values:
        # Polars takes a quoted nothing, "", for a text. A null value is one whether quoted or not.
        return pl.when(text != "").then(text).alias(plan.name)
    return text


def _absent(plan: ColumnPlan) -> pl.Expr:
    return pl.lit(None, dtype=pl.String).alias(plan.name)


def _suspect(file: PlainFile, plans: Sequence[ColumnPlan], options: CsvOptions) -> pl.Expr:
    """Whether Polars may have taken the record for something that it is not.

    A short record and a blank line end in an empty last field. Wrong quotes
    that Polars lets pass leave a quote or a line end in a text. (In a typed
    column they make a bad value, and a bad value in a file with quotes always
    gets a second look.)
    """
    if file.is_exact or file.is_even:
        return pl.lit(False).alias(SUSPECT)
    last = pl.col(file.header[-1])
    signs = [last.is_null() if "" in options.null_values else last.is_null() | (last == "")]
    if file.has_quotes:
        typed = {plan.name for plan in plans if plan.can_fail}
        pattern = f"[{re.escape(options.quote_char)}\n]"
        signs += [pl.col(name).str.contains(pattern) for name in file.header if name not in typed]
    return pl.any_horizontal(signs).fill_null(False).alias(SUSPECT)


def count(file: PlainFile, spec: IngestSpec) -> int:
    """The records in a file: of an exact one as the splitter counted, else by Polars' own line counter."""
    return file.rows if file.is_exact else _scan(file, spec.csv).select(pl.len()).collect().item()


def examine(file: PlainFile, plans: Sequence[ColumnPlan], spec: IngestSpec, folder: Path) -> PlainFile:
    """Set aside what is no record of the header's width, by the letter of RFC 4180."""
    copy = CleanCopy(file, folder)
    with file.path.open("rb") as source:
        source.seek(file.data_offset)
        for event in split(source, Dialect.of(spec.csv), len(file.header), file.name):
            if isinstance(event, Kept):
                copy.keep(event.content, event.records)
            elif isinstance(event, Fault):
                copy.reject(event)
            else:
                copy.leave_out(event.offset)
    return copy.finish()


def exact_plans(plans: Sequence[ColumnPlan]) -> tuple[ColumnPlan, ...]:
    """The same: CSV is text all the time."""
    return tuple(plans)


def _contains(path: Path, sign: bytes) -> bool:
    with path.open("rb") as file:
        if file.seek(0, io.SEEK_END) == 0:
            return False
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return content.find(sign) >= 0


def _is_even(path: Path, offset: int, width: int, options: CsvOptions) -> bool:
    """Whether every line is a record of this width: proven by counting, where nulls at the end of lines ask for it.

    Polars refuses a line with too many fields, so a file with as many
    delimiters as all its lines need has none with too few.
    """
    with path.open("rb") as file:
        file.seek(offset)
        if width < 2 or not _null_at_end(options).search(file.read(HEAD_BYTES)):
            return False
        file.seek(offset)
        lines, delimiters, last = 0, 0, b"\n"
        while chunk := file.read(HEAD_BYTES):
            signs = pl.from_arrow(pa.Array.from_buffers(pa.uint8(), len(chunk), [None, pa.py_buffer(chunk)]))
            lines += (signs == ord("\n")).sum()
            delimiters += (signs == ord(options.delimiter)).sum()
            last = chunk[-1:]
        return delimiters == (lines + (last != b"\n")) * (width - 1)


def _null_at_end(options: CsvOptions) -> re.Pattern[bytes]:
    nulls = b"|".join(re.escape(text.encode()) for text in ("", *options.null_values))
    return re.compile(rb"%b(?:%b)\r?\n" % (re.escape(options.delimiter.encode()), nulls))


def _lines_before(path: Path, offset: int) -> int:
    with path.open("rb") as file:
        return file.read(offset).count(b"\n")
