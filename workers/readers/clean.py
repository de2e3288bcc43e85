"""A copy of a file without its rejected records, made only once there is something to leave out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import polars as pl

from .base import REJECTED, Fault, PlainFile, Rejected

BATCH_ROWS = 20_000
CHUNK_BYTES = 1 << 20


class CleanCopy:
    """Told, in order, what is in a file; keeps the good records and counts both kinds."""

    def __init__(self, file: PlainFile, folder: Path) -> None:
        self._file, self._folder = file, folder
        self._sink: BinaryIO | None = None
        self._kept = self._records = 0
        self._rejected: list[Rejected] = []
        self._parts: list[Path] = []

    def keep(self, content: bytes, records: int) -> None:
        """`content` is whole records, each with its line end."""
        self._kept, self._records = self._kept + records, self._records + records
        if self._sink:
            self._sink.write(content)

    def reject(self, fault: Fault) -> None:
        self.leave_out(fault.offset)
        self._rejected.append(fault.rejected(self._records, self._kept))
        self._records += 1
        if len(self._rejected) >= BATCH_ROWS:
            self._flush()

    def leave_out(self, offset: int) -> None:
        """Something that is no record stands at this byte."""
        if self._sink is None:
            self._sink = self._path("clean").open("wb")
            with self._file.path.open("rb") as source:
                source.seek(self._file.data_offset)
                _copy(source, self._sink, offset - self._file.data_offset)

    def finish(self) -> PlainFile:
        """The file that scans without a doubt: the original, if nothing was left out."""
        if self._rejected:
            self._flush()
        exact = replace(self._file, rows=self._records, rejected=tuple(self._parts))
        if self._sink is None:
            return exact
        self._sink.close()
        return replace(exact, path=self._path("clean"), data_offset=0, data_line=0, examined=self._file)

    def _flush(self) -> None:
        part = self._path(f"rejected-{len(self._parts)}")
        pl.DataFrame(self._rejected, schema=REJECTED, orient="row").write_parquet(part)
        self._parts.append(part)
        self._rejected = []

    def _path(self, suffix: str) -> Path:
        return self._folder / f"{self._file.number}.{suffix}"


def _copy(source: BinaryIO, sink: BinaryIO, size: int) -> None:
    while size > 0 and (chunk := source.read(min(size, CHUNK_BYTES))):
        sink.write(chunk)
        size -= len(chunk)
