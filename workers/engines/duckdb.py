"""DuckDB: the engine with a memory limit. What does not fit goes to a temporary folder.

The guard decides what a query may say; the connection is locked down besides:
it can open the inputs' files and the staging folder, and nothing else.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
from polars.io.plugins import register_io_source

from workers.errors import QueryFailed, ResourceLimit
from workers.lake.stage import Staging
from workers.lake.store import open_store
from workers.lake.table import Table
from workers.progress import Progress, silent
from workers.schema import duckdb_type, polars_schema
from workers.specs import Column, TableTarget

from .base import Limits
from .statement import CheckedSql, quoted

COMPRESSIONS = {"none": "uncompressed", "lz4": "lz4_raw"}


class DuckDBEngine:
    name = "duckdb"

    def run(
        self,
        checked: CheckedSql,
        tables: Mapping[str, Table],
        staging: Staging,
        limits: Limits,
        progress: Progress = silent,
    ) -> None:
        store = open_store(staging.target.uri)
        used = {alias: tables[alias] for alias in checked.inputs_used}
        writes_files = store.is_local
        with connected(used, limits, [staging.folder] if writes_files else []) as connection:
            if writes_files:
                folder = Path(staging.folder)
                folder.mkdir(parents=True, exist_ok=True)
                query = _cast_all(checked, staging.target.partition_by)
                staging.adopt(*_copy(connection, query, staging.folder, staging.target))
                shutil.rmtree(folder)  # empty folders: the files have moved
            else:
                staging.sink(_stream(connection, checked))

    def first_rows(self, checked: CheckedSql, tables: Mapping[str, Table], limit: int, limits: Limits) -> pl.DataFrame:
        used = {alias: tables[alias] for alias in checked.inputs_used}
        with connected(used, limits, []) as connection:
            rows = connection.execute(f"{_cast_all(checked)} LIMIT {int(limit)}").to_arrow_table()
        return pl.from_arrow(rows)


def _cast_all(checked: CheckedSql, folders: tuple[str, ...] = ()) -> str:
    """The query with the target's types. `folders` are the columns whose values will name a folder."""
    values = ((column, _in_folder(column) if column.name in folders else _cast(column)) for column in checked.columns)
    columns = ", ".join(f"{value} AS {quoted(column.name)}" for column, value in values)
    return f"SELECT {columns} FROM ({checked.statement}) AS assay_result"  # noqa: S608 - made from a checked tree


def _cast(column: Column) -> str:
    value = f"CAST({quoted(column.name)} AS {duckdb_type(column.type)})"
    if column.type.strip().lower() != "time":
        return value
    # Delta has no time of day: the lake keeps it as text with six digits, as `Staging.sink` writes it.
    text = f"CAST({value} AS VARCHAR)"
    return f"CASE WHEN contains({text}, '.') THEN rpad({text}, 15, '0') ELSE {text} || '.000000' END"


def _in_folder(column: Column) -> str:
    """Delta spells an instant without its zone; DuckDB would write `+00` behind it, which no reader takes."""
    is_instant = column.type.strip().lower() == "timestamptz"
    return f"CAST({_cast(column)} AS TIMESTAMP)" if is_instant else _cast(column)


def _copy(connection: duckdb.DuckDBPyConnection, query: str, folder: str, target: TableTarget) -> list[str]:
    """Write Parquet below the folder; the files' paths."""
    options = [
        "FORMAT parquet",
        f"COMPRESSION {COMPRESSIONS.get(target.compression, target.compression)}",
        "RETURN_STATS",
    ]
    if target.partition_by:
        options.append(f"PARTITION_BY ({', '.join(quoted(name) for name in target.partition_by)})")
        destination = f"{folder}/rows"
    else:
        destination = f"{folder}/data.parquet"
    text = f"COPY ({query}) TO {_literal(destination)} ({', '.join(options)})"
    return [row[0] for row in connection.execute(text).fetchall()]


def _stream(connection: duckdb.DuckDBPyConnection, checked: CheckedSql) -> pl.LazyFrame:
    """The result as a frame that is read once, batch by batch: for stores that DuckDB cannot write to."""

    def batches(with_columns, predicate, n_rows, batch_size) -> Iterator[pl.DataFrame]:
        for batch in connection.execute(_cast_all(checked)).to_arrow_reader(batch_size or 100_000):
            frame = pl.from_arrow(pa.Table.from_batches([batch]))
            frame = frame if with_columns is None else frame.select(with_columns)
            yield frame if predicate is None else frame.filter(predicate)

    return register_io_source(batches, schema=polars_schema(checked.columns))


@contextmanager
def connected(tables: Mapping[str, Table], limits: Limits, writable: list[str]) -> Iterator[duckdb.DuckDBPyConnection]:
    """A fresh, locked-down connection that knows the tables and nothing else."""
    with tempfile.TemporaryDirectory(prefix="assay-duckdb-") as spill, _failing_clearly():
        connection = duckdb.connect(":memory:", config=_settings(limits, spill))
        try:
            for alias, table in tables.items():
                _add(connection, alias, table)
            _lock(connection, [file for table in tables.values() for file in table.files()], writable)
            yield connection
        finally:
            connection.close()


def _settings(limits: Limits, spill: str) -> dict[str, str]:
    return {
        "python_enable_replacements": "false",
        "memory_limit": f"{limits.memory_mb}MB",
        "temp_directory": spill if limits.may_spill else "",
        **({"threads": str(limits.threads)} if limits.threads else {}),
    }


def _lock(connection: duckdb.DuckDBPyConnection, readable: list[str], writable: list[str]) -> None:
    paths = ", ".join(_literal(path) for path in readable)
    folders = ", ".join(_literal(path) for path in writable)
    connection.execute(f"""
        SET TimeZone = 'UTC';
        SET allowed_paths = [{paths}]; SET allowed_directories = [{folders}];
        SET autoinstall_known_extensions = false; SET autoload_known_extensions = false;
        SET allow_community_extensions = false;
        SET enable_external_access = false; SET lock_configuration = true;
    """)


def _add(connection: duckdb.DuckDBPyConnection, alias: str, table: Table) -> None:
    """Make the pinned version known as `alias`, with the columns and types that its log tells."""
    files = table.files()
    if not files:
        fields = ", ".join(f"{quoted(column.name)} {duckdb_type(column.type)}" for column in table.columns)
        connection.execute(f"CREATE TABLE {quoted(alias)} ({fields})")
        return
    source = f"assay_files_{alias}"
    store = open_store(table.uri)
    if store.is_local:
        paths = ", ".join(_literal(path) for path in files)
        # Columns by name, because old files may lack new ones; partition columns from the folders, as text.
        reader = f"read_parquet([{paths}], union_by_name = true, hive_partitioning = true, hive_types_autocast = false)"
        connection.execute(f"CREATE VIEW {quoted(source)} AS SELECT * FROM {reader}")  # noqa: S608 - our own paths
    else:
        connection.register(source, _dataset(table))
    held = {row[0] for row in connection.execute(f"DESCRIBE {quoted(source)}").fetchall()}
    columns = ", ".join(_read(column, held) for column in table.columns)
    connection.execute(f"CREATE VIEW {quoted(alias)} AS SELECT {columns} FROM {quoted(source)}")  # noqa: S608


def _dataset(table: Table) -> ds.Dataset:
    store = open_store(table.uri)
    partitions = pl.Schema({name: pl.String() for name in table.partition_by})
    held = pl.Schema({n: t for n, t in polars_schema(map(_as_stored, table.columns)).items() if n not in partitions})
    schema = pl.DataFrame(schema=held | partitions).to_arrow().schema
    paths = [store.path_of(store.key_of(file)) for file in table.files()]
    return ds.dataset(paths, schema=schema, filesystem=store.filesystem, partitioning="hive", format="parquet")


def _read(column: Column, held: set[str]) -> str:
    kind = duckdb_type(column.type)
    value = quoted(column.name) if column.name in held else "NULL"
    # Statistics of files know no NaN, which is the largest float: by them alone DuckDB would choose other rows.
    factor = f" * CAST(1 AS {kind})" if column.type.strip().lower() in ("float32", "float64") else ""
    return f"CAST({value} AS {kind}){factor} AS {quoted(column.name)}"


def _as_stored(column: Column) -> Column:
    """Delta has no time of day: in the files it is text."""
    return Column(name=column.name, type="string") if column.type.strip().lower() == "time" else column


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


@contextmanager
def _failing_clearly() -> Iterator[None]:
    try:
        yield
    except duckdb.OutOfMemoryException as error:
        raise ResourceLimit(
            f"The query went over its memory limit: {_first_line(error)}",
            hint="Raise the job's memory limit, or filter before joining and sorting.",
        ) from error
    except duckdb.Error as error:
        raise QueryFailed(
            f"DuckDB ended the query: {_first_line(error)}",
            hint="A value does not fit its type? TRY_CAST gives null instead; CAST to a wider type keeps it.",
        ) from error


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:400]
