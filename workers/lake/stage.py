"""Staging: Parquet inside the table's folder, named by the run, that no reader sees before the commit.

The only module that uses Polars' `PartitionBy` and its paths callback, which
Polars calls unstable.
"""

from __future__ import annotations

import secrets
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Self

import polars as pl
import pyarrow.parquet as pq

from ..errors import AuditFailed, InvalidSpec, OutcomeUnknown
from ..schema import columns_of, type_name
from ..specs import Column, TableTarget
from .evolve import storage_type
from .paths import check_date_pattern, partition_folder, partition_text, partition_values
from .stats import footer_stats
from .store import open_store, reaching

ROWS_PER_FILE = 5_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class StagedFile:
    """One finished file, told from its footer."""

    path: str  # relative to the table
    uri: str
    rows: int
    size: int  # bytes
    partition_values: dict[str, str | None] = field(default_factory=dict)  # as Delta's log spells them
    stats: dict[str, Any] = field(default_factory=dict)
    columns: tuple[Column, ...] = ()  # what the file itself holds: no partition columns


class Staging:
    """The files that one try of a run writes. As a context manager it discards them when an error passes.

    They stay when the error leaves open whether a commit names them: an end of
    the process, or `OutcomeUnknown`. Vacuum removes what nobody needs.
    Every try has its own file names, so a try that was thought dead cannot
    write into what a later one has published.
    """

    def __init__(self, target: TableTarget, run_id: str, rows_per_file: int = ROWS_PER_FILE) -> None:
        check_date_pattern(target.date_pattern)
        self.target, self._rows_per_file = target, rows_per_file
        self._store = open_store(target.uri)
        self._name = f"{run_id}-{secrets.token_hex(4)}"
        self._numbers = count()
        self._handed_out: dict[str, dict[str, str | None]] = {}  # path -> partition values
        self._sunk: list[tuple[str, int | None]] = []  # (uri, rows where the writer told), not yet looked at
        self._files: list[StagedFile] = []
        self._schema: pl.Schema | None = None
        self._problem: InvalidSpec | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind and issubclass(kind, Exception) and not issubclass(kind, OutcomeUnknown):
            self.discard()

    @property
    def folder(self) -> str:
        """Where another engine may write Parquet, in hive folders when the table is partitioned; then `adopt` it."""
        return self._store.uri_of(f"_staging/{self._name}")

    def sink(
        self, frame: pl.LazyFrame, *, lazy: bool = False, partition: Mapping[str, Any] | None = None
    ) -> pl.LazyFrame | None:
        """Write the frame's rows, streaming; with `lazy` give the sink back for `pl.collect_all`.

        Types that the lake has no name for become the next wider one, `time`
        becomes text. `partition` gives the partition's values when all rows
        share them and the frame lacks those columns; it is faster than
        splitting by columns.
        """
        frame = in_storage_types(frame)
        stored = dict(frame.collect_schema())
        self._check_partition(stored, partition)
        constants = {name: pl.Series([value]).dtype for name, value in (partition or {}).items()}
        self._schema = pl.Schema(stored | constants)
        return frame.sink_parquet(
            self._destination(partition),
            compression=_compression(self.target),
            mkdir=self._store.is_local,
            lazy=lazy,
            storage_options=self._store.storage_options or None,
            sinked_paths_callback=lambda done: self._sunk.extend((file.path, file.num_rows) for file in done.paths),
        )

    def adopt(self, *paths: str) -> None:
        """Take in finished files that another engine wrote below `folder` (addresses, or paths relative to it).

        They move to where `sink` would have put them.
        """
        for path in paths:
            absolute = path.startswith(("/", "s3://", "file://"))
            old = self._store.key_of(path if absolute else f"{self.folder}/{path}")
            values = partition_values(old)
            if set(values) != set(self.target.partition_by):
                raise InvalidSpec(
                    f"{old} holds the partition columns {sorted(values)}, not {list(self.target.partition_by)}.",
                    hint="Write the files into one hive folder for each partition column.",
                )
            new = self._next_path({name: values[name] for name in self.target.partition_by})
            with reaching(self._store.uri):
                self._store.move(old, new)
            self._sunk.append((self._store.uri_of(new), None))

    @property
    def files(self) -> tuple[StagedFile, ...]:
        """What is staged so far; files without rows are dropped. Raises `AuditFailed` when a footer disagrees."""
        if self._problem:
            raise self._problem
        with reaching(self._store.uri):
            while self._sunk:
                path, rows = self._sunk.pop(0)
                file = self._look(self._store.key_of(path), rows)
                if file.rows:
                    self._files.append(file)
                else:
                    self._store.delete(file.path)
        return tuple(self._files)

    def scan(self) -> pl.LazyFrame:
        """The staged rows, partition columns included; an empty frame of the same columns when there are none."""
        files = self.files
        schema = self._schema or pl.Schema()
        if not files:
            return pl.LazyFrame(schema=schema)
        frame = pl.scan_parquet(
            [file.uri for file in files],
            hive_partitioning=bool(self.target.partition_by),
            hive_schema={name: schema[name] for name in self.target.partition_by} or None,
            glob=False,
            storage_options=self._store.storage_options or None,
        )
        return frame.select(schema.names())

    def discard(self) -> None:
        """Delete everything this try wrote, half-written files too. Never after `publish`."""
        with reaching(self._store.uri):
            for path in self._handed_out:
                self._store.delete(path)
            for entry in self._store.list(f"_staging/{self._name}"):
                self._store.delete(entry.key)
        self._handed_out, self._sunk, self._files = {}, [], []

    def _destination(self, partition: Mapping[str, Any] | None) -> pl.PartitionBy:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*unstable")
            if self.target.partition_by and partition is None:
                return pl.PartitionBy(
                    self._store.uri,
                    key=list(self.target.partition_by),
                    include_key=False,
                    file_path_provider=lambda ask: self._next_path(ask.partition_keys.row(0, named=True)),
                )
            return pl.PartitionBy(
                self._store.uri,
                max_rows_per_file=self._rows_per_file,
                file_path_provider=lambda _: self._next_path(partition or {}),
            )

    def _check_partition(self, stored: Mapping[str, pl.DataType], partition: Mapping[str, Any] | None) -> None:
        wanted = set(self.target.partition_by)
        given = set(partition) if partition is not None else wanted & set(stored)
        if given != wanted or (partition and wanted & set(stored)):
            raise InvalidSpec(
                f"{self.target.dataset} is partitioned by {', '.join(self.target.partition_by) or 'nothing'}; "
                f"the rows give {', '.join(sorted(given)) or 'no partition'}.",
                hint="Each partition column must be a column of the rows, or have its value in `partition`.",
            )
        for name in wanted & set(stored):
            if not (stored[name].is_integer() or stored[name].is_decimal() or stored[name] in _PARTITION_TYPES):
                raise InvalidSpec(
                    f"{self.target.dataset} cannot be partitioned by {name}, a {type_name(stored[name])}.",
                    hint="Partition by text, whole numbers, decimals, booleans, dates or timestamps.",
                )

    def _next_path(self, values: Mapping[str, Any]) -> str:
        """The next file's place below the table. Called by Polars in the middle of a sink, so it must not raise."""
        if "" in values.values():
            self._problem = self._problem or InvalidSpec(
                f"A partition column of {self.target.dataset} holds an empty text, which Delta reads as null.",
                hint="Make it null, or give it a word, before the table is partitioned by it.",
            )
        ordered = {name: values[name] for name in self.target.partition_by}
        folder = partition_folder(ordered, self.target.date_pattern)
        path = f"{folder}/" * bool(folder) + f"{self._name}-{next(self._numbers):05d}.parquet"
        self._handed_out[path] = {name: partition_text(value) for name, value in ordered.items()}
        return path

    def _look(self, path: str, rows: int | None) -> StagedFile:
        with self._store.open(path) as source:
            size, footer = source.size(), pq.read_metadata(source)
        if rows not in (None, footer.num_rows):
            raise AuditFailed(f"{path} holds {footer.num_rows} rows; {rows} were written to it.")
        held = _schema_of(footer)
        if foreign := [f"{name} ({dtype})" for name, dtype in held.items() if storage_type(dtype) != dtype]:
            raise AuditFailed(
                f"{path} holds types that the lake has not: {', '.join(foreign)}.",
                hint="Cast the columns to the job's target schema.",
            )
        self._schema = self._schema or pl.Schema(held | dict.fromkeys(self.target.partition_by, pl.String()))
        return StagedFile(
            path=path,
            uri=self._store.uri_of(path),
            rows=footer.num_rows,
            size=size,
            partition_values=self._handed_out[path],
            stats=footer_stats(footer, leave_out=self.target.partition_by),
            columns=columns_of(pl.Schema(held)),
        )


_PARTITION_TYPES = (pl.String, pl.Boolean, pl.Date, pl.Datetime("us"), pl.Datetime("us", "UTC"))


def in_storage_types(frame: pl.LazyFrame) -> pl.LazyFrame:
    """The frame with every column in the type that the lake stores it as."""
    schema = frame.collect_schema()
    stored = {name: storage_type(dtype) for name, dtype in schema.items()}
    changed = {name: dtype for name, dtype in stored.items() if dtype != schema[name]}
    return frame.with_columns(_convert(name, schema[name], dtype) for name, dtype in changed.items())


def _convert(name: str, old: pl.DataType, new: pl.DataType) -> pl.Expr:
    if old == pl.Time:
        return pl.col(name).dt.to_string("%H:%M:%S%.6f")
    return pl.col(name).cast(new)


def _compression(target: TableTarget) -> str:
    return "uncompressed" if target.compression == "none" else target.compression


def _schema_of(footer: pq.FileMetaData) -> dict[str, pl.DataType]:
    empty = pl.from_arrow(footer.schema.to_arrow_schema().empty_table())
    return dict(empty.schema)
