"""Workflows, the base of every job, and the rows that are the truth about what runs."""

from __future__ import annotations

from django.conf import settings
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import Q
from django.utils import timezone
from simple_history.models import HistoricalRecords

from assay.common.policy import VisibleQuerySet
from assay.common.problems import Problem, as_validation_error
from assay.common.runs import ACTIVE, RunQuerySet, Timed, Trigger

from . import schedule

# A slug is used in addresses, folder names and as a table's name in SQL, so it is lower case.
SLUG = RegexValidator(
    r"^[a-z][a-z0-9_-]*\Z", "Use lower-case letters, digits, - and _, and begin with a letter.", code="invalid_slug"
)


class Compression(models.TextChoices):
    """Of the Parquet files that a job writes."""

    SNAPPY = "snappy"
    ZSTD = "zstd"
    GZIP = "gzip"
    LZ4 = "lz4"
    NONE = "none"


class Overlap(models.TextChoices):
    QUEUE = "queue", "wait for the run before"
    SKIP = "skip", "do not start"


class Workflow(models.Model):
    """Jobs that run together, in the order of their inputs."""

    slug = models.CharField(max_length=80, unique=True, validators=[SLUG])
    name = models.CharField(max_length=200)
    description = models.TextField(blank=True)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="workflows"
    )
    schedule_cron = models.CharField(max_length=100, blank=True, help_text="minute hour day month weekday")
    schedule_timezone = models.CharField(max_length=64, default="UTC")
    schedule_enabled = models.BooleanField(default=False)
    next_run_at = models.DateTimeField(null=True, blank=True, editable=False, db_index=True)
    on_overlap = models.CharField(max_length=5, choices=Overlap, default=Overlap.QUEUE)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = VisibleQuerySet.as_manager()
    history = HistoricalRecords(excluded_fields=["next_run_at"])

    class Meta:
        ordering = ["slug"]

    def __str__(self) -> str:
        return self.slug

    def save(self, *args, **kwargs) -> None:
        """A changed schedule counts from now; an unchanged one keeps a time that is due."""
        same = type(self).objects.filter(
            pk=self.pk,
            schedule_cron=self.schedule_cron,
            schedule_timezone=self.schedule_timezone,
            schedule_enabled=self.schedule_enabled,
        )
        if not (self.pk and same.exists()):
            self.next_run_at = schedule.next_time(self, timezone.now())
            if kwargs.get("update_fields"):
                kwargs["update_fields"] = {*kwargs["update_fields"], "next_run_at"}
        super().save(*args, **kwargs)

    def clean(self) -> None:
        problems = list(schedule.problems_of(self))
        if self.slug == "new":  # /workflows/new/ is the form of one that is not saved yet
            problems.append(Problem("slug", "“new” is part of an address; choose another.", "reserved_name"))
        if problems:
            raise as_validation_error(problems)


class Job(models.Model):
    """The recipe of one step: the abstract base of IngestJob and DatasetJob."""

    workflow = models.ForeignKey(Workflow, models.CASCADE, related_name="%(class)ss")
    name = models.CharField(max_length=80, validators=[SLUG], help_text="never changes; unique in its workflow")
    description = models.TextField(blank=True)
    enabled = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = VisibleQuerySet.as_manager()

    class Meta:
        abstract = True
        ordering = ["name"]

    def __str__(self) -> str:
        return f"{self.workflow.slug}.{self.name}"


class PipelineRun(Timed):
    """One run of a workflow, or of one of its jobs: a graph of steps."""

    workflow = models.ForeignKey(Workflow, models.CASCADE, related_name="pipeline_runs")
    trigger = models.CharField(max_length=10, choices=Trigger, default=Trigger.MANUAL)
    started_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+")
    retry_of = models.ForeignKey("self", models.SET_NULL, null=True, blank=True, related_name="retries")
    start_date = models.DateField(null=True, blank=True, help_text="first day of the window that the run is about")
    end_date = models.DateField(null=True, blank=True, help_text="last day of the window, included")
    single_job = models.BooleanField(default=False, help_text="takes no turn among the runs of its workflow")
    options = models.JSONField(default=dict, blank=True, help_text="of a single job's run: what its kind is asked")
    cancel_requested_at = models.DateTimeField(null=True, blank=True)

    objects = RunQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["status", "workflow"])]

    def __str__(self) -> str:
        return f"{self.workflow.slug} #{self.pk}"

    @property
    def cancel_requested(self) -> bool:
        return self.cancel_requested_at is not None


class Step(Timed):
    """One job in one pipeline run.

    `token` is made anew for each claim; whoever runs the step must hold the
    current one to start it, to keep it alive and to end it.
    """

    pipeline_run = models.ForeignKey(PipelineRun, models.CASCADE, related_name="steps")
    kind = models.CharField(max_length=20)
    job_id = models.BigIntegerField()
    job_name = models.CharField(max_length=80)
    layer = models.CharField(max_length=8)
    upstream = models.ManyToManyField("self", symmetrical=False, related_name="downstream", blank=True)
    run_id = models.UUIDField(null=True, blank=True, help_text="the run row of the current try")
    token = models.CharField(max_length=32, blank=True)
    attempt = models.PositiveSmallIntegerField(default=0, help_text="tries that were started")
    max_attempts = models.PositiveSmallIntegerField(default=3)
    not_before = models.DateTimeField(null=True, blank=True, help_text="a retry waits until then")
    queued_at = models.DateTimeField(null=True, blank=True)
    heartbeat_at = models.DateTimeField(null=True, blank=True)
    worker = models.CharField(max_length=100, blank=True, help_text="host:pid")
    progress = models.JSONField(default=dict, blank=True, help_text="{phase, done, total}")
    rows_read = models.BigIntegerField(null=True, blank=True)
    rows_written = models.BigIntegerField(null=True, blank=True)
    quarantined_rows = models.BigIntegerField(null=True, blank=True)

    objects = RunQuerySet.as_manager()

    class Meta:
        ordering = ["id"]
        indexes = [
            models.Index(fields=["pipeline_run", "status"]),
            models.Index(fields=["status", "heartbeat_at"]),
            models.Index(fields=["kind", "job_id"]),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["kind", "job_id"],
                condition=Q(status__in=sorted(ACTIVE)),
                name="ops_one_active_step_per_job",
                violation_error_message="The job is running already.",
            )
        ]

    def __str__(self) -> str:
        return f"{self.job_name} in run {self.pipeline_run_id}"

    @property
    def is_last_attempt(self) -> bool:
        return self.attempt >= self.max_attempts


class StepLog(models.Model):
    """One line of a step's log, as people read it on the run's page."""

    class Level(models.TextChoices):
        DEBUG = "debug"
        INFO = "info"
        WARNING = "warning"
        ERROR = "error"

    step = models.ForeignKey(Step, models.CASCADE, related_name="logs")
    attempt = models.PositiveSmallIntegerField(default=1)
    at = models.DateTimeField()
    level = models.CharField(max_length=7, choices=Level, default=Level.INFO)
    message = models.TextField()

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.at:%H:%M:%S} {self.message}"


from .connections.models import Connection, ConnectionKind  # noqa: E402, F401  (Django looks for models here)
