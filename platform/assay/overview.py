"""The figures of the home page, each of what the person may see."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta
from typing import Any

from django.db.models import Count, Q, Sum
from django.db.models.functions import TruncDate
from django.utils import timezone

from assay.common.runs import OPEN, RunStatus
from catalog.models import Dataset
from ops.models import PipelineRun, Step, Workflow
from ops.reading import with_progress

DAYS = 14
RECENT = 8
FAILURES = 5


def overview(user) -> dict[str, Any]:
    """Context of `assay/home.html`."""
    runs = PipelineRun.objects.visible_to(user)
    steps = Step.objects.visible_to(user)
    recent = list(with_progress(runs.select_related("workflow"))[:RECENT])
    workflows = Workflow.objects.visible_to(user).count()
    return {
        "kpis": _kpis(runs, steps, workflows, Dataset.objects.visible_to(user)),
        "recent": recent,
        "failures": _failures(steps),
        "run_chart": _run_chart(runs),
        "row_chart": _row_chart(steps),
        "is_live": any(run.status in OPEN for run in recent),
        "is_new": workflows == 0,
    }


def _kpis(runs, steps, workflows: int, datasets) -> list[dict[str, Any]]:
    since = timezone.now() - timedelta(days=1)
    today = runs.filter(created_at__gte=since).aggregate(
        total=Count("id"),
        good=Count("id", filter=Q(status=RunStatus.SUCCESS)),
        open=Count("id", filter=Q(status__in=OPEN)),
    )
    rows = steps.filter(end_time__gte=since).aggregate(written=Sum("rows_written"), aside=Sum("quarantined_rows"))
    tables = datasets.aggregate(total=Count("id"), published=Count("id", filter=Q(version__isnull=False)))
    ended = today["total"] - today["open"]
    success = f"{100 * today['good'] / ended:.0f} % succeeded" if ended else "none ended yet"
    return [
        {"title": "Workflows", "icon": "account_tree", "value": workflows, "note": f"{tables['total']} datasets"},
        {
            "title": "Runs, 24 hours",
            "icon": "play_circle",
            "value": today["total"],
            "note": f"{success}, {today['open']} open" if today["open"] else success,
        },
        {
            "title": "Rows written, 24 hours",
            "icon": "database",
            "value": rows["written"] or 0,
            "note": "in all layers",
        },
        {
            "title": "Rows quarantined, 24 hours",
            "icon": "report",
            "value": rows["aside"] or 0,
            "note": f"{tables['published']} tables published",
        },
    ]


def _failures(steps) -> list[Step]:
    """The last step that failed of each job that has not succeeded since."""
    since = timezone.now() - timedelta(days=7)
    latest: dict[tuple[str, int], Step] = {}
    ended = steps.filter(end_time__gte=since, status__in=[RunStatus.FAILED, RunStatus.SUCCESS])
    for step in ended.select_related("pipeline_run__workflow").order_by("-end_time", "-id")[:500]:
        latest.setdefault((step.kind, step.job_id), step)
    return [step for step in latest.values() if step.status == RunStatus.FAILED][:FAILURES]


def _days() -> list[date]:
    today = timezone.localdate()
    return [today - timedelta(days=back) for back in range(DAYS - 1, -1, -1)]


def _run_chart(runs) -> dict[str, Any]:
    since = timezone.now() - timedelta(days=DAYS)
    rows = runs.filter(created_at__gte=since).annotate(day=TruncDate("created_at")).values("day").order_by("day")
    by_day = {
        row["day"]: row
        for row in rows.annotate(
            good=Count("id", filter=Q(status=RunStatus.SUCCESS)), bad=Count("id", filter=Q(status=RunStatus.FAILED))
        )
    }
    return _chart(by_day, ("good", "Succeeded", "#14b8a6"), ("bad", "Failed", "#f43f5e"))


def _row_chart(steps) -> dict[str, Any]:
    since = timezone.now() - timedelta(days=DAYS)
    rows = steps.filter(end_time__gte=since).annotate(day=TruncDate("end_time")).values("day").order_by("day")
    by_day = {row["day"]: row for row in rows.annotate(written=Sum("rows_written"), aside=Sum("quarantined_rows"))}
    return _chart(by_day, ("written", "Written", "#3b82f6"), ("aside", "Quarantined", "#f59e0b"))


def _chart(by_day: dict[date, dict], *series: tuple[str, str, str]) -> dict[str, Any]:
    """Data for Chart.js: one bar a day, the series on top of each other."""
    days = _days()
    return {
        "labels": [f"{day:%b} {day.day}" for day in days],
        "datasets": [
            {"label": label, "backgroundColor": colour, "data": _values(by_day, days, key)}
            for key, label, colour in series
        ],
    }


def _values(by_day: dict[date, dict], days: Iterable[date], key: str) -> list[int]:
    return [by_day.get(day, {}).get(key) or 0 for day in days]
