"""Batches of a database as Parquet files in Landing: a few large ones, in bounded memory."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ...lake.evolve import LOGICAL_TYPE
from ...lake.landing import Landing
from ...readers.parquet import ANY_DECIMAL
from ...schema import parse_type
from .base import Batch, DbColumn, Misfit

FILE_BYTES = 512 << 20
GROUP_BYTES = 16 << 20  # of Arrow's memory
GROUP_ROWS = 100_000
ENCODING = {"compression": "zstd", "compression_level": 1}  # as quick as snappy, and half the bytes to hash and copy
FEW = 0.1  # of the first texts of a column are different: a dictionary saves more than it costs
# What the converters raise where a value does not fit.
MISFITS = (Misfit, pa.ArrowException, pl.exceptions.PolarsError, ValueError, TypeError, OverflowError)


class ParquetFiles:
    """Takes the driver's batches; encodes one while the next is fetched.

    A column whose values do not all fit its type goes on as text, in a new
    file, with the type in the field's metadata: the reader puts the misfits
    into quarantine, with what they are.
    """

    def __init__(self, folder: Path, name: str, columns: Sequence[DbColumn]) -> None:
        self._folder, self._name, self._columns = folder, name, tuple(columns)
        self._texts: set[int] = set()  # places of the columns that are text by now
        self._writer: pq.ParquetWriter | None = None
        self._waiting: list[pa.RecordBatch] = []
        self._pool = ThreadPoolExecutor(1)
        self._ahead: Future[None] | None = None
        self.paths: list[Path] = []
        self.rows = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, _: Any, __: TracebackType | None) -> None:
        try:
            if kind is None:
                self._settle()
                self._close()
        finally:
            self._pool.shutdown()
            if self._writer:
                self._writer.close()

    def write(self, batch: Batch) -> None:
        self._settle()
        self.rows += len(batch[0])
        self._ahead = self._pool.submit(self._take, batch)

    def _settle(self) -> None:
        if self._ahead:
            self._ahead.result()

    def _take(self, batch: Batch) -> None:
        arrays = [self._array(place, values) for place, values in enumerate(batch)]
        schema = self._schema()
        if self._waiting and self._waiting[0].schema != schema:
            self._flush()
        self._waiting.append(pa.record_batch(arrays, schema=schema))
        full = sum(each.nbytes for each in self._waiting) >= GROUP_BYTES
        if full or sum(each.num_rows for each in self._waiting) >= GROUP_ROWS:
            self._flush()

    def _array(self, place: int, values: Any) -> pa.Array:
        column = self._columns[place]
        if place not in self._texts:
            try:
                return column.typed(values)
            except MISFITS:
                self._texts.add(place)
        return column.text(values)

    def _schema(self) -> pa.Schema:
        return pa.schema([field_of(column, place in self._texts) for place, column in enumerate(self._columns)])

    def _flush(self) -> None:
        if self._writer and self._writer.schema != self._waiting[0].schema:
            self._close_file()
        if self._writer is None:
            self._open(self._waiting[0].schema)
        table = pa.Table.from_batches(self._waiting)
        self._writer.write_table(table, row_group_size=max(table.num_rows, 1))
        self._waiting = []
        if self.paths[-1].stat().st_size >= FILE_BYTES:
            self._close_file()

    def _open(self, schema: pa.Schema) -> None:
        self.paths.append(self._folder / f"{self._name}-{len(self.paths) + 1}.parquet")
        # The bounds of row groups are of no use to a reader that takes all rows.
        self._writer = pq.ParquetWriter(
            self.paths[-1], schema, use_dictionary=_repetitive(self._waiting[0]), write_statistics=False, **ENCODING
        )

    def _close_file(self) -> None:
        self._writer.close()
        self._writer = None

    def _close(self) -> None:
        if self._waiting or not self.paths:
            self._waiting = self._waiting or [pa.RecordBatch.from_pylist([], schema=self._schema())]
            self._flush()
        if self._writer:
            self._close_file()


def _repetitive(batch: pa.RecordBatch) -> list[str]:
    """The columns of few different texts."""
    texts = [field.name for field in batch.schema if pa.types.is_string(field.type)]
    return [name for name in texts if pc.count_distinct(batch.column(name)).as_py() < FEW * batch.num_rows]


def field_of(column: DbColumn, is_text: bool) -> pa.Field:
    """The field of a Parquet file, saying what the values are where the Parquet type does not."""
    arrow = pa.string() if is_text else column.arrow
    is_told = column.type == ANY_DECIMAL or (is_text and column.type != "string") or column.type == "json"
    # A list or struct cannot be read from text again: what was kept as text is JSON.
    told = (
        "json" if is_text and column.type not in (ANY_DECIMAL,) and parse_type(column.type).is_nested() else column.type
    )
    return pa.field(column.name, arrow, metadata={LOGICAL_TYPE: told} if is_told else None)


def land_files(files: ParquetFiles, landing: Landing, *, label: str, source: str, role: str) -> None:
    """Move the finished files into Landing, under the name that people know the source by."""
    for number, path in enumerate(files.paths, 1):
        name = f"{label}.parquet" if number == 1 else f"{label}-{number}.parquet"
        with path.open("rb") as content:
            landing.add(name, content, source=source, role=role)
        path.unlink()


def arrow_type(written: str) -> pa.DataType:
    """Arrow's type for one of ours."""
    return pl.Series([], dtype=parse_type(written)).to_arrow(compat_level=pl.CompatLevel.oldest()).type
