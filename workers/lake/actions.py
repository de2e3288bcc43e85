"""The actions of a commit, made from staged files and from those they replace."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import quote

from deltalake import CommitProperties, Transaction
from deltalake.transaction import AddAction, RemoveAction, create_table_with_add_actions

from ..ids import sequence_of
from ..specs import Column, TableTarget
from .evolve import delta_schema
from .paths import partition_text
from .stage import StagedFile
from .table import DataFile


def properties(target: TableTarget, run_id: str, note: Mapping[str, Any]) -> CommitProperties:
    """What every commit of a run carries, and no retries: delta-rs would not ask again what we asked."""
    facts = {"run_id": run_id, "dataset": target.dataset, **note}
    return CommitProperties(
        max_commit_retries=0,
        custom_metadata={f"assay.{name}": json.loads(json.dumps(value, default=str)) for name, value in facts.items()},
        app_transactions=[Transaction(target.dataset, sequence_of(run_id))],
    )


def adds(files: Iterable[StagedFile]) -> list[AddAction]:
    now = _now()
    return [
        AddAction(
            path=file.path,  # not encoded: delta-rs does that
            size=file.size,
            partition_values=file.partition_values,
            modification_time=now,
            data_change=True,
            stats=_plain(file.stats),
        )
        for file in files
    ]


def removes(files: Iterable[DataFile]) -> list[RemoveAction]:
    return [
        RemoveAction(path=file.path, data_change=True, deletion_timestamp=_now(), size=file.size, partition_values=told)
        for file, told in ((file, _texts(file)) for file in files)
    ]


def table_entry(
    target: TableTarget,
    columns: tuple[Column, ...],
    files: Iterable[StagedFile],
    replaced: Iterable[DataFile] | None,
    commit_properties: CommitProperties,
) -> bytes:
    """The log entry that makes a table of these files, or remakes it from `replaced`.

    delta-rs writes it into a scratch folder and we put it in place, because its
    own creation is not exclusive: of two processes that create a table at once
    the second commits on top of the first, whatever number of retries it is given.
    """
    with TemporaryDirectory(prefix="assay-") as scratch:
        create_table_with_add_actions(
            scratch,
            delta_schema(columns),
            adds(files),
            partition_by=list(target.partition_by),
            commit_properties=commit_properties,
        )
        lines = Path(scratch, "_delta_log", f"{0:020d}.json").read_text("utf-8").strip("\n").split("\n")
    info = json.loads(lines[0])
    info["commitInfo"]["operationParameters"]["location"] = target.uri
    if replaced is not None:
        info["commitInfo"]["operation"] = "CREATE OR REPLACE TABLE"
        # The table keeps its protocol: a lower one would lock out who reads its older versions.
        lines = [line for line in lines if not line.startswith('{"protocol"')]
        lines += [_plain({"remove": _removal(file)}) for file in replaced]
    return "\n".join([_plain(info), *lines[1:]]).encode()


def _removal(file: DataFile) -> dict[str, Any]:
    return {
        "path": quote(file.path, safe="/="),
        "dataChange": True,
        "deletionTimestamp": _now(),
        "extendedFileMetadata": True,
        "partitionValues": _texts(file),
        "size": file.size,
    }


def _texts(file: DataFile) -> dict[str, str | None]:
    return {name: partition_text(value) for name, value in file.partition_values.items()}


def _plain(action: dict[str, Any]) -> str:
    # Polars misreads an escaped pair of surrogates, and would skip files that hold such a text.
    return json.dumps(action, ensure_ascii=False)


def _now() -> int:
    return int(time.time() * 1000)
