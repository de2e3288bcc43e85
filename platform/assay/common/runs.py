"""What all runs share: their states, the one door between the states, the facts they keep."""

from __future__ import annotations

from typing import Any, Self
from uuid import UUID

from django.conf import settings
from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.utils import timezone

from assay.common.policy import VisibleQuerySet
from workers.ids import new_run_id
from workers.results import StepResult
from workers.specs import to_json


class RunStatus(models.TextChoices):
    PENDING = "pending"
    QUEUED = "queued"
    RUNNING = "running"
    SUCCESS = "success"
    FAILED = "failed"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"


class Trigger(models.TextChoices):
    MANUAL = "manual"
    SCHEDULE = "schedule"
    API = "api"
    BACKFILL = "backfill"
    RETRY = "retry"


ENDED = frozenset({RunStatus.SUCCESS, RunStatus.FAILED, RunStatus.SKIPPED, RunStatus.CANCELLED})
ACTIVE = frozenset({RunStatus.QUEUED, RunStatus.RUNNING})
OPEN = ACTIVE | {RunStatus.PENDING}

# What `JobRun.keep` takes over from a result. The state of a run is never saved with them.
KEPT_FIELDS = (
    "rows_read",
    "rows_written",
    "quarantined_rows",
    "schema_changes",
    "phases",
    "table_version",
    "quality",
)

# Nothing leaves an ended state. A running step goes back to the queue when its worker died.
TRANSITIONS: dict[str, frozenset[str]] = {
    RunStatus.PENDING: frozenset({RunStatus.QUEUED, RunStatus.RUNNING, RunStatus.SKIPPED, RunStatus.CANCELLED}),
    RunStatus.QUEUED: frozenset({RunStatus.RUNNING, RunStatus.PENDING, RunStatus.FAILED, RunStatus.CANCELLED}),
    RunStatus.RUNNING: frozenset(
        {RunStatus.SUCCESS, RunStatus.FAILED, RunStatus.CANCELLED, RunStatus.QUEUED, RunStatus.PENDING}
    ),
}


class RunQuerySet(VisibleQuerySet):
    def active(self) -> Self:
        return self.filter(status__in=ACTIVE)

    def open(self) -> Self:
        return self.filter(status__in=OPEN)

    def queue(self, *, job_id: int, last_published: UUID | None, **facts: Any) -> JobRun:
        """A queued run of the job. Its id comes after those of all its runs, and after who published last."""
        last = self.filter(job_id=job_id).order_by("-pk").values_list("pk", flat=True).first()
        known = [run_id for run_id in (last, last_published) if run_id]
        run_id = new_run_id(after=max(known, default=None))
        return self.create(id=run_id, job_id=job_id, status=RunStatus.QUEUED, **facts)

    def move(self, *, old: str | frozenset[str], new: str, **changes: Any) -> int:
        """Set `new` where the state is (one of) `old`; the number of rows that were.

        The one door between states. Naming the state that is left makes the
        claim atomic: of two processes racing for one row, the second updates none.
        """
        olds = frozenset({old}) if isinstance(old, str) else old
        for state in olds:
            if new not in TRANSITIONS.get(state, ()):
                raise ValueError(f"No way leads from {state} to {new}.")
        return self.filter(status__in=olds).update(status=new, **changes)


class Timed(models.Model):
    """Whatever starts and ends."""

    status = models.CharField(max_length=10, choices=RunStatus, default=RunStatus.PENDING)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    start_time = models.DateTimeField(null=True, blank=True)
    end_time = models.DateTimeField(null=True, blank=True)
    error = models.JSONField(null=True, blank=True, help_text="{code, message, hint, facts} of what ended it")

    class Meta:
        abstract = True

    @property
    def duration(self) -> float | None:
        """Seconds from start to end, or so far."""
        if self.start_time is None:
            return None
        return ((self.end_time or timezone.now()) - self.start_time).total_seconds()

    @property
    def has_ended(self) -> bool:
        return self.status in ENDED


class JobRun(Timed):
    """One try of one job: the abstract base of IngestRun and DatasetRun.

    Its id is in the Delta commit, in the files' names and in every row it
    wrote. A try that a killed worker left behind goes on under the same id, so
    that what it had already published is recognised.
    """

    id = models.UUIDField(primary_key=True, default=new_run_id, editable=False)
    trigger = models.CharField(max_length=10, choices=Trigger, default=Trigger.MANUAL)
    started_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+")
    step_id = models.BigIntegerField(null=True, blank=True, db_index=True, help_text="the step this is a try of")
    rows_read = models.BigIntegerField(default=0)
    rows_written = models.BigIntegerField(default=0)
    quarantined_rows = models.BigIntegerField(default=0)
    table_version = models.BigIntegerField(null=True, blank=True)
    schema_changes = models.JSONField(default=list, blank=True)
    quality = models.JSONField(default=dict, blank=True, help_text="what the audit looked at, rows refused by reason")
    phases = models.JSONField(default=dict, blank=True, help_text="seconds in each part of the run")
    spec = models.JSONField(default=dict, blank=True, encoder=DjangoJSONEncoder, help_text="what exactly was run")

    objects = RunQuerySet.as_manager()

    class Meta:
        abstract = True
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"{self.job} · {str(self.id)[-8:]}"

    def keep(self, result: StepResult) -> None:
        """Take over what the data plane reported; the caller saves or updates."""
        facts = to_json(result)
        for name in ("rows_read", "rows_written", "quarantined_rows", "schema_changes", "phases"):
            setattr(self, name, facts[name])
        self.table_version = result.published.version if result.published else None
        self.quality = {"checks": facts["checks"], "reasons": facts["reasons"]}
