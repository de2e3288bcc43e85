"""A part of a feed's page: its deliveries, and their files to take away."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import FileResponse, Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render

from assay.common.runs import RunStatus
from catalog.models import Dataset
from ops.job_pages import with_pipeline_runs

from .form_views import job_or_404
from .models import DatasetJob, DatasetRun

DELIVERIES_SHOWN = 10
FILES_SHOWN = 100  # of each


@login_required
def job_deliveries(request: HttpRequest, slug: str, layer: str, name: str) -> HttpResponse:
    """A page of them (`?page=`), the newest first."""
    job = job_or_404(request.user, slug, layer, name)
    runs = _delivered(job, request.user).order_by("-start_time")
    page = Paginator(runs, DELIVERIES_SHOWN).get_page(request.GET.get("page"))
    may_take = Dataset.objects.visible_to(request.user).filter(name=job.dataset_name).exists()
    shown = [_shown(run, may_take=may_take) for run in with_pipeline_runs(page.object_list)]
    return render(request, "datasets/partials/about_feed_loaded.html", {"job": job, "page": page, "shown": shown})


def _delivered(job: DatasetJob, user):
    return job.runs.visible_to(user).filter(status=RunStatus.SUCCESS, facts__has_key="delivery")


def _shown(run: DatasetRun, *, may_take: bool) -> dict[str, Any]:
    """The delivery, and for each of its files whether it is there to take: only while the manifest is this run's."""
    told = run.facts["delivery"]
    is_there = may_take and _folder_of(told) is not None and _manifest_run(told) == str(run.pk)
    files = told["files"]
    return {
        "run": run,
        "told": told,
        "files": files[:FILES_SHOWN],
        "more": max(0, len(files) - FILES_SHOWN),
        "may_take": is_there,
    }


@login_required
def job_delivery_file(request: HttpRequest, slug: str, layer: str, name: str, run: UUID, file: str) -> HttpResponse:
    """A file of a delivery, as it was delivered, or its manifest; 404 when a later delivery has taken its place."""
    job = job_or_404(request.user, slug, layer, name)
    get_object_or_404(Dataset.objects.visible_to(request.user), name=job.dataset_name)
    told = get_object_or_404(_delivered(job, request.user), pk=run).facts["delivery"]
    sizes = {each["name"]: each["size_bytes"] for each in told["files"]}
    folder = _folder_of(told)
    if folder is None or file not in {told["manifest"], *sizes} or _manifest_run(told) != str(run):
        raise Http404
    path = folder / file
    if path.is_symlink() or not path.is_file() or path.stat().st_size != sizes.get(file, path.stat().st_size):
        raise Http404
    return FileResponse(path.open("rb"), as_attachment=True, filename=file, content_type="application/octet-stream")


def _folder_of(told: dict[str, Any]) -> Path | None:
    """The folder of the lake where the delivery lies, when it is one, and really in the lake."""
    lake, destination = settings.ASSAY_LAKE_URL, told["destination"]
    if lake.startswith("s3://") or destination.startswith("s3://"):
        return None
    folder = (Path(lake) / destination).resolve()
    return folder if folder.is_relative_to(Path(lake).resolve()) else None


def _manifest_run(told: dict[str, Any]) -> str:
    """Whose delivery the manifest tells of now."""
    from workers.executors.export_feed.places import manifest_in

    path = _folder_of(told) / told["manifest"]
    found = manifest_in(path.read_bytes()) if path.is_file() else None
    return found["run_id"] if found else ""
