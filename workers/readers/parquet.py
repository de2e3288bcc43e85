"""Parquet: columns that have their types already. Written by people's tools, and by our database sources.

A field may say `assay.type` in its metadata: what its values are, where
Parquet has no word for it (`json`) or where some of them are kept as text
because they do not fit (a date of infinity in a column of dates). `decimal`
without digits asks for the decimal that all its values fit into.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ..errors import UnreadableSource
from ..lake.evolve import LOGICAL_TYPE
from ..lake.lattice import decimal_for, holds, least_holding
from ..schema import parse_type, type_name
from ..specs import IngestSpec
from .base import ROW, SUSPECT, PlainFile, Sample
from .casts import ColumnPlan
from .names import unique_names
from .typed import as_text, converted, lake_type, stored

SELF_DESCRIBING = True
SAMPLE_ROWS = 10_000
ANY_DECIMAL = "decimal"
ROOM_DIGITS = 18  # before the point, at least, of a decimal whose digits nobody has declared
_PLAIN_NUMBER = r"^[+-]?\d*\.?\d*$"


@dataclass(frozen=True, slots=True)
class _Held:
    """A column as a file has it."""

    dtype: pl.DataType  # Polars'
    lake: pl.DataType  # the lake's, which takes all its values
    type: str  # what they are, in our words


def open_files(
    files: Sequence[PlainFile], spec: IngestSpec, folder: Path, *, is_glance: bool = False
) -> list[PlainFile]:
    """Find each file's columns. Raises `UnreadableSource` for what is no Parquet, or is encrypted or cut off."""
    opened = []
    for landed in files:
        with _readable(landed.name):
            file = _with_decimals_that_polars_reads(landed, folder)
            # Not Polars: for two columns of one name it has no schema.
            keys = tuple(pq.read_schema(file.path).names)
            if len(set(keys)) < len(keys):
                raise _unreadable(file.name, "two of its columns have one name")
            pl.read_parquet_schema(file.path)
        opened.append(replace(file, keys=keys, header=unique_names(keys)))
    return opened


def sample(files: Sequence[PlainFile], spec: IngestSpec) -> Sample:
    """The first rows of every file, with the types that they have."""
    held: dict[str, _Held] = {}
    for file in files:
        for name, column in _columns(file).items():
            held[name] = _common(held[name], column) if name in held else column
    plans = [_plan(name, column, files) for name, column in held.items()]
    limit = max(SAMPLE_ROWS // len(files), 1)
    frames = []
    for file in files:
        with _readable(file.name):
            frames.append(scan(file, plans, spec).drop(SUSPECT).head(limit).collect())
    return Sample(rows=pl.concat(frames), plans={plan.name: plan for plan in plans})


def scan(file: PlainFile, plans: Sequence[ColumnPlan], spec: IngestSpec) -> pl.LazyFrame:
    """The planned columns with the types that the plans say they come in, with `ROW` and `SUSPECT`."""
    rows = pl.scan_parquet(file.path, glob=False, hive_partitioning=False, row_index_name=ROW)
    keys, held = dict(zip(file.header, file.keys, strict=True)), _columns(file)
    values = [
        _as_planned(pl.col(keys[plan.name]), held[plan.name], plan).alias(plan.name)
        if plan.name in held
        else pl.lit(None, dtype=parse_type(plan.type) if plan.is_parsed else plan.source or pl.String).alias(plan.name)
        for plan in plans
    ]
    return rows.select(ROW, pl.lit(False).alias(SUSPECT), *values)


def _as_planned(value: pl.Expr, held: _Held, plan: ColumnPlan) -> pl.Expr:
    lake = stored(value, held.dtype)
    source = plan.source or pl.String()
    if held.lake == source:
        return lake
    return as_text(lake, held.lake) if source == pl.String else converted(lake, held.lake, source)


def count(file: PlainFile, spec: IngestSpec) -> int:
    """The rows that the file's footer counts."""
    return pq.read_metadata(file.path).num_rows


def examine(file: PlainFile, plans: Sequence[ColumnPlan], spec: IngestSpec, folder: Path) -> PlainFile:
    """Nothing to look for: a page that cannot be read has no records to set aside."""
    return file


def exact_plans(plans: Sequence[ColumnPlan]) -> tuple[ColumnPlan, ...]:
    return tuple(plans)


def _columns(file: PlainFile) -> dict[str, _Held]:
    """The file's columns under the names of its header."""
    polars, arrow = pl.read_parquet_schema(file.path), pq.read_schema(file.path)
    return {
        name: _held(polars[key], (arrow.field(key).metadata or {}).get(LOGICAL_TYPE.encode(), b"").decode())
        for name, key in zip(file.header, file.keys, strict=True)
    }


def _held(dtype: pl.DataType, told: str) -> _Held:
    lake = lake_type(dtype)
    is_json = isinstance(dtype, pl.BaseExtension) and dtype.ext_name() == "arrow.json"
    if is_json or (dtype.is_nested() and lake == pl.String):
        return _Held(dtype, lake, "json")
    return _Held(dtype, lake, told or type_name(lake))


def _common(one: _Held, other: _Held) -> _Held:
    """What takes the values of the same column of two files."""
    if ANY_DECIMAL in (one.type, other.type):
        type_ = ANY_DECIMAL if one.type == other.type else "string"
    else:
        type_ = least_holding(one.type, other.type) or "string"
    wider = next((a for a, b in ((one, other), (other, one)) if _takes(a.lake, b.lake)), None)
    lake = wider.lake if wider else pl.String()
    return _Held(lake, lake, type_)


def _takes(wide: pl.DataType, narrow: pl.DataType) -> bool:
    return wide == narrow or (not wide.is_nested() and holds(type_name(wide), type_name(narrow)))


def _plan(name: str, column: _Held, files: Sequence[PlainFile]) -> ColumnPlan:
    type_ = _decimal(name, files) if column.type == ANY_DECIMAL else column.type
    return ColumnPlan(name=name, type=type_, source=column.lake)


def _decimal(name: str, files: Sequence[PlainFile]) -> str:
    """The decimal for all values of the column, with room for larger ones; text where no decimal is wide enough."""
    whole = scale = 0
    for file in files:
        key = dict(zip(file.header, file.keys, strict=True)).get(name)
        if key is None:
            continue
        # Others (NaN, infinity) are no part of any decimal.
        numbers = pl.col(key).filter(pl.col(key).str.contains(_PLAIN_NUMBER)).str.strip_chars_start("+-")
        parts = numbers.str.split_exact(".", 1).struct
        lengths = [parts.field(f"field_{n}").str.len_bytes().max().fill_null(0).alias(f"{n}") for n in (0, 1)]
        rows = pl.scan_parquet(file.path, glob=False, hive_partitioning=False).select(lengths)
        most = rows.collect(engine="streaming").row(0)
        whole, scale = max(whole, most[0]), max(scale, most[1])
    room = min(max(whole, ROOM_DIGITS), 38 - scale)
    return decimal_for(max(whole, room), scale) or "string"


def _with_decimals_that_polars_reads(file: PlainFile, folder: Path) -> PlainFile:
    """A copy with text in the place of decimals of more than 38 digits, if there are any."""
    schema = pq.read_schema(file.path)
    wide = [field.name for field in schema if pa.types.is_decimal256(field.type)]
    if not wide:
        return file
    kinds = [pa.field(f.name, pa.string() if f.name in wide else f.type, metadata=f.metadata) for f in schema]
    path, source = folder / f"{file.number}.parquet", pq.ParquetFile(file.path)
    with pq.ParquetWriter(path, pa.schema(kinds)) as sink:
        for batch in source.iter_batches():
            columns = [pc.cast(values, field.type) for values, field in zip(batch.columns, kinds, strict=True)]
            sink.write_batch(pa.record_batch(columns, schema=pa.schema(kinds)))
    return replace(file, path=path)


@contextmanager
def _readable(name: str) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise _unreadable(name, (str(error).splitlines() or ["it is broken"])[0]) from error


def _unreadable(name: str, reason: str) -> UnreadableSource:
    return UnreadableSource(
        f"{name} cannot be read as Parquet: {reason.rstrip('.')}.",
        hint="Check that the file is complete, not encrypted, and that the job's format is right.",
    )
