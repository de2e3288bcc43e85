"""What a table's commits say about how far its source was read: the truth about a job's watermark."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..ids import sequence_of
from ..watermark import Value
from .store import Store, open_store, reaching
from .table import Commit, Table, commits, open_delta


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """At one version. Without a table both are None."""

    version: int | None = None
    watermark: dict[str, Value] | None = None  # {column, value}; None: no commit says, or the last load had none
    is_restored: bool = False  # the version is an older one made the newest again

    def value_of(self, column: str, initial: Value) -> Value:
        """How far the table is by this column; `initial` where there is no table.

        None where the table does not say: what it has came by a full load, or
        by another column, and only reading everything again loses nothing.
        """
        if self.version is None:
            return initial
        if self.watermark is None or self.watermark["column"] != column:
            return None
        return self.watermark["value"]


def state_of(uri: str, version: int | None = None) -> State:
    """At the table's newest or a given version. Raises `TableMissing` for a version that is not there."""
    store = open_store(uri)
    with reaching(uri):
        delta = open_delta(store, version)
        return State() if delta is None else state_at(store, delta.version())


def state_at(store: Store, version: int) -> State:
    """What the last commit before or at the version says that says anything.

    A restore takes the state back with the rows. Commits of other tools, and
    those that only prepare the table, are passed over.
    """
    walk, is_restored = commits(store, version), False
    while commit := next(walk, None):
        if commit.restored_version is not None:
            walk, is_restored = commits(store, commit.restored_version), True
        elif "watermark" in commit.metadata:
            return State(version=version, watermark=commit.metadata["watermark"], is_restored=is_restored)
    return State(version=version, is_restored=is_restored)


def runs_missing_in(table: Table | None, follower: Table) -> list[str]:
    """The newest runs of `follower` that the table, which is published right after it, does not hold.

    They died between the two commits, or the table was rolled back to before
    them. A run of which the table's log no longer tells is not among them.
    """
    missing: list[str] = []
    for commit in _commits_of_runs(follower):
        if table is not None and not _lacks(table, commit.run_id):
            break
        missing.append(commit.run_id)
    return missing


def _lacks(table: Table, run_id: str) -> bool:
    """Whether the table's log shows that the run is not in it; the ids of a table's runs only grow."""
    oldest = table.version
    for commit in _commits_of_runs(table):
        if sequence_of(commit.run_id) <= sequence_of(run_id):
            return commit.run_id != run_id
        oldest = commit.version
    return oldest == 0


def _commits_of_runs(table: Table) -> Iterator[Commit]:
    """The commits that led to this version, the newest first; from a restore on those of the version it restored."""
    store = open_store(table.uri)
    with reaching(table.uri):
        walk = commits(store, table.version)
        while commit := next(walk, None):
            if commit.run_id is not None:
                yield commit
            if commit.restored_version is not None:
                walk = commits(store, commit.restored_version)
