"""Publishing: one Delta commit makes a run's staged files the table's, or nothing does.

The only code that commits. Delta's own checks are not enough for that: two
overwrites of an empty partition both succeed, an app transaction lets a later
commit with the same number pass, and nobody asks whether a file exists
(docs/lake.md). So every commit is made on a fresh handle, without delta-rs's
own retries, after asking what has been published before.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from deltalake import CommitProperties, DeltaTable, TableFeatures
from deltalake.exceptions import CommitFailedError, DeltaError

from ..errors import (
    InvalidSpec,
    LakeUnavailable,
    OutcomeUnknown,
    PublishConflict,
    SchemaChanged,
    StaleRun,
    TableMissing,
)
from ..ids import sequence_of
from ..results import Published
from ..schema import parse_type
from ..specs import Column, TableTarget
from .actions import adds, properties, removes, table_entry
from .audit import check_staged
from .evolve import (
    Evolution,
    columns_of_delta,
    delta_fields,
    delta_schema,
    evolve,
    needs_plain_timestamps,
    storage_type,
    widened_rows,
)
from .paths import partition_value
from .stage import StagedFile, Staging
from .store import Store, open_store, reaching
from .table import DataFile, Table, data_files_of, find_commit, open_delta

Mode = Literal["append", "overwrite", "overwrite_partition"]
ATTEMPTS = 200
LONGEST_PAUSE_SECONDS = 0.3
PLAIN_TIMESTAMPS = "timestampNtz"


def publish(
    target: TableTarget,
    staged_files: Iterable[StagedFile],
    *,
    run_id: str,
    mode: Mode,
    columns: Iterable[Column],
    metadata: Mapping[str, Any] | None = None,
    partitions: Iterable[Mapping[str, Any]] = (),
) -> Published:
    """Commit the staged files. `columns` are those of the rows, partition columns included.

    `overwrite` replaces rows, schema and partitioning. `append` and
    `overwrite_partition` keep the table's schema, add new columns to it and
    widen its types. `overwrite_partition` replaces the partitions of the
    staged files and those named in `partitions` (`{column: value}` each).
    No files at all still make a version. A run that has published is not
    published again, whatever it staged since: its first commit is returned,
    with `already` set.

    Raises, each with the table's rows as they were: `StaleRun` when a later
    run of the dataset has published, `AuditFailed` when a staged file is
    missing or not what was audited, `SchemaChanged` when the table cannot take
    the columns, `PublishConflict` and `LakeUnavailable` (a retry may help);
    and `OutcomeUnknown` when the lake broke off during the commit: a retry
    finds out whether it stands, and the staged files must stay until then.
    """
    work = _Publication(
        target=target,
        store=open_store(target.uri),
        files=tuple(staged_files),
        run_id=run_id,
        mode=mode,
        columns=tuple(columns),
        metadata=dict(metadata or {}),
        partitions=tuple(partitions),
    )
    _check_partitions(work)
    with reaching(target.uri):
        if before := already_published(target, run_id):
            return before  # before the files are looked at: they may be gone by now
        check_staged(work.store, target, work.files, work.columns)
        work.store.sync(file.path for file in work.files)
        return _until_committed(work.store, target, run_id, work.attempt)


def _check_partitions(work: _Publication) -> None:
    if work.mode == "overwrite_partition" and not work.target.partition_by:
        raise InvalidSpec(f"{work.target.dataset} has no partitions to overwrite.", hint="Use overwrite or append.")
    if wrong := [values for values in work.partitions if set(values) != set(work.target.partition_by)]:
        raise InvalidSpec(
            f"{wrong[0]} names no partition of {work.target.dataset}.",
            hint=f"Give a value for each of {', '.join(work.target.partition_by)}.",
        )


def already_published(target: TableTarget, run_id: str) -> Published | None:
    """What this run published to the table, or None. Raises `StaleRun` when a later run has, and this one has not."""
    store = open_store(target.uri)
    with reaching(target.uri):
        delta = open_delta(store)
        return delta and _published_before(store, delta, target, run_id)


def restore(target: TableTarget, version: int, run_id: str) -> Published:
    """Make an old version's rows and schema the newest, as a commit of its own.

    Doing it again in the same run changes nothing; a run of the dataset that
    began before it can no longer publish. Raises `TableMissing` when the
    version or one of its files is gone.
    """
    store = open_store(target.uri)

    def attempt(delta: DeltaTable | None) -> bool:
        old = Table(target.uri, version)
        gone = [path for path, size in store.sizes(file.path for file in old.data_files).items() if size is None]
        if gone:
            raise TableMissing(
                f"{len(gone)} files of version {version} of {target.dataset} are gone, e.g. {gone[0]}.",
                hint="They were removed by maintenance. Choose a newer version.",
            )
        note = {"mode": "restore", "restored_version": version, "rows": old.rows}
        told = properties(target, run_id, note)
        if version == delta.version():  # delta-rs refuses; a commit all the same, to hold off earlier runs
            delta.create_write_transaction([], "append", delta.schema(), list(old.partition_by), commit_properties=told)
        else:
            delta.restore(version, commit_properties=told)
        return True

    with reaching(target.uri):
        return _until_committed(store, target, run_id, attempt)


def _until_committed(
    store: Store, target: TableTarget, run_id: str, attempt: Callable[[DeltaTable | None], bool]
) -> Published:
    """Try until a commit of this run stands. An attempt says False when it has not committed yet."""
    for number in range(ATTEMPTS):
        with _open_outcome(target):
            # Asked each time, of the very handle that commits: the other writer may be a twin of this run,
            # or an answer to this try's own commit may have been lost on its way.
            delta = open_delta(store)
            if delta and (before := _published_before(store, delta, target, run_id)):
                return before
            try:
                if attempt(delta):
                    return _record(store, target, run_id)
            except CommitFailedError:
                time.sleep(random.uniform(0, min(LONGEST_PAUSE_SECONDS, 0.01 * 2**number)))  # noqa: S311
    raise PublishConflict(
        f"Other writers changed {target.dataset} {ATTEMPTS} times while this run tried to publish.",
        hint="Try again when fewer jobs write to the table.",
    )


@contextmanager
def _open_outcome(target: TableTarget) -> Iterator[None]:
    """What a lake that breaks off leaves open. Every other error comes from our own checks, before the commit."""
    try:
        yield
    except (LakeUnavailable, DeltaError, OSError) as error:
        raise OutcomeUnknown(
            f"The lake broke off while {target.dataset} was published: {error}",
            hint="A retry finds out whether the commit was made; no row is lost or doubled.",
        ) from error


def _record(store: Store, target: TableTarget, run_id: str) -> Published:
    published = _published_before(store, Table(target.uri).delta, target, run_id, already=False)
    if published is None:
        raise PublishConflict(f"The commit of this run to {target.dataset} did not last.")
    store.sync([f"_delta_log/{published.version:020d}.json"])
    return published


def _published_before(
    store: Store, delta: DeltaTable, target: TableTarget, run_id: str, already: bool = True
) -> Published | None:
    sequence, last = sequence_of(run_id), delta.transaction_version(target.dataset)
    if last is None or last < sequence:
        return None
    if commit := find_commit(store, delta.version(), run_id):
        table = Table(target.uri, commit.version)
        return Published(
            version=commit.version,
            rows=commit.metadata["rows"],
            table_rows=table.rows,
            table_bytes=table.bytes,
            table_files=len(table.data_files),
            already=already,
        )
    raise StaleRun(
        f"A later run has already published to {target.dataset}, so this one must not.",
        hint="Nothing is wrong with the table. Start a new run if its rows should be loaded again.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Publication:
    """One call of `publish`: what each attempt needs."""

    target: TableTarget
    store: Store
    files: tuple[StagedFile, ...]
    run_id: str
    mode: Mode
    columns: tuple[Column, ...]
    metadata: dict[str, Any]
    partitions: tuple[Mapping[str, Any], ...]

    def attempt(self, delta: DeltaTable | None) -> bool:
        if delta is None:
            return self._make(0)
        if needs_plain_timestamps(self.columns) and PLAIN_TIMESTAMPS not in (delta.protocol().reader_features or ()):
            # delta-rs would commit such a column without the feature, and nobody could read the table again.
            delta.alter.add_feature(
                TableFeatures.TimestampWithoutTimezone,
                allow_protocol_versions_increase=True,
                commit_properties=self._quiet_properties(),
            )
            return False
        if self._has_other_partitions(delta):
            return self._repartition(delta)
        if self.mode == "overwrite":
            self._overwrite(delta, self.files, self.columns)
            return True
        return self._evolve_and_add(delta)

    def _make(self, version: int, replaced: Iterable[DataFile] | None = None) -> bool:
        """Put a new table, or one made anew, at exactly this version; False when another writer was faster."""
        entry = table_entry(self.target, self.columns, self.files, replaced, self._commit_properties())
        return self.store.create(f"_delta_log/{version:020d}.json", entry)

    def _has_other_partitions(self, delta: DeltaTable) -> bool:
        return tuple(delta.metadata().partition_columns) != self.target.partition_by

    def _repartition(self, delta: DeltaTable) -> bool:
        # A plain overwrite would keep the old partition columns, and the new ones would read as null.
        if self.mode != "overwrite":
            raise SchemaChanged(
                f"{self.target.dataset} is partitioned by {delta.metadata().partition_columns}, "
                f"the run's rows by {list(self.target.partition_by)}.",
                hint="Replace the whole table once, then append again.",
            )
        return self._make(delta.version() + 1, data_files_of(delta, self.store))

    def _overwrite(self, delta: DeltaTable, files: Iterable[StagedFile], columns: tuple[Column, ...]) -> None:
        delta.create_write_transaction(
            adds(files),
            "overwrite",
            delta_schema(columns),
            list(self.target.partition_by),
            commit_properties=self._commit_properties(),
        )

    def _evolve_and_add(self, delta: DeltaTable) -> bool:
        change = evolve(columns_of_delta(delta), self.columns, self.target.dataset)
        replaced = self._replaced(delta) if self.mode == "overwrite_partition" else ()
        if change.widened:
            self._rewrite(delta, change, {file.path for file in replaced})
            return True
        if change.added or change.relaxed:
            # delta-rs appends a new column without a word and never shows it. Metadata only:
            # should the run die now, the table has a column of nulls.
            self._prepare(delta, change)
            return False
        delta.create_write_transaction(
            [*adds(self.files), *removes(replaced)],
            "append",
            delta.schema(),
            list(self.target.partition_by),
            commit_properties=self._commit_properties(),
        )
        return True

    def _prepare(self, delta: DeltaTable, change: Evolution) -> None:
        if change.relaxed:
            delta.alter.drop_column_not_null(change.relaxed[0], self._quiet_properties())
        else:
            delta.alter.add_columns(delta_fields(change.added), commit_properties=self._quiet_properties())

    def _rewrite(self, delta: DeltaTable, change: Evolution, leave_out: set[str]) -> None:
        """Widen the rows that stay and publish them together with the new ones, in one commit.

        Delta has no files of another type than the table's, so the old ones
        are written anew, streaming. That happens once for each widening.
        """
        kept = [file for file in data_files_of(delta, self.store) if file.path not in leave_out]
        with Staging(self.target, self.run_id) as staging:
            for file in kept:
                rows = widened_rows(file.uri, change, self.target.partition_by, self.store.storage_options)
                staging.sink(rows, partition=file.partition_values)
            rewritten = staging.files
            self.store.sync(file.path for file in rewritten)
        # Not above: a commit that seems to have failed may stand, and then it needs these files.
        self._overwrite(delta, [*self.files, *rewritten], change.columns)

    def _replaced(self, delta: DeltaTable) -> list[DataFile]:
        """The files in the partitions that the staged files or the caller name."""
        names = self.target.partition_by
        types = {column.name: storage_type(parse_type(column.type)) for column in self.columns}

        def key(values: Mapping[str, Any]) -> tuple[Any, ...]:
            told = ((values[name], types[name]) for name in names)
            return tuple(partition_value(v, dtype) if isinstance(v, str) else v for v, dtype in told)

        wanted = {key(file.partition_values) for file in self.files} | {key(values) for values in self.partitions}
        return [file for file in data_files_of(delta, self.store) if key(file.partition_values) in wanted]

    def _quiet_properties(self) -> CommitProperties:
        """For a commit that prepares the table and holds no rows: it is not the run's."""
        return CommitProperties(max_commit_retries=0, custom_metadata={"assay.prepares": self.run_id})

    def _commit_properties(self) -> CommitProperties:
        note = {"mode": self.mode, "rows": sum(file.rows for file in self.files), **self.metadata}
        return properties(self.target, self.run_id, note)
