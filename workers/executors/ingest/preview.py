"""A look at a source before a job is made of it: what a run would read, with nothing written to the lake."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl

from workers.access import NOTHING, Access
from workers.checks.profile import profile
from workers.engines.preview import json_rows
from workers.lake.landing import LandedFile
from workers.readers import READERS
from workers.readers.base import ROW, PlainFile, Sample
from workers.readers.casts import ColumnPlan
from workers.results import Preview
from workers.sandbox import run_in_child
from workers.schema import parse_type
from workers.sources import source_of
from workers.specs import Column, IngestSpec, from_json, to_json

from .files import holds_nothing
from .nested import ChildTables
from .rows import bad_rows, good_values, judged
from .run import open_landed
from .schema import KnownTable, known_table, resolve

SHOWN_ROWS = 50
GLANCE_BYTES = 8 << 20
MEMORY_MB = 768
SECONDS = 30


def preview(spec: IngestSpec, access: Access = NOTHING) -> Preview:
    """The columns that a run would find, their profile, the first 50 rows and the first that would be refused.

    Looks at a bounded sample, in a child process with limits of its own: no
    file can take the caller down. Raises what a run would raise before it
    reads rows (`SourceMissing`, `UnreadableSource`, `MissingColumns`), and
    `ResourceLimit`.
    """
    table = known_table(spec)
    spec = table.settle(spec)
    with TemporaryDirectory(prefix="assay-sample-") as name:
        files = source_of(spec).sample(spec, Path(name), access)
        answer = run_in_child(
            "workers.executors.ingest.preview:look",
            {"spec": to_json(spec), "table": to_json(table), "files": [to_json(file) for file in files]},
            memory_mb=MEMORY_MB,
            cpu_seconds=SECONDS,
            wall_seconds=SECONDS,
        )
    return from_json(Preview, answer)


def look(request: dict[str, Any]) -> dict[str, Any]:
    """In the child: the preview as JSON values."""
    files = [from_json(LandedFile, file) for file in request["files"]]
    return to_json(_preview(from_json(IngestSpec, request["spec"]), files, from_json(KnownTable, request["table"])))


def _preview(spec: IngestSpec, landed: Sequence[LandedFile], table: KnownTable) -> Preview:
    with TemporaryDirectory(prefix="assay-preview-") as name:
        folder = Path(name)
        files = open_landed(spec, landed, folder, GLANCE_BYTES)
        if holds_nothing(spec, files):
            return Preview(columns=(), rows=())
        reader = READERS[spec.format]
        sample = reader.sample(files, spec)
        plans = [_from_text(plan) for plan in resolve(spec, files, sample, table).plans]
        rows, children = judged(_texts(sample, plans).lazy(), plans), ChildTables(spec, None, plans)
        good = rows.pipe(good_values, children.left(plans)).collect()
        columns = tuple(Column(name=p.name, type=p.type, nullable=p.nullable) for p in children.left(plans))
        return Preview(
            columns=columns,
            rows=tuple(json_rows(good.head(SHOWN_ROWS))),
            profile=tuple(json_rows(profile(good, columns))),
            rejected=tuple(_refused(sample, rows, plans, files)),
            rows_sampled=len(sample.rows) + len(sample.rejected),
            children=tuple(children.planned()),
        )


def _from_text(plan: ColumnPlan) -> ColumnPlan:
    """Of formats without types the sample is text: a number is parsed from it, a nested value shown as its JSON."""
    is_nested = plan.is_nested and plan.is_parsed
    return replace(plan, is_parsed=is_nested)


def _texts(sample: Sample, plans: Sequence[ColumnPlan]) -> pl.DataFrame:
    absent = [plan.name for plan in plans if plan.name not in sample.rows.columns]
    rows = sample.rows.with_columns(pl.lit(None, dtype=pl.String).alias(name) for name in absent)
    nested = [plan for plan in plans if plan.is_nested and plan.is_parsed]
    return rows.with_columns(_decoded(rows.get_column(p.name), p) for p in nested)


def _decoded(texts: pl.Series, plan: ColumnPlan) -> pl.Series:
    try:
        return texts.str.json_decode(parse_type(plan.type))
    except pl.exceptions.PolarsError:
        return texts  # some value is of another type; shown as it came


def _refused(
    sample: Sample, rows: pl.LazyFrame, plans: Sequence[ColumnPlan], files: Sequence[PlainFile]
) -> list[dict[str, Any]]:
    """The first refused rows, those from the head of the file by line."""
    line, heads = files[0].line_of(pl.col(ROW)), sample.rejected[:SHOWN_ROWS]
    lines = pl.DataFrame({ROW: [each.record for each in heads]}, schema={ROW: pl.Int64}).select(line).to_series()
    shown = ("_line", "_column", "_reason", "_raw")
    broken = [(number, each.column, each.reason, each.raw) for number, each in zip(lines, heads, strict=True)]
    bad = bad_rows(rows, plans, ROW).head(SHOWN_ROWS).with_columns(_line=line)
    told = [*broken, *bad.select(shown).collect().iter_rows()]
    told.sort(key=lambda row: (row[0] is None, row[0]))
    return [dict(zip(shown, row, strict=True)) for row in told]
