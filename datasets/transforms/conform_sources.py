"""One record for each key out of several systems."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from pydantic import Field, model_validator

from assay.common.problems import Problem

from .base import Alias, ColumnName, Columns, Inputs, Options, Transform


class ConformedSource(Options):
    alias: Alias
    source_system: str = Field(min_length=1)
    priority: int = Field(1, ge=0, description="the smallest wins")
    mappings: dict[str, str] = Field(description="{target column: expression}")


class ConformOptions(Options):
    sources: list[ConformedSource] = Field(min_length=1)
    key_columns: Columns
    conflict_resolution: Literal["source_priority", "latest"] = "source_priority"
    updated_at_column: ColumnName | None = None
    source_system_column: ColumnName = "source_system"

    @model_validator(mode="after")
    def _latest_needs_a_time(self) -> ConformOptions:
        if self.conflict_resolution == "latest" and not self.updated_at_column:
            raise ValueError("conflict_resolution “latest” needs updated_at_column")
        return self


class ConformSources(Transform):
    name, layers, options = "conform_sources", ("silver",), ConformOptions

    def problems(self, options: Any, inputs: Inputs, path: str) -> Iterator[Problem]:
        for position, source in enumerate(options.sources):
            if source.alias not in inputs:
                detail = f"There is no input “{source.alias}”."
                yield Problem(f"{path}.sources.{position}.alias", detail, "unknown_input")
