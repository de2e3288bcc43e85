"""What an engine is, and which there are.

An engine takes a checked query and pinned tables and leaves staged Parquet.
What follows (audit, commit) is the same whatever the engine.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Protocol

import polars as pl

from workers.errors import InvalidSpec
from workers.lake.stage import Staging
from workers.lake.table import Table
from workers.progress import Progress, silent
from workers.specs import DatasetSpec

from .statement import CheckedSql

ENGINES = {
    "polars": "workers.engines.polars:PolarsEngine",
    "duckdb": "workers.engines.duckdb:DuckDBEngine",
    "spark": "workers.engines.spark:SparkEngine",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one query may use. DuckDB keeps to it and spills; Polars streams, but keeps sorts and joins in memory."""

    memory_mb: int = 2048
    threads: int | None = None  # None: as many as there are cores
    may_spill: bool = True  # to a temporary folder
    settings: Mapping[str, Any] = field(default_factory=dict)  # by engine: where Spark's master is

    @classmethod
    def of(cls, spec: DatasetSpec) -> Limits:
        """What a run of this spec may use."""
        return cls(memory_mb=spec.memory_limit_mb, settings=spec.settings)


class Engine(Protocol):
    """One way to run a checked query. A fresh context each time: no query sees another's tables."""

    name: str

    def run(
        self,
        checked: CheckedSql,
        tables: Mapping[str, Table],
        staging: Staging,
        limits: Limits,
        progress: Progress = silent,
    ) -> None:
        """Stage the query's rows, cast to `checked.columns`.

        Where the engine works in a process of its own, `progress` is asked
        while it does, and may stop it. Raises `QueryFailed` for what the data
        will not do (a cast, an overflow), `ResourceLimit`, `EngineMissing` or
        `EngineUnavailable`.
        """

    def first_rows(self, checked: CheckedSql, tables: Mapping[str, Table], limit: int, limits: Limits) -> pl.DataFrame:
        """At most `limit` rows of the result, cast to `checked.columns`. Raises as `run` does."""


def engine_named(name: str) -> Engine:
    """The engine; its library is imported only now. Raises `InvalidSpec` naming those there are."""
    if name not in ENGINES:
        raise InvalidSpec(f"There is no engine “{name}”.", hint=f"Use {', '.join(ENGINES)}.")
    module, _, kind = ENGINES[name].partition(":")
    return getattr(import_module(module), kind)()
