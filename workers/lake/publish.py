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
from dataclasses import dataclass, field, replace
from functools import partial
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
    held_names,
    is_exact_in_float64,
    needs_plain_timestamps,
    storage_type,
    widened_rows,
)
from .paths import partition_value
from .stage import StagedFile, Staging
from .store import Store, open_store, reaching
from .table import DataFile, Table, data_files_of, find_commit, open_delta

Mode = Literal["append", "overwrite", "overwrite_partition", "merge", "replace_window"]
ATTEMPTS = 200
LONGEST_PAUSE_SECONDS = 0.3
PLAIN_TIMESTAMPS = "timestampNtz"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What a run does to one version of a table."""

    files: tuple[StagedFile, ...] = ()  # the run's rows
    kept: tuple[StagedFile, ...] = ()  # older rows of the files that are replaced, with the table's columns to be
    replaced: tuple[DataFile, ...] = ()
    metadata: dict[str, Any] = field(default_factory=dict)


# Asked with the table, None when there is none yet, and the columns that it is to have.
ChangeOf = Callable[[Table | None, tuple[Column, ...]], Change]


def publish(
    target: TableTarget,
    staged_files: Iterable[StagedFile] = (),
    *,
    run_id: str,
    mode: Mode,
    columns: Iterable[Column],
    metadata: Mapping[str, Any] | None = None,
    partitions: Iterable[Mapping[str, Any]] = (),
    change: ChangeOf | None = None,
) -> Published:
    """Commit the staged files. `columns` are those of the rows, partition columns included.

    `overwrite` replaces rows, schema and partitioning. `append` and
    `overwrite_partition` keep the table's schema, add new columns to it and
    widen its types. `overwrite_partition` replaces the partitions of the
    staged files and those named in `partitions` (`{column: value}` each).
    No files at all still make a version. A run that has published is not
    published again, whatever it staged since: its first commit is returned,
    with `already` set.

    What depends on the rows that the table has comes from `change` instead of
    `staged_files`. It is asked about the very version that the commit builds
    on, so again whenever another commit comes between, and what it raises
    ends the run.

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
        change=change,
    )
    _check_partitions(work)
    with reaching(target.uri):
        if before := already_published(target, run_id):
            return before  # before the files are looked at: they may be gone by now
        work.check(work.files, work.columns)
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


def note(target: TableTarget, run_id: str, metadata: Mapping[str, Any]) -> Published:
    """A commit without rows: what is known of the table from now on. Runs that began before it can no longer publish.

    Raises `TableMissing`.
    """
    store = open_store(target.uri)

    def attempt(delta: DeltaTable | None) -> bool:
        partition_by = delta.metadata().partition_columns
        told = properties(target, run_id, {"rows": 0, **metadata})
        delta.create_write_transaction([], "append", delta.schema(), partition_by, commit_properties=told)
        return True

    with reaching(target.uri):
        Table(target.uri)
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
    change: ChangeOf | None = None

    def check(self, files: tuple[StagedFile, ...], columns: tuple[Column, ...]) -> None:
        check_staged(self.store, self.target, files, columns)
        self.store.sync(file.path for file in files)

    def attempt(self, delta: DeltaTable | None) -> bool:
        if delta is None:
            return self._make(0, self._settled(None, self.columns))
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
            self._overwrite(delta, self._settled(delta, self.columns), self.columns)
            return True
        return self._evolve_and_add(delta)

    def _settled(self, delta: DeltaTable | None, columns: tuple[Column, ...]) -> Change:
        """What is done to this very version, whose columns will be these."""
        if self.change is None:
            replaced = self._replaced(delta) if self.mode == "overwrite_partition" and delta else ()
            return Change(files=self.files, replaced=tuple(replaced))
        change = self.change(delta and Table(self.target.uri, delta.version()), columns)
        self.check(change.files, self.columns)
        self.check(change.kept, columns)
        return change

    def _make(self, version: int, change: Change, replaced: Iterable[DataFile] | None = None) -> bool:
        """Put a new table, or one made anew, at exactly this version; False when another writer was faster."""
        entry = table_entry(self.target, self.columns, change.files, replaced, self._commit_properties(change))
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
        change = self._settled(delta, self.columns)
        return self._make(delta.version() + 1, change, data_files_of(delta, self.store))

    def _overwrite(self, delta: DeltaTable, change: Change, columns: tuple[Column, ...]) -> None:
        delta.create_write_transaction(
            adds([*change.files, *change.kept]),
            "overwrite",
            delta_schema(columns),
            list(self.target.partition_by),
            commit_properties=self._commit_properties(change),
        )

    def _evolve_and_add(self, delta: DeltaTable) -> bool:
        is_exact = partial(is_exact_in_float64, delta)
        evolution = evolve(columns_of_delta(delta), self.columns, self.target.dataset, is_exact)
        if (evolution.added or evolution.relaxed) and not evolution.widened:
            # delta-rs appends a new column without a word and never shows it. Metadata only:
            # should the run die now, the table has a column of nulls.
            self._prepare(delta, evolution)
            return False
        change = self._settled(delta, evolution.columns)
        if evolution.widened:
            self._rewrite(delta, evolution, change)
            return True
        delta.create_write_transaction(
            [*adds([*change.files, *change.kept]), *removes(change.replaced)],
            "append",
            delta.schema(),
            list(self.target.partition_by),
            commit_properties=self._commit_properties(change),
        )
        return True

    def _prepare(self, delta: DeltaTable, change: Evolution) -> None:
        if change.relaxed:
            delta.alter.drop_column_not_null(change.relaxed[0], self._quiet_properties())
        else:
            delta.alter.add_columns(delta_fields(change.added), commit_properties=self._quiet_properties())

    def _rewrite(self, delta: DeltaTable, evolution: Evolution, change: Change) -> None:
        """Widen the rows that stay and publish them together with the new ones, in one commit.

        Delta has no files of another type than the table's, so the old ones
        are written anew, streaming. That happens once for each widening.
        """
        leave_out = {file.path for file in change.replaced}
        with Staging(self.target, self.run_id) as staging:
            for file in data_files_of(delta, self.store):
                if file.path in leave_out:
                    continue
                rows = widened_rows(file.uri, evolution, self.target.partition_by, self.store.storage_options)
                # A younger column stays out of the file: who compares rows must see that it was never read for these.
                held = held_names(file.uri, self.store.storage_options)
                names = [name for name in rows.collect_schema().names() if name in held]
                staging.sink(rows.select(names), partition=file.partition_values)
            rewritten = staging.files
            self.store.sync(file.path for file in rewritten)
        # Not above: a commit that seems to have failed may stand, and then it needs these files.
        self._overwrite(delta, replace(change, kept=(*change.kept, *rewritten)), evolution.columns)

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

    def _commit_properties(self, change: Change) -> CommitProperties:
        rows = sum(file.rows for file in change.files)
        told = {"mode": self.mode, "rows": rows, **self.metadata, **change.metadata}
        return properties(self.target, self.run_id, told)
