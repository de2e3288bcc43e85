"""When each step of a run was queued and ran, as shares of the run's time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

TICKS = 5


class Timed(Protocol):
    """A step, or whatever else starts and ends."""

    status: str
    queued_at: datetime | None
    start_time: datetime | None
    end_time: datetime | None


@dataclass(frozen=True)
class Bar:
    """One row; `wait` is what it spent in the queue. All in percent of the chart's width."""

    step: Timed
    wait_x: float = 0
    wait_width: float = 0
    x: float = 0
    width: float = 0


@dataclass(frozen=True)
class Gantt:
    bars: list[Bar] = field(default_factory=list)
    ticks: list[tuple[float, float]] = field(default_factory=list)  # place in percent, seconds


def gantt(steps: Iterable[Timed], start: datetime | None, end: datetime) -> Gantt:
    """A chart from `start` to `end`; steps that have not begun have no bar."""
    steps = list(steps)
    if start is None:
        return Gantt([Bar(step) for step in steps])
    span = max((end - start) / timedelta(seconds=1), 0.001)

    def share(moment: datetime) -> float:
        return round(min(max((moment - start) / timedelta(seconds=1) / span, 0), 1) * 100, 3)

    ticks = [(100 * i / (TICKS - 1), span * i / (TICKS - 1)) for i in range(TICKS)]
    return Gantt([_bar(step, end, share) for step in steps], ticks)


def _bar(step: Timed, end: datetime, share) -> Bar:
    began = step.start_time
    queued = step.queued_at or began
    if queued is None:
        return Bar(step)
    wait_x = share(queued)
    if began is None:
        return Bar(step, wait_x, share(step.end_time or end) - wait_x)
    x = share(began)
    # A step of no length is still seen.
    return Bar(step, wait_x, max(x - wait_x, 0), x, max(share(step.end_time or end) - x, 0.4))
