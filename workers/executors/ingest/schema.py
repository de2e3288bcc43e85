"""Which columns a run reads, and as what: the job's, the table's, or what a sample shows (docs/schema.md)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import polars as pl

from workers.errors import MissingColumns, UnreadableSource
from workers.lake.evolve import columns_of_delta, is_exact_in_float64
from workers.lake.lattice import holds, join, spelled
from workers.lake.store import open_store, reaching
from workers.lake.table import commits, open_delta
from workers.readers import READERS
from workers.readers.base import PlainFile, Sample
from workers.readers.casts import ColumnPlan, unfit
from workers.readers.infer import infer, plan_for
from workers.readers.json_types import extended, merged, misfit, shape_of, shape_of_dtype, written
from workers.readers.names import PROVENANCE
from workers.results import ContractChange, SchemaChange
from workers.schema import parse_type, type_name
from workers.specs import Column, IngestSpec

from .contract import NESTED, Misfits, as_facts, overlapping, similar, some_values

JSON = ("json", "ndjson")
MAX_TOLERANCE = 0.2
MAX_DIGITS = 38
EXACT_NUMBER = r"^-?(?:0|[1-9]\d*)(?:\.\d+)?$"
_PROVENANCE_TYPES = {
    "_ingested_at": "timestamptz",
    "_run_id": "string",
    "_source_file": "string",
    "_ingest_date": "date",
    "_deleted_at": "timestamptz",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownTable:
    """The table as the run finds it, without the columns that Bronze adds; empty where there is none."""

    columns: tuple[Column, ...] = ()
    exact: tuple[str, ...] = ()  # the int64 columns whose values a float64 holds, as the log proves

    def settle(self, spec: IngestSpec) -> IngestSpec:
        """The spec with all columns that are settled: the job's alone for `user`, else the table's and then the job's.

        What the job says of a column of the table wins: somebody decided it.
        """
        if spec.schema_mode == "user":
            return spec
        told = {column.name.lower(): column for column in spec.columns if column.name not in PROVENANCE}
        mine = (told.pop(column.name.lower(), column) for column in self.columns)
        own = [replace(column, name=old.name) for column, old in zip(mine, self.columns, strict=True)]
        return replace(spec, columns=(*own, *told.values()))


def known_table(spec: IngestSpec) -> KnownTable:
    """What the run adds to, before anything that an earlier try of it prepared. Raises `LakeUnavailable`."""
    store = open_store(spec.target.uri)
    with reaching(spec.target.uri):
        if (delta := open_delta(store)) is None:
            return KnownTable()
        version = delta.version()
        for commit in commits(store, version):
            if commit.metadata.get("prepares") != spec.run_id:
                break
            version = commit.version - 1
        before = delta if version == delta.version() else open_delta(store, version)
        columns = tuple(column for column in columns_of_delta(before) if column.name not in PROVENANCE)
        whole = [column.name for column in columns if column.type == "int64"]
        return KnownTable(columns=columns, exact=tuple(name for name in whole if is_exact_in_float64(before, name)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolution:
    """What the run will write, settled before the first row is read."""

    plans: tuple[ColumnPlan, ...]
    changes: tuple[SchemaChange, ...] = ()
    contract: tuple[ContractChange, ...] = ()  # what a person has to decide, as far as it shows before reading
    gone: tuple[Column, ...] = ()  # of the table, and no longer declared: null from now on
    notes: tuple[str, ...] = ()  # for the run's log

    def table_columns(self, spec: IngestSpec) -> tuple[Column, ...]:
        """The source's columns, then those that Bronze adds."""
        own = (Column(name=plan.name, type=plan.type, nullable=plan.nullable) for plan in self.plans)
        return (*own, *self.gone, *(Column(name=name, type=_PROVENANCE_TYPES[name]) for name in provenance_of(spec)))


def provenance_of(spec: IngestSpec) -> tuple[str, ...]:
    """The names of the columns that Bronze adds in this run."""
    left_out = {
        "_ingest_date": "_ingest_date" not in spec.target.partition_by,
        "_deleted_at": spec.delete_detection != "soft",
    }
    return tuple(name for name in PROVENANCE if not left_out.get(name))


def resolve(
    spec: IngestSpec,
    files: Sequence[PlainFile],
    sample: Sample,
    table: KnownTable = KnownTable(),
) -> Resolution:
    """Settle every column's type and format. `spec` has the settled columns (`KnownTable.settle`).

    `user`: the job's columns and no others. `infer` and `evolve`: the settled
    columns, widened where the sample proves that values no longer fit, then
    new ones. Raises `MissingColumns`, and `UnreadableSource` when there is
    nothing to go by.
    """
    known = tuple(column for column in spec.columns if column.name not in PROVENANCE)
    found = list(dict.fromkeys(name for file in files for name in file.header))
    names = {column.name for column in known}
    look = _Look(spec, sample, table)
    added = [look.inferred(name) for name in found if name not in names]
    required = [column for column in known if _is_required(column, spec)]
    _require(required, files, added, look)
    absent = [column for column in known if column.name not in found]
    missing = _missing(absent, added, look, table)
    if spec.schema_mode == "user":
        plans, contract = [look.settled(c) for c in known], [*missing, *(_undeclared(plan, sample) for plan in added)]
        contract += filter(None, map(look.unread_parts, known))
        notes = _told("Not declared, so not read", [plan.name for plan in added])
    else:
        if not known and not added:
            raise UnreadableSource("The files hold no columns.", hint="Check that they are not empty.")
        plans, contract = [*(look.evolved(column) for column in known), *added], missing
        notes = _told("Not in the files, so null", [column.name for column in absent])
    planned = {plan.name for plan in plans}
    keeps_rows = spec.write_mode != "overwrite"
    return Resolution(
        plans=tuple(plans),
        changes=_changes(spec, table, plans),
        contract=(*contract, *look.refused),
        gone=tuple(replace(c, nullable=True) for c in table.columns if c.name not in planned) if keeps_rows else (),
        notes=notes,
    )


def rewidened(
    spec: IngestSpec, resolution: Resolution, misfits: Mapping[str, Misfits], table: KnownTable, rows_read: int
) -> Resolution | None:
    """The resolution with wider types for columns with too many values that do not fit, found behind the sample.

    None where nothing can or need be widened: `user` never is.
    """
    if spec.schema_mode == "user":
        return None
    look = _Look(spec, Sample(rows=pl.DataFrame()), table)
    told = ((plan, misfits.get(plan.name)) for plan in resolution.plans)
    plans = tuple((found and look.wider(plan, found.values, found.rows, rows_read)) or plan for plan, found in told)
    if plans == resolution.plans:
        return None
    return replace(resolution, plans=plans, changes=_changes(spec, table, plans))


def tolerance(spec: IngestSpec) -> float:
    """How much of a column may be misfits and still not decide its type: only what may go to quarantine."""
    return min(spec.bad_row_threshold, MAX_TOLERANCE) if spec.error_handling == "quarantine" else 0.0


class _Look:
    """How each column is best read, by the sample."""

    def __init__(self, spec: IngestSpec, sample: Sample, table: KnownTable) -> None:
        self.spec, self.sample = spec, sample
        self.tolerance = tolerance(spec)
        self.refused: list[ContractChange] = []
        kept = table.columns if spec.write_mode != "overwrite" else ()
        self._inexact = {column.name for column in kept if column.type == "int64"} - set(table.exact)

    def inferred(self, name: str) -> ColumnPlan:
        if name in self.sample.plans:
            return self.sample.plans[name]
        return replace(infer(self.sample.rows.get_column(name), self.tolerance, self.spec.csv), is_exact=True)

    def settled(self, column: Column) -> ColumnPlan:
        """A column whose type does not change."""
        told = self.sample.plans.get(column.name)
        if told and told.type == column.type:
            return replace(told, nullable=column.nullable)
        if told and told.is_typed:
            return replace(told, type=column.type, nullable=column.nullable)
        is_text = told is not None and told.source == pl.String
        if READERS[self.spec.format].SELF_DESCRIBING and parse_type(column.type).is_nested() and not is_text:
            return ColumnPlan(name=column.name, type=column.type, nullable=column.nullable, is_parsed=True)
        texts = self.sample.rows.get_column(column.name, default=None)
        return plan_for(column.name, column.type, texts, self.spec.csv, nullable=column.nullable)

    def evolved(self, column: Column) -> ColumnPlan:
        """A column whose type may go up the lattice, if more values than may be quarantined do not fit."""
        told = self.sample.plans.get(column.name)
        if told and told.source is None and (told.is_nested or self._is_mixed(column, told)):
            return self._evolved_json(column, told)
        if told and told.is_typed:
            return self._evolved_typed(column, told)
        plan = replace(self.settled(column), is_exact=True)
        values = self.sample.rows.get_column(column.name, default=None)
        if plan.is_text or plan.is_nested or values is None:
            return plan
        misfits = _unfit(values, plan)
        return self.wider(plan, misfits, len(misfits), values.drop_nulls().len()) or plan

    def wider(self, plan: ColumnPlan, misfits: pl.Series, count: int, rows: int) -> ColumnPlan | None:
        """The plan for a type that takes the misfits too, `count` of so many rows, of which these are some.

        None where they are few, or a person has to decide.
        """
        # Of a column whose type the source itself has told, a text that does not fit widens nothing.
        is_told = plan.source is not None and not plan.is_typed
        if count <= self.tolerance * rows or plan.is_refused or plan.is_nested or is_told:
            return None
        if plan.is_typed:
            kind = self._join(plan, type_name(plan.source))
            return replace(plan, type=kind) if kind not in (None, plan.type) else None
        # Of the misfits a few may again be no value of anything.
        share = min(self.tolerance * rows / count, MAX_TOLERANCE)
        if self.spec.format in JSON and misfits.str.contains(NESTED).mean() > share:
            return None
        found = infer(misfits, share, self.spec.csv)
        kind = self._join(plan, found.type, misfits)
        formats = tuple(dict.fromkeys((*plan.formats, *found.formats)))
        if kind is None or (kind == plan.type and formats == plan.formats):
            return None
        return replace(plan, type=kind, formats=formats if kind in ("date", "timestamp", "timestamptz") else (),
                       strip=plan.strip and kind != "string", is_parsed=False, is_exact=True)  # fmt: skip

    def gone(self, column: Column, added: Sequence[ColumnPlan]) -> ContractChange:
        """A column that is missing; `new` is the one that it may have become, by its name or its values."""
        alike = [plan.name for plan in added if join(column.type, plan.type) == spelled(column.type)]
        found = similar(column.name, alike)
        if found is None and column.type == "string" and alike:
            held = some_values(self.spec.target.uri, column.name)
            found = overlapping(held, {name: self.sample.rows.get_column(name) for name in alike})
        return ContractChange(column=column.name, change="missing", old=column.type, new=found)

    def unread_parts(self, column: Column) -> ContractChange | None:
        """What a declared struct or list does not take of the values, such as fields that are new inside of it."""
        told = self.sample.plans.get(column.name)
        if not (told and told.is_nested and parse_type(column.type).is_nested()):
            return None
        kind = join(column.type, told.type)
        if kind is None or holds(column.type, kind):
            return None
        return ContractChange(column=column.name, change="type", old=column.type, new=told.type)

    def _join(self, plan: ColumnPlan, found: str, texts: pl.Series | None = None) -> str | None:
        if plan.type == "int64" and found == "float64" and plan.name not in self._inexact:
            return "float64"
        if texts is not None and (plan.type == "int64" or plan.type.startswith("decimal")):
            found = _decimal_of(texts) or found
        return join(plan.type, found)

    def _evolved_typed(self, column: Column, told: ColumnPlan) -> ColumnPlan:
        """Values that come typed: what fits exactly is taken as it is."""
        plan = replace(told, type=column.type, nullable=column.nullable)
        kind = self._join(plan, told.type)
        if kind is None and not (column.type == "json" and told.is_nested):
            return self._refuse(column, told)
        misfits = (
            _unfit(self.sample.rows.get_column(column.name), plan) if plan.can_fail else pl.Series(dtype=pl.String)
        )
        grows = told.is_nested and kind is not None and not holds(column.type, kind)
        if grows or misfits.len() > self.tolerance * len(self.sample.rows):
            return replace(plan, type=kind or column.type)
        return plan

    def _is_mixed(self, column: Column, told: ColumnPlan) -> bool:
        """Whether the JSON values of a nested column are of kinds that have no type in common."""
        return told.type == "json" and parse_type(column.type).is_nested()

    def _evolved_json(self, column: Column, told: ColumnPlan) -> ColumnPlan:
        """Structs and lists of JSON: new fields are added, known ones keep their type if they can."""
        if column.type == "json":
            return ColumnPlan(name=column.name, type="json", nullable=column.nullable)
        if spelled(column.type) == told.type:
            return replace(told, nullable=column.nullable)
        if not parse_type(column.type).is_nested():
            return self._refuse(column, told)
        plan = ColumnPlan(name=column.name, type=column.type, nullable=column.nullable, is_parsed=True)
        values = [_json_value(text) for text in self.sample.rows.get_column(column.name).drop_nulls()]
        known = parse_type(column.type)
        if told.is_nested:
            seen = shape_of_dtype(parse_type(told.type))
        elif (seen := merged(shape_of(value) for value in values if misfit(value, known) is None)) is None:
            return plan
        grown = written(extended(shape_of_dtype(known), seen))
        if not parse_type(grown).is_nested():
            return self._refuse(column, told)  # a new key that no struct can have
        for kind in (grown, join(column.type, told.type)):
            if kind and self._takes(kind, values):
                return replace(plan, type=kind)
        return replace(plan, type=grown)

    def _takes(self, kind: str, values: Sequence[Any]) -> bool:
        dtype = parse_type(kind)
        return sum(misfit(value, dtype) is not None for value in values) <= self.tolerance * len(values)

    def _refuse(self, column: Column, told: ColumnPlan) -> ColumnPlan:
        """No value of the column is read: it is not ours to choose what they become."""
        self.refused.append(ContractChange(column=column.name, change="type", old=column.type, new=told.type))
        return replace(told, type=column.type, nullable=column.nullable, formats=(), is_parsed=False, is_refused=True)


def _json_value(text: str) -> Any:
    """The value again; the sample keeps a text without its quotes."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _unfit(values: pl.Series, plan: ColumnPlan) -> pl.Series:
    """The values that the plan cannot read."""
    return values.to_frame(plan.name).filter(unfit(plan)).to_series()


def _decimal_of(texts: pl.Series) -> str | None:
    """The decimal that holds all the texts exactly; None where one of them is none, or is too long."""
    plain = texts.str.strip_chars(" \t")
    if not plain.str.contains(EXACT_NUMBER).all():
        return None
    parts = plain.str.strip_chars_start("-").str.split_exact(".", 1).struct
    scale = parts.field("field_1").fill_null("").str.len_bytes().max() or 0
    whole = parts.field("field_0").str.len_bytes().max() or 0
    return f"decimal({whole + scale},{scale})" if 0 < whole + scale <= MAX_DIGITS else None


def _is_required(column: Column, spec: IngestSpec) -> bool:
    is_listed = spec.schema_mode == "user" and not READERS[spec.format].SELF_DESCRIBING
    return is_listed or not column.nullable


def _require(columns: Sequence[Column], files: Sequence[PlainFile], added: Sequence[ColumnPlan], look: _Look) -> None:
    for file in files:
        missing = [column for column in columns if column.name not in file.header]
        if not missing:
            continue
        changes = [look.gone(column, added) for column in missing]
        likely = [f"{change.column} is now {change.new}" for change in changes if change.new]
        names = [column.name for column in missing]
        raise MissingColumns(
            f"{file.name} lacks {', '.join(names)}. It has: {', '.join(file.header) or 'no columns'}.",
            hint=(f"It seems that {' and '.join(likely)}: map the column on the job's page, or " if likely else "")
            + "correct the file, or change the columns that the job declares.",
            file=file.name,
            missing=names,
            present=list(file.header),
            contract_changes=as_facts(changes),
        )


def _missing(
    absent: Iterable[Column], added: Sequence[ColumnPlan], look: _Look, table: KnownTable
) -> list[ContractChange]:
    """Columns of the table that no file has. JSON leaves out what has no value, so there that alone means nothing."""
    held = {column.name for column in table.columns}
    changes = [look.gone(column, added) for column in absent if column.name in held]
    return [change for change in changes if change.new or look.spec.format not in JSON]


def _undeclared(plan: ColumnPlan, sample: Sample) -> ContractChange:
    values = sample.rows.get_column(plan.name, default=None)
    examples = () if values is None else tuple(str(value)[:200] for value in values.drop_nulls().unique().head(5))
    return ContractChange(column=plan.name, change="added", old=None, new=plan.type, examples=examples)


def _told(what: str, names: Sequence[str]) -> tuple[str, ...]:
    return (f"{what}: {', '.join(names)}.",) if names else ()


def _changes(spec: IngestSpec, table: KnownTable, plans: Sequence[ColumnPlan]) -> tuple[SchemaChange, ...]:
    if not table.columns:
        return ()
    held, planned = {column.name: column for column in table.columns}, {plan.name for plan in plans}
    keeps_rows = spec.write_mode != "overwrite"
    changed = (
        SchemaChange(
            column=plan.name,
            change="widened" if keeps_rows or _is_wider(plan.type, held[plan.name].type) else "changed",
            old=held[plan.name].type,
            new=plan.type,
        )
        for plan in plans
        if plan.name in held and spelled(held[plan.name].type) != spelled(plan.type)
    )
    added = (SchemaChange(column=p.name, change="added", old=None, new=p.type) for p in plans if p.name not in held)
    lost = [column for column in table.columns if column.name not in planned and not keeps_rows]
    removed = (SchemaChange(column=column.name, change="removed", old=column.type, new=None) for column in lost)
    return (*changed, *added, *removed)


def _is_wider(new: str, old: str) -> bool:
    return holds(new, old) or (spelled(old), spelled(new)) == ("int64", "float64")
