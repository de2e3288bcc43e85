"""What a step says while it runs: lines for its page, gathered in memory and written in batches."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from threading import Lock

from assay.common.logs import redact

from .models import StepLog

MAX_LINES = 2000  # of one try; a loop that logs each row must not fill the database

_current: ContextVar[StepLines | None] = ContextVar("step_lines", default=None)


class StepLines:
    """The lines of one try. Safe to add to from one thread and to write from another."""

    def __init__(self, step_id: int, attempt: int) -> None:
        self.step_id, self.attempt = step_id, attempt
        self._lines: list[StepLog] = []
        self._count = 0
        self._lock = Lock()

    def add(self, message: str, level: str = StepLog.Level.INFO) -> None:
        with self._lock:
            self._count += 1
            if self._count == MAX_LINES:
                message = f"{message}\n(Further lines are only in the worker's own log.)"
            if self._count <= MAX_LINES:
                at = datetime.now(UTC)
                line = StepLog(
                    step_id=self.step_id, attempt=self.attempt, at=at, level=level, message=str(redact(message))
                )
                self._lines.append(line)

    def write(self) -> None:
        """Hand the lines over to the database; what it does not take stays for the next time."""
        with self._lock:
            lines, self._lines = self._lines, []
        try:
            if lines:
                StepLog.objects.bulk_create(lines)
        except Exception:
            with self._lock:
                self._lines = lines + self._lines
            raise


class _StepHandler(logging.Handler):
    """Copies what is logged in a step's own thread to the step's lines."""

    def emit(self, record: logging.LogRecord) -> None:
        lines = _current.get()
        if lines is not None and record.levelno >= logging.INFO:
            level = record.levelname.lower()
            lines.add(record.getMessage(), level if level in StepLog.Level.values else StepLog.Level.ERROR)


_handler = _StepHandler()


@contextmanager
def captured(lines: StepLines):
    """Everything logged inside, by this thread, is also a line of the step."""
    root = logging.getLogger()
    if _handler not in root.handlers:
        root.addHandler(_handler)
    token = _current.set(lines)
    try:
        yield
    finally:
        _current.reset(token)
