"""A run as a person at a terminal watches it: a table that moves, or plain lines where nobody can watch."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from assay.common.runs import RunStatus

from .local import run_in_process
from .models import PipelineRun, Step
from .services import cancel_run

_LOOK = {
    RunStatus.PENDING: ("·", "dim"),
    RunStatus.QUEUED: ("…", "cyan"),
    RunStatus.RUNNING: ("▶", "bold cyan"),
    RunStatus.SUCCESS: ("✔", "green"),
    RunStatus.FAILED: ("✘", "bold red"),
    RunStatus.SKIPPED: ("↷", "yellow"),
    RunStatus.CANCELLED: ("■", "yellow"),
}


def run_and_show(run: PipelineRun, console: Console, *, threads: int = 2) -> PipelineRun:
    """Carry the run out here and show how it goes. Ctrl-C cancels it; it is waited for until it has ended."""
    display = _Table(console) if console.is_terminal else _Lines(console)
    console.print(f"[bold]{run.workflow.slug}[/] · run {run.pk}")
    with display:
        try:
            run = run_in_process(run, threads=threads, on_change=display.show)
        except KeyboardInterrupt:
            cancel_run(run)
            run = run_in_process(run, threads=threads, on_change=display.show)
    _print_end(run, console)
    return run


class _Table(AbstractContextManager):
    """All steps, drawn anew with every change."""

    def __init__(self, console: Console) -> None:
        self._live = Live(console=console, auto_refresh=False)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def show(self, run: PipelineRun) -> None:
        table = Table(box=None, pad_edge=False, header_style="dim")
        for heading, justify in [("", "left"), ("job", "left"), ("", "left"), ("rows", "right"), ("time", "right")]:
            table.add_column(heading, justify=justify)
        for step in run.steps.order_by("pk"):
            mark, style = _LOOK[step.status]
            table.add_row(Text(mark, style), step.job_name, Text(_what(step), style), _rows(step), _time(step))
        self._live.update(table, refresh=True)


class _Lines(AbstractContextManager):
    """One line for each change of a step's state: for logs and pipes."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._seen: dict[int, str] = {}

    def __exit__(self, *_: object) -> None:
        return None

    def show(self, run: PipelineRun) -> None:
        for step in run.steps.order_by("pk"):
            if step.status in (RunStatus.PENDING, RunStatus.QUEUED) or self._seen.get(step.pk) == step.status:
                continue
            self._seen[step.pk] = step.status
            facts = [step.status, f"{_rows(step)} rows" if _rows(step) else "", _time(step) if step.has_ended else ""]
            self._console.print(f"{step.job_name}: {', '.join(filter(None, facts))}", markup=False, highlight=False)


def _what(step: Step) -> str:
    if step.status != RunStatus.RUNNING:
        return step.status
    phase, done, total = (step.progress.get(name) for name in ("phase", "done", "total"))
    share = f" {done / total:.0%}" if done and total else ""
    return f"{phase or 'running'}{share}"


def _rows(step: Step) -> str:
    if step.rows_written is None:
        return ""
    aside = f" (+{step.quarantined_rows:,} set aside)" if step.quarantined_rows else ""
    return f"{step.rows_written:,}{aside}"


def _time(step: Step) -> str:
    return "" if step.duration is None else f"{step.duration:.1f} s"


def _print_end(run: PipelineRun, console: Console) -> None:
    for step in run.steps.filter(status=RunStatus.FAILED):
        error = step.error or {}
        console.print(Text.assemble((f"{step.job_name}: ", "bold red"), error.get("message", "")))
        if error.get("hint"):
            console.print(Text(f"  {error['hint']}", "dim"))
    mark, style = _LOOK[run.status]
    seconds = "" if run.duration is None else f" in {run.duration:.1f} s"
    console.print(Text(f"{mark} {run.status}{seconds}", style))
