"""TPC-H: its 22 queries in the canonical dialect with the parameters of its validation, its data, its answers.

The data are made by `tpchgen-cli`; the answers are DuckDB's own, of the text as it stands here and of the generated
files, so that no code of ours has a part in them.
"""

from __future__ import annotations

import math
import re
import subprocess
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from workers.engines.sql import check_sql
from workers.ids import new_run_id
from workers.lake.publish import publish
from workers.lake.stage import Staging
from workers.lake.table import open_table
from workers.schema import columns_of
from workers.specs import Column, SqlSpec, TableInput, TableTarget

TABLES = ("customer", "lineitem", "nation", "orders", "part", "partsupp", "region", "supplier")
QUERIES = {file.stem: file.read_text() for file in sorted(Path(__file__).parent.glob("q*.sql"))}


def generate(folder: Path, scale: float) -> Path:
    """The eight tables as Parquet in this folder."""
    generator = str(Path(sys.executable).with_name("tpchgen-cli"))
    subprocess.run([generator, "parquet", "-s", str(scale), "--output-dir", str(folder), "--quiet"], check=True)
    return folder


def publish_all(raw: Path, lake: Path) -> tuple[TableInput, ...]:
    """Each generated file as a table of the lake."""
    return tuple(_publish(name, raw / f"{name}.parquet", lake) for name in TABLES)


def _publish(name: str, file: Path, lake: Path) -> TableInput:
    target = TableTarget(dataset=f"bronze.tpch.{name}", uri=f"{lake}/bronze/tpch/{name}")
    run_id, rows = str(new_run_id()), pl.scan_parquet(file)
    with Staging(target, run_id) as staging:
        staging.sink(rows)
        columns = columns_of(rows.collect_schema())
        done = publish(target, staging.files, run_id=run_id, mode="overwrite", columns=columns)
    return TableInput(dataset=target.dataset, alias=name, uri=target.uri, version=done.version)


@dataclass(frozen=True)
class Tpch:
    """The data of one scale, raw and published, and the jobs over them."""

    raw: Path
    lake: Path
    inputs: tuple[TableInput, ...]
    _columns: dict[str, tuple[Column, ...]] = field(default_factory=dict)

    @classmethod
    def make(cls, folder: Path, scale: float) -> Tpch:
        raw = generate(folder / "raw", scale)
        return cls(raw, folder / "lake", publish_all(raw, folder / "lake"))

    def target_schema(self, query: str) -> tuple[Column, ...]:
        """What the form proposes for this query: the types that the canonical dialect gives it."""
        if query not in self._columns:
            known = {given.alias: open_table(given.uri, given.version).columns for given in self.inputs}
            self._columns[query] = check_sql(QUERIES[query], known, "duckdb").columns
        return self._columns[query]

    def spec(self, query: str, engine: str, **changes: Any) -> SqlSpec:
        """A job that makes a table of the query's rows."""
        facts = {
            "run_id": str(new_run_id()),
            "workflow": "tpch",
            "job": query,
            "inputs": self.inputs_of(query),
            "sql": QUERIES[query],
            "columns": self.target_schema(query),
            "engine": engine,
            "target": TableTarget(dataset=f"gold.tpch.{query}", uri=f"{self.lake}/gold/tpch/{query}_{engine}"),
            "run_time": datetime(2026, 11, 22, 10, 30, tzinfo=UTC),
        }
        return SqlSpec(**(facts | changes))

    def inputs_of(self, query: str) -> tuple[TableInput, ...]:
        """The tables that the query names."""
        return tuple(given for given in self.inputs if re.search(rf"\b{given.alias}\b", QUERIES[query]))

    def answer(self, query: str) -> list[tuple]:
        """The rows that plain DuckDB gives for the text and the generated files."""
        with duckdb.connect() as plain:
            for name in TABLES:
                plain.execute(f"create view {name} as from '{self.raw / name}.parquet'")
            return plain.execute(QUERIES[query]).fetchall()


def rows_of(spec: SqlSpec) -> list[tuple]:
    """The rows of the table that the job made, as DuckDB reads its files."""
    files = [str(file) for file in open_table(spec.target.uri).files()]
    if not files:
        return []
    names = ", ".join(f'"{column.name}"' for column in spec.columns)
    with duckdb.connect() as plain:
        return plain.execute(f"select {names} from read_parquet($1)", [files]).fetchall()


def assert_same_rows(found: list[tuple], expected: list[tuple]) -> None:
    """Equal as multisets; what is not exact (averages, shares) to nine digits."""
    assert len(found) == len(expected)
    pairs = zip(sorted(found, key=_order), sorted(expected, key=_order), strict=True)
    for mine, theirs in pairs:
        assert len(mine) == len(theirs)
        assert all(_same(a, b) for a, b in zip(mine, theirs, strict=True)), f"{mine} is not {theirs}"


def _order(row: tuple) -> list[str]:
    return [f"{value:.6g}" if isinstance(value, float) else str(value) for value in row]


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, float) or isinstance(other, float):
        return math.isclose(one, other, rel_tol=1e-9)
    if isinstance(one, Decimal | int) and isinstance(other, Decimal | int):
        return one == other
    return type(one) is type(other) and one == other
