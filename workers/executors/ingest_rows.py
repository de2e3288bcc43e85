"""Good rows to staging, bad rows aside, in one streaming pass over the files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path

import polars as pl

from ..errors import UnreadableSource
from ..lake.stage import Staging
from ..readers import READERS
from ..readers.base import FILE, ROW, SUSPECT, PlainFile, Sample
from ..readers.casts import ColumnPlan, source, typed, unfit
from ..specs import IngestSpec

_OK = "__ok"
_VALUE = "__value_"  # in front of a typed column's name, while its text is still needed


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a pass left behind, besides the staged files."""

    files: tuple[PlainFile, ...]
    bad: Path  # Parquet: rows whose values do not fit, with FILE and ROW
    rows_read: int  # told by the source's own counter


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pass:
    suspects: int
    bad_rows: int


def stage_rows(
    spec: IngestSpec,
    files: Sequence[PlainFile],
    sample: Sample,
    plans: Sequence[ColumnPlan],
    staging: Staging,
    folder: Path,
) -> Reading:
    """Write every row that fits its plan to `staging` and every other one to a file of bad rows.

    Files are first read on trust. If one then turns out doubtful, what was
    staged is thrown away, each file is examined to the letter, and the pass
    is made again over what is certain. Raises `UnreadableSource`.
    """
    reader, bad = READERS[spec.format], folder / "bad.parquet"
    if sample.is_suspect or not _is_trustworthy(spec, files, plans, staging, bad):
        staging.discard()
        files = [reader.examine(file, plans, spec, folder) for file in files]
        plans = reader.exact_plans(plans)
        try:
            _route(spec, files, plans, staging, bad)
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
            raise UnreadableSource(
                f"{', '.join(file.name for file in files)} cannot be read as {spec.format}: {_first_line(error)}",
                hint="Check the job's format and its options against the file.",
            ) from error
    return Reading(files=tuple(files), bad=bad, rows_read=sum(reader.count(file, spec) for file in files))


def _is_trustworthy(
    spec: IngestSpec, files: Sequence[PlainFile], plans: Sequence[ColumnPlan], staging: Staging, bad: Path
) -> bool:
    try:
        done = _route(spec, files, plans, staging, bad)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
        return False
    # Wrong quotes shift values into columns where they do not fit.
    return done.suspects == 0 and not (done.bad_rows and any(file.has_quotes for file in files))


def _route(
    spec: IngestSpec, files: Sequence[PlainFile], plans: Sequence[ColumnPlan], staging: Staging, bad: Path
) -> _Pass:
    rows = _rows(spec, files, plans)
    constant = {"_ingest_date": spec.ingested_at.astimezone(UTC).date()}
    outcome = pl.collect_all(
        [
            staging.sink(
                good_values(rows, plans, *_provenance(spec, files)),
                lazy=True,
                partition=constant if spec.target.partition_by == ("_ingest_date",) else None,
            ),
            bad_rows(rows, plans, FILE, ROW).sink_parquet(bad, lazy=True),
            rows.select(pl.col(SUSPECT).sum(), (~pl.col(_OK)).sum()),
        ],
        engine="streaming",
    )
    suspects, refused = outcome[2].row(0)
    return _Pass(suspects=suspects, bad_rows=refused)


def _rows(spec: IngestSpec, files: Sequence[PlainFile], plans: Sequence[ColumnPlan]) -> pl.LazyFrame:
    """All files' rows, judged."""
    reader = READERS[spec.format]
    scans = [
        reader.scan(file, plans, spec).with_columns(pl.lit(file.number, dtype=pl.Int32).alias(FILE)) for file in files
    ]
    return judged(pl.concat(scans) if len(scans) > 1 else scans[0], plans)


def judged(rows: pl.LazyFrame, plans: Sequence[ColumnPlan]) -> pl.LazyFrame:
    """The rows with their typed values beside the text, and whether each row is good."""
    parsed = [plan for plan in plans if plan.can_fail]
    rows = rows.with_columns(typed(plan).alias(_VALUE + plan.name) for plan in parsed)
    required = [pl.col(_VALUE * plan.can_fail + plan.name).is_null() for plan in plans if not plan.nullable]
    faults = [_is_unfit(plan) for plan in parsed] + required
    return rows.with_columns((~pl.any_horizontal(faults) if faults else pl.lit(True)).alias(_OK))


def _is_unfit(plan: ColumnPlan) -> pl.Expr:
    """`casts.unfit`, on the value that is there already."""
    text = source(plan)
    return pl.col(_VALUE + plan.name).is_null() & text.is_not_null() & (text != "")


def good_values(rows: pl.LazyFrame, plans: Sequence[ColumnPlan], *added: pl.Expr) -> pl.LazyFrame:
    """The typed values of the good rows among the judged ones, and what is added."""
    values = [pl.col(_VALUE * plan.can_fail + plan.name).alias(plan.name) for plan in plans]
    return rows.filter(_OK).select(*values, *added)


def _provenance(spec: IngestSpec, files: Sequence[PlainFile]) -> list[pl.Expr]:
    names = {file.number: file.name for file in files}
    whence = pl.lit(files[0].name) if len(files) == 1 else pl.col(FILE).replace_strict(names, return_dtype=pl.String)
    moment = pl.lit(spec.ingested_at.astimezone(UTC), dtype=pl.Datetime("us", "UTC"))
    return [moment.alias("_ingested_at"), pl.lit(spec.run_id).alias("_run_id"), whence.alias("_source_file")]


def bad_rows(rows: pl.LazyFrame, plans: Sequence[ColumnPlan], *keys: str) -> pl.LazyFrame:
    """The bad rows among the judged ones: the keys, `_raw`, `_column`, `_rule` and `_reason`.

    `_raw` is JSON text: kept as they are, a few rows would pin the whole
    file's buffers in memory.
    """
    problems = [_problem(plan) for plan in plans if plan.can_fail]
    problems += [_null_problem(plan) for plan in plans if not plan.nullable]
    nothing = pl.struct(_column=pl.lit(""), _rule=pl.lit(""), _reason=pl.lit(""))
    first = pl.coalesce(*problems) if problems else nothing
    record = pl.struct([plan.name for plan in plans]).struct.json_encode()
    told = rows.filter(~pl.col(_OK)).select(*keys, record.alias("_raw"), first.alias("__problem"))
    return told.unnest("__problem")


def _problem(plan: ColumnPlan) -> pl.Expr:
    told = pl.format("“{}” is no {}", pl.col(plan.name).cast(pl.String).str.slice(0, 80), pl.lit(_described(plan)))
    return _if(unfit(plan), plan, "type", told)


def _null_problem(plan: ColumnPlan) -> pl.Expr:
    return _if(typed(plan).is_null(), plan, "not_null", pl.lit("a value is required"))


def _if(condition: pl.Expr, plan: ColumnPlan, rule: str, reason: pl.Expr) -> pl.Expr:
    problem = pl.struct(_column=pl.lit(plan.name), _rule=pl.lit(rule), _reason=reason)
    return pl.when(condition).then(problem)


def _described(plan: ColumnPlan) -> str:
    return f"{plan.type} ({plan.format})" if plan.format else plan.type


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
