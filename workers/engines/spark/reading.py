"""Pinned versions as views: from the list of their files, never from what a folder holds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from workers.lake.evolve import stored_name
from workers.lake.paths import partition_text
from workers.lake.store import Store, open_store, reaching
from workers.lake.table import DataFile, Table
from workers.schema import columns_of
from workers.specs import Column

from .types import ddl, literal, spark_type, ticked

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

MOST_UNIONS = 64
FOOTERS_AT_ONCE = 16
OLD_FILE = "assay_file"


def add_views(session: SparkSession, tables: Mapping[str, Table], folder: str) -> None:
    """Make each pinned version known by its alias. Files of an object store are copied to `folder` first."""
    for alias, table in tables.items():
        _frame(session, table, f"{folder}/{alias}").createOrReplaceTempView(ticked(alias))


def _frame(session: SparkSession, table: Table, folder: str) -> DataFrame:
    """The table's rows with the columns and types that its log tells.

    Columns by name: an old file may lack new ones, or hold narrower types.
    Partition columns have the values of the log, not those of the folders.
    """
    if not table.data_files:
        nothing = ", ".join(f"CAST(NULL AS {spark_type(c.type)}) AS {ticked(c.name)}" for c in table.columns)
        return session.sql(f"SELECT {nothing} WHERE 1 = 0")
    paths = _paths(table, folder)
    by_schema: dict[tuple, list[DataFile]] = defaultdict(list)
    for file, held in zip(table.data_files, _held(table), strict=True):
        by_schema[held].append(file)
    parts = [part for held, files in by_schema.items() for part in _parts(session, table, held, files, paths)]
    return reduce(lambda a, b: a.union(b), parts)


def _parts(
    session: SparkSession, table: Table, held: tuple, files: list[DataFile], paths: Mapping[str, str]
) -> Iterable[DataFrame]:
    """Frames that together are the rows of the files, which all hold the same types."""
    own = [Column(name=c.name, type=dict(held).get(c.name, c.type)) for c in table.columns
           if c.name not in table.partition_by]  # fmt: skip
    by_values: dict[tuple, list[DataFile]] = defaultdict(list)
    for file in files:
        by_values[tuple(partition_text(file.partition_values[name]) for name in table.partition_by)].append(file)
    names = [file.path.rpartition("/")[2] for file in files]
    if len(by_values) > MOST_UNIONS and len(set(names)) == len(names):
        yield _joined(session, table, own, by_values, paths)
        return
    for values, those in by_values.items():
        known = {name: literal(text) for name, text in zip(table.partition_by, values, strict=True)}
        yield _read(session, own, [paths[file.path] for file in those]).selectExpr(*_columns(table, known))


def _joined(
    session: SparkSession,
    table: Table,
    own: list[Column],
    by_values: Mapping[tuple, list[DataFile]],
    paths: Mapping[str, str],
) -> DataFrame:
    """Of many partitions: the values are looked up by the file's name, because a plan of many unions is slow."""
    from pyspark.sql.functions import broadcast, col

    aliases = {name: f"assay_value_{number}" for number, name in enumerate(table.partition_by)}
    rows = [(Path(paths[file.path]).name, *values) for values, files in by_values.items() for file in files]
    schema = pa.schema([(OLD_FILE, pa.string()), *((alias, pa.string()) for alias in aliases.values())])
    known = session.createDataFrame(
        pa.table([pa.array(column, pa.string()) for column in zip(*rows, strict=True)], schema=schema)
    )
    read = _read(session, own, [paths[file.path] for files in by_values.values() for file in files])
    read = read.select("*", col("_metadata.file_name").alias(OLD_FILE))
    return read.join(broadcast(known), OLD_FILE).selectExpr(*_columns(table, aliases))


def _read(session: SparkSession, columns: list[Column], paths: list[str]) -> DataFrame:
    # Each path is a file: nothing in it is a pattern.
    return session.read.schema(ddl(columns)).option("__globPaths__", "false").parquet(*paths)


def _columns(table: Table, known: Mapping[str, str]) -> list[str]:
    return [
        f"CAST({known.get(column.name, ticked(column.name))} AS {spark_type(column.type)}) AS {ticked(column.name)}"
        for column in table.columns
    ]


def _paths(table: Table, folder: str) -> dict[str, str]:
    """Each file's address as Spark takes it, by its path in the table."""
    store = open_store(table.uri)
    if store.is_local:
        return {file.path: f"file://{store.path_of(file.path)}" for file in table.data_files}
    Path(folder).mkdir(parents=True)
    with ThreadPoolExecutor(FOOTERS_AT_ONCE) as pool:
        copies = pool.map(lambda each: _copied(store, each[1].path, f"{folder}/{each[0]:06d}.parquet"),
                          enumerate(table.data_files))  # fmt: skip
        return {file.path: f"file://{copy}" for file, copy in zip(table.data_files, copies, strict=True)}


def _copied(store: Store, path: str, copy: str) -> str:
    with reaching(store.uri), store.open(path) as source, open(copy, "wb") as sink:  # noqa: PTH123
        while chunk := source.read(8 << 20):
            sink.write(chunk)
    return copy


def _held(table: Table) -> list[tuple[tuple[str, str], ...]]:
    """Of each file, in order, the columns that have another type there than in the table."""
    store = open_store(table.uri)
    wanted = {column.name: stored_name(column.type) for column in table.columns}

    def look(file: DataFile) -> tuple[tuple[str, str], ...]:
        with reaching(store.uri), store.open(file.path) as source:
            schema = pq.read_schema(source)
        found = columns_of(pl.from_arrow(schema.empty_table()).schema)
        return tuple((c.name, c.type) for c in found
                     if c.name in wanted and c.type != wanted[c.name] and "<" not in c.type)  # fmt: skip

    with ThreadPoolExecutor(FOOTERS_AT_ONCE) as pool:
        return list(pool.map(look, table.data_files))
