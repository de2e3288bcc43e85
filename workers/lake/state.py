"""What a table's commits say about how far its source was read: the truth about a job's watermark."""

from __future__ import annotations

from dataclasses import dataclass

from ..watermark import Value
from .store import Store, open_store, reaching
from .table import commits, open_delta


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
