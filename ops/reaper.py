"""What puts right whatever got lost: dead workers, lost messages, retries that are due, steps that will not stop.

Beat calls it every few seconds. Each change is a conditional update that
names what it saw, so several reapers at once do no harm.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone

from assay.common.runs import RunStatus
from workers.errors import AssayError

from .execution import settle
from .messages import Claim, send_steps
from .models import PipelineRun, Step
from .orchestrator import broken_steps, claim_ready, end_job_run, ready_steps

logger = logging.getLogger(__name__)

LONGEST_RESEND = timedelta(minutes=10)


class WorkerLost(AssayError):
    code = "worker_lost"


def reap(send: Callable[[list[Claim]], None] = send_steps) -> None:
    """Look after every open run once; `send` has the steps that came of it carried out."""
    now = timezone.now()
    cut_off_cancelled(now)
    claims = [*take_back_lost(now), *find_unheard(now)]
    for pipeline_run_id in runs_to_nudge(now):
        claims += claim_ready(pipeline_run_id)
    send(claims)


def take_back_lost(now: datetime) -> list[Claim]:
    """Running steps that have been silent for the lease go back into the queue, under the same run id."""
    silent = {"status": RunStatus.RUNNING, "heartbeat_at__lt": now - timedelta(seconds=settings.ASSAY_LEASE_SECONDS)}
    claims = []
    for step in Step.objects.filter(**silent, pipeline_run__cancel_requested_at=None):
        if step.is_last_attempt and settle(step):
            continue
        with transaction.atomic():
            mine = Step.objects.filter(pk=step.pk, token=step.token, **silent)
            if step.is_last_attempt:
                _give_up(step, mine, now)
            elif claim := _queue_again(step, mine, now):
                claims.append(claim)
    return claims


def _queue_again(step: Step, mine, now: datetime) -> Claim | None:
    token = secrets.token_hex(16)
    # The run row stays as it is: whoever takes the step over goes on with the same run.
    if not mine.move(old=RunStatus.RUNNING, new=RunStatus.QUEUED, token=token, queued_at=now, heartbeat_at=now):
        return None
    logger.warning("a worker was lost; its step is taken over", extra={"job": step.job_name, "worker": step.worker})
    return Claim(step.pk, token, step.pipeline_run_id)


def _give_up(step: Step, mine, now: datetime) -> None:
    error = WorkerLost(
        f"The worker was lost {step.attempt} times while it ran {step.job_name}.",
        hint="It was killed, perhaps for want of memory: give workers more, or make the job smaller.",
    ).as_dict()
    if mine.move(old=RunStatus.RUNNING, new=RunStatus.FAILED, end_time=now, error=error):
        end_job_run(step, RunStatus.FAILED, now, error)


def find_unheard(now: datetime) -> list[Claim]:
    """Queued steps whose message may be lost; `heartbeat_at` is when it was sent last.

    It is sent again after the lease, then more and more rarely: in a long
    queue most of them are not lost but wait for a worker.
    """
    lease = timedelta(seconds=settings.ASSAY_LEASE_SECONDS)
    claims = []
    for step in Step.objects.filter(status=RunStatus.QUEUED, heartbeat_at__lt=now - lease):
        patience = min(max(lease, (now - step.queued_at) / 2), LONGEST_RESEND)
        mine = Step.objects.filter(pk=step.pk, status=RunStatus.QUEUED, token=step.token)
        if now - step.heartbeat_at >= patience and mine.update(heartbeat_at=now):
            claims.append(Claim(step.pk, step.token, step.pipeline_run_id))
    return claims


def cut_off_cancelled(now: datetime) -> None:
    """Running steps of a cancelled run that did not stop in time, or whose worker is dead, lose their token."""
    patience = timedelta(seconds=settings.ASSAY_CANCEL_SECONDS)
    late = Step.objects.filter(status=RunStatus.RUNNING, pipeline_run__cancel_requested_at__lt=now - patience)
    for step in late:
        if settle(step):
            continue
        with transaction.atomic():
            mine = Step.objects.filter(pk=step.pk, token=step.token)
            if mine.move(old=RunStatus.RUNNING, new=RunStatus.CANCELLED, token="", end_time=now):
                end_job_run(step, RunStatus.CANCELLED, now)


def runs_to_nudge(now: datetime) -> list[int]:
    """Open runs that could go on or end: what told them to may be lost."""
    mine = {"pipeline_run": OuterRef("pk")}
    can_go_on = Exists(ready_steps(now).filter(**mine)) | Exists(broken_steps().filter(**mine))
    can_end = ~Exists(Step.objects.open().filter(**mine))
    is_cancelled = Q(cancel_requested_at__isnull=False)
    ahead = PipelineRun.objects.open().filter(
        workflow_id=OuterRef("workflow_id"), pk__lt=OuterRef("pk"), single_job=False
    )
    waits_its_turn = Q(Exists(ahead), status=RunStatus.PENDING, single_job=False, cancel_requested_at=None)
    open_runs = PipelineRun.objects.open().filter(can_go_on | can_end | is_cancelled).exclude(waits_its_turn)
    return list(open_runs.order_by("pk").values_list("pk", flat=True))
