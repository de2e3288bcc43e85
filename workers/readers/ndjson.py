"""NDJSON: one object a line, nested values kept as struct and list."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from math import isinf
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import polars as pl

from ..schema import parse_type
from ..specs import IngestSpec
from .base import ROW, SUSPECT, Fault, PlainFile, Rejected, Sample
from .casts import ColumnPlan
from .clean import CleanCopy
from .infer import infer_moment
from .json_types import (
    Shape,
    as_numerals,
    as_text,
    check_nested,
    extended,
    is_decodable,
    merge,
    merged,
    misfit,
    shape_of,
    shape_of_dtype,
    written,
)
from .names import unique_names

SELF_DESCRIBING = True
SAMPLE_ROWS = 10_000
SAMPLED_FILES = 20
HEAD_BYTES = 4 << 20
PART_BYTES = 256 << 10
MAX_RECORD_BYTES = 64 << 20
HUGE = 2**127
_RECORD = "__record"
_LONG_NUMBER = re.compile(rb"\d{38}|\d[eE]\+?\d{3}")


def open_files(
    files: Sequence[PlainFile], spec: IngestSpec, folder: Path, *, is_glance: bool = False
) -> list[PlainFile]:
    """Find each file's keys: all of them, unless the job declares its columns or it is only a glance.

    A file with lines that are no objects is examined at once, for its keys
    cannot be had otherwise.
    """
    is_whole = not is_glance and spec.schema_mode != "user"
    opened = []
    for landed in files:
        file = replace(landed, path=_without_wildcards(landed.path, folder / f"{landed.number}.link"))
        shape: dict[str, Shape] = {}
        for _, record in _sampled(file, SAMPLE_ROWS):
            shape = merge(shape, shape_of(record))
        if is_whole:
            file, whole = _whole_shape(file, spec, folder)
            shape = extended(shape, whole)
        elif not is_glance:
            file = replace(file, proven=_inferred(file.path) or {})
        opened.append(replace(file, keys=tuple(shape), header=unique_names(shape), shape=shape))
    return opened


def _without_wildcards(path: Path, link: Path) -> Path:
    """Another name for a file whose own Polars would take for a pattern."""
    if not re.search(r"[*?\[\]]", str(path)):
        return path
    link.symlink_to(path)
    return link


def _whole_shape(file: PlainFile, spec: IngestSpec, folder: Path) -> tuple[PlainFile, Shape]:
    """What all records hold, and the file, examined if need be."""
    if (shape := _inferred(file.path)) is not None:
        return replace(file, proven=shape), shape
    file = examine(file, (), spec, folder)
    if (shape := _inferred(file.path)) is not None:
        return replace(file, proven=shape), shape
    with file.path.open("rb") as source:
        # A key has values that Polars finds no common type for.
        return file, merged(shape_of(record) for _, record in _records(source)) or {}


def _inferred(path: Path) -> Shape:
    """The shape that Polars infers from all lines, the fastest way there is; None when it cannot."""
    if path.stat().st_size == 0:
        return {}
    try:
        schema = pl.scan_ndjson(path, infer_schema_length=None).collect_schema()
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
        return None
    return {name: shape_of_dtype(dtype) for name, dtype in schema.items()}


def sample(files: Sequence[PlainFile], spec: IngestSpec) -> Sample:
    """Records from the heads of up to 20 files, and some from the middle and end of large ones."""
    chosen, frames, rejected = files[:SAMPLED_FILES], [], []
    for file in chosen:
        limit = SAMPLE_ROWS // len(chosen)
        columns = dict(zip(file.keys, file.header, strict=True))
        rows = [
            {ROW: number} | {name: as_text(record.get(key)) for key, name in columns.items()}
            for number, record in _sampled(file, limit)
        ]
        schema = {ROW: pl.Int64} | dict.fromkeys(file.header, pl.String)
        frames.append(pl.DataFrame(rows, schema=schema, orient="row"))
        if not file.is_exact:
            rejected += _rejected_in_head(file)
    rows = pl.concat(frames, how="diagonal")
    shape: dict[str, Shape] = {}
    for file in files:
        renamed = {name: file.shape[key] for key, name in zip(file.keys, file.header, strict=True)}
        shape = merge(shape, renamed)
    plans = {name: _plan(name, inner, rows) for name, inner in shape.items()}
    return Sample(rows=rows, plans=plans, rejected=tuple(rejected), is_suspect=bool(rejected))


def _plan(name: str, shape: Shape, rows: pl.DataFrame) -> ColumnPlan:
    """How a column is read: as JSON has typed it, but text that is a moment becomes one."""
    type_ = written(shape)
    if type_ == "string" and name in rows.columns:
        return infer_moment(rows.get_column(name))
    return ColumnPlan(name=name, type=type_, is_parsed=type_ not in ("string", "json", "decimal(38,0)"))


def _sampled(file: PlainFile, limit: int) -> Iterator[tuple[int | None, dict[str, Any]]]:
    """Records with their numbers; those from the middle and the end have none."""
    size = file.path.stat().st_size
    with file.path.open("rb") as source:
        yield from islice(_records(_lines(source, HEAD_BYTES)), limit)
        for start in (size // 2, size - PART_BYTES) if size > HEAD_BYTES else ():
            source.seek(start)
            source.readline()
            part = islice(_records(_lines(source, PART_BYTES)), limit // 4)
            yield from ((None, record) for _, record in part)


def _lines(source: BinaryIO, size: int) -> Iterator[bytes]:
    end = source.tell() + size
    while source.tell() < end and (line := source.readline(MAX_RECORD_BYTES)):
        yield line


def _records(lines: Iterable[bytes]) -> Iterator[tuple[int, dict[str, Any]]]:
    told = (record for line in lines if (record := _record(line)) is not None)
    return ((number, record) for number, record in enumerate(told) if isinstance(record, dict))


def _rejected_in_head(file: PlainFile) -> list[Rejected]:
    with file.path.open("rb") as source:
        offset, kept, refused = 0, 0, []
        for line in _lines(source, HEAD_BYTES):
            record = _record(line)
            if isinstance(record, Problem):
                fault = Fault(offset, line.rstrip(b"\r\n"), record.rule, record.reason)
                refused.append(fault.rejected(kept + len(refused), kept))
            kept += isinstance(record, dict)
            offset += len(line)
    return refused


def scan(file: PlainFile, plans: Sequence[ColumnPlan], spec: IngestSpec) -> pl.LazyFrame:
    """The planned columns: nested and natively typed values as such, the rest as text."""
    keys = dict(zip(file.header, file.keys, strict=True))
    wanted = {keys[plan.name]: _read_type(plan) for plan in plans if plan.name in keys}
    if wanted and file.proven and all(is_decodable(dtype, file.proven.get(key)) for key, dtype in wanted.items()):
        rows, value = _decoded(file.path, wanted), pl.col(_RECORD).struct.field
    else:
        rows, value = pl.scan_ndjson(file.path, schema=wanted, row_index_name=ROW), pl.col
        rows = rows.with_columns(pl.lit(False).alias(SUSPECT))
    values = (
        value(keys[plan.name]).cast(_read_type(plan)).alias(plan.name)
        if plan.name in keys
        else pl.lit(None, dtype=_read_type(plan)).alias(plan.name)
        for plan in plans
    )
    return rows.select(ROW, SUSPECT, *values)


def _decoded(path: Path, wanted: dict[str, pl.DataType]) -> pl.LazyFrame:
    """Each line as a struct of the wanted keys, numbers still as text.

    Several times as fast as `scan_ndjson` where values are nested. But read
    as a number, 1.5 and true would be 1; a cast from text refuses them.
    """
    line = pl.col("line").str.strip_chars_start(" \t\r")
    record = pl.col("line").str.json_decode(pl.Struct({key: as_numerals(dtype) for key, dtype in wanted.items()}))
    rows = pl.scan_lines(path, glob=False).select(line).filter(pl.col("line") != "").with_row_index(ROW)
    # A line that says null would pass for a record of nulls.
    return rows.select(ROW, record.alias(_RECORD), (~pl.col("line").str.starts_with("{")).alias(SUSPECT))


def _read_type(plan: ColumnPlan) -> pl.DataType:
    if not plan.is_parsed:
        return pl.String()
    check_nested(plan.name, parse_type(plan.type))
    return parse_type(plan.type)


def count(file: PlainFile, spec: IngestSpec) -> int:
    """The records in a file: of an exact one as they were examined, else by Polars' own line counter."""
    if file.is_exact:
        return file.rows
    return pl.scan_ndjson(file.path, schema={"any": pl.String}).select(pl.len()).collect().item()


def examine(file: PlainFile, plans: Sequence[ColumnPlan], spec: IngestSpec, folder: Path) -> PlainFile:
    """Set aside each line that is no JSON object, or whose nested values are not of their column's type."""
    if whole := file.examined:
        file = replace(file, path=whole.path, rows=None, rejected=(), examined=None)
    if plans:
        file = replace(file, proven={})  # a second look: reading on trust has failed
    keys = dict(zip(file.header, file.keys, strict=True))
    nested = [(keys[p.name], p.name, parse_type(p.type)) for p in plans if p.is_nested and p.name in keys]
    copy, offset = CleanCopy(file, folder), 0
    with file.path.open("rb") as source:
        while line := source.readline(MAX_RECORD_BYTES):
            record = _record(line)
            problem = record if isinstance(record, Problem) else _misfit(record, nested)
            if record is None:
                copy.leave_out(offset)
            elif problem is None:
                copy.keep(line if line.endswith(b"\n") else line + b"\n", 1)
            else:
                copy.reject(Fault(offset, line.rstrip(b"\r\n"), problem.rule, problem.reason, problem.column))
            offset += len(line)
    return copy.finish()


def exact_plans(plans: Sequence[ColumnPlan]) -> tuple[ColumnPlan, ...]:
    """Plans for examined files: numbers and booleans are read as text too, so that one wrong value costs one row."""
    return tuple(replace(plan, is_parsed=plan.is_nested) for plan in plans)


class Problem(NamedTuple):
    """Why a line is no row."""

    rule: str
    reason: str
    column: str | None = None


def _misfit(record: dict[str, Any] | None, nested: Sequence[tuple[str, str, pl.DataType]]) -> Problem | None:
    for key, name, dtype in nested:
        if record and (reason := misfit(record.get(key), dtype)):
            return Problem("type", reason, name)
    return None


def _record(line: bytes) -> dict[str, Any] | Problem | None:
    """The object in a line; None for a blank one."""
    if not line.strip(b" \t\r\n"):
        return None
    try:
        value = _decode(line.decode())
        if b"\\u" in line:
            json.dumps(value, ensure_ascii=False).encode()  # half a surrogate pair is no character
    except UnicodeError:
        return Problem("encoding", "bytes or escapes that are no UTF-8 text")
    except (ValueError, RecursionError) as error:
        return Problem("json", f"no valid JSON: {error}")
    if not isinstance(value, dict):
        return Problem("json", f"a JSON {type(value).__name__}, not an object")
    if _LONG_NUMBER.search(line) and _has_huge_number(line):
        return Problem("json", "a number too large to be read exactly")
    return value


def _has_huge_number(line: bytes) -> bool:
    """Whether there is a number for which Polars would refuse the whole file."""
    seen: list[float] = []
    json.loads(line, parse_int=lambda text: seen.append(int(text)), parse_float=lambda text: seen.append(float(text)))
    return any(not -HUGE < number < HUGE if isinstance(number, int) else isinf(number) for number in seen)


def _no_constant(word: str) -> None:
    raise ValueError(f"{word} is no JSON")


_decode = json.JSONDecoder(parse_constant=_no_constant).decode  # json.loads would make a decoder for every line
