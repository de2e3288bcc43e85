"""A source in, one version of a Bronze table out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from workers.access import NOTHING, Access
from workers.executors.clock import Clock
from workers.lake.landing import Landed, LandedFile, Landing
from workers.lake.publish import already_published, publish
from workers.lake.stage import Staging
from workers.lake.table import Table, open_table, table_exists
from workers.progress import Progress, silent
from workers.readers import READERS
from workers.readers.base import PlainFile
from workers.readers.names import aligned
from workers.readers.unpack import plain_files
from workers.results import FileRead, Published, SchemaChange, StepResult
from workers.sources import source_of
from workers.specs import IngestSpec

from .change import Refused, RunChange
from .contract import as_facts, from_facts, misfits_of, with_refused
from .files import choose_files, holds_nothing, nothing_new, nothing_yet
from .incremental import Cursor, Sieve, cursor_of, is_window, sieve_of
from .nested import ChildTables, children_of
from .quarantine import check_threshold, refuse, refused_rows, write_quarantine
from .rows import Reading, stage_rows
from .schema import KnownTable, Resolution, known_table, resolve, rewidened, tolerance


def run_ingest(spec: IngestSpec, progress: Progress = silent, access: Access = NOTHING) -> StepResult:
    """Land what the source has, type its rows, set aside what is no row, audit, and publish the rest in one commit.

    The table gets the source's columns and `_ingested_at`, `_run_id`,
    `_source_file` and, when it is partitioned by it, `_ingest_date`. Blank
    lines are no rows. A run that has published is only reported again. Where
    an API has no records yet there is no table to make: nothing is published.

    Raises, each with nothing published: `SourceMissing`, `UnreadableSource`,
    `MissingColumns`, `BadRows` (a row was refused and the job allows none, or
    too many were), `RowsDoNotBalance`, and whatever the lake raises.
    """
    if before := already_published(spec.target, spec.run_id):
        return _reported(spec, before)
    clock = Clock()
    table = known_table(spec)
    spec = table.settle(spec)
    with clock("land"):
        landed = land(spec, access, progress)
        chosen = choose_files(spec, landed, access)
    if chosen.note:
        progress("read", message=chosen.note)
    if spec.source.type == "files" and not chosen.to_read:
        return nothing_new(spec, landed, chosen, _in_lake(spec, landed.path))
    with TemporaryDirectory(prefix="assay-ingest-") as name, Staging(spec.target, spec.run_id) as staging:
        folder = Path(name)
        with clock("read"):
            progress("read", total=sum(file.size for file in chosen.to_read))
            files = open_landed(spec, chosen.to_read, folder)
            if holds_nothing(spec, files):
                progress("read", message="The source has no records yet, so there is no table to make.")
                return nothing_yet(spec, landed, _in_lake(spec, landed.path))
            work = _read(spec, table, files, staging, folder, progress)
        with clock("audit"):
            progress("audit")
            facts, refused = _set_aside(spec, work, folder)
        facts |= {
            "landing_path": _in_lake(spec, landed.path),
            "schema_changes": [asdict(c) for c in work.resolution.changes if c.column not in work.children.columns],
            "files": [asdict(file) for file in chosen.told],
        }
        change = RunChange(
            spec,
            landed=landed,
            reading=work.reading,
            staged=staging,
            plans=work.children.left(work.resolution.plans),
            cursor=work.cursor,
            sieve=work.sieve,
            refused=refused,
        )
        with clock("publish"), change:
            progress("publish", total=sum(file.rows for file in staging.files))
            published = _publish(spec, work, change, facts)
    return replace(_reported(spec, published), phases=clock.seconds)


def _publish(spec: IngestSpec, work: _Work, change: RunChange, facts: dict[str, Any]) -> Published:
    """One commit; the tables of the lists in the records come before their parents'."""
    return publish(
        spec.target,
        run_id=spec.run_id,
        mode="replace_window" if is_window(spec) and spec.write_mode == "append" else spec.write_mode,
        columns=work.children.left(work.resolution.table_columns(spec)),
        metadata=facts,
        change=work.children.before(change, work.reading.aside) if work.children else change,
    )


def land(spec: IngestSpec, access: Access, progress: Progress = silent) -> Landed:
    """What the run's landing holds: brought there now, or by an earlier try of the run."""
    landing = Landing(spec.landing_uri, spec.run_id, spec.ingested_at)
    return landing.landed() or source_of(spec).land(spec, landing, access, progress)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Work:
    """What reading settled and left behind."""

    resolution: Resolution
    cursor: Cursor | None
    sieve: Sieve
    children: ChildTables
    reading: Reading


def _read(
    spec: IngestSpec,
    table: KnownTable,
    files: Sequence[PlainFile],
    staging: Staging,
    folder: Path,
    progress: Progress,
) -> _Work:
    sample = READERS[spec.format].sample(files, spec)
    resolution = resolve(spec, files, sample, table)
    for note in resolution.notes:
        progress("read", message=note)
    found = dict.fromkeys(name for file in files for name in file.header)
    while True:
        cursor = cursor_of(spec, resolution.plans, found)
        sieve = sieve_of(spec, cursor, _table(spec))
        children = ChildTables(spec, cursor, resolution.plans)
        reading = stage_rows(spec, files, sample, resolution.plans, staging, folder, sieve, children)
        misfits = misfits_of(refused_rows(reading, spec.run_id))
        if not (wider := rewidened(spec, resolution, misfits, table, reading.received)):
            return _Work(resolution=resolution, cursor=cursor, sieve=sieve, children=children, reading=reading)
        # Only behind the sample did it show that types are too narrow.
        staging.discard()
        resolution = wider


def _table(spec: IngestSpec) -> Table | None:
    return Table(spec.target.uri) if table_exists(spec.target.uri) else None


def open_landed(
    spec: IngestSpec, landed: Sequence[LandedFile], folder: Path, glance_bytes: int | None = None
) -> list[PlainFile]:
    """The files ready to be read: unpacked, in UTF-8, their columns known and spelled as the table spells them."""
    encoding = spec.csv.encoding if spec.format == "csv" else "utf-8"
    is_excel = spec.format == "excel"  # of half a workbook nothing can be read
    limit = None if is_excel else glance_bytes
    plain = plain_files(landed, folder, encoding, limit, are_workbooks=is_excel)
    files = READERS[spec.format].open_files(plain, spec, folder, is_glance=glance_bytes is not None)
    headers = aligned((file.header for file in files), (column.name for column in spec.columns), spec.renames)
    return [replace(file, header=header) for file, header in zip(files, headers, strict=True)]


def _set_aside(spec: IngestSpec, work: _Work, folder: Path) -> tuple[dict[str, Any], Refused]:
    """What the run tells of its refused rows, and what they mean for it. Raises `BadRows` where none is allowed."""
    plans, received = work.resolution.plans, work.reading.received
    rows = refused_rows(work.reading, spec.run_id, plans)
    contract = with_refused(work.resolution.contract, rows, plans, received, tolerance(spec))
    if spec.error_handling == "fail":
        refuse(spec, rows, contract)
        path, count, reasons = "", 0, {}
    else:
        path, count, reasons = write_quarantine(spec, rows, folder)
    check = partial(check_threshold, spec, rows=count, reasons=reasons, path=path, contract=contract)
    told = {"quarantine_path": _in_lake(spec, path), "reasons": reasons, "contract_changes": as_facts(contract)}
    return told, Refused(rows=count, check=check)


def _in_lake(spec: IngestSpec, uri: str) -> str:
    """The address relative to the lake, whose root is what stands in front of the job's landing folder."""
    return uri.removeprefix(spec.landing_uri.rstrip("/").removesuffix(f"landing/{spec.workflow}/{spec.job}"))


def _reported(spec: IngestSpec, published: Published) -> StepResult:
    """The result from what the commit carries, so that a run reports the same however often it is asked."""
    facts = next(commit for commit in open_table(spec.target.uri).history() if commit.run_id == spec.run_id).metadata
    watermark = facts.get("watermark") or {}
    return StepResult(
        rows_read=facts["rows_read"],
        rows_written=facts["rows_written"],
        quarantined_rows=facts["quarantined_rows"],
        published=published,
        columns=open_table(spec.target.uri, published.version).columns,
        schema_changes=tuple(SchemaChange(**change) for change in facts["schema_changes"]),
        landing_path=facts["landing_path"],
        quarantine_path=facts["quarantine_path"],
        reasons=facts["reasons"],
        checks=tuple(facts["checks"]),
        contract_changes=from_facts(facts["contract_changes"]),
        skipped=facts["skipped"],
        deleted_rows=facts["deleted_rows"],
        watermark=watermark.get("value"),
        files=tuple(FileRead(**file) for file in facts["files"]),
        children=children_of(facts),
        facts=facts["facts"],
    )
