"""The hold that a worker has on a running step: kept by a heartbeat, lost to the reaper or to a cancel."""

from __future__ import annotations

import logging
import time
from contextlib import contextmanager
from threading import Event, Thread
from typing import Any

from django.conf import settings
from django.db import DatabaseError, connection
from django.utils import timezone

from assay.common.runs import RunStatus
from workers.errors import Cancelled

from .logs import StepLines
from .models import Step

logger = logging.getLogger(__name__)


class Lease:
    """Touches the step's row, carries its progress and lines there, and notices when the step is no longer ours."""

    def __init__(self, step: Step, lines: StepLines) -> None:
        self.step, self.lines = step, lines
        self.is_lost = False
        self._state: dict[str, Any] = {}
        self._last_beat = time.monotonic()
        self._ended = Event()

    @contextmanager
    def kept(self):
        thread = Thread(target=self._keep, name=f"heartbeat of step {self.step.pk}", daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._ended.set()
            thread.join()

    def progress(self, phase: str, *, done: int | None = None, total: int | None = None, message: str = "") -> None:
        """The executor's `Progress`. Asks the row itself whenever a new phase begins: soon enough before a publish."""
        is_new = phase != self._state.get("phase")
        self._state = {"phase": phase, "done": done, "total": total}
        if message:
            self.lines.add(message)
        if is_new:
            self._beat_or_wait()
        if self.is_lost:
            raise Cancelled("The run was cancelled, or another worker has taken the step over.")

    def beat(self) -> None:
        """Say that we live. A run that is to be cancelled, or a token that is not ours, loses the lease."""
        mine = Step.objects.filter(pk=self.step.pk, token=self.step.token, status=RunStatus.RUNNING)
        touched = mine.filter(pipeline_run__cancel_requested_at=None).update(
            heartbeat_at=timezone.now(), progress=self._state
        )
        self._last_beat = time.monotonic()
        self.is_lost = not touched
        self.lines.write()

    def _keep(self) -> None:
        try:
            while not self._ended.wait(settings.ASSAY_HEARTBEAT_SECONDS):
                self._beat_or_wait()
        finally:
            connection.close()

    def _beat_or_wait(self) -> None:
        try:
            self.beat()
        except DatabaseError:
            # Nobody can have been told that we are dead before the lease is over.
            self.is_lost = time.monotonic() - self._last_beat > settings.ASSAY_LEASE_SECONDS
            logger.warning("a heartbeat did not reach the database", exc_info=True)
