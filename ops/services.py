"""Starting, cancelling and repeating runs: what pages, API, admin, schedules and commands call."""

from __future__ import annotations

import logging
from datetime import date
from typing import Any

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from assay.common.runs import ENDED, RunStatus, Trigger
from workers.errors import AssayError

from . import kinds, schedule
from .graph import GraphError, Plan, build_plan, plan_job
from .local import run_in_process  # noqa: F401  (part of what callers find here)
from .messages import send_steps
from .models import Job, Overlap, PipelineRun, Step, Workflow
from .orchestrator import Edge, advance, claim_ready

logger = logging.getLogger(__name__)


class JobIsRunning(AssayError):
    """One job has one run at a time."""

    code = "job_is_running"


class WorkflowIsRunning(AssayError):
    code = "workflow_is_running"


class NothingToRetry(AssayError):
    code = "nothing_to_retry"


def start_run(
    workflow: Workflow,
    *,
    only: list[str] | None = None,
    from_failed: bool = False,
    start_date: date | None = None,
    end_date: date | None = None,
    user: AbstractBaseUser | None = None,
    trigger: str = Trigger.MANUAL,
    send: bool = True,
) -> PipelineRun:
    """Record a run of the workflow and set it going.

    `from_failed` goes on from the workflow's last run, if that did not
    succeed. With `on_overlap = skip` the run comes back `skipped` while
    another one is open. `send=False` leaves the steps to the caller, who
    calls `run_in_process`.

    Raises `GraphError`, or `NothingToRetry`, before anything is recorded.
    """
    if from_failed:
        return retry_run(_last_run(workflow), user, send=send)
    _refuse_backward_window(start_date, end_date)
    plan = build_plan(workflow, only)
    with transaction.atomic():
        # Locked, so that of two runs that start together one sees the other.
        workflow = Workflow.objects.select_for_update(no_key=True).get(pk=workflow.pk)
        run = PipelineRun(workflow=workflow, trigger=trigger, started_by=user, start_date=start_date, end_date=end_date)
        if workflow.on_overlap == Overlap.SKIP and _has_open_run(workflow):
            return _skipped(run)
        run.save()
        _add_steps(run, plan)
    return _set_going(run, send)


def start_job_run(
    kind: str,
    job: Job,
    *,
    start_date: date | None = None,
    end_date: date | None = None,
    options: dict[str, Any] | None = None,
    user: AbstractBaseUser | None = None,
    trigger: str = Trigger.MANUAL,
    send: bool = True,
) -> PipelineRun:
    """A run with this job as its only step, which is in the queue already: its `run_id` names the job's own run.

    `options` are for the job's kind, which finds them on the run.

    Raises `GraphError`, and `JobIsRunning` while another run has the job.
    """
    _refuse_backward_window(start_date, end_date)
    plan = plan_job(kind, job)
    with transaction.atomic():
        run = PipelineRun.objects.create(
            workflow=job.workflow,
            trigger=trigger,
            started_by=user,
            single_job=True,
            start_date=start_date,
            end_date=end_date,
            options=options or {},
        )
        _add_steps(run, plan)
        claims = claim_ready(run.pk)
        if not claims:
            raise JobIsRunning(f"{job.name} is running already.", hint="Wait for that run to end, or cancel it.")
        if send:
            transaction.on_commit(lambda: send_steps(claims))
    run.refresh_from_db()
    return run


def cancel_run(run: PipelineRun) -> PipelineRun:
    """Steps that wait end at once, running ones at their next sign of life or after a short while; ended runs stay."""
    PipelineRun.objects.open().filter(pk=run.pk, cancel_requested_at=None).update(cancel_requested_at=timezone.now())
    advance(run.pk)
    run.refresh_from_db()
    return run


def retry_run(run: PipelineRun, user: AbstractBaseUser | None = None, *, send: bool = True) -> PipelineRun:
    """A new run with the steps that did not succeed; what did is not repeated.

    Raises `NothingToRetry` when the run goes on still, or has nothing left to do.
    """
    if run.status not in ENDED:
        raise NothingToRetry(f"Run {run.pk} has not ended.", hint="Wait for it, or cancel it first.")
    left = _what_is_left(run)
    with transaction.atomic():
        again = PipelineRun.objects.create(
            workflow=run.workflow,
            trigger=Trigger.RETRY,
            started_by=user,
            retry_of=run,
            start_date=run.start_date,
            end_date=run.end_date,
            single_job=run.single_job,
            options=run.options,
        )
        _copy_steps(again, left)
    return _set_going(again, send)


def planned_steps(run: PipelineRun) -> list[dict[str, Any]]:
    """What the run does, in order: `[{job, kind, after: [names]}]`."""
    steps = run.steps.order_by("pk").prefetch_related("upstream")
    return [
        {"job": step.job_name, "kind": step.kind, "after": [above.job_name for above in step.upstream.all()]}
        for step in steps
    ]


def delete_workflow(workflow: Workflow) -> None:
    """Its jobs and their runs go with it; the tables in the lake stay."""
    if workflow.pipeline_runs.open().exists():
        hint = "Cancel its runs, or wait for them, then delete it."
        raise WorkflowIsRunning(f"{workflow.slug} has runs that go on.", hint=hint)
    workflow.delete()


def delete_job(job: Job) -> None:
    """Its own runs go with it; its table stays in the lake."""
    if job.runs.active().exists():
        raise JobIsRunning(f"{job.name} is running.", hint="Cancel the run, or wait for it, then delete.")
    job.delete()


def start_scheduled_runs() -> list[PipelineRun]:
    """Start every workflow whose time has come, once; times that nobody was awake for count as one."""
    now = timezone.now()
    runs = []
    for workflow in Workflow.objects.filter(next_run_at__lte=now):
        # Moving the time on is the claim: of two beats, the second hits no row.
        due = Workflow.objects.filter(pk=workflow.pk, next_run_at=workflow.next_run_at)
        if due.update(next_run_at=schedule.next_time(workflow, now)) and workflow.schedule_enabled:
            runs.append(_start_scheduled(workflow))
    return runs


def _start_scheduled(workflow: Workflow) -> PipelineRun:
    try:
        return start_run(workflow, trigger=Trigger.SCHEDULE)
    except AssayError as error:
        # Nobody sits before the screen: the refusal becomes a run that people find.
        now = timezone.now()
        logger.warning("a scheduled run could not start", extra={"workflow": workflow.slug, "code": error.code})
        return PipelineRun.objects.create(
            workflow=workflow, trigger=Trigger.SCHEDULE, status=RunStatus.FAILED, end_time=now, error=error.as_dict()
        )


# --- the rows of a run ------------------------------------------------------------


def _add_steps(run: PipelineRun, plan: Plan) -> None:
    steps = Step.objects.bulk_create(
        Step(
            pipeline_run=run,
            kind=planned.kind,
            job_id=planned.job.pk,
            job_name=planned.job.name,
            layer=planned.layer,
            max_attempts=settings.ASSAY_STEP_MAX_ATTEMPTS,
        )
        for planned in plan.steps
    )
    Edge.objects.bulk_create(
        Edge(from_step=step, to_step=steps[position])
        for step, planned in zip(steps, plan.steps, strict=True)
        for position in planned.upstream
    )


def _set_going(run: PipelineRun, send: bool) -> PipelineRun:
    if send:
        advance(run.pk)
        run.refresh_from_db()
    return run


def _skipped(run: PipelineRun) -> PipelineRun:
    run.status, run.end_time = RunStatus.SKIPPED, timezone.now()
    run.error = {
        "code": "overlap",
        "message": "Another run of the workflow had not ended.",
        "hint": "Set the workflow to wait for the run before, if no run may be left out.",
        "facts": {},
    }
    run.save()
    return run


def _has_open_run(workflow: Workflow) -> bool:
    return PipelineRun.objects.open().filter(workflow=workflow, single_job=False).exists()


def unfinished_run(workflow: Workflow) -> PipelineRun | None:
    """The workflow's last run, if there is something in it to go on from."""
    last = _runs_of_all(workflow).first()
    return last if last and last.status in (RunStatus.FAILED, RunStatus.CANCELLED) else None


def _runs_of_all(workflow: Workflow) -> QuerySet[PipelineRun]:
    return workflow.pipeline_runs.filter(single_job=False).exclude(status=RunStatus.SKIPPED)


def _last_run(workflow: Workflow) -> PipelineRun:
    last = _runs_of_all(workflow).first()
    if last is None:
        raise NothingToRetry(f"{workflow.slug} has not run yet.", hint="Start a run of all of it.")
    return last


def _what_is_left(run: PipelineRun) -> list[Step]:
    """The steps of an ended run that did not succeed; jobs that were deleted or disabled since are left out."""
    steps = run.steps.exclude(status=RunStatus.SUCCESS)
    enabled = {
        (kind.name, pk)
        for kind in kinds.all_kinds()
        for pk in kind.jobs(run.workflow).filter(enabled=True).values_list("pk", flat=True)
    }
    left = [step for step in steps if (step.kind, step.job_id) in enabled]
    if not left:
        hint = "Start a new run of the workflow instead."
        raise NothingToRetry(f"Nothing of run {run.pk} is left to be done.", hint=hint)
    return left


def _copy_steps(run: PipelineRun, originals: list[Step]) -> None:
    copied = ("kind", "job_id", "job_name", "layer", "max_attempts")
    copies = Step.objects.bulk_create(
        Step(pipeline_run=run, **{name: getattr(original, name) for name in copied}) for original in originals
    )
    copy_of = {original.pk: copy for original, copy in zip(originals, copies, strict=True)}
    between = Edge.objects.filter(from_step__in=copy_of, to_step__in=copy_of)
    Edge.objects.bulk_create(
        Edge(from_step=copy_of[edge.from_step_id], to_step=copy_of[edge.to_step_id]) for edge in between
    )


def _refuse_backward_window(start_date: date | None, end_date: date | None) -> None:
    if start_date and end_date and end_date < start_date:
        raise GraphError("invalid_window", f"The window ends ({end_date}) before it starts ({start_date}).")
