"""What was true at the end of each period."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.utils import timezone
from pydantic import Field, field_validator, model_validator

from assay.common.problems import Problem
from workers.errors import InvalidConfig, InvalidSpec
from workers.specs import Column, DatasetSpec, Window
from workers.template_specs import SnapshotSpec

from .base import Alias, Check, ColumnName, Inputs, Options, Transform

TIMES = ("date", "timestamp", "timestamptz")


class AsOfRange(Options):
    start_date: date = Field(description="first day of the range")
    end_date: date | None = Field(None, description="last day, inclusive; none: the run's date")

    @model_validator(mode="after")
    def _in_order(self) -> AsOfRange:
        if self.end_date and self.end_date < self.start_date:
            raise ValueError("the range ends before it begins")
        return self


class SnapshotRetention(Options):
    keep: int = Field(ge=1, le=100_000, description="how many periods stay, the newest included")
    keep_month_ends: int = Field(
        0, ge=0, le=1200, description="for how many months the last period of each month stays beyond that"
    )


class SnapshotOptions(Options):
    base: Alias = Field(description="alias of the input: a dimension with its history, or events")
    as_of: Literal["run_date"] | AsOfRange = Field(
        "run_date", description="run_date: the period of the run's date; or a range of days"
    )
    grain: Literal["day", "week", "month"] = Field("day", description="how long a period is")
    effective_from_column: ColumnName | None = Field(None, description="of a dimension: since when the row is true")
    effective_to_column: ColumnName | None = Field(
        None, description="of a dimension: from when on it is true no longer; null: it still is"
    )
    event_time_column: ColumnName | None = Field(None, description="of events: when it happened")
    key_columns: list[ColumnName] = Field(
        [], description="of events: what the state is of; of a dimension: checked to be there once in each period"
    )
    snapshot_column: str = Field(
        "snapshot_date",
        pattern=r"^[A-Za-z_][A-Za-z0-9_]*$",
        max_length=63,
        description="the column with the last day of the period",
    )
    time_zone: str = Field("UTC", min_length=1, description="where days begin and end: `Europe/Berlin`")
    week_start: Literal["monday", "sunday"] = Field("monday", description="the first day of a week")
    rebuild_previous: int = Field(
        0, ge=0, le=366, description="periods before the run's own that are built again, once they are over"
    )
    retention: SnapshotRetention | None = Field(None, description="which periods stay; none: all of them")

    @field_validator("time_zone")
    @classmethod
    def _is_known(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(f"“{name}” is no time zone; write it as in Europe/Berlin") from None
        return name


class Snapshot(Transform):
    name, layers, options, aliases = "snapshot", ("gold",), SnapshotOptions, ("base",)
    refresh_modes = ("overwrite_partition", "full_refresh")
    needs_columns = True
    one_input = True

    def fill_in(self, job) -> None:
        """A snapshot is kept by periods; all is made anew for a range only, else one period would be left."""
        config = job.config if isinstance(job.config, dict) else {}
        if job.refresh_mode == "full_refresh" and config.get("as_of", "run_date") == "run_date":
            job.refresh_mode = "overwrite_partition"
        if job.refresh_mode == "overwrite_partition" and job.partition_by == []:
            job.partition_by = [config.get("snapshot_column") or "snapshot_date"]

    def problems(self, options: Any, inputs: Inputs, path: str) -> Iterator[Problem]:
        yield from super().problems(options, inputs, path)
        yield from _kind_problems(options, path)
        columns = {column.name: column for column in inputs.get(options.base, ())}
        if not columns:
            return
        for field in ("effective_from_column", "effective_to_column", "event_time_column"):
            if name := getattr(options, field):
                yield from _column_problems(name, columns, f"{path}.{field}", TIMES)
        for position, name in enumerate(options.key_columns):
            yield from _column_problems(name, columns, f"{path}.key_columns.{position}")
        if options.snapshot_column.lower() in {name.lower() for name in columns}:
            detail = f"The input has a column “{options.snapshot_column}” already. Choose another name."
            yield Problem(f"{path}.snapshot_column", detail, "duplicate")

    def sql(self, job, inputs: Inputs) -> str:
        from workers.engines.sql import laid_out

        return laid_out(self._example(job, inputs))

    def check(self, job, inputs: Inputs, engine: str, target: tuple[Column, ...]) -> Check:
        wanted = self.read(job).snapshot_column
        if job.refresh_mode == "overwrite_partition" and job.partition_by != [wanted]:
            hint = f"Leave it empty, or write {wanted}."
            message = f"A snapshot is partitioned by its {wanted} alone."
            raise InvalidConfig(message, hint=hint, problems=[_fault("partition_by", message, hint)])
        return super().check(job, inputs, engine, target)

    def spec(self, job, found: Check, common: Mapping[str, Any]) -> DatasetSpec:
        return SnapshotSpec(sql=found.sql, **self._facts(job), **common)

    def _facts(self, job) -> dict[str, Any]:
        given = self.read(job)
        in_range = given.as_of if isinstance(given.as_of, AsOfRange) else None
        return {
            "base": given.base,
            "grain": given.grain,
            "time_zone": given.time_zone,
            "week_start": given.week_start,
            "start_date": in_range and in_range.start_date,
            "end_date": in_range and in_range.end_date,
            "rebuild_previous": given.rebuild_previous,
            "effective_from_column": given.effective_from_column or "",
            "effective_to_column": given.effective_to_column or "",
            "event_time_column": given.event_time_column or "",
            "key_columns": tuple(given.key_columns),
            "snapshot_column": given.snapshot_column,
            "keep": given.retention.keep if given.retention else 0,
            "keep_month_ends": given.retention.keep_month_ends if given.retention else 0,
        }

    def _example(self, job, inputs: Inputs) -> str:
        """The query of the first periods that a run would build now."""
        from workers.executors.snapshot.run import example_sql

        facts, now = self._facts(job), timezone.now()
        try:
            return example_sql(facts, inputs[facts["base"]], now, Window())
        except InvalidSpec as error:  # a range of too many periods
            problems = [_fault("config.as_of", error.message, error.hint)]
            raise InvalidConfig(error.message, hint=error.hint, problems=problems) from error


def _kind_problems(options: SnapshotOptions, path: str) -> Iterator[Problem]:
    """Whether it is a dimension or events: exactly one of both."""
    effective = {name: getattr(options, name) for name in ("effective_from_column", "effective_to_column")}
    if options.event_time_column:
        if any(effective.values()):
            detail = "Name either the effective columns of a dimension, or the time of events."
            yield Problem(f"{path}.event_time_column", detail, "not_allowed")
        if not options.key_columns:
            yield Problem(f"{path}.key_columns", "Events need the columns that say what the state is of.", "required")
    elif not any(effective.values()):
        detail = "Name the time of events, or the two effective columns of a dimension."
        yield Problem(f"{path}.event_time_column", detail, "required")
    else:
        for name, value in effective.items():
            if not value:
                yield Problem(f"{path}.{name}", "A dimension needs both effective columns.", "required")
        if options.effective_from_column == options.effective_to_column:
            detail = "A row begins and ends at different times: name two columns."
            yield Problem(f"{path}.effective_to_column", detail, "duplicate")


def _column_problems(
    name: str, columns: Mapping[str, Column], path: str, types: tuple[str, ...] = ()
) -> Iterator[Problem]:
    if name not in columns:
        known = ", ".join(list(columns)[:20])
        yield Problem(path, f"The input has no column “{name}”. There are {known}.", "unknown_column")
    elif types and columns[name].type not in types:
        yield Problem(path, f"{name} is a {columns[name].type}, not a date or timestamp.", "wrong_type")


def _fault(field: str, message: str, hint: str) -> dict[str, str]:
    return {"field": field, "message": message, "hint": hint}
