"""Good rows to staging, bad rows aside, in one streaming pass over the files."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from workers.errors import UnreadableSource
from workers.lake.stage import Staging, in_storage_types
from workers.nested import child_paths
from workers.readers import READERS
from workers.readers.base import FILE, ROW, SUSPECT, PlainFile, Sample
from workers.readers.casts import ColumnPlan, is_misfit, json_field, shown, typed, unfit
from workers.specs import IngestSpec

from .incremental import POSITION, Sieve

if TYPE_CHECKING:
    from .nested import ChildTables

VALUE_CHARS = 200
_PROBLEM = ("_column", "_rule", "_reason", "_wanted_type", "_value")
_OK = "__ok"
_VALUE = "__value_"  # in front of a typed column's name, while its text is still needed


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a pass left behind, besides the staged files."""

    files: tuple[PlainFile, ...]
    bad: Path  # Parquet: rows whose values do not fit, with FILE and ROW
    received: int  # records that the source sent, told by its own counter
    skipped: dict[str, int] = field(default_factory=dict)  # good rows that nobody wants, by rule
    waiting: Path | None = None  # Parquet: good rows that must be compared with the table, with POSITION
    aside: Path | None = None  # Parquet: what child tables are made of
    bad_keys: Path | None = None  # Parquet: the keys of the bad rows, null where they are not known


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pass:
    suspects: int
    bad_rows: int
    skipped: int


def stage_rows(
    spec: IngestSpec,
    files: Sequence[PlainFile],
    sample: Sample,
    plans: Sequence[ColumnPlan],
    staging: Staging,
    folder: Path,
    sieve: Sieve = Sieve(),  # noqa: B008  (frozen)
    children: ChildTables | None = None,
) -> Reading:
    """Write every row that fits its plan to `staging` and every other one to a file of bad rows.

    The sieve may leave rows out, or have them wait in a file of their own. Lists for child tables go into one, too.

    Files are first read on trust. If one then turns out doubtful, what was
    staged is thrown away, each file is examined to the letter, and the pass
    is made again over what is certain. Raises `UnreadableSource`.
    """
    reader, target = (
        READERS[spec.format],
        _Target(spec=spec, staging=staging, folder=folder, sieve=sieve, children=children or None),
    )
    done = None if sample.is_suspect else _on_trust(target, files, plans)
    if done is None:
        staging.discard()
        files = [reader.examine(file, plans, spec, folder) for file in files]
        plans = reader.exact_plans(plans)
        try:
            done = _route(target, files, plans)
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
            raise UnreadableSource(
                f"{', '.join(file.name for file in files)} cannot be read as {spec.format}: {_first_line(error)}",
                hint="Check the job's format and its options against the file.",
            ) from error
    return Reading(
        files=tuple(files),
        bad=target.bad,
        received=sum(reader.count(file, spec) for file in files),
        skipped={sieve.rule: done.skipped} if done.skipped else {},
        waiting=target.waiting if sieve.has_waiting else None,
        aside=target.aside if children else None,
        bad_keys=target.bad_keys if spec.delete_detection != "off" else None,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Target:
    """Where a pass writes to."""

    spec: IngestSpec
    staging: Staging
    folder: Path
    sieve: Sieve
    children: ChildTables | None = None

    @property
    def bad(self) -> Path:
        return self.folder / "bad.parquet"

    @property
    def waiting(self) -> Path:
        return self.folder / "waiting.parquet"

    @property
    def aside(self) -> Path:
        return self.folder / "aside.parquet"

    @property
    def bad_keys(self) -> Path:
        return self.folder / "bad_keys.parquet"


def _on_trust(target: _Target, files: Sequence[PlainFile], plans: Sequence[ColumnPlan]) -> _Pass | None:
    """The pass, or None when the files turned out doubtful."""
    try:
        done = _route(target, files, plans)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
        return None
    # Wrong quotes shift values into columns where they do not fit.
    is_doubtful = done.suspects or (done.bad_rows and any(file.has_quotes for file in files))
    return None if is_doubtful else done


def _route(target: _Target, files: Sequence[PlainFile], plans: Sequence[ColumnPlan]) -> _Pass:
    spec, sieve = target.spec, target.sieve
    rows = _rows(spec, files, plans)
    good = good_values(rows, plans, *_provenance(spec, files), _position())
    wanted = good if sieve.wanted is None else good.filter(sieve.wanted)
    sinks = [bad_rows(rows, plans, FILE, ROW, required=required_keys(spec, plans)).sink_parquet(target.bad, lazy=True)]
    if target.children:
        sinks.append(in_storage_types(target.children.set_aside(wanted)).sink_parquet(target.aside, lazy=True))
        wanted = wanted.drop(target.children.columns, strict=False)
    if sieve.has_waiting:
        waiting = in_storage_types(wanted.filter(~sieve.is_new))
        sinks.append(waiting.sink_parquet(target.waiting, lazy=True))
        wanted = wanted.filter(sieve.is_new)
    if spec.delete_detection != "off":
        names = key_names(spec, plans)
        keys = rows.filter(~pl.col(_OK)).select(_value_of(plan) for plan in plans if plan.name in names)
        sinks.append(in_storage_types(keys).sink_parquet(target.bad_keys, lazy=True))
    sinks.append(target.staging.sink(wanted.drop(POSITION), lazy=True, partition=partition_of(spec)))
    sinks.append(rows.select(pl.col(SUSPECT).sum(), (~pl.col(_OK)).sum()))
    if sieve.wanted is not None:
        sinks.append(good.select((~sieve.wanted).sum()))
    counted = pl.collect_all(sinks, engine="streaming")
    skipped = 0 if sieve.wanted is None else counted.pop().item()
    suspects, refused = counted[-1].row(0)
    return _Pass(suspects=suspects, bad_rows=refused, skipped=skipped)


def _position() -> pl.Expr:
    return (pl.col(FILE).cast(pl.Int64) * (1 << 40) + pl.col(ROW).cast(pl.Int64)).alias(POSITION)


def partition_of(spec: IngestSpec) -> dict[str, date] | None:
    """The partition of all rows of a run."""
    day = spec.ingested_at.astimezone(UTC).date()
    return {"_ingest_date": day} if spec.target.partition_by == ("_ingest_date",) else None


def required_keys(spec: IngestSpec, plans: Sequence[ColumnPlan]) -> tuple[str, ...]:
    """The columns without which a row cannot be merged, and its child rows have no parent."""
    return key_names(spec, plans) if spec.write_mode == "merge" or child_paths(spec.nested) else ()


def key_names(spec: IngestSpec, plans: Sequence[ColumnPlan]) -> tuple[str, ...]:
    """The key columns that there are, as the table spells them."""
    spelled = {plan.name.lower(): plan.name for plan in plans}
    return tuple(spelled[name.lower()] for name in spec.key_columns if name.lower() in spelled)


def _rows(spec: IngestSpec, files: Sequence[PlainFile], plans: Sequence[ColumnPlan]) -> pl.LazyFrame:
    """All files' rows, judged."""
    reader = READERS[spec.format]
    scans = [
        reader.scan(file, plans, spec).with_columns(pl.lit(file.number, dtype=pl.Int32).alias(FILE)) for file in files
    ]
    return judged(pl.concat(scans) if len(scans) > 1 else scans[0], plans, required_keys(spec, plans))


def judged(rows: pl.LazyFrame, plans: Sequence[ColumnPlan], keys: Collection[str] = ()) -> pl.LazyFrame:
    """The rows with their typed values beside the text, and whether each row is good; one without its keys is not."""
    parsed = [plan for plan in plans if plan.can_fail]
    rows = rows.with_columns(typed(plan).alias(_VALUE + plan.name) for plan in parsed)
    needed = (plan for plan in plans if not plan.nullable or plan.name in keys)
    required = [pl.col(_VALUE * plan.can_fail + plan.name).is_null() for plan in needed]
    faults = [is_misfit(plan, pl.col(_VALUE + plan.name)) for plan in parsed] + required
    return rows.with_columns((~pl.any_horizontal(faults) if faults else pl.lit(True)).alias(_OK))


def good_values(rows: pl.LazyFrame, plans: Sequence[ColumnPlan], *added: pl.Expr) -> pl.LazyFrame:
    """The typed values of the good rows among the judged ones, and what is added."""
    return rows.filter(_OK).select(*map(_value_of, plans), *added)


def _value_of(plan: ColumnPlan) -> pl.Expr:
    return pl.col(_VALUE * plan.can_fail + plan.name).alias(plan.name)


def _provenance(spec: IngestSpec, files: Sequence[PlainFile]) -> list[pl.Expr]:
    names = {file.number: file.name for file in files}
    whence = pl.lit(files[0].name) if len(files) == 1 else pl.col(FILE).replace_strict(names, return_dtype=pl.String)
    if any(file.pages for file in files):
        named = ((file.number, file.name_of(file.record_of(pl.col(ROW)))) for file in files)
        whence = pl.coalesce(pl.when(pl.col(FILE) == number).then(name) for number, name in named)
    moment = pl.lit(spec.ingested_at.astimezone(UTC), dtype=pl.Datetime("us", "UTC"))
    return [moment.alias("_ingested_at"), pl.lit(spec.run_id).alias("_run_id"), whence.alias("_source_file")]


def bad_rows(
    rows: pl.LazyFrame, plans: Sequence[ColumnPlan], *keep: str, required: Collection[str] = ()
) -> pl.LazyFrame:
    """The bad rows among the judged ones: the columns to keep, `_raw`, `_column`, `_rule`, `_reason`,
    and of a value that does not fit `_wanted_type` and `_value` (its text, up to 200 characters).

    `_raw` is JSON text: kept as they are, a few rows would pin the whole
    file's buffers in memory.
    """
    problems = [_problem(plan) for plan in plans if plan.can_fail]
    problems += [_null_problem(plan, "key_missing") for plan in plans if plan.name in required]
    problems += [_null_problem(plan, "not_null") for plan in plans if not plan.nullable]
    nothing = pl.struct(pl.lit("").alias(name) for name in _PROBLEM)
    first = pl.coalesce(*problems) if problems else nothing
    record = pl.struct([json_field(plan) for plan in plans]).struct.json_encode()
    told = rows.filter(~pl.col(_OK)).select(*keep, record.alias("_raw"), first.alias("__problem"))
    return told.unnest("__problem")


def _problem(plan: ColumnPlan) -> pl.Expr:
    told = pl.format("“{}” is no {}", shown(plan).str.slice(0, 80), pl.lit(_described(plan)))
    return _if(unfit(plan), plan, "type", told, shown(plan))


def _null_problem(plan: ColumnPlan, rule: str) -> pl.Expr:
    reason = (
        "a value is required" if rule == "not_null" else "a row without its key cannot be merged or have child rows"
    )
    return _if(typed(plan).is_null(), plan, rule, pl.lit(reason))


def _if(condition: pl.Expr, plan: ColumnPlan, rule: str, reason: pl.Expr, value: pl.Expr | None = None) -> pl.Expr:
    value = pl.lit(None, dtype=pl.String) if value is None else value
    # Put together anew, so that it is a text of its own and no view of the file's buffers.
    own_value = pl.concat_str(value.str.slice(0, VALUE_CHARS), pl.lit(""))
    parts = (pl.lit(plan.name), pl.lit(rule), reason, pl.lit(plan.type), own_value)
    return pl.when(condition).then(pl.struct(part.alias(name) for name, part in zip(_PROBLEM, parts, strict=True)))


def _described(plan: ColumnPlan) -> str:
    return f"{plan.type} ({' or '.join(plan.formats)})" if plan.formats else plan.type


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
