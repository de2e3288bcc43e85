"""Pages about Silver and Gold jobs."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.decorators import login_required
from django.shortcuts import render

from assay.common.history import history_of
from assay.common.pages import action, page
from assay.common.runs import OPEN
from catalog.models import Dataset
from ops.job_pages import run_now, runs_of
from ops.views import workflow_crumbs
from workers.errors import AssayError

from . import services
from .form_views import job_or_404
from .models import DatasetJob
from .words import in_words

CHANGES_SHOWN = 10


@login_required
def job_detail(request, slug, layer, name):
    job = job_or_404(request.user, slug, layer, name)
    runs = runs_of(job, "facts")
    context = {"job": job, "runs": runs, "is_live": any(run.status in OPEN for run in runs)}
    if request.htmx:
        return render(request, "datasets/partials/runs.html", context)
    context |= {
        "words": in_words(job),
        "inputs": _inputs(job, runs),
        "dataset": Dataset.objects.visible_to(request.user).filter(name=job.dataset_name).first(),
        "changes": history_of(job)[:CHANGES_SHOWN],
    }
    return page(request, "datasets/job_detail.html", job.name, crumbs=workflow_crumbs(job.workflow), **context)


def _inputs(job: DatasetJob, runs: list) -> list[dict[str, Any]]:
    """The job's inputs, each with the version that the last run has read, and whether it is still there."""
    read = next((run.input_versions for run in runs if run.input_versions), {})
    names = {given["dataset"] for given in job.inputs}
    there = set(Dataset.objects.filter(name__in=names).values_list("name", flat=True))
    return [
        {**given, "version": read.get(given["dataset"]), "is_gone": given["dataset"] not in there}
        for given in job.inputs
    ]


@action("ops.change_workflow")
def job_run(request, slug, layer, name):
    return run_now(request, layer, job_or_404(request.user, slug, layer, name))


@login_required
def job_sql(request, slug, layer, name):
    """What each engine runs, as a part of the job's page."""
    job = job_or_404(request.user, slug, layer, name)
    try:
        context = {"generated": services.generated_sql(job)}
    except AssayError as error:
        context = {"error": error.as_dict()}
    return render(request, "datasets/partials/generated_sql.html", {"job": job, **context})
