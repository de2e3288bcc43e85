"""Rows as bytes: CSV, JSON, NDJSON or Parquet, in a stream, hashed and counted on the way."""

from __future__ import annotations

import gzip
import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO, Protocol

import polars as pl
import pyarrow as pa

from workers.template_specs import FeedOptions

CHUNK_BYTES = 1 << 20
DAY, MOMENT = "%Y-%m-%d", "%Y-%m-%dT%H:%M:%S%.6f"
# What a spreadsheet takes for a formula when a field begins with it, the full-width signs of East Asia included.
FORMULAS = re.compile(r"^[=+\-@\t\r\n＝＋－＠]")
LINE_ENDS = {"lf": "\n", "crlf": "\r\n"}


class Sink(Protocol):
    def write(self, data: bytes) -> Any: ...


class Counted:
    """Passes bytes on; `size` and `sha256` are of all that went through."""

    def __init__(self, sink: Sink) -> None:
        self._sink, self._digest, self.size = sink, hashlib.sha256(), 0

    def write(self, data: bytes) -> int:
        data = bytes(data)
        self._digest.update(data)
        self.size += len(data)
        self._sink.write(data)
        return len(data)

    def flush(self) -> None:
        """What is compressed on the way wants to flush; there is nothing to."""

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()


def write_rows(rows: pl.LazyFrame, kind: str, options: FeedOptions, sink: Sink) -> Counted:
    """Write one file's bytes to `sink`. Memory is bounded: Polars streams to a temporary file, which is passed on.

    The same rows and options give the same bytes.
    """
    counted = Counted(sink)
    with TemporaryDirectory(prefix="assay-feed-") as folder:
        raw = Path(folder) / "rows"
        _write_raw(rows, kind, options, raw)
        # Parquet compresses its own pages.
        with (
            raw.open("rb") as source,
            _compressed(counted, "none" if kind == "parquet" else options.compression) as out,
        ):
            for chunk in _as_array(source) if kind == "json" else iter(lambda: source.read(CHUNK_BYTES), b""):
                out.write(chunk)
    return counted


def _write_raw(rows: pl.LazyFrame, kind: str, options: FeedOptions, path: Path) -> None:
    schema = rows.collect_schema()
    if kind == "parquet":
        rows.sink_parquet(path, compression="uncompressed" if options.compression == "none" else options.compression)
    elif kind == "csv":
        rows.select(csv_value(name, dtype, options) for name, dtype in schema.items()).sink_csv(
            path,
            separator=options.delimiter,
            include_header=options.header,
            include_bom=options.byte_order_mark,
            null_value=options.null_value,
            quote_style="always" if options.quote == "all" else "necessary",
            line_terminator=LINE_ENDS[options.line_end],
        )
    else:
        rows.select(json_value(pl.col(name), dtype).alias(name) for name, dtype in schema.items()).sink_ndjson(path)


def _as_array(lines: BinaryIO) -> Iterator[bytes]:
    """NDJSON as one JSON array, a record a line. A line end stands between records only: inside it is escaped."""
    yield b"["
    held = b"\n"  # the line end that is not yet known to have a record behind it
    is_first = True
    while chunk := lines.read(CHUNK_BYTES):
        body = chunk.rstrip(b"\n")
        yield (held if is_first else held.replace(b"\n", b",\n")) + body.replace(b"\n", b",\n")
        held, is_first = chunk[len(body) :], False
    yield b"\n]\n"


@contextmanager
def _compressed(sink: Counted, compression: str) -> Iterator[Sink]:
    if compression == "gzip":
        # No time and no name in the header: the same rows are the same bytes.
        with gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=sink, mtime=0) as out:
            yield out
    elif compression == "zstd":
        with pa.CompressedOutputStream(pa.PythonFile(_StaysOpen(sink), mode="w"), "zstd") as out:
            yield out
    else:
        yield sink


class _StaysOpen:
    """Arrow closes what it has written to; a sink is closed by whoever opened it."""

    closed = False

    def __init__(self, sink: Counted) -> None:
        self._sink = sink

    def write(self, data: bytes) -> int:
        return self._sink.write(data)

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        """Left to the owner."""


# --- values ------------------------------------------------------------------------------


def csv_value(name: str, dtype: pl.DataType, options: FeedOptions) -> pl.Expr:
    """The column as CSV has it: moments in ISO 8601, nested values as JSON, bytes in base 64; null stays null."""
    title = "'" * (options.escape_formulas and bool(FORMULAS.match(name))) + name
    return _csv_value(pl.col(name), dtype, options).alias(title)


def _csv_value(value: pl.Expr, dtype: pl.DataType, options: FeedOptions) -> pl.Expr:
    if dtype.is_nested():
        plain = json_value(value, dtype)
        # Only a struct can be written as JSON: the value is the one field of one.
        text = pl.struct(plain.alias("v")).struct.json_encode().str.strip_prefix('{"v":').str.strip_suffix("}")
        return pl.when(value.is_not_null()).then(text)
    if dtype == pl.String and options.escape_formulas:
        return pl.when(value.str.contains(FORMULAS.pattern)).then("'" + value).otherwise(value)
    if dtype.is_decimal() or dtype.is_float():
        return value  # exact; the shortest digits that read back as the same
    return json_value(value, dtype)


def json_value(value: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """The value as JSON has it.

    Decimals are texts, because readers would take numbers for floats; NaN and
    infinities, which JSON lacks, are null.
    """
    if isinstance(dtype, pl.Datetime):
        return value.dt.to_string(MOMENT + "Z" * bool(dtype.time_zone))
    if dtype == pl.Date:
        return value.dt.to_string(DAY)
    if dtype.is_decimal():
        return value.cast(pl.String)
    if dtype.is_float():
        return pl.when(value.is_finite()).then(value)
    if dtype == pl.Binary:
        return value.bin.encode("base64")
    if isinstance(dtype, pl.List):
        return value.list.eval(json_value(pl.element(), dtype.inner))
    if isinstance(dtype, pl.Struct):
        parts = (json_value(value.struct.field(f.name), f.dtype).alias(f.name) for f in dtype.fields)
        return pl.when(value.is_not_null()).then(pl.struct(*parts))
    return value
