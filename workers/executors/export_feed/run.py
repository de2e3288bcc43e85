"""The rows of a dataset as files for another system, with a manifest, and a receipt on the run.

The order of a run, and why it is right wherever the process dies:

1. The rows are staged and audited, and the files are written from what was
   staged: into hidden files, or as uploads that are not completed. Nobody sees
   anything yet. A run that dies here has delivered nothing and published
   nothing; its retry begins anew.
2. The table is committed, and the commit carries the receipt: names, sizes,
   checksums, and where each file waits. From now on the run has happened.
3. The files are shown, each in one step, then the manifest is replaced. Readers
   trust the manifest: until it changes they have the delivery before, whose
   checksums tell them when a file is already newer. A run that dies here is
   finished by its retry, which finds the receipt in the commit; what waited and
   is gone is written again from the committed version.

So a delivery is whole or not there, what is delivered is what the table has,
and a retry changes nothing that is done.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import polars as pl

from workers.access import NOTHING, Access
from workers.engines.polars import failing_clearly
from workers.errors import AuditFailed, InvalidSpec, OutcomeUnknown, QueryFailed
from workers.executors.clock import Clock
from workers.executors.refresh import Staged, Tables, run_refresh
from workers.ids import sequence_of
from workers.lake.stage import Staging, in_storage_types
from workers.lake.store import open_store
from workers.lake.table import open_table
from workers.progress import Progress, silent
from workers.results import StepResult
from workers.schema import parse_type, polars_schema
from workers.specs import Column
from workers.template_specs import ExportFeedSpec

from .files import write_rows
from .names import FeedNames, names_of
from .places import Place, file_names, manifest_in, place_of

Spec = ExportFeedSpec
MANIFEST_FORMAT = 1
MOST_FILES = 1_000  # of one delivery: the receipt names them all, in the commit and on the run


def run(spec: ExportFeedSpec, progress: Progress = silent, access: Access = NOTHING) -> StepResult:
    """Publish the rows as a table and deliver them as files; the receipt is in `facts["delivery"]`.

    Raises what `run_refresh` raises; `InvalidSpec` for a place where a feed
    must not write and `AuditFailed` for files of another feed under the same
    name, both with nothing written; `SourceUnavailable`, `SourceMissing` and
    `AddressRefused` for an object store. One that breaks off after the commit
    leaves the rest to a retry.
    """
    if spec.target.partition_by:
        raise InvalidSpec("The table of a feed has no partitions.", hint="Empty partition_by.")
    place, names = place_of(spec.destination, spec.lake_uri, spec.connection, access), _names(spec)
    prepared: list[dict[str, Any]] = []

    def make(tables: Tables, staging: Staging, clock: Clock) -> Staged:
        _check_owner(spec, names, place)
        progress("read", message=f"Reading {spec.inputs[0].dataset}")
        with clock("read"), failing_clearly():
            staging.sink(_rows(spec, tables))
        uris, rows = [file.uri for file in staging.files], sum(file.rows for file in staging.files)
        _check_number(spec, rows)
        place.clean()
        with clock("write"):
            prepared.extend(_prepare(spec, names, place, uris, rows, progress))
        return Staged(facts={"delivery": _receipt(spec, names, prepared)})

    try:
        result = run_refresh(spec, progress, make)
    except OutcomeUnknown:
        raise  # the commit may stand, and then a retry needs what waits
    except Exception:
        for file in prepared:
            place.discard(file["name"], file["prepared"])
        raise
    progress("deliver", done=0, total=len(result.facts["delivery"]["files"]))
    delivery = _deliver(spec, names, place, result)
    return replace(result, facts={**result.facts, "delivery": delivery})


def first_rows(spec: ExportFeedSpec, tables: Tables, limit: int) -> pl.DataFrame:
    """The first rows of the feed, typed."""
    return _rows(spec, tables).head(limit).collect(engine="streaming")


# --- the rows ----------------------------------------------------------------------------


def _rows(spec: ExportFeedSpec, tables: Tables) -> pl.LazyFrame:
    rows = tables[spec.inputs[0].alias].scan()
    found = {name.lower(): (name, dtype) for name, dtype in rows.collect_schema().items()}
    if missing := [column.name for column in spec.columns if column.name.lower() not in found]:
        raise QueryFailed(f"{spec.inputs[0].dataset} has no column {', '.join(missing)} any more.")
    rows = rows.select(_as_declared(*found[column.name.lower()], column) for column in spec.columns)
    if not spec.order_by:
        return rows
    wanted = [name.removeprefix("-") for name in spec.order_by]
    falling = [name.startswith("-") for name in spec.order_by]
    return rows.sort(wanted, descending=falling, nulls_last=True, maintain_order=True)


def _as_declared(name: str, found: pl.DataType, column: Column) -> pl.Expr:
    wanted, value = parse_type(column.type), pl.col(name)
    if isinstance(wanted, pl.Decimal) and (found.is_decimal() or found.is_float()):
        value = value.round(wanted.scale, mode="half_away_from_zero")  # as queries do
    return (value if found == wanted else value.cast(wanted, strict=True)).alias(column.name)


def _scan(spec: ExportFeedSpec, uris: Iterable[str]) -> pl.LazyFrame:
    """The rows of data files, in the order in which they were staged."""
    ordered = sorted(uris)
    if not ordered:
        return in_storage_types(pl.LazyFrame(schema=polars_schema(spec.columns)))
    options = open_store(spec.target.uri).storage_options or None
    rows = pl.scan_parquet(ordered, glob=False, storage_options=options)
    return rows.select(column.name for column in spec.columns)


# --- the files ---------------------------------------------------------------------------


def _names(spec: ExportFeedSpec) -> FeedNames:
    return names_of(
        spec.file_name,
        spec.run_id,
        spec.run_time.astimezone(UTC).date(),
        "none" if spec.format == "parquet" else spec.options.compression,
        is_split=bool(spec.max_rows_per_file),
    )


def _check_number(spec: ExportFeedSpec, rows: int) -> None:
    """Raises `AuditFailed` for rows that would be more files than a delivery may have."""
    if spec.max_rows_per_file and rows > MOST_FILES * spec.max_rows_per_file:
        raise AuditFailed(
            f"{rows:,} rows by {spec.max_rows_per_file:,} are more than {MOST_FILES:,} files. Nothing was written.",
            hint="Raise max_rows_per_file.",
        )


def _prepare(
    spec: ExportFeedSpec, names: FeedNames, place: Place, uris: list[str], rows: int, progress: Progress
) -> Iterable[dict[str, Any]]:
    """Write every file to where nobody sees it. What is written when an error comes is handed out before it."""
    size = spec.max_rows_per_file or max(rows, 1)
    for number, start in enumerate(range(0, max(rows, 1), size), 1):
        part = _scan(spec, uris).slice(start, size) if spec.max_rows_per_file else _scan(spec, uris)
        progress("write", done=start, total=rows)
        yield _prepared(spec, place, names.file(number), part, min(size, rows - start))


def _prepared(spec: ExportFeedSpec, place: Place, name: str, part: pl.LazyFrame, rows: int) -> dict[str, Any]:
    sink = place.open(name, spec.run_id)
    try:
        written = write_rows(part, spec.format, spec.options, sink)
        waiting = sink.close()
    except BaseException:
        sink.abort()
        raise
    return {"name": name, "rows": rows, "size_bytes": written.size, "sha256": written.sha256, "prepared": waiting}


def _receipt(spec: ExportFeedSpec, names: FeedNames, files: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "format": spec.format,
        "compression": spec.options.compression,
        "destination": spec.destination.removeprefix(f"{spec.lake_uri}/"),
        "connection": spec.connection,
        "manifest": names.manifest,
        "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "rows": sum(file["rows"] for file in files),
        "size_bytes": sum(file["size_bytes"] for file in files),
        "files": files,
    }


def _check_owner(spec: ExportFeedSpec, names: FeedNames, place: Place) -> None:
    before = manifest_in(place.read(names.manifest))
    if before and before.get("dataset") != spec.target.dataset:
        raise AuditFailed(
            f"{names.manifest} in {spec.destination} is of {before.get('dataset')}. Nothing was written.",
            hint="Choose another file name or another folder for one of the two feeds.",
        )


# --- after the commit ----------------------------------------------------------------------


def _deliver(spec: ExportFeedSpec, names: FeedNames, place: Place, result: StepResult) -> dict[str, Any]:
    """Show what the receipt in the commit tells of; the receipt as it is then, with what was removed."""
    receipt = dict(result.facts["delivery"])
    waiting, before = receipt["files"], manifest_in(place.read(names.manifest))
    receipt["files"] = [{k: v for k, v in file.items() if k != "prepared"} for file in waiting]
    if before and _is_later(before, spec):
        # This run was held up while a later one delivered: what that one has shown must stay.
        for file in waiting:
            place.discard(file["name"], file["prepared"])
        return {**receipt, "superseded_by": before["run_id"]}
    kept = {file["name"] for file in waiting}
    if before and before["run_id"] == spec.run_id:  # an earlier try came as far as the manifest
        return {**receipt, "removed": _remove(place, names, before.get("replaces"), kept)}
    for number, file in enumerate(waiting):
        if not place.show(file["name"], file["prepared"], file["size_bytes"], file["sha256"]):
            receipt["files"][number] = _written_again(spec, place, result, file, number)
    place.settle()
    receipt["size_bytes"] = sum(file["size_bytes"] for file in receipt["files"])
    replaces = [name for name in (file_names(before) if before else ()) if name not in kept]
    manifest = {**_manifest(spec, result, receipt), "replaces": replaces}
    place.write(names.manifest, json.dumps(manifest, indent=1).encode())
    return {**receipt, "removed": _remove(place, names, replaces, kept)}


def _remove(place: Place, names: FeedNames, replaced: Any, kept: set[str]) -> list[str]:
    """Delete the parts that the delivery before had more.

    A manifest lies where others may write: only what this feed may have called so is deleted.
    """
    given = [name for name in replaced or () if isinstance(name, str)]
    removed = [name for name in given if name not in kept and names.has_given(name)]
    for name in removed:
        place.delete(name)
    place.settle()
    return removed


def _is_later(manifest: dict[str, Any], spec: ExportFeedSpec) -> bool:
    try:
        return sequence_of(manifest["run_id"]) > sequence_of(spec.run_id)
    except ValueError:
        return False


def _written_again(
    spec: ExportFeedSpec, place: Place, result: StepResult, file: dict[str, Any], number: int
) -> dict[str, Any]:
    """The file from the committed version, whose rows are the same."""
    uris = [each.uri for each in open_table(spec.target.uri, result.published.version).data_files]
    size = spec.max_rows_per_file or max(result.rows_written, 1)
    anew = _prepared(spec, place, file["name"], _scan(spec, uris).slice(number * size, size), file["rows"])
    place.show(anew["name"], anew["prepared"], anew["size_bytes"], anew["sha256"])
    return {k: v for k, v in anew.items() if k != "prepared"}


def _manifest(spec: ExportFeedSpec, result: StepResult, receipt: dict[str, Any]) -> dict[str, Any]:
    kept = ("format", "compression", "created_at", "rows", "size_bytes", "files")
    return {
        "manifest_format": MANIFEST_FORMAT,
        "dataset": spec.target.dataset,
        "version": result.published.version,
        "run_id": spec.run_id,
        "inputs": {each.dataset: each.version for each in spec.inputs},
        "columns": [{"name": c.name, "type": c.type, "nullable": c.nullable} for c in spec.columns],
        **{name: receipt[name] for name in kept},
    }
