"""What every transformation is: a name, the layers it may write, its config, and the SQL it stands for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from assay.common.options import Options
from assay.common.problems import Problem
from workers.errors import NotAvailableYet
from workers.specs import Column

if TYPE_CHECKING:
    from datasets.models import DatasetJob

Inputs = Mapping[str, tuple[Column, ...]]  # columns by alias; none where nobody knows them yet
ColumnName = Annotated[str, Field(min_length=1, max_length=200)]
Columns = Annotated[list[ColumnName], Field(min_length=1)]
Alias = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=63)]


class NoOptions(Options):
    """A transformation that has no config."""


class Transform:
    """The base of all transformations."""

    name: ClassVar[str]
    layers: ClassVar[tuple[str, ...]]
    options: ClassVar[type[Options]]
    available: ClassVar[bool] = False  # whether this version can run it
    aliases: ClassVar[tuple[str, ...]] = ()  # options that name an input
    needs_columns: ClassVar[bool] = False  # whether its SQL cannot be made without the columns of its inputs
    sql_field: ClassVar[str] = "config"  # the field that a fault in the SQL is shown at

    def problems(self, options: Any, inputs: Inputs, path: str) -> Iterator[Problem]:
        """What the options' own model cannot see: here, that what should name an input does."""
        for name in self.aliases:
            alias = getattr(options, name)
            if alias not in inputs:
                known = ", ".join(inputs) or "none"
                yield Problem(f"{path}.{name}", f"There is no input “{alias}”. Inputs are {known}.", "unknown_input")

    def sql(self, job: DatasetJob, inputs: Inputs) -> str:
        """The query, in the canonical dialect. Raises `NotAvailableYet`."""
        raise NotAvailableYet(
            f"Jobs of the transform type {self.name} can be saved, but this version of Assay cannot run them.",
            hint="Use sql or metrics_aggregate for now.",
        )
