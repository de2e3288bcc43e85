"""One record for each key out of several systems."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Literal

from pydantic import Field, model_validator

from assay.common.options import FieldError
from assay.common.problems import Problem
from workers.specs import Column, DatasetSpec

from .base import Alias, Check, ColumnName, Columns, Inputs, Options, Transform


class ConformedSource(Options):
    alias: Alias = Field(description="the input's alias")
    source_system: str = Field(min_length=1, max_length=100, description="what the system is called in the result")
    priority: int = Field(1, ge=0, description="the smallest wins; of equals the one that stands first")
    mappings: dict[ColumnName, str] = Field(
        min_length=1, description="{target column: expression over one row of this input}, such as `lower(trim(mail))`"
    )


class ColumnRule(Options):
    resolution: Literal["source_priority", "latest"] = Field(
        "source_priority", description="whose value is taken: of all that are not null the first in the order"
    )
    order: list[str] = Field([], description="source systems, the first asked first; the others follow by priority")


class ConformOptions(Options):
    sources: list[ConformedSource] = Field(min_length=1, description="the systems that know the records")
    key_columns: Columns = Field(description="target columns that say which records are the same; all sources map them")
    conflict_resolution: Literal["source_priority", "latest"] = Field(
        "source_priority", description="whose record is taken where several sources have the key"
    )
    updated_at_column: ColumnName | None = Field(
        None, description="target column, or a column of every source, that says when a record was changed"
    )
    source_system_column: ColumnName = Field("source_system", description="column that names the winner's system")
    column_rules: dict[ColumnName, ColumnRule] = Field(
        {}, description="columns that are chosen one by one, each the best value that is not null"
    )
    fill_nulls: bool = Field(False, description="fill what the winning record lacks from the next best source")
    null_keys: Literal["leave_out", "fail"] = Field(
        "leave_out", description="rows without a key: leave them out and count them, or fail the run"
    )

    @model_validator(mode="after")
    def _latest_needs_a_time(self) -> ConformOptions:
        if self.conflict_resolution == "latest" and not self.updated_at_column:
            raise FieldError("updated_at_column", "this is needed where conflict_resolution is “latest”")
        if len(set(self.key_columns)) < len(self.key_columns):
            raise FieldError("key_columns", "a key column is named twice")
        return self


class ConformSources(Transform):
    name, layers, options = "conform_sources", ("silver",), ConformOptions
    refresh_modes = ("full_refresh", "merge", "overwrite_partition")
    needs_columns = True

    def problems(self, options: Any, inputs: Inputs, path: str) -> Iterator[Problem]:
        for position, source in enumerate(options.sources):
            if source.alias.lower() not in {alias.lower() for alias in inputs}:
                detail = f"There is no input “{source.alias}”. Inputs are {', '.join(inputs) or 'none'}."
                yield Problem(f"{path}.sources.{position}.alias", detail, "unknown_input")

    def sql(self, job, inputs: Inputs) -> str:
        from workers.engines.sql import laid_out
        from workers.executors.conform.sql import records_sql

        return laid_out(records_sql(self._plan(job, inputs)))

    def check(self, job, inputs: Inputs, engine: str, target: tuple[Column, ...]) -> Check:
        """As for any query; keys and the system's name are never null."""
        from workers.executors.conform.sql import keys_sql

        keys_sql(self._plan(job, inputs))  # what a run counts with must fit a query, too
        found = super().check(job, inputs, engine, target)
        options = self.read(job)
        never_null = {*options.key_columns, options.source_system_column}
        proposed = tuple(replace(c, nullable=c.nullable and c.name not in never_null) for c in found.columns)
        return found if target else replace(found, columns=proposed)

    def spec(self, job, found: Check, common: Mapping[str, Any]) -> DatasetSpec:
        from datasets.inputs import columns_by_alias
        from workers.executors.conform.sql import spec_of

        plan = self._plan(job, columns_by_alias(job))
        return spec_of(plan, sql=found.sql, null_keys=self.read(job).null_keys, **common)

    def _plan(self, job, inputs: Inputs):
        from workers.executors.conform.config import read_plan

        return read_plan(self.read(job).model_dump(), inputs)
