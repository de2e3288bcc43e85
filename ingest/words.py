"""A job's configuration, and what is wrong with a row, in words."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from django.utils import timezone

from .models import (
    DeleteDetection,
    ErrorHandling,
    IncrementalMode,
    IngestJob,
    PartitionMode,
    SchemaMode,
    SourceType,
    Upload,
    WriteMode,
)

_DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar", " ": "space"}
_AUTH = {
    "basic": "with user and password",
    "bearer": "with a bearer token",
    "api_key": "with an API key",
    "oauth2_client_credentials": "with a token of OAuth 2",
}
_PAGES = {
    "none": "one answer",
    "page": "numbered pages",
    "offset": "pages by offset",
    "cursor": "pages by cursor",
    "next_link": "pages, each with the address of the next",
    "link_header": "pages by the header Link",
}


def in_words(job: IngestJob) -> list[tuple[str, str]]:
    """What the job does, as pairs of a heading and a sentence."""
    told = [
        ("Source", _source(job)),
        ("Format", _format(job)),
        ("Nested values", _nested(job)),
        ("Types", _types(job)),
        ("Names", _names(job)),
        ("Each run", _loading(job)),
        ("The rows", _writing(job)),
        ("Gone at the source", _deletes(job)),
        ("Loaded files", _loaded_files(job)),
        ("Files", _files(job)),
        ("Bad rows", _bad_rows(job)),
    ]
    return [(heading, sentence) for heading, sentence in told if sentence]


# --- where from ----------------------------------------------------------------------


def _source(job: IngestJob) -> str:
    part = next((value for value in job.config.values() if isinstance(value, dict)), {})
    return _SOURCES[SourceType(job.source_type)](part)


def _upload(part: dict[str, Any]) -> str:
    upload = Upload.objects.filter(pk=part.get("upload")).first() if part.get("upload") else None
    return f"the uploaded file {upload.name} ({upload.size:,} bytes)" if upload else "an upload that is gone"


def _folder(part: dict[str, Any]) -> str:
    return f"files on the server that match {part.get('path', '')}"


def _bucket(part: dict[str, Any]) -> str:
    return f"objects that match {part.get('s3_uri', '')}{_through(part)}"


def _database(part: dict[str, Any]) -> str:
    what = f"the table {part['table_name']}" if part.get("table_name") else "the rows of a query"
    return f"{what}{_through(part)}"


def _api(part: dict[str, Any]) -> str:
    pages = _PAGES.get((part.get("pagination") or {}).get("type", "none"), "pages")
    auth = _AUTH.get((part.get("auth") or {}).get("type", "none"), "")
    records = f", records at {part['records_path']}" if part.get("records_path") else ""
    return f"{part.get('method', 'GET')} {_host_and_path(part.get('url', ''))}: {pages}{records}" + (
        f", asked {auth}" if auth else _through(part)
    )


def _host_and_path(url: str) -> str:
    """Without the query, which may be long."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}{parts.path}" if parts.scheme else url


def _through(part: dict[str, Any]) -> str:
    return f", by the connection {part['connection']}" if part.get("connection") else ""


_SOURCES = {
    SourceType.FILE_UPLOAD: _upload,
    SourceType.FILE_LOCAL: _folder,
    SourceType.FILE_S3: _bucket,
    SourceType.DATABASE: _database,
    SourceType.API: _api,
}


# --- what they are -------------------------------------------------------------------


def _format(job: IngestJob) -> str:
    if job.source_type == SourceType.DATABASE:
        return "rows with the database’s types"
    options = (job.config.get("file") or job.config.get("api") or {}).get("csv") or {}
    if job.format == "excel":
        excel = (job.config.get("file") or {}).get("excel") or {}
        return f"Excel, the sheet {excel['sheet']}" if excel.get("sheet") else "Excel, the first sheet"
    if job.format != "csv":
        return job.get_format_display()
    delimiter = options.get("delimiter", ",")
    parts = [
        f"fields separated by {_DELIMITERS.get(delimiter, delimiter)}",
        "names in the first row" if options.get("has_header", True) else "no row of names",
        options.get("encoding", "utf-8"),
    ]
    if options.get("decimal") == ",":
        parts.append("decimal commas")
    if skipped := options.get("skip_rows"):
        parts.append(f"{skipped} lines passed over")
    return f"CSV: {', '.join(parts)}"


def _nested(job: IngestJob) -> str:
    part = next((value for value in job.config.values() if isinstance(value, dict)), {})
    words = {"flatten": "becomes columns", "json": "stays JSON text", "child_table": "becomes a table of its own"}
    return ", ".join(f"{value['path']} {words[value['keep_as']]}" for value in part.get("nested") or [])


def _types(job: IngestJob) -> str:
    if job.schema_mode == SchemaMode.USER:
        return f"as declared, {len(job.user_schema)} columns; a source that differs waits for a decision"
    if job.schema_mode == SchemaMode.EVOLVE:
        return "inferred; new columns are added, types may widen"
    return "as the source has them" if job.source_type == SourceType.DATABASE else "inferred from the files"


def _names(job: IngestJob) -> str:
    return ", ".join(f"{source} is called {table}" for source, table in job.column_mapping.items())


# --- what a run does -----------------------------------------------------------------


def _loading(job: IngestJob) -> str:
    if job.incremental_mode != IncrementalMode.INCREMENTAL:
        return "loads all that the source has"
    behind = f" at {job.last_watermark_value}" if job.last_watermark_value is not None else ""
    lag = f", looking {job.watermark_lag} back for rows that came late" if job.watermark_lag else ""
    return f"loads only what is newer by {job.watermark_column}, which is{behind or ' not set yet'}{lag}"


def _writing(job: IngestJob) -> str:
    keys = ", ".join(job.key_columns)
    if job.write_mode == WriteMode.MERGE:
        return f"update the rows with the same {keys}, and add those that are new"
    return "are added to the table" if job.write_mode == WriteMode.APPEND else "replace what is in the table"


def _deletes(job: IngestJob) -> str:
    if job.delete_detection == DeleteDetection.OFF:
        return ""
    what = "is marked with _deleted_at" if job.delete_detection == DeleteDetection.SOFT else "is removed"
    return f"a row whose {', '.join(job.key_columns)} the source no longer has {what}"


def _loaded_files(job: IngestJob) -> str:
    is_files = job.source_type in (SourceType.FILE_UPLOAD, SourceType.FILE_LOCAL, SourceType.FILE_S3)
    if not is_files or job.write_mode == WriteMode.OVERWRITE:
        return ""
    return "are skipped, told by their content" if job.skip_loaded_files else "are loaded again"


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
