"""A job's configuration, and what is wrong with a row, in words."""

from __future__ import annotations

from django.utils import timezone

from .models import ErrorHandling, IngestJob, PartitionMode, SchemaMode, SourceType, Upload, WriteMode

_DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar", " ": "space"}


def in_words(job: IngestJob) -> list[tuple[str, str]]:
    """What the job does, as pairs of a heading and a sentence."""
    return [
        ("Source", _source(job)),
        ("Format", _format(job)),
        ("Types", _types(job)),
        ("Each run", _writing(job)),
        ("Files", _files(job)),
        ("Bad rows", _bad_rows(job)),
    ]


def _source(job: IngestJob) -> str:
    part = job.config.get("file") or {}
    if job.source_type == SourceType.FILE_UPLOAD:
        upload = Upload.objects.filter(pk=part.get("upload")).first() if part.get("upload") else None
        return f"the uploaded file {upload.name} ({upload.size:,} bytes)" if upload else "an upload that is gone"
    if job.source_type == SourceType.FILE_LOCAL:
        return f"files on the server that match {part.get('path', '')}"
    return f"{job.get_source_type_display()}: can be kept, but not run by this version"


def _format(job: IngestJob) -> str:
    options = (job.config.get("file") or {}).get("csv") or {}
    if job.format != "csv":
        return job.get_format_display()
    delimiter = options.get("delimiter", ",")
    parts = [
        f"fields separated by {_DELIMITERS.get(delimiter, delimiter)}",
        "names in the first row" if options.get("has_header", True) else "no row of names",
        options.get("encoding", "utf-8"),
    ]
    if skipped := options.get("skip_rows"):
        parts.append(f"{skipped} lines passed over")
    return f"CSV: {', '.join(parts)}"


def _types(job: IngestJob) -> str:
    if job.schema_mode == SchemaMode.USER:
        return f"as declared, {len(job.user_schema)} columns"
    if job.schema_mode == SchemaMode.EVOLVE:
        return "inferred; new columns are added, types may widen"
    return "inferred from the files"


def _writing(job: IngestJob) -> str:
    return "adds to the table" if job.write_mode == WriteMode.APPEND else "replaces what is in the table"


def _files(job: IngestJob) -> str:
    return f"{example_path(job)}, {job.compression}"


def example_path(job: IngestJob) -> str:
    """Where a file of today's run lies in the lake."""
    table = f"bronze/{job.workflow.slug}/{job.name or '…'}/"
    if job.partition_mode != PartitionMode.DATE:
        return f"{table}….parquet"
    today = timezone.now()
    folders = job.partition_pattern
    for token, code in (("yyyy", "%Y"), ("MM", "%m"), ("dd", "%d"), ("HH", "%H")):
        folders = folders.replace(token, f"{today:{code}}")
    return f"{table}{folders}/_ingest_date={today:%Y-%m-%d}/….parquet"


def _bad_rows(job: IngestJob) -> str:
    if job.error_handling == ErrorHandling.FAIL:
        return "the first one fails the run; nothing is published"
    return f"set aside in {job.quarantine_path}; more than {job.bad_row_threshold:.0%} fail the run"
