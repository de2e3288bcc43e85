"""Uploads, ingest jobs and their runs."""

from __future__ import annotations

from pathlib import Path

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from simple_history.models import HistoricalRecords

from assay.common.policy import VisibleQuerySet
from assay.common.problems import as_validation_error
from assay.common.runs import JobRun
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
    write_mode = models.CharField(max_length=9, choices=WriteMode, default=WriteMode.OVERWRITE)
    error_handling = models.CharField(max_length=10, choices=ErrorHandling, default=ErrorHandling.FAIL)
    quarantine_path = models.CharField(max_length=300, null=True, blank=True)
    bad_row_threshold = models.FloatField(default=0.05, validators=[MinValueValidator(0), MaxValueValidator(1)])
    is_reference = models.BooleanField(default=False, help_text="run before the other sources")

    history = HistoricalRecords()

    class Meta(Job.Meta):
        constraints = [models.UniqueConstraint(fields=["workflow", "name"], name="ingest_job_name")]

    @property
    def landing_name(self) -> str:
        return f"landing.{self.workflow.slug}.{self.name}"

    @property
    def bronze_name(self) -> str:
        return f"bronze.{self.workflow.slug}.{self.name}"

    def clean(self) -> None:
        from .validation import problems_of

        if problems := problems_of(self):
            raise as_validation_error(problems)


class IngestRun(JobRun):
    job = models.ForeignKey(IngestJob, models.CASCADE, related_name="runs")
    last_watermark_value = models.JSONField(null=True, blank=True)
    landing_path = models.CharField(max_length=500, blank=True, help_text="relative to the lake")
    quarantine_path = models.CharField(max_length=500, blank=True, help_text="relative to the lake")
