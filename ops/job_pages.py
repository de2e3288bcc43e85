"""What the pages of all kinds of jobs share: starting, past runs."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from assay.common.pages import tell
from assay.common.runs import JobRun
from workers.errors import AssayError

from . import kinds, services
from .models import Job, Step

RUNS_SHOWN = 10


def run_now(request: HttpRequest, kind: str, job: Job, **window: date | None) -> HttpResponse:
    """Start the job, of some days only where `start_date` and `end_date` are given, and show its run.

    Or say why it cannot start.
    """
    try:
        run = services.start_job_run(kind, job, user=request.user, **window)
    except AssayError as error:
        tell(request, error)
        return redirect(kinds.get(kind).page_url(job))
    return redirect("ops:run-detail", run.pk)


def delete(request: HttpRequest, job: Job) -> HttpResponse:
    """Delete the job and show its workflow, or say why it has to stay."""
    slug = job.workflow.slug
    try:
        services.delete_job(job)
    except AssayError as error:
        tell(request, error)
    else:
        messages.success(request, f"{job.name} is deleted. What it published stays in the lake.")
    return redirect("ops:workflow-detail", slug)


def runs_of(job: Job, *left_out: str) -> list[JobRun]:
    """The job's last runs, each with the id of its pipeline run, or None; large fields may be left out until asked."""
    return with_pipeline_runs(job.runs.defer("spec", *left_out)[:RUNS_SHOWN])


def with_pipeline_runs(runs: Iterable[JobRun]) -> list[JobRun]:
    """The runs, each with `pipeline_run_id`: two queries."""
    runs = list(runs)
    ids = [run.step_id for run in runs if run.step_id]
    pipeline_runs = dict(Step.objects.filter(pk__in=ids).values_list("pk", "pipeline_run_id"))
    for run in runs:
        run.pipeline_run_id = pipeline_runs.get(run.step_id)
    return runs
