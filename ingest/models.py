"""Uploads, ingest jobs and their runs."""

from __future__ import annotations

from pathlib import Path

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from simple_history.models import HistoricalRecords

from assay.common.policy import VisibleQuerySet
from assay.common.problems import Problem, as_validation_error
from assay.common.runs import JobRun
from assay.common.sealing import seal, secrets_in
from assay.common.secrets import MASK, EncryptedJSONField, Unreadable
from ops.models import Compression, Job
from workers.ids import new_run_id


class SourceType(models.TextChoices):
    FILE_UPLOAD = "file_upload", "Uploaded file"
    FILE_LOCAL = "file_local", "Folder on the server"
    FILE_S3 = "file_s3", "S3"
    DATABASE = "database", "Database"
    API = "api", "HTTP API"


class Format(models.TextChoices):
    CSV = "csv", "CSV"
    JSON = "json", "JSON"
    NDJSON = "ndjson", "JSON lines"
    PARQUET = "parquet", "Parquet"
    EXCEL = "excel", "Excel"


class SchemaMode(models.TextChoices):
    INFER = "infer", "Infer"
    USER = "user", "As declared"
    EVOLVE = "evolve", "Evolve"


class PartitionMode(models.TextChoices):
    DATE = "date", "By ingest date"
    NONE = "none", "None"


class IncrementalMode(models.TextChoices):
    FULL = "full", "Full"
    INCREMENTAL = "incremental", "Incremental"


class WriteMode(models.TextChoices):
    APPEND = "append", "Append"
    OVERWRITE = "overwrite", "Overwrite"
    MERGE = "merge", "Merge by key"


class DeleteDetection(models.TextChoices):
    """What becomes of rows whose key is no longer at the source."""

    OFF = "off", "Not looked for"
    SOFT = "soft", "Marked with _deleted_at"
    HARD = "hard", "Removed"


class ErrorHandling(models.TextChoices):
    FAIL = "fail", "Fail the run"
    QUARANTINE = "quarantine", "Set bad rows aside"


class Upload(models.Model):
    """A file that somebody sent, kept as it came."""

    id = models.UUIDField(primary_key=True, default=new_run_id, editable=False)
    name = models.CharField(max_length=255)
    size = models.BigIntegerField()
    sha256 = models.CharField(max_length=64)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    objects = VisibleQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return self.name

    @property
    def path(self) -> Path:
        """Where its bytes lie."""
        return Path(settings.ASSAY_UPLOADS_DIR) / str(self.id) / self.name

    def remove_files(self) -> None:
        self.path.unlink(missing_ok=True)
        self.path.parent.rmdir()


class IngestJob(Job):
    """A source and how it becomes `landing.{workflow}.{name}` and `bronze.{workflow}.{name}`."""

    source_type = models.CharField(max_length=11, choices=SourceType)
    format = models.CharField(max_length=7, choices=Format, default=Format.CSV)
    config = models.JSONField(default=dict)
    force_to_parquet = models.BooleanField(default=True)
    schema_mode = models.CharField(max_length=6, choices=SchemaMode, default=SchemaMode.INFER)
    user_schema = models.JSONField(default=list, blank=True)
    partition_mode = models.CharField(max_length=4, choices=PartitionMode, default=PartitionMode.DATE)
    partition_pattern = models.CharField(max_length=40, default="yyyy/MM/dd")
    compression = models.CharField(max_length=6, choices=Compression, default=Compression.SNAPPY)
    incremental_mode = models.CharField(max_length=11, choices=IncrementalMode, default=IncrementalMode.FULL)
    watermark_column = models.CharField(max_length=200, blank=True, default="")
    last_watermark_value = models.JSONField(null=True, blank=True)
    watermark_lag = models.CharField(
        max_length=20, blank=True, default="", help_text="how far a run looks back: 15m, 2h, 1d, or a number"
    )
    write_mode = models.CharField(max_length=9, choices=WriteMode, default=WriteMode.OVERWRITE)
    key_columns = models.JSONField(default=list, blank=True, help_text="what identifies a record")
    delete_detection = models.CharField(max_length=4, choices=DeleteDetection, default=DeleteDetection.OFF)
    skip_loaded_files = models.BooleanField(
        default=True, help_text="a file whose content was loaded before is not loaded again"
    )
    column_mapping = models.JSONField(
        default=dict, blank=True, help_text="a column's name at the source -> its name in the table"
    )
    error_handling = models.CharField(max_length=10, choices=ErrorHandling, default=ErrorHandling.FAIL)
    quarantine_path = models.CharField(max_length=300, null=True, blank=True)
    bad_row_threshold = models.FloatField(default=0.05, validators=[MinValueValidator(0), MaxValueValidator(1)])
    is_reference = models.BooleanField(default=False, help_text="run before the other sources")

    # Secrets of `config`, by their path: `api.auth.token`. Where they stand in config there is only a mark.
    secrets = EncryptedJSONField(null=True, blank=True, editable=False)

    history = HistoricalRecords(excluded_fields=["secrets"])

    class Meta(Job.Meta):
        constraints = [models.UniqueConstraint(fields=["workflow", "name"], name="ingest_job_name")]

    @property
    def type_label(self) -> str:
        """What is read, in a word: rows of a database have no format."""
        is_file = self.source_type not in (SourceType.DATABASE, SourceType.API)
        return self.format if is_file else self.source_type

    @property
    def landing_name(self) -> str:
        return f"landing.{self.workflow.slug}.{self.name}"

    @property
    def bronze_name(self) -> str:
        return f"bronze.{self.workflow.slug}.{self.name}"

    def clean(self) -> None:
        from .validation import problems_of

        # In this order: what is wrong with a secret is seen while it stands in its place.
        if problems := [*problems_of(self), *self.seal_secrets()]:
            raise as_validation_error(problems)

    def save(self, *args, **kwargs) -> None:
        self.seal_secrets()
        if "config" in (kwargs.get("update_fields") or ()):
            kwargs["update_fields"] = {*kwargs["update_fields"], "secrets"}
        super().save(*args, **kwargs)

    def seal_secrets(self) -> list[Problem]:
        """Move the secrets from `config` to `secrets`; what is wrong with them. Doing it again changes nothing."""
        from .sources import IngestConfig

        kept = self.secrets
        if kept is None and self.pk and any(value == MASK for _, value in secrets_in(IngestConfig, self.config)):
            kept = type(self).objects.filter(pk=self.pk).values_list("secrets", flat=True).first()
        sealed = seal(IngestConfig, self.config, kept, "config")
        self.config = sealed.data
        # What cannot be decrypted now may be when its key is back.
        self.secrets = kept if isinstance(kept, Unreadable) and not sealed.secrets else sealed.secrets or None
        return sealed.problems


class IngestRun(JobRun):
    job = models.ForeignKey(IngestJob, models.CASCADE, related_name="runs")
    last_watermark_value = models.JSONField(null=True, blank=True)
    skipped = models.JSONField(default=dict, blank=True, help_text="rows that a named rule left out")
    deleted_rows = models.BigIntegerField(default=0, help_text="of the table")
    facts = models.JSONField(default=dict, blank=True, help_text="what the source told")
    window = models.JSONField(default=dict, blank=True, help_text="{start_date, end_date}: the days it replaces")
    landing_path = models.CharField(max_length=500, blank=True, help_text="relative to the lake")
    quarantine_path = models.CharField(max_length=500, blank=True, help_text="relative to the lake")


class LoadedFile(models.Model):
    """A file that is in the table, or that was skipped because its content already was. Mirrors the table's commits."""

    job = models.ForeignKey(IngestJob, models.CASCADE, related_name="loaded_files")
    run = models.ForeignKey(IngestRun, models.CASCADE, related_name="files")
    name = models.CharField(max_length=1000)
    size = models.BigIntegerField()
    sha256 = models.CharField(max_length=64)
    mark = models.CharField(max_length=200, blank=True, help_text="size and time, or ETag, as the source told it")
    loaded_by = models.UUIDField(null=True, blank=True, help_text="the earlier run that had loaded this content")
    is_current = models.BooleanField(default=True, help_text="its rows are in the table's newest version")

    objects = VisibleQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        indexes = [models.Index(fields=["job", "sha256"], name="ingest_loaded_file_content")]

    def __str__(self) -> str:
        return self.name


class WatermarkChange(models.Model):
    """One value of a job's watermark. The table's commits are the truth; this is what people look at."""

    class Cause(models.TextChoices):
        RUN = "run", "a run"
        INITIAL = "initial", "set before the first run"
        REWIND = "rewind", "set back by a person"
        ROLLBACK = "rollback", "the table was rolled back"
        RECONCILED = "reconciled", "corrected from the table"

    job = models.ForeignKey(IngestJob, models.CASCADE, related_name="watermarks")
    run = models.ForeignKey(IngestRun, models.SET_NULL, null=True, blank=True, related_name="+")
    value = models.JSONField(null=True)
    previous = models.JSONField(null=True)
    cause = models.CharField(max_length=10, choices=Cause)
    changed_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+")
    reason = models.CharField(max_length=300, blank=True)
    table_version = models.BigIntegerField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = VisibleQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"{self.job}: {self.value}"


class ContractChange(models.Model):
    """A difference between source and table that waits for a person to accept, map or refuse it."""

    class Change(models.TextChoices):
        TYPE = "type", "another type"
        MISSING = "missing", "missing"
        ADDED = "added", "new"
        REQUIRED = "required", "no longer always there"

    class Status(models.TextChoices):
        PENDING = "pending"
        ACCEPTED = "accepted"
        MAPPED = "mapped"
        REFUSED = "refused"

    job = models.ForeignKey(IngestJob, models.CASCADE, related_name="contract_changes")
    run = models.ForeignKey(IngestRun, models.SET_NULL, null=True, blank=True, related_name="+")
    column = models.CharField(max_length=300)
    change = models.CharField(max_length=8, choices=Change)
    old = models.CharField(max_length=2000, null=True, blank=True)
    new = models.CharField(max_length=2000, null=True, blank=True)
    examples = models.JSONField(default=list, blank=True)
    rows = models.BigIntegerField(default=0, help_text="refused because of it, in the last run that saw it")
    status = models.CharField(max_length=8, choices=Status, default=Status.PENDING)
    mapped_to = models.CharField(max_length=300, blank=True)
    decided_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+")
    decided_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = VisibleQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"{self.job}.{self.column}: {self.change}"
