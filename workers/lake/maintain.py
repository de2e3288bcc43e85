"""Keeping a table's folder clean: what no commit names, and what a dead upload left behind."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pyarrow.parquet as pq

from ..errors import InvalidSpec, TableMissing
from .store import Entry, Store, object_client, open_store, reaching
from .table import commits, open_delta

LOG = "_delta_log"
BESIDE = "beside"  # in the metadata of a commit: the Parquet files that belong to its version and hold no rows of it


@dataclass(frozen=True, slots=True, kw_only=True)
class VacuumReport:
    """What was removed or, in a dry run, would be."""

    uri: str
    dry_run: bool
    orphans: tuple[str, ...]  # staged and never published; relative to the table
    expired: tuple[str, ...]  # only versions older than `history_hours` need them
    uploads: tuple[str, ...]  # keys of S3 uploads that were never finished
    bytes_freed: int  # of orphans and expired files; S3 does not tell an upload's size


def vacuum(
    uri: str, retention_hours: float = 168, dry_run: bool = False, history_hours: float | None = None
) -> VacuumReport:
    """Remove Parquet files that no commit names and unfinished uploads, when older than `retention_hours`.

    That must be longer than the longest run: what a run has staged is not
    named yet. Files of old versions stay, so that each can be read and
    restored, unless `history_hours` is given: then versions that old may lose
    theirs. Other files are left alone. Works beside readers and writers.
    Raises `TableMissing` and `LakeUnavailable`.
    """
    if retention_hours < 0 or (history_hours is not None and history_hours < 0):
        raise InvalidSpec("A retention cannot be negative.")
    now, store = datetime.now(UTC), open_store(uri)
    with reaching(uri):
        # The folder before the log: a file that is published in between is named by then.
        old = [file for file in _data_files(store) if file.modified < now - timedelta(hours=retention_hours)]
        removed = _named(store)
        orphans = [file for file in old if file.key not in removed]
        expired = []
        if history_hours is not None:
            horizon = (now - timedelta(hours=history_hours)).timestamp() * 1000
            expired = [file for file in old if removed.get(file.key, horizon) < horizon]
        uploads = list(_unfinished_uploads(store, now - timedelta(hours=retention_hours)))
        if not dry_run:
            _remove(store, [*orphans, *expired], uploads)
    return VacuumReport(
        uri=uri,
        dry_run=dry_run,
        orphans=tuple(file.key for file in orphans),
        expired=tuple(file.key for file in expired),
        uploads=tuple(upload["Key"] for upload in uploads),
        bytes_freed=sum(file.size for file in [*orphans, *expired]),
    )


def _data_files(store: Store) -> Iterator[Entry]:
    return (file for file in store.list() if file.key.endswith(".parquet") and not file.key.startswith(f"{LOG}/"))


def _named(store: Store) -> dict[str, float]:
    """Every file that the log names, with the time in milliseconds when it was removed; for live ones infinity."""
    removed: dict[str, float] = {}
    for entry in store.list(LOG):
        for add, remove in _actions(store, entry.key):
            if add:
                removed.setdefault(unquote(add["path"]), 0)
            if remove:
                path = unquote(remove["path"])
                removed[path] = max(removed.get(path, 0), remove.get("deletionTimestamp") or 0)
    if (delta := open_delta(store)) is None:
        raise TableMissing(f"There is no table at {store.uri}.", hint="Nothing was removed.")
    live = delta.get_add_actions()
    removed |= _beside(store, delta.version())
    return removed | dict.fromkeys(map(unquote, live.column("path").to_pylist()), float("inf"))


def _beside(store: Store, version: int) -> dict[str, float]:
    """The same of files that commits name beside their rows; a restored version has its own again."""
    listed: dict[int, list[str]] = {}
    removed: dict[str, float] = {}
    now: list[str] = []
    for commit in reversed(list(commits(store, version))):
        if commit.restored_version is not None:
            following = listed.get(commit.restored_version, now)
        else:
            following = commit.metadata.get(BESIDE, now)
        at = commit.at.timestamp() * 1000
        removed |= dict.fromkeys(set(now) - set(following), at) | dict.fromkeys(following, float("inf"))
        listed[commit.version] = now = following
    return removed


def _actions(store: Store, key: str) -> Iterator[tuple[dict[str, Any] | None, dict[str, Any] | None]]:
    """(add, remove) of each action in a commit or checkpoint, a batch of rows at a time."""
    # A clean-up of the log may take a file that has just been listed; its checkpoint says the same.
    with suppress(FileNotFoundError), store.open(key) as file:
        if key.endswith(".json"):
            for line in file.readall().splitlines():
                action = json.loads(line)
                yield action.get("add"), action.get("remove")
        elif key.endswith(".parquet"):
            columns = ["add.path", "remove.path", "remove.deletionTimestamp"]
            for batch in pq.ParquetFile(file).iter_batches(columns=columns):
                for action in batch.to_pylist():
                    yield action["add"], action["remove"]


def _unfinished_uploads(store: Store, before: datetime) -> Iterator[dict[str, Any]]:
    if store.is_local:
        return
    bucket, _, prefix = store.root.partition("/")
    pages = object_client(store).get_paginator("list_multipart_uploads").paginate(Bucket=bucket, Prefix=f"{prefix}/")
    for page in pages:
        yield from (upload for upload in page.get("Uploads", ()) if upload["Initiated"] < before)


def _remove(store: Store, files: list[Entry], uploads: list[dict[str, Any]]) -> None:
    for file in files:
        store.delete(file.key)
    for upload in uploads:
        bucket, _, _ = store.root.partition("/")
        object_client(store).abort_multipart_upload(Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])
    if store.is_local:
        for folder in {Path(store.path_of(file.key)).parent for file in files if file.key.startswith("_staging/")}:
            with suppress(OSError):  # not empty: its try is still young
                folder.rmdir()
