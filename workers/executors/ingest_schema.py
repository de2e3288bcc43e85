"""Which columns a run reads, and as what: the job's, the table's, or what a sample shows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import polars as pl

from ..errors import MissingColumns, UnreadableSource
from ..lake.evolve import can_widen
from ..readers import READERS
from ..readers.base import PlainFile, Sample
from ..readers.casts import ColumnPlan
from ..readers.infer import fitting_share, infer, is_wider, plan_for
from ..readers.names import PROVENANCE
from ..results import SchemaChange
from ..schema import parse_type
from ..specs import Column, IngestSpec

MAX_TOLERANCE = 0.2
_PROVENANCE_TYPES = {
    "_ingested_at": "timestamptz",
    "_run_id": "string",
    "_source_file": "string",
    "_ingest_date": "date",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolution:
    """What the run will write, settled before the first row is read."""

    plans: tuple[ColumnPlan, ...]
    changes: tuple[SchemaChange, ...] = ()
    notes: tuple[str, ...] = ()  # for the run's log

    def table_columns(self, spec: IngestSpec) -> tuple[Column, ...]:
        """The source's columns, then those that Bronze adds."""
        own = (Column(name=plan.name, type=plan.type, nullable=plan.nullable) for plan in self.plans)
        return (*own, *(Column(name=name, type=_PROVENANCE_TYPES[name]) for name in provenance_of(spec)))


def provenance_of(spec: IngestSpec) -> tuple[str, ...]:
    """The names of the columns that Bronze adds in this run."""
    return tuple(name for name in PROVENANCE if name != "_ingest_date" or name in spec.target.partition_by)


def resolve(spec: IngestSpec, files: Sequence[PlainFile], sample: Sample) -> Resolution:
    """Settle every column's type and format.

    `user`: the job's columns and no others. `infer` and `evolve`: the
    table's columns, widened where the sample proves that values no longer
    fit, then new ones. Raises `MissingColumns`, and `UnreadableSource` when
    there is nothing to go by.
    """
    known = tuple(column for column in spec.columns if column.name not in PROVENANCE)
    found = list(dict.fromkeys(name for file in files for name in file.header))
    if spec.schema_mode == "user":
        self_describing = READERS[spec.format].SELF_DESCRIBING
        _require((column for column in known if not (self_describing and column.nullable)), files)
        extra = [name for name in found if name not in {column.name for column in known}]
        notes = (f"Not declared, so not read: {', '.join(extra)}.",) if extra else ()
        return Resolution(plans=tuple(_settled(column, sample, spec) for column in known), notes=notes)
    _require((column for column in known if not column.nullable), files)
    base = [_evolved(column, sample, spec) for column in known]
    names = {column.name for column in known}
    added = [_inferred(name, sample, spec) for name in found if name not in names]
    if not base and not added:
        raise UnreadableSource("The files hold no columns.", hint="Check that they are not empty.")
    absent = [column.name for column in known if column.name not in found]
    return Resolution(
        plans=(*base, *added),
        changes=_changes(known, base, added),
        notes=(f"Not in the files, so null: {', '.join(absent)}.",) if absent else (),
    )


def _require(columns: Iterable[Column], files: Sequence[PlainFile]) -> None:
    names = [column.name for column in columns]
    for file in files:
        if missing := [name for name in names if name not in file.header]:
            raise MissingColumns(
                f"{file.name} lacks {', '.join(missing)}. It has: {', '.join(file.header) or 'no columns'}.",
                hint="Correct the file, or change the columns that the job declares.",
                file=file.name,
                missing=missing,
                present=list(file.header),
            )


def _settled(column: Column, sample: Sample, spec: IngestSpec) -> ColumnPlan:
    told = sample.plans.get(column.name)
    if told and told.type == column.type:
        return replace(told, nullable=column.nullable)
    if told and told.is_typed:
        return replace(told, type=column.type, nullable=column.nullable)
    is_text = told is not None and told.source == pl.String
    if READERS[spec.format].SELF_DESCRIBING and parse_type(column.type).is_nested() and not is_text:
        return ColumnPlan(name=column.name, type=column.type, nullable=column.nullable, is_parsed=True)
    texts = sample.rows.get_column(column.name, default=None)
    return plan_for(column.name, column.type, texts, spec.csv, nullable=column.nullable)


def _tolerance(spec: IngestSpec) -> float:
    """How much of a column may be misfits and still not decide its type: only what may go to quarantine."""
    return min(spec.bad_row_threshold, MAX_TOLERANCE) if spec.error_handling == "quarantine" else 0.0


def _inferred(name: str, sample: Sample, spec: IngestSpec) -> ColumnPlan:
    if name in sample.plans:
        return sample.plans[name]
    return infer(sample.rows.get_column(name), _tolerance(spec), spec.csv)


def _evolved(column: Column, sample: Sample, spec: IngestSpec) -> ColumnPlan:
    plan, told = _settled(column, sample, spec), sample.plans.get(column.name)
    if plan.is_nested and told and spec.write_mode == "overwrite":
        return replace(told, nullable=column.nullable)
    if told and told.source is not None:
        return replace(told, nullable=column.nullable) if can_widen(column.type, told.type) else plan
    texts = sample.rows.get_column(column.name, default=None)
    if plan.is_text or texts is None or fitting_share(texts, plan) >= 1 - _tolerance(spec):
        return plan
    wider = replace(infer(texts, _tolerance(spec), spec.csv), nullable=column.nullable)
    if not is_wider(wider.type, column.type):
        wider = ColumnPlan(name=column.name, type="string", nullable=column.nullable)
    # An append keeps the rows that are there, so it can only widen what they can be widened to.
    can_be = spec.write_mode == "overwrite" or can_widen(column.type, wider.type)
    return wider if can_be else plan


def _changes(
    known: Sequence[Column], base: Sequence[ColumnPlan], added: Sequence[ColumnPlan]
) -> tuple[SchemaChange, ...]:
    if not known:
        return ()
    widened = (
        SchemaChange(column=old.name, change="widened", old=old.type, new=new.type)
        for old, new in zip(known, base, strict=True)
        if parse_type(old.type) != parse_type(new.type)
    )
    return (*widened, *(SchemaChange(column=p.name, change="added", old=None, new=p.type) for p in added))
