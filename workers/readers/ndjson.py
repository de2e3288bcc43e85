"""NDJSON: one object a line, nested values kept as struct and list unless the job says otherwise."""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from io import BytesIO
from itertools import islice
from math import isinf
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import polars as pl

from ..nested import path_of
from ..schema import parse_type
from ..specs import IngestSpec
from .base import ROW, SUSPECT, Fault, PlainFile, Rejected, Sample
from .casts import ColumnPlan
from .clean import CleanCopy
from .infer import infer_moment
from .json_columns import Path as Keys
from .json_columns import RawTexts, column_names, columns_of, shape_at, value_at
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

SELF_DESCRIBING = True
SAMPLE_ROWS = 10_000
SAMPLED_FILES = 20
HEAD_BYTES = 4 << 20
PART_BYTES = 256 << 10
JUDGED_BYTES = 128 << 10  # at once
DOUBTED_BYTES = 8 << 10  # at once, where something is wrong; so much is looked at line by line
JUDGES = 2
MAX_RECORD_BYTES = 64 << 20
FEWEST_ROWS = 50  # of each file, however many there are
HUGE = 2**127
_RECORD = "__record"
_KINDS = {"flatten": dict, "child_table": list}  # what there must be at the path of such a choice
_SHAPES = {dict: dict | None, list: tuple | None}
_AS_ZEROS = bytes.maketrans(b"123456789E", b"000000000e")
# Half a surrogate pair, or what might be one. Polars takes it for a character.
_ODD_ESCAPE = re.compile(
    rb"\\\\u|\\u[dD][89abAB]..(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F]"
)


def open_files(
    files: Sequence[PlainFile], spec: IngestSpec, folder: Path, *, is_glance: bool = False
) -> list[PlainFile]:
    """Examine each file, which also finds its keys: all of them. A glance looks at the first records only."""
    raw, judge, shapes, opened = RawTexts(spec.nested), _Judge(spec), [], []
    limit = max(SAMPLE_ROWS // max(len(files), 1), FEWEST_ROWS)
    for landed in files:
        file = replace(landed, path=_without_wildcards(landed.path, folder / f"{landed.number}.link"))
        if raw:
            file = _with_raw_texts(file, raw, folder)
        shape = merged(shape_of(record) for _, record in _sampled(file, limit, judge)) or {}
        if not is_glance:
            file = examine(file, (), spec, folder)
            # What a declared column is not in the sample is no reason to go through all that is not declared.
            shape = extended(shape, file.proven)
        shapes.append(columns_of(shape, spec.nested))
        opened.append(file)
    return [
        replace(file, keys=tuple(path[0] for path in shape), paths=tuple(shape), header=names, shape=shape)
        for file, shape, names in zip(opened, shapes, column_names(shapes), strict=True)
    ]


def _without_wildcards(path: Path, link: Path) -> Path:
    """Another name for a file whose own Polars would take for a pattern."""
    if not re.search(r"[*?\[\]]", str(path)):
        return path
    link.symlink_to(path)
    return link


def _with_raw_texts(file: PlainFile, raw: RawTexts, folder: Path) -> PlainFile:
    path = folder / f"{file.number}.raw"
    with file.path.open("rb") as source, path.open("wb") as sink:
        while line := source.readline(MAX_RECORD_BYTES):
            sink.write(raw.line(line))
    return replace(file, path=path, is_converted=True)


def sample(files: Sequence[PlainFile], spec: IngestSpec) -> Sample:
    """Records from the heads of up to 20 files, and some from the middle and end of large ones."""
    judge, chosen, frames, rejected = _Judge(spec), files[:SAMPLED_FILES], [], []
    for file in chosen:
        limit = SAMPLE_ROWS // len(chosen)
        columns = dict(zip(file.header, file.paths, strict=True))
        rows = [
            {ROW: number} | {name: as_text(value_at(record, path)) for name, path in columns.items()}
            for number, record in _sampled(file, limit, judge)
        ]
        schema = {ROW: pl.Int64} | dict.fromkeys(file.header, pl.String)
        frames.append(pl.DataFrame(rows, schema=schema, orient="row"))
        if not file.is_exact:
            rejected += _rejected_in_head(file, judge)
    rows = pl.concat(frames, how="diagonal")
    shape: dict[str, Shape] = {}
    for file in files:
        renamed = {name: file.shape[path] for path, name in zip(file.paths, file.header, strict=True)}
        shape = merge(shape, renamed)
    plans = {name: _plan(name, inner, rows) for name, inner in shape.items()}
    return Sample(rows=rows, plans=plans, rejected=tuple(rejected), is_suspect=bool(rejected))


def _plan(name: str, shape: Shape, rows: pl.DataFrame) -> ColumnPlan:
    """How a column is read: as JSON has typed it, but text that is a moment becomes one."""
    type_ = written(shape)
    if type_ == "string" and name in rows.columns:
        return infer_moment(rows.get_column(name))
    return ColumnPlan(name=name, type=type_, is_parsed=type_ not in ("string", "json", "decimal(38,0)"))


def _sampled(file: PlainFile, limit: int, judge: _Judge) -> Iterator[tuple[int | None, dict[str, Any]]]:
    """Records with their numbers; those from the middle and the end have none."""
    size = file.path.stat().st_size
    with file.path.open("rb") as source:
        yield from islice(_records(_lines(source, HEAD_BYTES), judge), limit)
        for start in (size // 2, size - PART_BYTES) if size > HEAD_BYTES else ():
            source.seek(start)
            source.readline()
            part = islice(_records(_lines(source, PART_BYTES), judge), limit // 4)
            yield from ((None, record) for _, record in part)


def _lines(source: BinaryIO, size: int) -> Iterator[bytes]:
    end = source.tell() + size
    while source.tell() < end and (line := source.readline(MAX_RECORD_BYTES)):
        yield line


def _records(lines: Iterable[bytes], judge: _Judge) -> Iterator[tuple[int, dict[str, Any]]]:
    told = (record for line in lines if (record := judge.record(line)) is not None)
    return ((number, record) for number, record in enumerate(told) if isinstance(record, dict))


def _rejected_in_head(file: PlainFile, judge: _Judge) -> list[Rejected]:
    with file.path.open("rb") as source:
        offset, kept, refused = 0, 0, []
        for line in _lines(source, HEAD_BYTES):
            record = judge.record(line)
            if isinstance(record, Problem):
                fault = Fault(offset, line.rstrip(b"\r\n"), record.rule, record.reason, record.column)
                refused.append(fault.rejected(kept + len(refused), kept))
            kept += isinstance(record, dict)
            offset += len(line)
    return refused


def scan(file: PlainFile, plans: Sequence[ColumnPlan], spec: IngestSpec) -> pl.LazyFrame:
    """The planned columns: nested and natively typed values as such, the rest as text."""
    paths = dict(zip(file.header, file.paths, strict=True))
    wanted = _by_key((paths[plan.name], _read_type(plan)) for plan in plans if plan.name in paths)
    if wanted and file.proven and all(is_decodable(dtype, file.proven.get(key)) for key, dtype in wanted.items()):
        rows, value = _decoded(file.path, wanted), pl.col(_RECORD).struct.field
    else:
        rows, value = pl.scan_ndjson(file.path, schema=wanted, row_index_name=ROW), pl.col
        rows = rows.with_columns(pl.lit(False).alias(SUSPECT))

    def read(path: Keys) -> pl.Expr:
        found = value(path[0])
        for key in path[1:]:
            found = found.struct.field(key)
        return found

    values = (
        (read(paths[plan.name]) if plan.name in paths else pl.lit(None)).cast(_read_type(plan)).alias(plan.name)
        for plan in plans
    )
    return rows.select(ROW, SUSPECT, *values)


def _by_key(values: Iterable[tuple[Keys, pl.DataType]]) -> dict[str, pl.DataType]:
    """The types of whole records' values, of those of the columns that are made from them."""
    tree: dict[str, Any] = {}
    for path, dtype in values:
        level = tree
        for key in path[:-1]:
            level = level.setdefault(key, {})
        if isinstance(level.get(path[-1]), dict) and isinstance(dtype, pl.Struct):
            # A struct that is kept, from which other columns were taken out before.
            level[path[-1]] |= {field.name: field.dtype for field in dtype.fields}
        elif isinstance(dtype, pl.Struct):
            level[path[-1]] = {field.name: field.dtype for field in dtype.fields}
        else:
            level[path[-1]] = dtype
    return {key: _struct(inner) for key, inner in tree.items()}


def _struct(tree: Any) -> pl.DataType:
    return pl.Struct({key: _struct(inner) for key, inner in tree.items()}) if isinstance(tree, dict) else tree


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
    """Set aside each line that is no JSON object, or whose nested values are not of their column's type.

    Also finds the shape of all records that are kept: `proven`.
    """
    if whole := file.examined:
        file = replace(file, path=whole.path, rows=None, rejected=(), examined=None)
    judge = _Judge(spec, file, plans)
    copy, offset, shape = CleanCopy(file, folder), 0, None
    with file.path.open("rb") as source:
        for chunk, found in _judged(_chunks(source, JUDGED_BYTES), judge):
            if found is not None:
                shape = merge(shape, found)
                copy.keep(chunk, chunk.count(b"\n"))
            else:
                shape = merge(shape, _by_line(chunk, offset, judge, copy))
            offset += len(chunk)
    # With plans it is a second look: reading on trust has failed.
    return replace(copy.finish(), proven={} if plans else shape or {})


def _chunks(source: BinaryIO, size: int) -> Iterator[bytes]:
    """Whole lines; only the file's last may lack its end, and one that is longer than a record may be."""
    while chunk := source.read(size):
        yield chunk if chunk.endswith(b"\n") else chunk + source.readline(MAX_RECORD_BYTES)


def _judged(chunks: Iterator[bytes], judge: _Judge) -> Iterator[tuple[bytes, Shape]]:
    """The chunks in order, in parts, each with its shape: None where it must be looked at by line."""
    with ThreadPoolExecutor(JUDGES) as pool:
        ahead: deque[Future[list[tuple[bytes, Shape]]]] = deque()
        for chunk in chunks:
            ahead.append(pool.submit(judge.parts, chunk))
            if len(ahead) > 2 * JUDGES:
                yield from ahead.popleft().result()
        for future in ahead:
            yield from future.result()


def _by_line(chunk: bytes, offset: int, judge: _Judge, copy: CleanCopy) -> Shape:
    """Keep the good lines, set the others aside; what the good ones hold."""
    good: list[tuple[bytes, dict[str, Any]]] = []
    for line in BytesIO(chunk):
        record = judge.record(line)
        if record is None:
            copy.leave_out(offset)
        elif isinstance(record, Problem):
            copy.reject(Fault(offset, line.rstrip(b"\r\n"), record.rule, record.reason, record.column))
        else:
            good.append((line if line.endswith(b"\n") else line + b"\n", record))
            copy.keep(good[-1][0], 1)
        offset += len(line)
    shape = judge.shape_of(b"".join(line for line, _ in good))
    return shape if shape is not None else merged(shape_of(record) for _, record in good)


class _Judge:
    """Says of lines whether they are records that fit: many at once, or one by one.

    What is flattened must be an object, what goes to a child table a list,
    and the nested values of planned columns of their types.
    """

    def __init__(self, spec: IngestSpec, file: PlainFile | None = None, plans: Sequence[ColumnPlan] = ()) -> None:
        paths = dict(zip(file.header, file.paths, strict=True)) if file else {}
        there = [(paths[plan.name], plan) for plan in plans if plan.name in paths]
        inner = {path[:n]: dict for path, _ in there for n in range(1, len(path))}
        self._kinds = inner | {path_of(n.path): _KINDS[n.keep_as] for n in spec.nested if n.keep_as in _KINDS}
        self._nested = [(path, plan.name, parse_type(plan.type)) for path, plan in there if plan.is_nested]
        self._wanted = _by_key((path, dtype) for path, _, dtype in self._nested)

    def parts(self, chunk: bytes) -> list[tuple[bytes, Shape]]:
        """The chunk as a whole with its shape, or smaller parts of it, some of which have one."""
        if (shape := self.shape_of(chunk)) is not None:
            return [(chunk, shape)]
        return [(part, self.shape_of(part)) for part in _chunks(BytesIO(chunk), DOUBTED_BYTES)]

    def shape_of(self, chunk: bytes) -> Shape:
        """What the lines hold, if Polars proves that each is a record that fits; else None."""
        if not chunk.startswith(b"{") or chunk.count(b"\n{") + 1 != chunk.count(b"\n") or not chunk.endswith(b"\n"):
            return None  # blank lines, say
        if b"\\u" in chunk and _ODD_ESCAPE.search(chunk):
            return None
        try:
            schema = pl.scan_ndjson(BytesIO(chunk), infer_schema_length=None).collect_schema()
            shape = {name: shape_of_dtype(dtype) for name, dtype in schema.items()}
            return shape if self._fits(shape, chunk) else None
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
            return None

    def _fits(self, shape: dict[str, Shape], chunk: bytes) -> bool:
        if any(not isinstance(shape_at(shape, path), _SHAPES[kind]) for path, kind in self._kinds.items()):
            return False
        if not all(is_decodable(dtype, shape.get(key)) for key, dtype in self._wanted.items()):
            return False
        if self._wanted:
            # Polars infers an object also where some of the values are numbers.
            record = pl.Struct({key: as_numerals(dtype) for key, dtype in self._wanted.items()})
            lines = pl.Series(chunk.decode().removesuffix("\n").split("\n"))
            lines.str.json_decode(record).cast(pl.Struct(self._wanted))
        return True

    def record(self, line: bytes) -> dict[str, Any] | Problem | None:
        """The object in a line, or why it is no row; None for a blank one."""
        record = _record(line)
        return (self._misfit(record) or record) if isinstance(record, dict) else record

    def _misfit(self, record: dict[str, Any]) -> Problem | None:
        for path, kind in self._kinds.items():
            value = value_at(record, path)
            if value is not None and not isinstance(value, kind):
                wanted = "object" if kind is dict else "list"
                return Problem("type", f"“{as_text(value)[:80]}” is no {wanted}", ".".join(path))
        for path, name, dtype in self._nested:
            if reason := misfit(value_at(record, path), dtype):
                return Problem("type", reason, name)
        return None


def exact_plans(plans: Sequence[ColumnPlan]) -> tuple[ColumnPlan, ...]:
    """Plans for examined files: numbers and booleans are read as text too, so that one wrong value costs one row."""
    return tuple(replace(plan, is_parsed=plan.is_nested) for plan in plans)


class Problem(NamedTuple):
    """Why a line is no row."""

    rule: str
    reason: str
    column: str | None = None


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
    if _may_be_huge(line) and _has_huge_number(line):
        return Problem("json", "a number too large to be read exactly")
    return value


def _may_be_huge(line: bytes) -> bool:
    zeros = line.translate(_AS_ZEROS)  # many times as fast as a pattern, and this is asked of every line
    return b"0" * 38 in zeros or b"e000" in zeros or b"e+000" in zeros


def _has_huge_number(line: bytes) -> bool:
    """Whether there is a number for which Polars would refuse the whole file."""
    seen: list[float] = []
    json.loads(line, parse_int=lambda text: seen.append(int(text)), parse_float=lambda text: seen.append(float(text)))
    return any(not -HUGE < number < HUGE if isinstance(number, int) else isinf(number) for number in seen)


def _no_constant(word: str) -> None:
    raise ValueError(f"{word} is no JSON")


_decode = json.JSONDecoder(parse_constant=_no_constant).decode  # json.loads would make a decoder for every line
