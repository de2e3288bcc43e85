"""A dimension that keeps its history."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from assay.common.problems import Problem
from workers.errors import InvalidConfig, InvalidSpec
from workers.specs import Column, DatasetSpec

from .base import Check, ColumnName, Columns, Inputs, Options, Template
from .scd2_sql import scd2_sql

if TYPE_CHECKING:
    from datasets.models import DatasetJob

TIMES = ("date", "timestamp", "timestamptz")
MARKERS = ("boolean", *TIMES)
ADDED = ("effective_from", "effective_to", "is_current")
DELETED_AT = "_deleted_at"
PROVENANCE = ("_ingested_at", "_run_id", "_source_file", "_ingest_date")


class Scd2Options(Options):
    business_key_columns: Columns
    change_detection_columns: list[ColumnName] | None = Field(None, description="none: all other columns")
    effective_time_column: ColumnName
    delete_mode: Literal["ignore", "close"] = "ignore"
    deleted_column: ColumnName | None = Field(
        None,
        description="true, or a time, where the record is gone; none: `_deleted_at` where the input has it. With "
        "`close` and no such column, the input is taken to hold all records, and a key it lacks is gone",
    )


class RestateOptions(Options):
    """`{"restate": …}` of a run."""

    keys: list[dict[str, Any]] = Field([], max_length=10_000)
    start_date: str | None = None
    end_date: str | None = None


class Scd2Dimension(Template):
    name, layers, options = "scd2_dimension", ("silver",), Scd2Options
    engines = ("polars",)
    # Both words mean the same here: a run looks at what is new and changes the versions that it concerns.
    refresh_modes = ("full_refresh", "merge")
    one_input = True

    def problems(self, options: Scd2Options, inputs: Inputs, path: str) -> Iterator[Problem]:
        columns = next(iter(inputs.values()), ())
        if columns:
            yield from _column_problems(options, {column.name: column.type for column in columns}, path)

    def fill_in(self, job: DatasetJob) -> None:
        job.partition_by = job.partition_by or ["is_current"]
        if job.refresh_mode == "merge" and isinstance(job.config, dict):
            job.merge_keys = job.merge_keys or job.config.get("business_key_columns") or []

    def check(self, job: DatasetJob, inputs: Inputs, engine: str, target: tuple[Column, ...]) -> Check:
        if job.partition_by not in ([], ["is_current"]):
            detail = "A dimension is partitioned by is_current, so that its history need not be read for today's state."
            fault = {"field": "partition_by", "message": detail, "hint": "Leave it empty."}
            raise InvalidConfig(detail, problems=[fault])
        if engine not in self.engines:
            raise InvalidSpec(
                f"{self.name} does not run on {engine}: its timelines are built by Polars, from any input.",
                hint="Choose polars, or default. The table itself is read by every engine.",
            )
        found = super().check(job, inputs, engine, target)
        given = {column.name: column.type for column in next(iter(inputs.values()))}
        options = self.read(job)
        values = [name for name in given if name not in _left_out(options, given)]
        skipped = [name for name in values if not _is_wanted(name, job, options)]
        warning = f"Not in the target schema, left out: {', '.join(skipped)}."
        return replace(found, warnings=(*found.warnings, warning)) if skipped else found

    def columns(self, job: DatasetJob, inputs: Inputs) -> tuple[Column, ...]:
        options, given = self.read(job), next(iter(inputs.values()))
        faults = list(_column_problems(options, {column.name: column.type for column in given}, "config"))
        if faults:
            listed = [{"field": fault.attr, "message": fault.detail, "hint": ""} for fault in faults]
            raise InvalidConfig(faults[0].detail, problems=listed)
        keys, types = options.business_key_columns, {column.name: column.type for column in given}
        kept = [
            Column(name=column.name, type=column.type, nullable=column.name not in keys)
            for column in given
            if column.name not in _left_out(options, types) and _is_wanted(column.name, job, options)
        ]
        moment = types[options.effective_time_column]
        return (
            *kept,
            Column(name="effective_from", type=moment, nullable=False),
            Column(name="effective_to", type=moment),
            Column(name="is_current", type="boolean", nullable=False),
        )

    def sql(self, job: DatasetJob, inputs: Inputs) -> str:
        options, (alias, given) = self.read(job), next(iter(inputs.items()))
        types = {column.name: column.type for column in given}
        keys = options.business_key_columns
        values = [column.name for column in self.columns(job, inputs) if column.name not in (*keys, *ADDED)]
        return scd2_sql(
            alias,
            keys=keys,
            values=values,
            tracked=[name for name in _tracked(options, types) if name in values],
            time=options.effective_time_column,
            time_type=types[options.effective_time_column],
            marker=(marker := _marker(options, types) if options.delete_mode == "close" else ""),
            marker_type=types.get(marker, ""),
        )

    def spec(self, job: DatasetJob, found: Any, common: Mapping[str, Any]) -> DatasetSpec:
        from workers.template_specs import Scd2Spec

        options = self.read(job)
        if not found.columns:
            raise InvalidSpec("The columns of the input are not known yet.", hint="Run the job that makes it first.")
        held = _input_types(job)
        target = replace(common["target"], partition_by=("is_current",))
        return Scd2Spec(
            **{**common, "target": target, "refresh_mode": "full_refresh"},
            business_keys=tuple(options.business_key_columns),
            tracked=tuple(name for name in _tracked(options, held) if name in {c.name for c in found.columns}),
            effective_time_column=options.effective_time_column,
            delete_mode=options.delete_mode,
            deleted_column=_marker(options, held),
        )

    def with_options(self, spec: DatasetSpec, options: Mapping[str, Any]) -> DatasetSpec:
        if not options:
            return spec
        if set(options) != {"restate"}:
            raise InvalidSpec("A run of scd2_dimension takes the option restate only.", hint="{keys, start_date, …}.")
        return replace(spec, restatement=restatement_of(spec, options["restate"]))


def restatement_of(spec: DatasetSpec, given: Any) -> Any:
    """What a run is asked to take anew. Raises `InvalidSpec` where it is not {keys?, start_date?, end_date?}."""
    from datetime import date

    from assay.common.options import read_options
    from workers.executors.scd2.observations import shape_of
    from workers.executors.scd2.restate import scope_of
    from workers.template_specs import Restatement

    options, faults = read_options(RestateOptions, given, "restate")
    if options is None:
        raise InvalidSpec(faults[0].detail, hint="Give {keys, start_date, end_date}.")
    try:
        days = [text and date.fromisoformat(text) for text in (options.start_date, options.end_date)]
    except ValueError as error:
        raise InvalidSpec(f"{error}: a day is written 2026-11-22.", hint="Correct start_date and end_date.") from error
    if not options.keys and not any(days):
        raise InvalidSpec("A restatement needs keys, or days, or both.", hint="Say what is to be taken anew.")
    wanted = Restatement(keys=tuple(options.keys), start_date=days[0] or None, end_date=days[1] or None)
    scope_of(wanted, shape_of(spec))
    return wanted


def _input_types(job: DatasetJob) -> dict[str, str]:
    from datasets.inputs import columns_by_alias

    return {column.name: column.type for column in next(iter(columns_by_alias(job).values()))}


def _marker(options: Scd2Options, types: Mapping[str, str]) -> str:
    return options.deleted_column or (DELETED_AT if DELETED_AT in types else "")


def _left_out(options: Scd2Options, types: Mapping[str, str]) -> set[str]:
    return {*PROVENANCE, options.effective_time_column, _marker(options, types)} - set(options.business_key_columns)


def _is_wanted(name: str, job: DatasetJob, options: Scd2Options) -> bool:
    """A column that the input got later, or that the target schema leaves out, is no part of the dimension."""
    target = {column["name"] for column in job.target_schema or ()}
    asked_for = (*options.business_key_columns, *(options.change_detection_columns or ()))
    return not target or name in target or name in asked_for


def _tracked(options: Scd2Options, types: Mapping[str, str]) -> list[str]:
    if options.change_detection_columns is not None:
        return [name for name in types if name in options.change_detection_columns]
    return [name for name in types if name not in (*options.business_key_columns, *_left_out(options, types))]


# --- what the columns must be -----------------------------------------------------------


def _column_problems(options: Scd2Options, types: Mapping[str, str], path: str) -> Iterator[Problem]:
    yield from _unknown(options, types, path)
    yield from _wrong_types(options, types, path)
    keys, time = options.business_key_columns, options.effective_time_column
    for position, name in enumerate(keys):
        if name in keys[:position]:
            yield Problem(f"{path}.business_key_columns.{position}", f"“{name}” is named twice.", "duplicate")
    if time in keys:
        detail = "The effective time cannot be part of the key: every row would be a record of its own."
        yield Problem(f"{path}.effective_time_column", detail, "not_allowed")
    left_out = _left_out(options, types)
    for position, name in enumerate(options.change_detection_columns or ()):
        if name in (*keys, *left_out):
            why = "is part of the key" if name in keys else "is not a value of the record, and is left out"
            yield Problem(f"{path}.change_detection_columns.{position}", f"“{name}” {why}.", "not_allowed")
    for name in ADDED:
        if name in types and name not in left_out:
            detail = f"The input has a column {name}, which the dimension adds itself. Rename it in a job before."
            yield Problem(f"{path}.business_key_columns", detail, "duplicate")


def _unknown(options: Scd2Options, types: Mapping[str, str], path: str) -> Iterator[Problem]:
    named = {f"business_key_columns.{place}": name for place, name in enumerate(options.business_key_columns)}
    tracked = enumerate(options.change_detection_columns or ())
    named |= {f"change_detection_columns.{place}": name for place, name in tracked}
    named |= {"effective_time_column": options.effective_time_column}
    named |= {"deleted_column": options.deleted_column} if options.deleted_column else {}
    for field, name in named.items():
        if name not in types:
            detail = f"The input has no column “{name}”. It has {', '.join(types)}."
            yield Problem(f"{path}.{field}", detail, "unknown_column")


def _wrong_types(options: Scd2Options, types: Mapping[str, str], path: str) -> Iterator[Problem]:
    from workers.schema import parse_type

    for position, name in enumerate(options.business_key_columns):
        kind = types.get(name)
        if kind and (parse_type(kind).is_nested() or kind in ("float32", "float64", "binary", "json", "time")):
            detail = f"“{name}” is {kind}; a key is text, a whole number, a decimal, a boolean, a date or a timestamp."
            yield Problem(f"{path}.business_key_columns.{position}", detail, "wrong_type")
    time, marker = options.effective_time_column, _marker(options, types)
    if types.get(time, "date") not in TIMES:
        detail = f"“{time}” is {types[time]}; an effective time is a date, timestamp or timestamptz. Cast it before."
        yield Problem(f"{path}.effective_time_column", detail, "wrong_type")
    if marker and options.delete_mode == "close" and types.get(marker, "date") not in MARKERS:
        detail = f"“{marker}” is {types[marker]}; it must be a boolean, or the time of the deletion."
        yield Problem(f"{path}.deleted_column", detail, "wrong_type")
