"""What the readers share: the files they read, what they found in them, and the shape of a reader."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import polars as pl

from ..specs import IngestSpec

if TYPE_CHECKING:
    from .casts import ColumnPlan

FILE, ROW = "__file", "__row"  # what a scan adds to the source's columns: the file's number and the record's, from 0
SUSPECT = "__suspect"  # a record that only an exact second look can judge

REJECTED = pl.Schema(
    {
        "record": pl.Int64,  # the record's number in its file, from 0, rejected ones counted
        "kept_before": pl.Int64,  # how many records before it were kept
        "_offset": pl.Int64,  # byte position in the unpacked file
        "_column": pl.String,
        "_rule": pl.String,
        "_reason": pl.String,
        "_raw": pl.String,
    }
)


class Rejected(NamedTuple):
    """A record that is no row, in the order of `REJECTED`."""

    record: int
    kept_before: int
    offset: int
    column: str | None
    rule: str
    reason: str
    raw: str


class Fault(NamedTuple):
    """A record that is no row, where a reader finds it."""

    offset: int
    raw: bytes
    rule: str
    reason: str
    column: str | None = None

    def rejected(self, record: int, kept_before: int) -> Rejected:
        raw = self.raw.decode("utf-8", "backslashreplace")
        return Rejected(record, kept_before, self.offset, self.column, self.rule, self.reason, raw)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainFile:
    """One local file of plain UTF-8: unpacked, decoded, ready to be scanned.

    `rows` and `rejected` are known only after an exact look; without one the
    file is scanned on trust and checked afterwards.
    """

    path: Path
    number: int  # its place among the files of the run
    name: str  # what `_source_file` says
    pages: tuple[tuple[int, str], ...] = ()  # joined into this file: the number of each one's first record, its name
    header: tuple[str, ...] = ()  # the columns in the file's own order
    keys: tuple[str, ...] = ()  # what the file itself calls them: of JSON the first key of the path
    paths: tuple[tuple[str, ...], ...] = ()  # where JSON has them: the keys from the record down to the value
    shape: dict[tuple[str, ...], Any] = field(default_factory=dict)  # what JSON holds there: json_types.Shape
    proven: dict[str, Any] = field(default_factory=dict)  # the shape of all its records, where that is known
    is_converted: bool = False  # byte positions mean nothing to whoever has the original
    data_offset: int = 0  # where the first record starts
    data_line: int = 0  # physical lines before it
    records_before: int = 0  # what `_line` counts before the first record: skipped lines and the header
    gaps: Path | None = None  # int64 each: how many records stand before each row of a sheet that was empty
    has_quotes: bool = False
    is_even: bool = False  # CSV without quotes that has no short line: its delimiters, counted, say so
    rows: int | None = None
    rejected: tuple[Path, ...] = ()  # Parquet files of `REJECTED`
    examined: PlainFile | None = None  # the file that the exact look was at, if this is its clean copy

    @property
    def is_exact(self) -> bool:
        return self.rows is not None

    def line_of(self, record: pl.Expr) -> pl.Expr:
        """What `_line` says of a record, by its number in the file, from 0, rejected ones counted."""
        line = record.cast(pl.Int64) + self.records_before + 1
        if self.pages:
            starts, pages = pl.Series([start for start, _ in self.pages]), self._pages_at
            return line - _mapped(record, lambda records: starts.gather(pages(records)), pl.Int64())
        if self.gaps is None:
            return line
        before = pl.Series(array("q", self.gaps.read_bytes()), dtype=pl.Int64)
        return line + _mapped(record, partial(_places, before), pl.Int64())

    def name_of(self, record: pl.Expr) -> pl.Expr:
        """What `_source_file` says of a record, by its number."""
        if not self.pages:
            return pl.lit(self.name)
        names, pages = pl.Series([name for _, name in self.pages]), self._pages_at
        return _mapped(record, lambda records: names.gather(pages(records)), pl.String())

    def _pages_at(self, records: pl.Series) -> pl.Series:
        return _places(pl.Series([start for start, _ in self.pages]), records) - 1

    def record_of(self, row: pl.Expr) -> pl.Expr:
        """A record's number by that of its row: a scan numbers those that were kept, each rejected one pushes it on."""
        if not self.rejected:
            return row.cast(pl.Int64)
        rejected = pl.concat([pl.scan_parquet(path, glob=False) for path in self.rejected])
        kept_before = rejected.select("kept_before").collect().to_series()
        return row.cast(pl.Int64) + _mapped(row, partial(_places, kept_before), pl.Int64())


def _places(starts: pl.Series, numbers: pl.Series) -> pl.Series:
    """How many of the starts are not behind each number."""
    return starts.search_sorted(numbers, side="right").cast(pl.Int64)


def _mapped(numbers: pl.Expr, to: Callable[[pl.Series], pl.Series], dtype: pl.DataType) -> pl.Expr:
    return numbers.cast(pl.Int64).map_batches(to, return_dtype=dtype, is_elementwise=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """The first records of every file, and some from the middle and the end."""

    # Values as text, those of a typed format as its plans say; ROW is the record's number, null where it is not known.
    rows: pl.DataFrame
    plans: dict[str, ColumnPlan] = field(default_factory=dict)  # what the format itself says; CSV says nothing
    rejected: tuple[Rejected, ...] = ()
    is_suspect: bool = False  # the files will need an exact look


class Reader(Protocol):
    """One format. Every module in the registry has these."""

    SELF_DESCRIBING: bool  # each record names and types its values: keys may be absent, values nested

    def open_files(
        self, files: Sequence[PlainFile], spec: IngestSpec, folder: Path, *, is_glance: bool = False
    ) -> list[PlainFile]:
        """Find each file's columns and where its records start. Raises `UnreadableSource`.

        A glance looks no further than the sample will, and forgives a file that is cut off.
        """

    def sample(self, files: Sequence[PlainFile], spec: IngestSpec) -> Sample:
        """What the files look like, read exactly and in bounded memory."""

    def scan(self, file: PlainFile, plans: Sequence[ColumnPlan], spec: IngestSpec) -> pl.LazyFrame:
        """The planned columns, as their plans expect them, with `ROW` and `SUSPECT`."""

    def count(self, file: PlainFile, spec: IngestSpec) -> int:
        """The records in a file, counted apart from reading them."""

    def examine(self, file: PlainFile, plans: Sequence[ColumnPlan], spec: IngestSpec, folder: Path) -> PlainFile:
        """The exact look: set aside every record that is no row, and leave a file that scans without a doubt."""

    def exact_plans(self, plans: Sequence[ColumnPlan]) -> tuple[ColumnPlan, ...]:
        """How the columns of examined files are read."""
