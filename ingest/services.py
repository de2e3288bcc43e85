"""What spans several records or the data plane: uploads, a job's place in the catalog, its spec, its preview."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Collection
from functools import reduce
from operator import or_
from pathlib import PurePath
from typing import Any

from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.db.models import Q, QuerySet
from django.urls import reverse
from django.utils import timezone

from assay.common.columns import as_columns
from assay.common.runs import KEPT_FIELDS
from assay.common.sealing import opened
from assay.common.secrets import readable
from catalog import services as catalog
from catalog.models import Dataset
from ops.connections import services as connections
from ops.connections.users import Use
from workers.access import Access, nothing_loaded
from workers.errors import AssayError, NotAvailableYet
from workers.ids import new_run_id
from workers.lake.paths import landing_uri
from workers.network import NetworkPolicy
from workers.results import Preview
from workers.specs import Column, IngestSpec, TableTarget, Watermark, Window

from . import contract_changes, loaded_files, watermarks
from .models import IngestJob, IngestRun, Upload
from .sources import PARTS, SOURCES, IngestConfig, nested


class UploadTooLarge(AssayError):
    code = "upload_too_large"

    @classmethod
    def for_file(cls, name: str) -> UploadTooLarge:
        return cls(
            f"{name} is larger than {settings.ASSAY_MAX_UPLOAD_BYTES:,} bytes.",
            hint="Put the file into a source folder and use file_local, or raise ASSAY_MAX_UPLOAD_BYTES.",
            attr="file",
            http_status=413,
        )


# --- uploads -------------------------------------------------------------------------


def save_upload(file: UploadedFile, user=None) -> Upload:
    """Keep a file as it came, at `{uploads}/{id}/{name}`, hashed while it is written, in bounded memory.

    Raises `UploadTooLarge`; nothing is left of such a file.
    """
    upload = Upload(name=safe_name(file.name), created_by=user)
    upload.path.parent.mkdir(parents=True)
    try:
        upload.size, upload.sha256 = _write(file, upload)
        upload.save()
    except BaseException:
        upload.remove_files()
        raise
    return upload


def _write(file: UploadedFile, upload: Upload) -> tuple[int, str]:
    limit, size, digest = settings.ASSAY_MAX_UPLOAD_BYTES, 0, hashlib.sha256()
    with upload.path.open("xb") as kept:
        for chunk in file.chunks():
            size += len(chunk)
            if size > limit:
                raise UploadTooLarge.for_file(f"“{upload.name}”")
            digest.update(chunk)
            kept.write(chunk)
    return size, digest.hexdigest()


def safe_name(name: str | None) -> str:
    """The last part of a file's name, without characters that mean something to a shell, a path or a log."""
    last = PurePath((name or "").replace("\\", "/")).name
    plain = unicodedata.normalize("NFC", last)
    plain = "".join(char for char in plain if char.isprintable() and char not in '/\\:*?"<>|').strip(" .")
    stem, dot, suffix = plain.rpartition(".")
    if len(plain.encode()) > 200:
        plain = stem.encode()[:180].decode(errors="ignore") + dot + suffix[:15]
    return plain if re.search(r"\w", plain) else "upload"


def guess_options(upload: Upload) -> dict[str, Any]:
    """How the file seems to be written: form fields and their values."""
    from workers.readers import sniff

    suffixes = {suffix.lower() for suffix in PurePath(upload.name).suffixes}
    if ".json" in suffixes:
        return sniff.sniff_json(upload.path)
    return sniff.sniff_csv(upload.path) if suffixes & {".csv", ".tsv", ".txt"} else {}


# --- the catalog ---------------------------------------------------------------------


def declare(job: IngestJob) -> None:
    """Tell the catalog of the datasets that the job makes: its landing, its table and the children of that."""
    workflow, name = job.workflow.slug, job.name
    common = {"workflow": workflow, "description": job.description, "job": name}
    catalog.declare(job.landing_name, layer="landing", type=job.type_label, path=f"landing/{workflow}/{name}", **common)
    catalog.declare(
        job.bronze_name,
        layer="bronze",
        type="reference" if job.is_reference else "",
        columns=_declared_columns(job),
        path=f"bronze/{workflow}/{name}",
        upstream=[job.landing_name],
        **common,
    )
    children = child_datasets(job)
    for child in children:
        path = child.replace(".", "/")
        catalog.declare(child, layer="bronze", type="", path=path, upstream=[job.landing_name], **common)
    for former in _declared_children(job).exclude(name__in=children):
        catalog.retire(former.name)


def child_datasets(job: IngestJob) -> list[str]:
    """The names of the tables that lists in the job's records become."""
    return [f"bronze.{job.workflow.slug}.{name}" for name in nested.children_of(job)]


def _declared_children(job: IngestJob) -> QuerySet[Dataset]:
    prefix = f"{job.bronze_name}__"
    made_here = Dataset.objects.filter(edges_up__job=job.name, edges_up__upstream__name=job.landing_name)
    return made_here.filter(name__startswith=prefix, is_declared=True)


def retire(job: IngestJob) -> None:
    for child in _declared_children(job):
        catalog.retire(child.name)
    catalog.retire(job.bronze_name)
    catalog.retire(job.landing_name)


def _declared_columns(job: IngestJob) -> tuple[Column, ...]:
    """Bronze's columns where the job says them: its own, then those that Assay adds."""
    if job.schema_mode != "user":
        return ()
    provenance = {"_ingested_at": "timestamptz", "_run_id": "string", "_source_file": "string"}
    if job.partition_mode == "date":
        provenance["_ingest_date"] = "date"
    if job.delete_detection == "soft":
        provenance["_deleted_at"] = "timestamptz"
    return as_columns(job.user_schema) + tuple(Column(name=name, type=kind) for name, kind in provenance.items())


# --- running -------------------------------------------------------------------------


def spec_of(job: IngestJob, run_id: str, window: Window = Window()) -> IngestSpec:  # noqa: B008
    """What exactly a run of the job does.

    Raises `NotAvailableYet` for what is valid but cannot run, `SourceMissing` where there is no file.
    """
    _refuse_what_cannot_run(job)
    source, options = SOURCES[job.source_type], options_of(job)
    lake, workflow = settings.ASSAY_LAKE_URL, job.workflow.slug
    watermark = watermarks.for_run(job)
    return IngestSpec(
        run_id=run_id,
        workflow=workflow,
        job=job.name,
        source=source.to_spec(options, job),
        **{"format": job.format} | source.reading(options),
        landing_uri=landing_uri(lake, workflow, job.name),
        target=TableTarget(
            dataset=job.bronze_name,
            uri=catalog.lake_uri(job.bronze_name),
            partition_by=("_ingest_date",) if job.partition_mode == "date" else (),
            date_pattern=job.partition_pattern,
            compression=job.compression,
        ),
        schema_mode=job.schema_mode,
        columns=as_columns(job.user_schema),
        renames=job.column_mapping,
        write_mode=_write_mode(job, watermark),
        key_columns=tuple(job.key_columns),
        watermark=watermark,
        window=window,
        delete_detection=job.delete_detection,
        skip_loaded_files=job.skip_loaded_files,
        error_handling=job.error_handling,
        quarantine_uri=f"{lake}/{job.quarantine_path}" if job.error_handling == "quarantine" else "",
        bad_row_threshold=job.bad_row_threshold,
        ingested_at=timezone.now(),
    )


def _write_mode(job: IngestJob, watermark: Watermark | None) -> str:
    """What a full load overwrites, an incremental run adds to: it has only what is new."""
    is_full = watermark is None or watermark.last is None
    return "append" if job.write_mode == "overwrite" and not is_full else job.write_mode


def access_for(spec: IngestSpec, job: IngestJob | None = None) -> Access:
    """What a run of this spec may reach, and with which secrets, resolved now: they are in no spec.

    `job` is given where it is not saved. Raises `SecretMissing`, `SecretUnreadable`.
    """
    job = job or IngestJob.objects.filter(workflow__slug=spec.workflow, name=spec.job).first()
    name = spec.source.connection
    return Access(
        connections={name: found} if name and (found := connections.for_worker(name)) else {},
        secrets=_secrets_of(job) if job else {},
        http=NetworkPolicy(allow=tuple(settings.ASSAY_HTTP_ALLOW_PRIVATE)),
        services=connections.network_policy(),
        loaded=loaded_files.lookup(job) if job and job.pk else nothing_loaded,
    )


def uses_of_connections(names: Collection[str]) -> dict[str, list[Use]]:
    """The jobs that name these connections."""
    by_part = [Q(**{f"config__{part}__connection__in": list(names)}) for part in PARTS]
    jobs = IngestJob.objects.filter(reduce(or_, by_part)).select_related("workflow").order_by("workflow__slug", "name")
    found: dict[str, list[Use]] = {}
    for job in jobs:
        name = next(part["connection"] for part in job.config.values() if part and part.get("connection"))
        use = Use(str(job), reverse("ingest:job-detail", args=[job.workflow.slug, job.name]))
        found.setdefault(name, []).append(use)
    return found


def _secrets_of(job: IngestJob) -> dict[str, str]:
    stored = readable(job.secrets, f"A secret of the job {job.name}")
    return opened(IngestConfig, job.config, stored or {})


def options_of(job: IngestJob) -> Any:
    """The source's options. The job was validated when it was saved; what it names may be gone since."""
    source = SOURCES[job.source_type]
    return source.options.model_validate(job.config[source.part])


def _refuse_what_cannot_run(job: IngestJob) -> None:
    source = SOURCES[job.source_type]
    if not source.available:
        source.to_spec(None, job)
    if not job.force_to_parquet:
        raise NotAvailableYet(
            "Bronze cannot keep files in their own format yet.",
            hint="Set force_to_parquet; Landing keeps the files as received.",
        )


def preview(job: IngestJob) -> Preview:
    """The inferred schema, a profile and the first rows, read in a child process; nothing is written.

    The job need not be saved. Raises what a run would raise, and `ResourceLimit`.
    """
    from workers.executors.ingest import preview as executor

    spec = spec_of(job, str(new_run_id()))
    return executor.preview(spec, access_for(spec, job))


# What a run of this kind keeps besides `KEPT_FIELDS`.
RESULT_FIELDS = ("landing_path", "quarantine_path", "skipped", "deleted_rows", "facts")


def record_run(run: IngestRun, result) -> None:
    """Take over what the data plane did: the run's row, then the catalog's."""
    run.keep(result)
    for name in RESULT_FIELDS:
        setattr(run, name, getattr(result, name))
    watermarks.record(run, result)
    run.save(update_fields=[*KEPT_FIELDS, *RESULT_FIELDS, "last_watermark_value"])
    contract_changes.record(run, result.contract_changes)
    loaded_files.record(run, result)
    catalog.record_landing(run.job.landing_name, rows=result.rows_read)
    # A choice that was taken back while the job ran has no place in the catalog any more.
    known = set(Dataset.objects.filter(name__in=[c.dataset for c in result.children]).values_list("name", flat=True))
    for child in (child for child in result.children if child.dataset in known):
        catalog.record_version(child.dataset, run_id=run.pk, published=child.published, columns=child.columns)
    if result.published:
        catalog.record_version(run.job.bronze_name, run_id=run.pk, published=result.published, columns=result.columns)
