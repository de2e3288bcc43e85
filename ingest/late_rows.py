"""How late the rows of a job really come, summed up over its last runs, and what lag would have caught them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from assay.common.runs import RunStatus
from workers.errors import InvalidSpec
from workers.watermark import LATE_SECONDS, LATER, lag_of

from .models import IngestJob

RUNS = 50
NAMES = ("1 min", "5 min", "15 min", "1 h", "6 h", "1 day", "1 week")
LAGS = ("1m", "5m", "15m", "1h", "6h", "1d", "7d")
BAR_HEIGHT = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """Rows up to so late, and how high the bar is (0 to `BAR_HEIGHT`)."""

    name: str
    rows: int
    missed: int
    height: float
    x: int

    @property
    def y(self) -> float:
        return BAR_HEIGHT - self.height


@dataclass(frozen=True, slots=True, kw_only=True)
class Lateness:
    """What the last runs saw. Of missed rows only the last run counts: the next one misses the same again."""

    runs: int
    rows: int  # that came in these runs, missed ones included
    caught: int
    missed: int
    max_seconds: float
    bars: tuple[Bar, ...]
    lag: str  # that the job has
    advice: str  # the lag that would have caught all; empty when the job's does, or none of ours would

    @property
    def share(self) -> float:
        return (self.caught + self.missed) / self.rows if self.rows else 0.0

    @property
    def sentence(self) -> str:
        """“0.2 % of the rows came up to 47 min late; the lag is 10 min; 1 h would have caught all.”"""
        if not self.caught + self.missed:
            return "No row came late."
        lag = f"the lag is {self.lag}" if self.lag else "there is no lag"
        parts = [f"{_percent(self.share)} of the rows came up to {span(self.max_seconds)} late", lag]
        if self.advice:
            parts.append(f"{span(_seconds(self.advice))} would have caught all")
        else:
            parts.append("it caught all of them" if not self.missed else "no lag of a week or less would have")
        return "; ".join(parts) + "."


def of_job(job: IngestJob) -> Lateness | None:
    """None where no run has measured it: the job loads in full, or by something that is no time."""
    runs = job.runs.filter(status=RunStatus.SUCCESS).order_by("-pk")[:RUNS]
    told = [(run.rows_written, run.facts["late"]) for run in runs if "max_seconds" in run.facts.get("late", {})]
    if not told:
        return None
    written = sum(run.rows_written for run in runs)
    last = told[0][1]
    late = Counter(last.get("missed_buckets", {}))
    for _, facts in told:
        late += Counter(facts["buckets"])
        late -= Counter(facts.get("missed_buckets", {}))
    longest = max(facts["max_seconds"] for _, facts in told)
    return Lateness(
        runs=len(told),
        rows=written + last["missed"],
        caught=sum(facts["caught"] for _, facts in told),
        missed=last["missed"],
        max_seconds=longest,
        bars=_bars(late, Counter(last.get("missed_buckets", {}))),
        lag=job.watermark_lag,
        advice=_advice(job, longest, last["missed"]),
    )


def _bars(late: Counter, missed: Counter) -> tuple[Bar, ...]:
    ends = [*map(str, LATE_SECONDS), LATER]
    names = [*(f"≤ {name}" for name in NAMES), "later"]
    most = max(late.values(), default=0) or 1
    return tuple(
        Bar(name=name, rows=late[end], missed=missed[end], height=round(late[end] / most * BAR_HEIGHT, 1), x=60 * n)
        for n, (end, name) in enumerate(zip(ends, names, strict=True))
    )


def _advice(job: IngestJob, longest: float, missed: int) -> str:
    if not missed:
        return ""
    return next((lag for lag, end in zip(LAGS, LATE_SECONDS, strict=True) if end >= longest), "")


def _seconds(lag: str) -> float:
    try:
        told: Any = lag_of(lag)
    except InvalidSpec:
        return 0.0
    return told.total_seconds() if hasattr(told, "total_seconds") else 0.0


def span(seconds: float) -> str:
    """`47 min`: in the largest unit that leaves at least one of it."""
    for size, name in ((86_400, "day"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            count = seconds / size
            text = f"{count:.1f}".removesuffix(".0")
            return f"{text} {name}{'s' if name == 'day' and text != '1' else ''}"
    return f"{seconds:.0f} s"


def _percent(share: float) -> str:
    return "less than 0.1 %" if share < 0.001 else f"{share:.1%}".replace("%", " %").replace(".0 %", " %")
