"""How an executor tells how far it is, and hears that somebody cancelled it."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Called between the parts of a run. Raises `Cancelled` when the run is to stop."""

    def __call__(self, phase: str, *, done: int | None = None, total: int | None = None, message: str = "") -> None:
        """`phase`: land, read, stage, audit, publish; `done`/`total` in bytes or rows; `message` becomes a log line."""


def silent(phase: str, *, done: int | None = None, total: int | None = None, message: str = "") -> None:
    """The progress of whoever does not ask: a test, a notebook."""
