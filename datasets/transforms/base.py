"""What every transformation is: a name, the layers it may write, its config, and what runs for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from assay.common.option_kinds import IsAlias, IsColumn
from assay.common.options import Options
from assay.common.problems import Problem
from workers.errors import InvalidSpec
from workers.specs import Column, DatasetSpec, SqlSpec

if TYPE_CHECKING:
    from datasets.models import DatasetJob
    from workers.engines.sql.check import CheckedSql

Inputs = Mapping[str, tuple[Column, ...]]  # columns by alias; none where nobody knows them yet
ColumnName = Annotated[str, IsColumn(), Field(min_length=1, max_length=200)]
Columns = Annotated[list[ColumnName], Field(min_length=1)]
Alias = Annotated[str, IsAlias(), Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=63)]
ALL_ENGINES = ("polars", "duckdb", "spark")
ALL_MODES = ("full_refresh", "overwrite_partition", "append", "merge")


class NoOptions(Options):
    """A transformation that has no config."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """What is known of a job before it runs. Where an input has no schema yet, only its structure was looked at."""

    sql: str  # canonical; empty where the template makes none, or cannot yet
    checked: CheckedSql | None
    columns: tuple[Column, ...]  # of the result; none while they cannot be known
    warnings: tuple[str, ...] = ()


class Transform:
    """The base of all transformations; as it stands, that of those which are one query."""

    name: ClassVar[str]
    layers: ClassVar[tuple[str, ...]]
    options: ClassVar[type[Options]]
    engines: ClassVar[tuple[str, ...]] = ALL_ENGINES  # that can run it; the first is taken when the default cannot
    refresh_modes: ClassVar[tuple[str, ...]] = ALL_MODES  # that make sense for it; the first is the form's first choice
    aliases: ClassVar[tuple[str, ...]] = ()  # options that name an input
    needs_columns: ClassVar[bool] = False  # whether its SQL cannot be made without the columns of its inputs
    one_input: ClassVar[bool] = False  # whether it reads exactly one
    uses_connection: ClassVar[bool] = False  # whether its config may name a connection
    sql_field: ClassVar[str] = "config"  # the field that a fault in the SQL is shown at

    def problems(self, options: Any, inputs: Inputs, path: str) -> Iterator[Problem]:
        """What the options' own model cannot see: here, that what should name an input does."""
        for name in self.aliases:
            alias = getattr(options, name)
            if alias not in inputs:
                known = ", ".join(inputs) or "none"
                yield Problem(f"{path}.{name}", f"There is no input “{alias}”. Inputs are {known}.", "unknown_input")

    def unknown_references(self, options: Any, job: DatasetJob, path: str) -> Iterator[Problem]:
        """What the options name beside inputs and columns, and is not there for the job's author."""
        yield from ()

    def connection(self, config: Mapping[str, Any]) -> tuple[str, str]:
        """The option that names a connection, and the connection that it names; empty where there is none."""
        return "", ""

    def fill_in(self, job: DatasetJob) -> None:
        """Set what was left out and follows from the template: a partition, a mode of refreshing."""

    def sql(self, job: DatasetJob, inputs: Inputs) -> str:
        """The query, in the canonical dialect. A template that is no query tells in SQL what it does, for people."""
        raise NotImplementedError

    def check(self, job: DatasetJob, inputs: Inputs, engine: str, target: tuple[Column, ...]) -> Check:
        """Look at the job as `engine` would run it. The inputs' columns are known.

        Raises `SqlRejected` and `InvalidConfig`.
        """
        from workers.engines.sql.check import check_sql

        checked = check_sql(self.sql(job, inputs), inputs, engine, target or None)
        return Check(sql=checked.sql, checked=checked, columns=checked.columns)

    def spec(self, job: DatasetJob, found: Check, common: Mapping[str, Any]) -> DatasetSpec:
        """What exactly a run does. `common` are the fields of `DatasetSpec`."""
        return SqlSpec(sql=found.sql, **common)

    def with_options(self, spec: DatasetSpec, options: Mapping[str, Any]) -> DatasetSpec:
        """The spec of a run that was started with options of its own. Raises `InvalidSpec` for those it has not."""
        if options:
            raise InvalidSpec(f"A run of {self.name} takes no options.", hint=f"Leave out {', '.join(options)}.")
        return spec

    def read(self, job: DatasetJob) -> Any:
        """The job's config as this template's options. Valid jobs only."""
        return self.options.model_validate(job.config)


class Template(Transform):
    """The base of those that are more than one query: an executor of their own runs them."""

    needs_columns = True

    def columns(self, job: DatasetJob, inputs: Inputs) -> tuple[Column, ...]:
        """What comes out, as the config and the inputs' columns say. Raises `InvalidConfig`."""
        raise NotImplementedError

    def sql(self, job: DatasetJob, inputs: Inputs) -> str:
        return ""

    def check(self, job: DatasetJob, inputs: Inputs, engine: str, target: tuple[Column, ...]) -> Check:
        if engine not in self.engines:
            raise InvalidSpec(f"{self.name} does not run on {engine}.", hint=f"Use {' or '.join(self.engines)}.")
        found = self.columns(job, inputs)
        _compare(found, target)
        return Check(sql=self.sql(job, inputs), checked=None, columns=target or found)


def _compare(found: tuple[Column, ...], target: tuple[Column, ...]) -> None:
    """The target schema of a template may make types wider and columns required, but has the columns that come out."""
    from workers.engines.sql.types import cast_problem
    from workers.errors import SqlRejected

    if not target:
        return
    types, wanted = {c.name: c.type for c in found}, {c.name: c.type for c in target}
    missing = [name for name in wanted if name not in types]
    extra = [name for name in types if name not in wanted]
    wrong = [
        {"column": name, "query": types[name], "target": kind}
        for name, kind in wanted.items()
        if name in types and types[name] != kind and cast_problem(types[name], kind)
    ]
    if not (missing or extra or wrong):
        return
    told = [f"{name} does not come out of this template." for name in missing]
    told += [f"{name} comes out, and is not in the target schema." for name in extra]
    told += [f"{each['column']} is {each['query']}, not {each['target']}." for each in wrong]
    raise SqlRejected(" ".join(told), missing=missing, extra=extra, types=wrong)
