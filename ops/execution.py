"""How one step is carried out, from the token in a message to the rows that say how it ended."""

from __future__ import annotations

import logging
import os
import random
import secrets
import socket
from datetime import timedelta
from functools import partial
from typing import Any

from django.conf import settings
from django.db import OperationalError, transaction
from django.db.models import F
from django.db.models.functions import Coalesce
from django.utils import timezone

from assay.common.logs import hide_secrets, log_context
from assay.common.runs import JobRun, RunStatus
from workers.errors import AssayError, Cancelled, OutcomeUnknown
from workers.results import StepResult

from . import kinds
from .lease import Lease
from .logs import StepLines, captured
from .messages import send_advances
from .models import PipelineRun, Step, StepLog
from .orchestrator import end_job_run

logger = logging.getLogger(__name__)

LONGEST_WAIT_SECONDS = 600


class InternalError(AssayError):
    """A bug, as people see it: what happened stays in the worker's log, under the reference."""

    code = "internal"

    def __init__(self) -> None:
        self.reference = secrets.token_hex(4)
        super().__init__(
            f"Something went wrong inside Assay (reference {self.reference}).",
            hint="The worker's log has the details under this reference.",
            reference=self.reference,
        )


class DatabaseUnavailable(AssayError):
    code = "database_unavailable"
    retryable = True


def execute_step(step_id: int, token: str) -> None:
    """Carry the step out if `token` is its current one and nobody has begun; else do nothing.

    Every expected failure ends in the step's rows. What goes wrong while
    those are written is raised: the lease then runs out, and the reaper gives
    the same run to another worker.
    """
    step = _begin(step_id, token)
    if step is None:
        return
    kind = kinds.get(step.kind)
    lines = StepLines(step.pk, step.attempt)
    with log_context(pipeline_run=step.pipeline_run_id, job=step.job_name, run=step.run_id), captured(lines):
        lines.add(f"Attempt {step.attempt} of {step.max_attempts}, on {step.worker}.")
        try:
            run, result = _execute(kind, step, lines)
        except Cancelled:
            lines.add("Cancelled.", StepLog.Level.WARNING)
            _stop(step)
        except AssayError as error:
            _fail_or_retry(step, error, lines)
        else:
            lines.add(_told(result))
            _succeed(kind, step, run, result)
        finally:
            lines.write()


def _told(result: StepResult) -> str:
    """What was done, in one line of the step's log."""
    aside = f", {result.quarantined_rows:,} set aside" if result.quarantined_rows else ""
    phases = ", ".join(f"{phase} {seconds:.1f} s" for phase, seconds in result.phases.items())
    if result.published is None:
        return "No rows came, and there is no table yet: nothing was published."
    again = "was published already as" if result.published.already else "published as"
    text = f"{result.rows_read:,} rows read, {result.rows_written:,} {again} version {result.published.version}{aside}."
    return f"{text} Took: {phases}." if phases else text


def _begin(step_id: int, token: str) -> Step | None:
    """The claim: only the delivery that holds the row's current token hits the row, and only once."""
    now = timezone.now()
    begun = Step.objects.filter(pk=step_id, token=token).move(
        old=RunStatus.QUEUED,
        new=RunStatus.RUNNING,
        attempt=F("attempt") + 1,
        start_time=Coalesce("start_time", now),
        heartbeat_at=now,
        worker=f"{socket.gethostname()}:{os.getpid()}"[:100],
    )
    return Step.objects.get(pk=step_id) if begun else None


def _execute(kind: kinds.JobKind, step: Step, lines: StepLines) -> tuple[JobRun, StepResult]:
    """The data plane's part, outside any transaction. Raises only `AssayError`."""
    lease = Lease(step, lines)
    with lease.kept():
        try:
            run = kind.run_of(step.run_id)
            return run, kind.execute(_begin_run(kind, run), lease.progress)
        except AssayError:
            raise
        except OperationalError as error:
            logger.warning("the database did not answer", exc_info=True)
            raise DatabaseUnavailable("The database did not answer.", hint="It is tried again.") from error
        except Exception as error:
            internal = InternalError()
            logger.exception("step failed", extra={"reference": internal.reference})
            raise internal from error


def _begin_run(kind: kinds.JobKind, run: JobRun) -> dict[str, Any]:
    """What is to be done. A run that was taken over does exactly what it was begun with."""
    run.spec = run.spec or kind.to_spec(run)
    run.start_time = run.start_time or timezone.now()
    kind.runs([run.pk]).move(old=RunStatus.QUEUED, new=RunStatus.RUNNING, spec=run.spec, start_time=run.start_time)
    return run.spec


def _succeed(kind: kinds.JobKind, step: Step, run: JobRun, result: StepResult) -> None:
    """The step's end and what is recorded of it are one transaction, fenced by the token."""
    now = timezone.now()
    try:
        with transaction.atomic():
            ended = _mine(step).move(
                old=RunStatus.RUNNING,
                new=RunStatus.SUCCESS,
                end_time=now,
                error=None,
                rows_read=result.rows_read,
                rows_written=result.rows_written,
                quarantined_rows=result.quarantined_rows,
            )
            if not ended:
                logger.warning("the step was taken over or cancelled before it ended")
                return
            kind.runs([run.pk]).move(old=RunStatus.RUNNING, new=RunStatus.SUCCESS, end_time=now)
            run.status, run.end_time = RunStatus.SUCCESS, now
            kind.record(run, result)
            _tell_who_waits(step)
    except Exception:
        logger.exception("what the step did could not be recorded; it is tried again")
        raise


def settle(step: Step) -> bool:
    """Record as a success what a running step has published, when nobody is left to tell; False when it has not.

    A run that were marked as failed would be started again, and add its rows a second time.
    """
    kind = kinds.get(step.kind)
    try:
        run = kind.run_of(step.run_id)
        result = kind.published(run)
    except AssayError:
        logger.warning("the lake does not say whether the step has published", exc_info=True)
        return False
    if result is None:
        return False
    logger.warning("a step had published before its worker was lost", extra={"job": step.job_name})
    _succeed(kind, step, run, result)
    return True


def _stop(step: Step) -> None:
    """The lease was lost: because of a cancel, which ends the step here, or to somebody who now answers for it."""
    if PipelineRun.objects.filter(pk=step.pipeline_run_id, cancel_requested_at__isnull=False).exists():
        _end(step, RunStatus.CANCELLED, None)


def _fail_or_retry(step: Step, error: AssayError, lines: StepLines) -> None:
    logger.info("step failed", extra={"code": error.code, "attempt": step.attempt})
    lines.add(f"{error.message} {error.hint}".strip(), StepLog.Level.ERROR)
    told = hide_secrets(error.as_dict())  # a driver or a server may have repeated what it was sent
    if isinstance(error, OutcomeUnknown) and step.is_last_attempt and settle(step):
        return
    if not error.retryable or step.is_last_attempt:
        _end(step, RunStatus.FAILED, told)
        return
    if isinstance(error, OutcomeUnknown):
        # Its commit may stand, which only the same run can find out. The reaper hands it on when the lease is over.
        lines.add(f"Attempt {step.attempt} of {step.max_attempts} failed; the next goes on with the same run.")
        return
    wait = retry_wait(step.attempt)
    lines.add(f"Attempt {step.attempt} of {step.max_attempts} failed; the next begins in {wait.total_seconds():.0f} s.")
    now = timezone.now()
    with transaction.atomic():
        changes = {"token": "", "not_before": now + wait, "error": told}
        if _mine(step).move(old=RunStatus.RUNNING, new=RunStatus.PENDING, **changes):
            end_job_run(step, RunStatus.FAILED, now, told)
            _tell_who_waits(step)


def retry_wait(attempt: int) -> timedelta:
    """Twice as long after each attempt, give or take a half, so that many steps do not come back together."""
    seconds = min(settings.ASSAY_RETRY_SECONDS * 2 ** (attempt - 1), LONGEST_WAIT_SECONDS)
    return timedelta(seconds=seconds * random.uniform(0.5, 1.5))  # noqa: S311  (no secret)


def _end(step: Step, status: str, error: dict[str, Any] | None) -> None:
    now = timezone.now()
    with transaction.atomic():
        if _mine(step).move(old=RunStatus.RUNNING, new=status, end_time=now, error=error):
            end_job_run(step, status, now, error)
            if error and step.run_id:
                kind = kinds.get(step.kind)
                kind.record_failure(kind.run_of(step.run_id), error)
            _tell_who_waits(step)


def _mine(step: Step):
    return Step.objects.filter(pk=step.pk, token=step.token)


def _tell_who_waits(step: Step) -> None:
    """The job is free again: other runs that wait for it are told once that has committed."""
    waiting = Step.objects.filter(kind=step.kind, job_id=step.job_id, status=RunStatus.PENDING).order_by()
    others = waiting.exclude(pipeline_run_id=step.pipeline_run_id).values_list("pipeline_run_id", flat=True).distinct()
    if ids := list(others):
        transaction.on_commit(partial(send_advances, ids))
