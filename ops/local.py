"""Runs carried out by the process that asks for them: no broker, no worker, the same rows and the same rules."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from django.db import connection

from assay.common.runs import RunStatus

from .execution import execute_step
from .messages import Claim
from .models import PipelineRun, Step
from .orchestrator import claim_ready
from .reaper import reap

POLL_SECONDS = 0.25
REAP_SECONDS = 3


def run_in_process(
    run: PipelineRun, *, threads: int = 1, on_change: Callable[[PipelineRun], None] | None = None
) -> PipelineRun:
    """Carry the run out to its end here, and return it.

    With one thread the steps run one by one in the caller's own; with more,
    each thread has its own database connection. Meanwhile this process looks
    after other open runs as the reaper does: one that a killed process left
    behind would else be waited for without end. `on_change` is called with
    the run a few times a second, and once at the end.
    """
    with _Crew(threads) as crew:
        while True:
            crew.carry_out(claim_ready(run.pk))
            crew.carry_out(_queued(run))
            crew.reap_now_and_then()
            run.refresh_from_db()
            if on_change:
                on_change(run)
            if run.has_ended:
                return run
            crew.rest()


def _queued(run: PipelineRun) -> list[Claim]:
    """Also what somebody else put into the queue: whoever comes first begins it."""
    queued = Step.objects.filter(pipeline_run=run, status=RunStatus.QUEUED)
    return [Claim(step_id, token, run.pk) for step_id, token in queued.values_list("pk", "token")]


class _Crew:
    """Threads that carry claims out, each claim once; with a single one, the caller's own thread."""

    def __init__(self, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="step") if threads > 1 else None
        self._seen: set[tuple[int, str]] = set()
        self._going: set[Future] = set()
        self._did_something = False
        self._reaped_at = time.monotonic()

    def __enter__(self) -> _Crew:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool:
            self._pool.shutdown(wait=False, cancel_futures=True)

    def carry_out(self, claims: list[Claim]) -> None:
        for claim in claims:
            if (claim.step_id, claim.token) in self._seen:
                continue
            self._seen.add((claim.step_id, claim.token))
            self._did_something = True
            if self._pool:
                self._going.add(self._pool.submit(_execute_in_thread, claim))
            else:
                execute_step(claim.step_id, claim.token)

    def reap_now_and_then(self) -> None:
        if time.monotonic() - self._reaped_at >= REAP_SECONDS:
            self._reaped_at = time.monotonic()
            reap(self.carry_out)

    def rest(self) -> None:
        """Until a step ends, or for a moment."""
        if self._going:
            _, self._going = wait(self._going, timeout=POLL_SECONDS, return_when=FIRST_COMPLETED)
        elif not self._did_something:
            time.sleep(POLL_SECONDS)
        self._did_something = False


def _execute_in_thread(claim: Claim) -> None:
    try:
        execute_step(claim.step_id, claim.token)
    finally:
        connection.close()
