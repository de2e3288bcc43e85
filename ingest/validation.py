"""What is wrong with an ingest job: one list for API, admin, pages and `apply`."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from assay.common.columns import column_problems
from assay.common.options import read_options
from assay.common.problems import Problem
from assay.common.sealing import dotted, secrets_in
from assay.common.secrets import MASK
from ops.connections import services as connections
from ops.job_rules import name_problems
from workers.errors import InvalidSpec
from workers.watermark import lag_of

from .sources import PARTS, SOURCES, FileOptions, IngestConfig, Source
from .sources.nested import namesake_problems, nested_problems

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser

    from .models import IngestJob

# Bronze adds them to what the source sent.
PROVENANCE = ("_ingested_at", "_run_id", "_source_file", "_ingest_date", "_deleted_at")
LAYERS = ("landing", "bronze", "silver", "gold")
_TOKEN = re.compile("yyyy|MM|dd|HH")
_PATTERN = re.compile(rf"(?:{_TOKEN.pattern})(?:[/_-]?(?:{_TOKEN.pattern}))*")


def problems_of(job: IngestJob) -> list[Problem]:
    """Every fault, each at the path of its field. A value that is not among a field's choices is Django's to refuse."""
    return [
        *name_problems(job),
        *namesake_problems(job),
        *_config_problems(job),
        *_moved_secret_problems(job),
        *_schema_problems(job),
        *_partition_problems(job),
        *_incremental_problems(job),
        *_key_problems(job),
        *_quarantine_problems(job),
    ]


def fill_in(job: IngestJob, given: Collection[str]) -> None:
    """Set the fields whose default hangs on other fields, except those that a person gave."""
    if "write_mode" not in given:
        job.write_mode = "append" if job.incremental_mode == "incremental" else "overwrite"
    if "format" not in given and job.source_type == "api":
        job.format = "json"
    if "quarantine_path" not in given and job.error_handling == "quarantine" and not job.quarantine_path:
        job.quarantine_path = f"quarantine/{job.workflow.slug}/{job.name}"


# --- config ------------------------------------------------------------------------


def _config_problems(job: IngestJob) -> Iterator[Problem]:
    source = SOURCES.get(job.source_type)
    if source is None:
        return
    if not isinstance(job.config, dict):
        yield Problem("config", "This must be an object.", "wrong_type")
        return
    yield from _part_problems(job, source.part)
    if job.format not in source.formats:
        allowed = ", ".join(source.formats)
        yield Problem("format", f"A source of type {source.name} has no format {job.format}, but {allowed}.", "invalid")
    part = job.config.get(source.part)
    if part is None:
        return
    path = f"config.{source.part}"
    options, faults = read_options(source.options, part, path)
    yield from faults
    if options is not None:
        yield from _connection_problems(source, options, path)
        yield from source.problems(options, path)
        yield from _format_problems(job.format, options, path)
        yield from nested_problems(job, options, path)


def _connection_problems(source: Source, options: Any, path: str) -> Iterator[Problem]:
    name = getattr(options, "connection", None)
    if name and (detail := connections.problem_with(name, source.connection_kinds)):
        yield Problem(f"{path}.connection", detail, "unknown_connection")


def use_problems(job: IngestJob, before: dict[str, Any], user: AbstractBaseUser) -> list[Problem]:
    """The saver must be one who may use the job's connection, unless config is what it was `before`."""
    source = SOURCES.get(job.source_type)
    part = job.config.get(source.part) if source and isinstance(job.config, dict) else None
    name = part.get("connection") if isinstance(part, dict) else None
    if not name or job.config == before or connections.may_use(user, name):
        return []
    detail = f"You may not use the connection “{name}”. Ask somebody who may change connections."
    return [Problem(f"config.{source.part}.connection", detail, "not_allowed")]


def _moved_secret_problems(job: IngestJob) -> Iterator[Problem]:
    """A kept secret goes only where it went before: else whoever edits a job could send it to themselves."""
    before = type(job).objects.filter(pk=job.pk).first() if job.pk else None
    moved_to = _destinations(job.config) - _destinations(before.config) if before else set()
    if not moved_to:
        return
    stored, given = before.secrets, job.secrets
    for steps, value in secrets_in(IngestConfig, job.config):
        path = dotted(steps)
        is_new = isinstance(given, dict) and isinstance(stored, dict) and given.get(path) != stored.get(path)
        if value == MASK and not is_new:
            detail = f"The job asks {', '.join(sorted(moved_to))} now. Enter the secret again to send it there."
            yield Problem(f"config.{path}", detail, "secret_needed_again")


def _destinations(config: Any) -> set[str]:
    """Where an API job sends its secrets: servers and connections."""
    part = config.get("api") if isinstance(config, dict) else None
    if not isinstance(part, dict):
        return set()
    auth = part.get("auth") if isinstance(part.get("auth"), dict) else {}
    servers = {_server(url) for url in (part.get("url"), auth.get("token_url")) if isinstance(url, str)}
    return {*servers, str(part.get("connection") or "")} - {""}


def _server(url: str) -> str:
    """Scheme, host and port; nothing of an address that is relative to a connection's."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return url
    return f"{parts.scheme}://{parts.netloc}" if parts.netloc else ""


def _part_problems(job: IngestJob, own: str) -> Iterator[Problem]:
    """The own part of config is there, no other is, and nothing else either. Null is the same as left out."""
    if job.config.get(own) is None:
        yield Problem(f"config.{own}", f"A source of type {job.source_type} needs config.{own}.", "required")
    for name, value in job.config.items():
        if name not in PARTS:
            yield Problem(
                f"config.{name}", f"There is no part “{name}” of config. Known are {', '.join(PARTS)}.", "unknown_field"
            )
        elif name != own and value is not None:
            detail = f"A source of type {job.source_type} has config.{own} and no config.{name}."
            yield Problem(f"config.{name}", detail, "not_allowed")


def _format_problems(format_name: str, options: Any, path: str) -> Iterator[Problem]:
    is_file = isinstance(options, FileOptions)
    if is_file and options.csv is not None and format_name != "csv":
        yield Problem(f"{path}.csv", f"The format is {format_name}: CSV options say nothing about it.", "not_allowed")
    if is_file and options.excel is not None and format_name != "excel":
        yield Problem(f"{path}.excel", f"The format is {format_name}: it has no sheets.", "not_allowed")
    if is_file and options.records_path and format_name != "json":
        yield Problem(f"{path}.records_path", "Only a JSON document has a records_path.", "not_allowed")


# --- the other fields ----------------------------------------------------------------


def _schema_problems(job: IngestJob) -> Iterator[Problem]:
    yield from column_problems(job.user_schema, "user_schema", PROVENANCE)
    if job.schema_mode == "user" and job.user_schema == []:
        yield Problem("user_schema", "schema_mode “user” needs at least one column.", "required")


def _partition_problems(job: IngestJob) -> Iterator[Problem]:
    tokens = _TOKEN.findall(job.partition_pattern)
    if not _PATTERN.fullmatch(job.partition_pattern) or len(tokens) != len(set(tokens)):
        detail = "Write yyyy, MM, dd and HH, each at most once, parted by / - _ or nothing, as in yyyy/MM/dd."
        yield Problem("partition_pattern", detail, "invalid_pattern")


def _incremental_problems(job: IngestJob) -> Iterator[Problem]:
    if job.incremental_mode == "incremental":
        if not job.watermark_column.strip():
            yield Problem("watermark_column", "Incremental loading needs a watermark_column.", "required")
    elif job.last_watermark_value is not None and not job.watermark_column:
        yield Problem("last_watermark_value", "A watermark belongs to a watermark_column.", "not_allowed")
    if job.watermark_column in PROVENANCE:
        detail = f"{job.watermark_column} is added by Assay; choose a column of the source."
        yield Problem("watermark_column", detail, "invalid")
    if job.watermark_lag:
        try:
            lag_of(job.watermark_lag)
        except InvalidSpec as error:
            yield Problem("watermark_lag", f"{error.message} {error.hint}", "invalid")
    if isinstance(job.last_watermark_value, dict | list | bool):
        yield Problem("last_watermark_value", "A watermark is one text or number.", "wrong_type")


def _key_problems(job: IngestJob) -> Iterator[Problem]:
    keys = job.key_columns
    if not isinstance(keys, list) or not all(isinstance(key, str) and key.strip() for key in keys):
        yield Problem("key_columns", "This must be a list of names of columns.", "wrong_type")
        return
    if len({key.lower() for key in keys}) < len(keys):
        yield Problem("key_columns", "A column is named twice; case does not count.", "duplicate")
    if taken := [key for key in keys if key in PROVENANCE]:
        yield Problem("key_columns", f"{taken[0]} is added by Assay; choose columns of the source.", "invalid")
    if job.write_mode == "merge" and not keys:
        yield Problem("key_columns", "write_mode “merge” needs the columns that identify a record.", "required")
    if job.delete_detection == "off":
        return
    if job.write_mode != "merge":
        detail = "Rows that are gone can be told by their key only: set write_mode to merge."
        yield Problem("delete_detection", detail, "not_allowed")
    elif job.incremental_mode == "incremental" and job.source_type != "database":
        detail = "Only a full load, or a database, tells all keys that there are: load in full, or set this to off."
        yield Problem("delete_detection", detail, "not_allowed")


def _quarantine_problems(job: IngestJob) -> Iterator[Problem]:
    path = job.quarantine_path
    if not path:
        if job.error_handling == "quarantine":
            detail = "Rows can be set aside only with a path for them: quarantine/{workflow}/{job}."
            yield Problem("quarantine_path", detail, "required")
        return
    parts = path.split("/")
    if re.search(r"[^A-Za-z0-9/._=-]", path) or any(part in ("", ".", "..") for part in parts):
        detail = (
            "A path inside the lake: folders of letters, digits, . _ = and -, with / between; not absolute, no “..”."
        )
        yield Problem("quarantine_path", detail, "outside_lake")
    elif parts[0] in LAYERS:
        yield Problem("quarantine_path", f"“{parts[0]}” holds tables; rows are set aside elsewhere.", "not_allowed")
