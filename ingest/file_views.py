"""A part of a job's page: the files that it loaded."""

from __future__ import annotations

from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from ops.job_pages import with_pipeline_runs

from .form_views import job_or_404
from .models import IngestJob, LoadedFile

FILES_SHOWN = 25


@login_required
def job_files(request: HttpRequest, slug: str, name: str) -> HttpResponse:
    """A page of them (`?page=`), the newest first, each with the run that has its rows."""
    job = job_or_404(request.user, slug, name)
    files = job.loaded_files.visible_to(request.user).select_related("run")
    page = Paginator(files, FILES_SHOWN).get_page(request.GET.get("page"))
    context = {"job": job, "page": page, "shown": _with_runs(job, list(page.object_list))}
    return render(request, "ingest/partials/files.html", context)


def _with_runs(job: IngestJob, files: list[LoadedFile]) -> list[dict]:
    wanted = {file.loaded_by or file.run_id for file in files}
    runs: dict[UUID, object] = {run.pk: run for run in with_pipeline_runs(job.runs.filter(pk__in=wanted))}
    return [{"file": file, "run": runs.get(file.loaded_by or file.run_id)} for file in files]
