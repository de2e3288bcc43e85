"""Pages about runs of Silver and Gold jobs: done once more, two side by side."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse

from assay.common.pages import action, page, tell
from ops.job_pages import with_pipeline_runs
from ops.views import workflow_crumbs
from workers.errors import AssayError

from ..form_views import job_or_404
from ..models import DatasetJob, DatasetRun
from . import services
from .pages import run_columns


@action("ops.change_workflow")
def run_repeat(request, slug, layer, name, run):
    """Do exactly what the run did, and show the new one; or say why it cannot be repeated."""
    job = job_or_404(request.user, slug, layer, name)
    old = get_object_or_404(DatasetRun.objects.visible_to(request.user), pk=run, job=job)
    try:
        started = services.repeat(old, request.user)
    except AssayError as error:
        tell(request, error)
        return redirect("datasets:job-detail", slug, layer, name)
    return redirect("ops:run-detail", started.pk)


@login_required
def runs_compare(request, slug, layer, name):
    """Two runs side by side; `?run=…&run=…` names them. The rows are counted by a part of the page, later."""
    job = job_or_404(request.user, slug, layer, name)
    chosen = _chosen(request, job)
    if chosen is None:
        messages.error(request, "Choose two runs of the list to compare them.")
        return redirect("datasets:job-detail", slug, layer, name)
    crumbs = [*workflow_crumbs(job.workflow), (job.name, _address(job))]
    found = services.compare_settings(*chosen)
    context = {"job": job, "found": found, "columns": run_columns(found), "chosen": with_pipeline_runs(chosen)}
    return page(request, "datasets/run_compare.html", "Two runs compared", crumbs=crumbs, **context)


@login_required
def runs_compare_rows(request, slug, layer, name):
    job = job_or_404(request.user, slug, layer, name)
    chosen = _chosen(request, job)
    table = services.compare_tables(*chosen) if chosen else {"compared": False, "reason": "These runs are gone."}
    return render(request, "datasets/partials/run_rows_compared.html", {"table": table, "chosen": chosen})


def _chosen(request, job: DatasetJob) -> list[DatasetRun] | None:
    """The two runs that the address names, the earlier one first; None where it does not name two."""
    try:
        wanted = {UUID(text) for text in request.GET.getlist("run")}
    except ValueError:
        return None
    if len(wanted) != 2:
        return None
    found = DatasetRun.objects.visible_to(request.user).filter(job=job, pk__in=wanted).select_related("job__workflow")
    return sorted(found, key=lambda run: (run.created_at, run.pk)) if len(found) == 2 else None


def _address(job: DatasetJob) -> str:
    return reverse("datasets:job-detail", args=[job.workflow.slug, job.layer, job.name])
