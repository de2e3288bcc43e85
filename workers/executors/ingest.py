"""A source in, one version of a Bronze table out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ..access import NOTHING, Access
from ..checks.balance import check_balance
from ..lake.landing import Landed, LandedFile, Landing
from ..lake.publish import already_published, publish
from ..lake.stage import Staging
from ..lake.table import open_table
from ..progress import Progress, silent
from ..readers import READERS
from ..readers.base import PlainFile
from ..readers.names import aligned
from ..readers.unpack import plain_files
from ..results import Published, SchemaChange, StepResult
from ..sources import source_of
from ..specs import IngestSpec
from .clock import Clock
from .ingest_quarantine import check_threshold, refuse, refused_rows, write_quarantine
from .ingest_rows import Reading, stage_rows
from .ingest_schema import Resolution, resolve


def run_ingest(spec: IngestSpec, progress: Progress = silent, access: Access = NOTHING) -> StepResult:
    """Land what the source has, type its rows, set aside what is no row, audit, and publish the rest in one commit.

    The table gets the source's columns and `_ingested_at`, `_run_id`,
    `_source_file` and, when it is partitioned by it, `_ingest_date`. Blank
    lines are no rows. A run that has published is only reported again.

    Raises, each with nothing published: `SourceMissing`, `UnreadableSource`,
    `MissingColumns`, `BadRows` (a row was refused and the job allows none, or
    too many were), `RowsDoNotBalance`, and whatever the lake raises.
    """
    if before := already_published(spec.target, spec.run_id):
        return _reported_again(spec, before)
    clock = Clock()
    with clock("land"):
        landed = land(spec, access, progress)
    with TemporaryDirectory(prefix="assay-ingest-") as name, Staging(spec.target, spec.run_id) as staging:
        folder = Path(name)
        with clock("read"):
            progress("read", total=sum(file.size for file in landed.files))
            resolution, reading = _read(spec, landed, staging, folder, progress)
        with clock("audit"):
            progress("audit")
            facts = _audit(spec, reading, staging, folder)
        facts |= {
            "landing_path": _in_lake(spec, landed.path),
            "schema_changes": [asdict(change) for change in resolution.changes],
        }
        with clock("publish"):
            progress("publish", total=facts["rows_written"])
            published = publish(
                spec.target,
                staging.files,
                run_id=spec.run_id,
                mode=spec.write_mode,
                columns=resolution.table_columns(spec),
                metadata=facts,
            )
    return _result(spec, facts, published, clock.seconds)


def land(spec: IngestSpec, access: Access, progress: Progress = silent) -> Landed:
    """What the run's landing holds: brought there now, or by an earlier try of the run."""
    landing = Landing(spec.landing_uri, spec.run_id, spec.ingested_at)
    return landing.landed() or source_of(spec).land(spec, landing, access, progress)


def _read(
    spec: IngestSpec, landed: Landed, staging: Staging, folder: Path, progress: Progress
) -> tuple[Resolution, Reading]:
    files = open_landed(spec, landed.files, folder)
    sample = READERS[spec.format].sample(files, spec)
    resolution = resolve(spec, files, sample)
    for note in resolution.notes:
        progress("read", message=note)
    return resolution, stage_rows(spec, files, sample, resolution.plans, staging, folder)


def open_landed(
    spec: IngestSpec, landed: Sequence[LandedFile], folder: Path, glance_bytes: int | None = None
) -> list[PlainFile]:
    """The files ready to be read: unpacked, in UTF-8, their columns known and spelled as the table spells them."""
    encoding = spec.csv.encoding if spec.format == "csv" else "utf-8"
    plain = plain_files(landed, folder, encoding, glance_bytes)
    files = READERS[spec.format].open_files(plain, spec, folder, is_glance=glance_bytes is not None)
    headers = aligned((file.header for file in files), (column.name for column in spec.columns))
    return [replace(file, header=header) for file, header in zip(files, headers, strict=True)]


def _audit(spec: IngestSpec, reading: Reading, staging: Staging, folder: Path) -> dict[str, Any]:
    """The run's facts, once they hold. Raises `BadRows` and `RowsDoNotBalance`."""
    refused = refused_rows(reading, spec.run_id)
    if spec.error_handling == "fail":
        refuse(spec, refused)
        quarantine, quarantined, reasons = "", 0, {}
    else:
        quarantine, quarantined, reasons = write_quarantine(spec, refused, folder)
    written = sum(file.rows for file in staging.files)
    check = check_balance(reading.rows_read, written, quarantined)
    check_threshold(spec, reading.rows_read, quarantined, reasons, quarantine)
    return {
        "rows_read": reading.rows_read,
        "rows_written": written,
        "quarantined_rows": quarantined,
        "quarantine_path": _in_lake(spec, quarantine),
        "reasons": reasons,
        "checks": [check],
    }


def _in_lake(spec: IngestSpec, uri: str) -> str:
    """The address relative to the lake, whose root is what stands in front of the job's landing folder."""
    return uri.removeprefix(spec.landing_uri.rstrip("/").removesuffix(f"landing/{spec.workflow}/{spec.job}"))


def _reported_again(spec: IngestSpec, published: Published) -> StepResult:
    commit = next(commit for commit in open_table(spec.target.uri).history() if commit.run_id == spec.run_id)
    return _result(spec, commit.metadata, published, {})


def _result(spec: IngestSpec, facts: dict[str, Any], published: Published, seconds: dict[str, float]) -> StepResult:
    """The result from what the commit carries, so that a run reports the same however often it is asked."""
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
        phases=seconds,
    )
