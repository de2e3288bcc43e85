"""A dimension in plain Python, and a lake to run the real one in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from workers.executors.scd2.run import run
from workers.ids import new_run_id
from workers.lake.publish import publish, restore
from workers.lake.stage import Staging
from workers.lake.table import open_table
from workers.results import StepResult
from workers.schema import columns_of
from workers.specs import Column, TableInput, TableTarget
from workers.template_specs import Restatement, Scd2Spec

AT = datetime(2026, 11, 22, 10, 30, tzinfo=UTC)


def rank(value: Any) -> tuple:
    """Null before everything, NaN behind everything."""
    if value is None:
        return (0,)
    if isinstance(value, float) and value != value:
        return (2,)
    return (1, value)


def model(observations: Iterable[tuple], tracked: int | None = None) -> list[tuple]:
    """The versions of `(key, time, values)`, values None where the key is gone: `(key, values, from, to)` sorted.

    One key at a time, one observation after the other, as one would on paper.
    Only the first `tracked` values make versions; None: all.
    """
    by_key: dict[Any, dict[Any, Any]] = {}
    for key, time, values in observations:
        seen = by_key.setdefault(key, {})
        if time not in seen or _beats(values, seen[time]):
            seen[time] = values
    versions = []
    for key, seen in by_key.items():
        current = None  # [values, from]
        for time in sorted(seen):
            values = seen[time]
            if current and values is not None and _ranks(values[:tracked]) == _ranks(current[0][:tracked]):
                continue
            if current:
                versions.append((key, current[0], current[1], time))
            current = None if values is None else [values, time]
        if current:
            versions.append((key, current[0], current[1], None))
    return sorted(versions, key=lambda version: (rank(version[0]), version[2]))


def _ranks(values: Sequence[Any]) -> list[tuple]:
    return [rank(value) for value in values]


def _beats(values: Any, other: Any) -> bool:
    if values is None or other is None:
        return values is None
    return _ranks(values) > _ranks(other)


@dataclass
class Lake:
    """An input table `bronze.shop.customers` and the dimension made from it."""

    folder: Path
    schema: dict[str, pl.DataType]
    keys: tuple[str, ...] = ("id",)
    tracked: tuple[str, ...] = ("city",)
    time: str = "at"
    delete_mode: str = "ignore"
    deleted_column: str = ""
    last: Any = field(default=None)

    @property
    def source(self) -> TableTarget:
        return TableTarget(dataset="bronze.shop.customers", uri=f"{self.folder}/bronze/shop/customers")

    @property
    def target(self) -> TableTarget:
        return TableTarget(
            dataset="silver.shop.customers", uri=f"{self.folder}/silver/shop/customers", partition_by=("is_current",)
        )

    def run_id(self) -> str:
        self.last = new_run_id(self.last)
        return str(self.last)

    def put(self, rows: Iterable[Sequence[Any]], mode: str = "append") -> None:
        """A further version of the input: these rows more, or instead (`overwrite`)."""
        frame = pl.DataFrame(list(rows), schema=self.schema, orient="row")
        run_id = self.run_id()
        with Staging(self.source, run_id) as staging:
            staging.sink(frame.lazy())
            publish(self.source, staging.files, run_id=run_id, mode=mode, columns=columns_of(pl.Schema(self.schema)))

    @property
    def columns(self) -> tuple[Column, ...]:
        left_out = {self.time, self.deleted_column}
        held = pl.Schema({name: dtype for name, dtype in self.schema.items() if name not in left_out})
        moment = columns_of(pl.Schema({"time": self.schema[self.time]}))[0].type
        return (
            *(replace(column, nullable=column.name not in self.keys) for column in columns_of(held)),
            Column(name="effective_from", type=moment, nullable=False),
            Column(name="effective_to", type=moment),
            Column(name="is_current", type="boolean", nullable=False),
        )

    def spec(self, restatement: Restatement | None = None, run_time: datetime = AT) -> Scd2Spec:
        version = open_table(self.source.uri).version
        given = TableInput(dataset=self.source.dataset, alias="customers", uri=self.source.uri, version=version)
        return Scd2Spec(
            run_id=self.run_id(),
            workflow="shop",
            job="customers",
            inputs=(given,),
            columns=self.columns,
            target=self.target,
            run_time=run_time,
            business_keys=self.keys,
            tracked=self.tracked,
            effective_time_column=self.time,
            delete_mode=self.delete_mode,
            deleted_column=self.deleted_column,
            restatement=restatement,
        )

    def run(self, restatement: Restatement | None = None, run_time: datetime = AT) -> StepResult:
        return run(self.spec(restatement, run_time))

    def restore(self, version: int) -> None:
        restore(self.target, version, self.run_id())

    def versions(self) -> list[tuple]:
        """`(key, values, from, to)` as `model` has them; a key of one column is its value, else a tuple."""
        rows = open_table(self.target.uri).scan().collect().rows(named=True)
        return sorted((self._version(row) for row in rows), key=lambda version: (rank(version[0]), version[2]))

    def _version(self, row: dict[str, Any]) -> tuple:
        key = tuple(row[name] for name in self.keys)
        values = tuple(
            row[name] for name in row if name not in (*self.keys, "effective_from", "effective_to", "is_current")
        )
        assert row["is_current"] == (row["effective_to"] is None)
        return (key if len(key) > 1 else key[0], values, row["effective_from"], row["effective_to"])


def same(one: list[tuple], other: list[tuple]) -> bool:
    """Whether two lists of versions are equal, NaN being NaN."""
    return _plain(one) == _plain(other)


def _plain(versions: list[tuple]) -> list[tuple]:
    return [(key, _ranks(values), start, end) for key, values, start, end in versions]
