"""What two versions of one table have in common: rows counted as often as they come, and a digest of each version.

Every row becomes a text (its values by the columns that both versions have)
and two halves of that text's MD5. Rows are the same when both halves are; the
digest of a version is the sum over its rows, so it does not depend on their
order, and stays the same wherever and however often it is computed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import duckdb

from workers.errors import TableMissing
from workers.lake.store import open_store
from workers.lake.table import Table, open_table
from workers.sandbox import run_in_child

from .base import Limits
from .duckdb import connected
from .statement import quoted

MAX_ROWS = 10_000_000  # of both versions together
MEMORY_MB, SECONDS = 1024, 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """`changed` counts keys whose row is another; without keys it is None, and such a row is removed and added."""

    same: int
    added: int
    removed: int
    changed: int | None
    old_digest: str
    new_digest: str
    columns: tuple[str, ...]  # by which rows were compared

    @property
    def is_equal(self) -> bool:
        return self.old_digest == self.new_digest


def compare_versions(uri: str, old: int, new: int, keys: Sequence[str] = ()) -> Difference | str:
    """The difference between two versions, or a sentence why it is not told.

    In a child process with limits of its own. Raises `ResourceLimit` where
    they do not suffice.
    """
    try:
        tables = [open_table(uri, version) for version in (old, new)]
    except TableMissing as error:
        return error.message
    if reason := _not_compared(tables):
        return reason
    answer = run_in_child(
        "workers.engines.difference:in_child",
        {"uri": uri, "old": old, "new": new, "keys": list(keys)},
        memory_mb=MEMORY_MB,
        cpu_seconds=2 * SECONDS,
        wall_seconds=SECONDS,
    )
    return Difference(**answer | {"columns": tuple(answer["columns"])})


def _not_compared(tables: list[Table]) -> str:
    for table in tables:
        sizes = open_store(table.uri).sizes(file.path for file in table.data_files)
        if gone := sum(size is None for size in sizes.values()):
            return f"{gone:,} files of version {table.version} were removed by maintenance."
    rows = sum(table.rows for table in tables)
    if rows > MAX_ROWS:
        return f"Both versions have {rows:,} rows together; up to {MAX_ROWS:,} are compared row by row."
    if not _shared(tables):
        return "The two versions have no column in common."
    return ""


def in_child(spec: dict[str, Any]) -> dict[str, Any]:
    """In the child: the difference as JSON."""
    tables = {name: open_table(spec["uri"], spec[name]) for name in ("old", "new")}
    return asdict(difference(tables["old"], tables["new"], spec["keys"]))


def difference(old: Table, new: Table, keys: Sequence[str] = (), limits: Limits | None = None) -> Difference:
    names = _shared([old, new])
    keys = [key for key in keys if key in names]
    limits = limits or Limits(memory_mb=MEMORY_MB // 2, threads=2)
    with connected({"assay_old": old, "assay_new": new}, limits, []) as connection:
        counts = _count(connection, names, keys)
    same, added, removed, changed, *sums = counts
    changed = changed if keys else None
    return Difference(
        same=same,
        added=added - (changed or 0),
        removed=removed - (changed or 0),
        changed=changed,
        old_digest=_digest(names, sums[:3]),
        new_digest=_digest(names, sums[3:]),
        columns=tuple(names),
    )


def _shared(tables: list[Table]) -> list[str]:
    known = {column.name for column in tables[1].columns}
    return sorted(column.name for column in tables[0].columns if column.name in known)


def _count(connection: duckdb.DuckDBPyConnection, names: list[str], keys: list[str]) -> tuple[int, ...]:
    row = _text(names)
    key = _text(keys) if keys else "''"
    sides = " UNION ALL ".join(
        f"SELECT md5_number_upper({row}) AS high, md5_number_lower({row}) AS low, {key} AS key, "  # noqa: S608
        f"{int(side == 'assay_old')} AS old, {int(side == 'assay_new')} AS new FROM {side}"
        for side in ("assay_old", "assay_new")
    )
    return connection.execute(f"""
        WITH rows AS ({sides}),
        counted AS (
            SELECT high, low, any_value(key) AS key, sum(old) AS old, sum(new) AS new FROM rows GROUP BY high, low
        ),
        changed AS (
            SELECT count(*) AS changed FROM (
                SELECT key FROM counted WHERE old <> new GROUP BY key HAVING bool_or(old > new) AND bool_or(new > old)
            )
        )
        SELECT
            coalesce(sum(least(old, new)), 0), coalesce(sum(greatest(new - old, 0)), 0),
            coalesce(sum(greatest(old - new, 0)), 0), (SELECT changed FROM changed),
            coalesce(sum(old), 0), coalesce(sum(old * high::HUGEINT), 0), coalesce(sum(old * low::HUGEINT), 0),
            coalesce(sum(new), 0), coalesce(sum(new * high::HUGEINT), 0), coalesce(sum(new * low::HUGEINT), 0)
        FROM counted
    """).fetchone()  # noqa: S608 - names are quoted, and they are the table's own


def _text(names: Sequence[str]) -> str:
    """A row as one text that no other row gives: every value with its length, null without one."""
    values = (f"CAST({quoted(name)} AS VARCHAR)" for name in names)
    return "concat(" + ", ".join(f"coalesce(concat(strlen({value}), ':', {value}), '-')" for value in values) + ")"


def _digest(names: list[str], sums: Sequence[int]) -> str:
    return hashlib.sha256(repr((names, [int(each) for each in sums])).encode()).hexdigest()[:16]
