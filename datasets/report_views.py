"""Parts of a job's page that its last successful run fills: where records came from, which periods were built."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from assay.common.runs import RunStatus

from .form_views import job_or_404
from .models import DatasetJob

PERIODS_SHOWN = 60


def last_facts(job: DatasetJob, user, name: str) -> dict[str, Any]:
    """What the last successful run tells under this name; nothing before there is one. One query."""
    runs = job.runs.visible_to(user).filter(status=RunStatus.SUCCESS, facts__has_key=name)
    found = runs.order_by("-start_time").values_list("facts", flat=True).first()
    return found[name] if found else {}


@login_required
def job_conform(request: HttpRequest, slug: str, layer: str, name: str) -> HttpResponse:
    job = job_or_404(request.user, slug, layer, name)
    report = last_facts(job, request.user, "conform")
    context = {"job": job, "report": report, **(_shares(report) if report else {})}
    return render(request, "datasets/partials/about_conform_loaded.html", context)


def _shares(report: dict[str, Any]) -> dict[str, Any]:
    """The numbers with their share of what they are part of, 0..100, for the bars."""
    keys, several = max(report["keys"], 1), max(report["in_several"], 1)
    systems = [source["source_system"] for source in report["sources"]]
    conflicts = sorted(report["conflicts"].items(), key=lambda each: (-each[1], each[0]))
    return {
        "sources": [{**source, "share": 100 * source["won"] / keys} for source in report["sources"]],
        "conflicts": [
            {"column": column, "keys": count, "share": 100 * count / several} for column, count in conflicts if count
        ],
        "agreed": [column for column, count in conflicts if not count],
        "came_from": [
            {
                "column": column,
                "parts": [
                    {"system": system, "values": count, "share": 100 * count / keys}
                    for system, count in zip(systems, counts, strict=True)
                ],
                "without": report["keys"] - sum(counts),
            }
            for column, counts in report["came_from"].items()
        ],
    }


@login_required
def job_snapshots(request: HttpRequest, slug: str, layer: str, name: str) -> HttpResponse:
    job = job_or_404(request.user, slug, layer, name)
    report = last_facts(job, request.user, "snapshot")
    periods = report.get("periods", [])[-PERIODS_SHOWN:]
    most = max([period["rows"] or 0 for period in periods], default=0) or 1
    shown = [{**period, "share": 100 * (period["rows"] or 0) / most} for period in reversed(periods)]
    context = {"job": job, "report": report, "periods": shown}
    return render(request, "datasets/partials/about_snapshot_loaded.html", context)
