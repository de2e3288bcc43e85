"""Reading a table: one version of it, as files or rows; its history; going back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from itertools import islice
from typing import Any
from urllib.parse import unquote

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError, TableNotFoundError

from ..errors import LakeUnavailable, TableMissing
from ..specs import Column
from .evolve import columns_of_delta
from .store import Store, open_store, reaching


@dataclass(frozen=True, slots=True, kw_only=True)
class DataFile:
    """A file of one version, as the log tells it."""

    path: str  # relative to the table
    uri: str
    rows: int
    size: int  # bytes
    partition_values: dict[str, Any]  # typed
    lows: dict[str, Any] = field(default_factory=dict)  # each column's least value, typed; absent or None: not known
    highs: dict[str, Any] = field(default_factory=dict)
    nulls: dict[str, int | None] = field(default_factory=dict)

    def may_hold(self, column: str, low: Any, high: Any) -> bool:
        """Whether a value from `low` to `high` (both included, None: no bound) may be among the column's."""
        if self.nulls.get(column) == self.rows:
            return False
        least, most = self.lows.get(column), self.highs.get(column)
        if least is None or most is None:
            return True
        return (low is None or most >= low) and (high is None or least <= high)

    def may_hold_null(self, column: str) -> bool:
        return self.nulls.get(column) != 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    version: int
    at: datetime  # aware, UTC
    operation: str  # Delta's word: WRITE, RESTORE, …
    run_id: str | None
    metadata: dict[str, Any] = field(default_factory=dict)  # the `assay.` keys, without the prefix
    restored_version: int | None = None  # of a restore, by whatever tool


class Table:
    """One version of a table. Nothing is read but the log until `scan` is collected."""

    def __init__(self, uri: str, version: int | None = None) -> None:
        self.uri = uri
        self._store = open_store(uri)
        self.delta = open_delta(self._store, version)
        if self.delta is None:
            raise TableMissing(f"There is no table at {uri}.", hint="Run the job that makes it first.")

    @property
    def version(self) -> int:
        return self.delta.version()

    @property
    def partition_by(self) -> tuple[str, ...]:
        return tuple(self.delta.metadata().partition_columns)

    @property
    def storage_options(self) -> dict[str, str]:
        return self._store.storage_options

    @cached_property
    def columns(self) -> tuple[Column, ...]:
        """The table's columns in order, partition columns included."""
        return columns_of_delta(self.delta)

    @cached_property
    def data_files(self) -> tuple[DataFile, ...]:
        return tuple(data_files_of(self.delta, self._store))

    @property
    def rows(self) -> int:
        return sum(file.rows for file in self.data_files)

    @property
    def bytes(self) -> int:
        return sum(file.size for file in self.data_files)

    def files(self) -> list[str]:
        """The files' addresses, for engines that take a list.

        Such an engine must match columns by name (`union_by_name`) and take
        those of `partition_by` from the hive folders, with the types of `columns`.
        """
        return [file.uri for file in self.data_files]

    def scan(self) -> pl.LazyFrame:
        """The rows; a filter on a partition column skips files, a column that an old file lacks is null there.

        A `time`, stored as text, is a time again.
        """
        rows = pl.scan_delta(self.delta, storage_options=self.storage_options or None)
        times = [column.name for column in self.columns if column.type == "time"]
        return rows.with_columns(pl.col(times).str.to_time("%H:%M:%S%.f")) if times else rows

    def history(self, limit: int | None = None) -> tuple[Commit, ...]:
        """The commits up to this version that the log still has, the newest first."""
        with reaching(self.uri):
            return tuple(islice(commits(self._store, self.version), limit))


def open_table(uri: str, version: int | None = None) -> Table:
    """The table at its newest or a given version. Raises `TableMissing`."""
    return Table(uri, version)


def table_exists(uri: str) -> bool:
    return open_delta(open_store(uri)) is not None


def open_delta(store: Store, version: int | None = None) -> DeltaTable | None:
    """A fresh handle, or None when there is no table. Raises `TableMissing` for a version that is not there."""
    try:
        return DeltaTable(store.uri, version=version, storage_options=store.storage_options or None)
    except TableNotFoundError:
        return None
    except (DeltaError, OSError) as error:
        if version is None:
            raise unavailable(store, error) from error
    if (newest := open_delta(store)) is None:
        return None
    raise TableMissing(
        f"{store.uri} has no version {version}; its newest is {newest.version()}.",
        hint="Choose one of the versions in its history.",
    )


def unavailable(store: Store, error: Exception) -> LakeUnavailable:
    return LakeUnavailable(
        f"The table at {store.uri} cannot be read or written: {error}",
        hint="Check that the disk or the object store answers, and that the table's log is whole.",
    )


def commits(store: Store, version: int) -> Iterator[Commit]:
    """The commits from a version back to the oldest that the log still has, read one by one.

    Not delta-rs's `history()`: on any handle but the newest it lists later
    commits too and numbers them from its own version.
    """
    for number in range(version, -1, -1):
        try:
            with store.open(f"_delta_log/{number:020d}.json") as file:
                actions = [json.loads(line) for line in file.readall().splitlines()]
        except FileNotFoundError:
            return
        yield _commit(number, next((action["commitInfo"] for action in actions if "commitInfo" in action), {}))


def find_commit(store: Store, version: int, run_id: str) -> Commit | None:
    """The commit that a run made, as far back as the log goes; nearly always it is the last."""
    return next((commit for commit in commits(store, version) if commit.run_id == run_id), None)


def data_files_of(delta: DeltaTable, store: Store) -> Iterator[DataFile]:
    partition_by = delta.metadata().partition_columns
    for action in pa.table(delta.get_add_actions(flatten=True)).to_pylist():
        path, rows = unquote(action["path"]), action.get("num_records")
        yield DataFile(
            path=path,
            uri=store.uri_of(path),
            rows=_count(store, path) if rows is None else rows,
            size=action["size_bytes"],
            partition_values={name: action[f"partition.{name}"] for name in partition_by},
            lows=_told(action, "min."),
            highs={name: _unshortened(value) for name, value in _told(action, "max.").items()},
            nulls=_told(action, "null_count."),
        )


def _unshortened(value: Any) -> Any:
    """Other tools cut moments to milliseconds, and a greatest value must not be too small."""
    if isinstance(value, datetime) and value.microsecond % 1000 == 0:
        return value + timedelta(microseconds=999)
    return value


def _told(action: dict[str, Any], prefix: str) -> dict[str, Any]:
    return {name.removeprefix(prefix): value for name, value in action.items() if name.startswith(prefix)}


def _count(store: Store, path: str) -> int:
    """Rows of a file that another tool added without statistics; only the footer is read."""
    with reaching(store.uri), store.open(path) as source:
        return pq.read_metadata(source).num_rows


def _commit(version: int, info: dict[str, Any]) -> Commit:
    own = {key.removeprefix("assay."): value for key, value in info.items() if key.startswith("assay.")}
    restored = own.get("restored_version")
    if restored is None and info.get("operation") == "RESTORE":
        restored = info.get("operationParameters", {}).get("version")
    return Commit(
        version=version,
        at=datetime.fromtimestamp(info.get("timestamp", 0) / 1000, UTC),
        operation=info.get("operation", ""),
        run_id=own.get("run_id"),
        metadata=own,
        restored_version=None if restored is None else int(restored),
    )
