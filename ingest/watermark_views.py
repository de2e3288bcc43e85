"""Parts of a job's page: how far it has read, setting that back, and how late rows come."""

from __future__ import annotations

import json
from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from assay.common.pages import action
from workers.errors import AssayError

from . import late_rows, watermarks
from .form_views import job_or_404
from .models import IngestJob, WatermarkChange

CHANGES_SHOWN = 30
REASON_CHARS = WatermarkChange._meta.get_field("reason").max_length


@login_required
def job_watermarks(request, slug, name):
    return _watermarks(request, job_or_404(request.user, slug, name))


@action("ingest.change_ingestjob")
def job_rewind(request, slug, name):
    """`value` (empty: from the beginning) and `reason`; answers with the whole part anew."""
    job = job_or_404(request.user, slug, name)
    try:
        reason = request.POST.get("reason", "")[:REASON_CHARS]
        watermarks.rewind(job, _value(job, request.POST.get("value", "")), user=request.user, reason=reason)
    except AssayError as error:
        return _watermarks(request, job, error=error.as_dict())
    return _watermarks(request, job)


def _value(job: IngestJob, text: str) -> str | int | float | None:
    """What somebody wrote: a number where the watermark is one."""
    text = text.strip()
    if not text:
        return None
    is_text = isinstance(job.last_watermark_value, str)
    try:
        value = text if is_text else json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, int | float) and not isinstance(value, bool) else text


def _watermarks(request: HttpRequest, job: IngestJob, **more: Any) -> HttpResponse:
    job.refresh_from_db()
    changes = job.watermarks.visible_to(request.user).select_related("changed_by")[:CHANGES_SHOWN]
    return render(request, "ingest/partials/watermarks.html", {"job": job, "changes": changes, **more})


@login_required
def job_late_rows(request, slug, name):
    job = job_or_404(request.user, slug, name)
    context = {"job": job, "lateness": late_rows.of_job(job), "bar_height": late_rows.BAR_HEIGHT}
    return render(request, "ingest/partials/late_rows.html", context)
