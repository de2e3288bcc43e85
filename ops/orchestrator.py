"""What a pipeline run does next. Rows are the truth; whoever calls `advance`, however often, does no harm.

Every change of a run happens under its row's lock, in one short transaction;
the messages that follow from it leave when that has committed.
"""

from __future__ import annotations

import logging
import secrets
from datetime import datetime
from functools import partial
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Count, Exists, OuterRef, Q, QuerySet
from django.db.models.functions import Coalesce
from django.utils import timezone

from assay.common.runs import ACTIVE, ENDED, OPEN, RunStatus
from workers.errors import AssayError

from . import kinds
from .messages import Claim, send_advances, send_steps
from .models import PipelineRun, Step, Workflow

logger = logging.getLogger(__name__)

Edge = Step.upstream.through  # from_step waits for to_step
BROKEN = ENDED - {RunStatus.SUCCESS}


def advance(pipeline_run_id: int) -> None:
    """Put every step that may start into the queue, and tell workers; end the run when nothing is left."""
    with transaction.atomic():
        if claims := claim_ready(pipeline_run_id):
            transaction.on_commit(partial(send_steps, claims))


@transaction.atomic
def claim_ready(pipeline_run_id: int) -> list[Claim]:
    """`advance` without the messages: the claims are for the caller to carry out."""
    locked = PipelineRun.objects.select_for_update(no_key=True, of=("self",)).select_related("workflow")
    run = locked.filter(pk=pipeline_run_id).first()
    if run is None or run.has_ended:
        return []
    now = timezone.now()
    if run.cancel_requested:
        _cancel_waiting(run, now)
    elif run.status == RunStatus.PENDING and not _begin(run, now):
        return []
    counts = _counts(run)
    if counts.keys() & BROKEN and RunStatus.PENDING in counts:
        _skip_what_hangs(run, now)
        counts = _counts(run)
    claims = []
    if RunStatus.PENDING in counts:
        claims = _claim(run, now)
        counts = counts if claims else _counts(run)
    if not counts.keys() & OPEN:
        _end(run, counts, now)
    return claims


def ready_steps(now: datetime) -> QuerySet[Step]:
    """Steps whose upstream has succeeded, whose retry is due and whose job nobody is running."""
    unmet = Edge.objects.filter(from_step=OuterRef("pk")).exclude(to_step__status=RunStatus.SUCCESS)
    running = Step.objects.active().filter(kind=OuterRef("kind"), job_id=OuterRef("job_id"))
    return Step.objects.filter(
        Q(not_before=None) | Q(not_before__lte=now), ~Exists(unmet), ~Exists(running), status=RunStatus.PENDING
    )


def broken_steps() -> QuerySet[Step]:
    """Steps that wait for one that will never succeed."""
    broken = Edge.objects.filter(from_step=OuterRef("pk"), to_step__status__in=BROKEN)
    return Step.objects.filter(Exists(broken), status=RunStatus.PENDING)


def end_job_run(step: Step, status: str, now: datetime, error: dict[str, Any] | None = None) -> None:
    """End the run row of the step's current try, if it has one and that is still going."""
    changes = {"end_time": now, "error": error}
    if status == RunStatus.FAILED:
        # What cannot even be specified fails at once; it has a start all the same.
        changes["start_time"] = Coalesce("start_time", now)
    if step.run_id is not None:
        kinds.get(step.kind).runs([step.run_id]).move(old=ACTIVE, new=status, **changes)


def _counts(run: PipelineRun) -> dict[str, int]:
    return dict(run.steps.order_by().values_list("status").annotate(Count("pk")))


# --- beginning -----------------------------------------------------------------


def _begin(run: PipelineRun, now: datetime) -> bool:
    if not run.single_job and not _is_its_turn(run):
        return False
    PipelineRun.objects.filter(pk=run.pk).move(old=RunStatus.PENDING, new=RunStatus.RUNNING, start_time=now)
    run.status, run.start_time = RunStatus.RUNNING, now
    return True


def _is_its_turn(run: PipelineRun) -> bool:
    # The workflow's row is the turnstile: two runs that begin together pass one after the other.
    Workflow.objects.select_for_update(no_key=True).get(pk=run.workflow_id)
    ahead = PipelineRun.objects.open().filter(workflow_id=run.workflow_id, single_job=False).exclude(pk=run.pk)
    return not ahead.filter(Q(status=RunStatus.RUNNING) | Q(pk__lt=run.pk)).exists()


# --- claiming ------------------------------------------------------------------


def _claim(run: PipelineRun, now: datetime) -> list[Claim]:
    # Everybody claims in the same order, so two runs that want the same jobs cannot lock each other out.
    steps = list(ready_steps(now).filter(pipeline_run=run).order_by("kind", "job_id"))
    existing = _existing_jobs(run, steps)
    claims = []
    for step in steps:
        step.pipeline_run = run
        if (step.kind, step.job_id) not in existing:
            _fail_unclaimed(step, now)
        elif token := _claim_step(step, now):
            claims.append(Claim(step.pk, token, run.pk))
    return claims


def _existing_jobs(run: PipelineRun, steps: list[Step]) -> set[tuple[str, int]]:
    wanted: dict[str, list[int]] = {}
    for step in steps:
        wanted.setdefault(step.kind, []).append(step.job_id)
    existing = set()
    for name, job_ids in wanted.items():
        try:
            jobs = kinds.get(name).jobs(run.workflow)
        except kinds.UnknownKind:
            continue
        existing |= {(name, pk) for pk in jobs.filter(pk__in=job_ids).values_list("pk", flat=True)}
    return existing


def _claim_step(step: Step, now: datetime) -> str | None:
    """The fresh token, or None where another run took the job first: the unique constraint decides."""
    token = secrets.token_hex(16)
    try:
        with transaction.atomic():
            mine = Step.objects.filter(pk=step.pk)
            if not mine.move(
                old=RunStatus.PENDING,
                new=RunStatus.QUEUED,
                token=token,
                queued_at=now,
                heartbeat_at=now,
                not_before=None,
                progress={},
                error=None,
            ):
                return None
            # The run's id is made while the job is ours: ids of one job are in the order of its runs.
            mine.update(run_id=kinds.get(step.kind).create_run(step).pk)
    except IntegrityError:
        return None
    return token


def _fail_unclaimed(step: Step, now: datetime) -> None:
    error = AssayError(f"The job {step.job_name} does not exist any more.", hint="Start a new run of the workflow.")
    error.code = "job_deleted"
    mine = Step.objects.filter(pk=step.pk)
    if mine.move(old=RunStatus.PENDING, new=RunStatus.QUEUED):
        mine.move(old=RunStatus.QUEUED, new=RunStatus.FAILED, end_time=now, error=error.as_dict())


# --- ending --------------------------------------------------------------------


def _skip_what_hangs(run: PipelineRun, now: datetime) -> None:
    """Round by round, as each skipped step breaks those below it."""
    while steps := list(broken_steps().filter(pipeline_run=run).prefetch_related("upstream")):
        for step in steps:
            above = next(upstream for upstream in step.upstream.all() if upstream.status in BROKEN)
            error = {
                "code": "upstream_not_successful",
                "message": f"{above.job_name}, which it reads from, is {above.status}.",
                "hint": f"Set {above.job_name} right, then retry the run.",
                "facts": {"upstream": above.job_name},
            }
            Step.objects.filter(pk=step.pk).move(
                old=RunStatus.PENDING, new=RunStatus.SKIPPED, end_time=now, error=error
            )


def _cancel_waiting(run: PipelineRun, now: datetime) -> None:
    """What has not begun is cancelled at once; running steps stop by themselves, or the reaper cuts them off."""
    for step in run.steps.filter(status=RunStatus.QUEUED):
        if Step.objects.filter(pk=step.pk, token=step.token).move(
            old=RunStatus.QUEUED, new=RunStatus.CANCELLED, end_time=now
        ):
            end_job_run(step, RunStatus.CANCELLED, now)
    run.steps.move(old=RunStatus.PENDING, new=RunStatus.CANCELLED, end_time=now)


def _end(run: PipelineRun, counts: dict[str, int], now: datetime) -> None:
    if run.status == RunStatus.PENDING:
        status, error = RunStatus.CANCELLED, None
    elif RunStatus.FAILED in counts:
        status, error = RunStatus.FAILED, _error_of(run)
    elif RunStatus.CANCELLED in counts:
        status, error = RunStatus.CANCELLED, None
    else:
        status, error = RunStatus.SUCCESS, None
    PipelineRun.objects.filter(pk=run.pk).move(
        old=frozenset({RunStatus.PENDING} if run.status == RunStatus.PENDING else {RunStatus.RUNNING}),
        new=status,
        end_time=now,
        error=error,
    )
    logger.info("pipeline run ended", extra={"pipeline_run": run.pk, "status": str(status)})
    transaction.on_commit(partial(_let_the_next_begin, run.workflow_id))


def _error_of(run: PipelineRun) -> dict[str, Any]:
    failed = list(run.steps.filter(status=RunStatus.FAILED))
    if len(failed) == 1:
        first = failed[0].error or {}
        message = first.get("message", "")
        return {**first, "message": message if run.single_job else f"{failed[0].job_name}: {message}"}
    names = [step.job_name for step in failed]
    return {
        "code": "steps_failed",
        "message": f"{len(names)} jobs failed: {', '.join(names)}.",
        "hint": "Each step says why. Set it right, then retry the run: it goes on from what failed.",
        "facts": {"failed": names},
    }


def _let_the_next_begin(workflow_id: int) -> None:
    waiting = PipelineRun.objects.filter(workflow_id=workflow_id, status=RunStatus.PENDING).order_by("pk")
    send_advances(waiting.values_list("pk", flat=True)[:1])
