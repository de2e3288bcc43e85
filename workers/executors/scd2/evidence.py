"""What a dimension remembers beside its rows: evidence, and up to where its input was read.

Evidence are the observations that made no version: that a record was seen
unchanged, or was gone when it was not there anyway. A row of another time may
later fall between, and then they count. They lie in `_evidence/` in the
table's folder, which readers of Delta pass over, in files that are never
changed. Each commit of the dimension lists those that belong to it, so that
rows and evidence change together, and a restored version has its own again.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time
from itertools import accumulate
from typing import Any

import polars as pl

from workers.errors import TableMissing
from workers.lake.store import Store, open_store, reaching
from workers.lake.table import Table, commits
from workers.specs import TableTarget

from .timeline import FROM, GONE, Shape

FOLDER = "_evidence"
STATE = "scd2"  # in the metadata of a commit
MOST_FILES = 16
LARGE_ROWS = 5_000_000  # more rows are not written anew only to have fewer files


@dataclass(frozen=True, slots=True)
class EvidenceFile:
    path: str  # relative to the table
    rows: int
    first: str  # the least and the greatest effective time, as ISO text
    last: str


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What the last commit of the dimension knows; the newest that is not undone."""

    evidence: tuple[EvidenceFile, ...] = ()
    inputs: dict[str, int] = field(default_factory=dict)  # the versions that have been read
    config: dict[str, Any] = field(default_factory=dict)  # keys, tracked, columns, …
    is_interrupted: bool = False  # the table was restored or written by somebody else since

    def to_json(self) -> dict[str, Any]:
        files = [[file.path, file.rows, file.first, file.last] for file in self.evidence]
        return {"evidence": files, "inputs": self.inputs, "config": self.config}


def state_of(table: Table) -> State | None:
    """The state at the table's version; None when no commit tells of one."""
    store, version, interrupted = open_store(table.uri), table.version, False
    while version is not None:
        following = None
        for commit in commits(store, version):
            if told := commit.metadata.get(STATE):
                files = tuple(EvidenceFile(*file) for file in told["evidence"])
                config = told["config"]
                return State(evidence=files, inputs=told["inputs"], config=config, is_interrupted=interrupted)
            if commit.restored_version is not None:
                following, interrupted = commit.restored_version, True
                break
            interrupted |= commit.run_id is None and "prepares" not in commit.metadata
        version = following
    return None


class Evidence:
    """The evidence of one version: read it by keys or by time, add to it."""

    def __init__(self, target: TableTarget, run_id: str, files: Sequence[EvidenceFile], shape: Shape) -> None:
        self._store: Store = open_store(target.uri)
        self._name = f"{run_id}-{secrets.token_hex(4)}"
        self.files, self._shape = tuple(files), shape
        self._written: list[str] = []

    @property
    def schema(self) -> pl.Schema:
        stored = self._shape.observed
        return pl.Schema({name: stored[name] for name in (*self._shape.place, GONE, *self._shape.untracked)})

    def scan(self, files: Sequence[EvidenceFile] | None = None) -> pl.LazyFrame:
        """The rows in the order they were written: of two with the same key and time the later one counts."""
        chosen = self.files if files is None else files
        if not chosen:
            return pl.LazyFrame(schema=self.schema)
        return pl.concat([self._scan(file) for file in chosen])

    def check(self) -> None:
        """Raises `TableMissing` when a file is gone: without it a late row could not be put where it belongs."""
        with reaching(self._store.uri):
            sizes = self._store.sizes(file.path for file in self.files)
        if gone := [path for path, size in sizes.items() if size is None]:
            raise TableMissing(
                f"{len(gone)} files of the dimension's evidence are gone, e.g. {gone[0]}.",
                hint=f"Bring {FOLDER} back from where the table was copied, or delete the table's folder and run the "
                "job again: the dimension is then made from its input alone.",
            )

    def _scan(self, file: EvidenceFile) -> pl.LazyFrame:
        rows = pl.scan_parquet(
            self._store.uri_of(file.path),
            hive_partitioning=False,
            glob=False,
            storage_options=self._store.storage_options or None,
        )
        held = rows.collect_schema()
        missing = [pl.lit(None, dtype=dtype).alias(name) for name, dtype in self.schema.items() if name not in held]
        return rows.with_columns(missing).select(pl.col(name).cast(dtype) for name, dtype in self.schema.items())

    def of(self, keys: pl.DataFrame) -> pl.DataFrame:
        """All evidence of these keys."""
        if not self.files or not keys.height:
            return pl.DataFrame(schema=self.schema)
        rows = self.scan().filter(self._near(keys))
        names = list(self._shape.keys)
        return rows.join(keys.lazy(), on=names, how="semi", maintain_order="left").collect(engine="streaming")

    def since(self, moment: Any, keys: pl.DataFrame) -> pl.LazyFrame | None:
        """Evidence of this time and later, of these keys and more; None when there is none at all."""
        files = [file for file in self.files if _moment(file.last) >= _comparable(moment)]
        return self.scan(files).filter(self._near(keys), pl.col(FROM) >= pl.lit(moment)) if files else None

    def _near(self, keys: pl.DataFrame) -> pl.Expr:
        """Files are sorted by key: between the least and the greatest of these few row groups need to be read."""
        first = keys[self._shape.keys[0]]
        return pl.col(first.name).is_between(
            pl.lit(first.min(), dtype=first.dtype), pl.lit(first.max(), dtype=first.dtype)
        )

    def write(self, rows: pl.LazyFrame, *, in_order: bool = False) -> EvidenceFile | None:
        """Put rows into a file of their own, in order of their keys (`in_order`: they are). None: there were none."""
        path = f"{FOLDER}/{self._name}-{len(self._written):05d}.parquet"
        uri, options = self._store.uri_of(path), self._store.storage_options or None
        self._written.append(path)
        with reaching(self._store.uri):
            ordered = rows.select(list(self.schema))
            if not in_order:
                ordered = ordered.sort(self._shape.place, maintain_order=True)
            ordered.sink_parquet(uri, compression="zstd", storage_options=options, mkdir=self._store.is_local)
            written = pl.scan_parquet(uri, hive_partitioning=False, glob=False, storage_options=options)
            count, first, last = (
                written.select(pl.len(), pl.col(FROM).min(), pl.col(FROM).max().alias("last")).collect().row(0)
            )
            if not count:
                self._store.delete(path)
                return None
            self._store.sync([path])
        return EvidenceFile(path, count, first.isoformat(), last.isoformat())

    def with_rows(self, rows: pl.LazyFrame | None) -> tuple[EvidenceFile, ...]:
        """The files with these rows, in order of their keys, added; the youngest become one when there are many."""
        added = self.write(rows, in_order=True) if rows is not None else None
        files = (*self.files, added) if added else self.files
        if len(files) <= MOST_FILES:
            return files
        rows_behind = list(accumulate(file.rows for file in reversed(files)))
        young = sum(rows <= LARGE_ROWS for rows in rows_behind)
        merged = self.write(self._newest(files[-young:])) if young > 1 else None
        return (*files[:-young], merged) if merged else files

    def instead(self, rows: pl.LazyFrame) -> tuple[EvidenceFile, ...]:
        """These rows and no others."""
        written = self.write(rows)
        return (written,) if written else ()

    def _newest(self, files: Sequence[EvidenceFile]) -> pl.LazyFrame:
        return self.scan(files).unique(self._shape.place, keep="last", maintain_order=True)

    def discard(self) -> None:
        """Delete what was written here. Never after the commit."""
        with reaching(self._store.uri):
            for path in self._written:
                self._store.delete(path)
        self._written = []


def _moment(text: str) -> datetime:
    return _comparable(datetime.fromisoformat(text))


def _comparable(value: date) -> datetime:
    """Dates and times side by side; zones are all UTC."""
    if not isinstance(value, datetime):
        return datetime.combine(value, time.min)
    return value.replace(tzinfo=None)
