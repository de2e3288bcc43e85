"""Pages about Silver and Gold jobs."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST

from assay.common.column_fields import TYPES
from assay.common.history import history_of
from assay.common.pages import action, needs, page
from assay.common.runs import OPEN
from catalog.models import Dataset
from ops import job_pages
from ops.job_pages import run_now, runs_of
from ops.views import workflow_crumbs, workflow_or_404
from workers.errors import AssayError
from workers.specs import to_json

from . import services
from .checking import check
from .forms import DatasetJobForm
from .models import DatasetJob
from .words import in_words

CHANGES_SHOWN = 10
PREVIEW_ROWS = 50
INPUTS_OFFERED = 1000


def _job_or_404(user, slug: str, layer: str, name: str) -> DatasetJob:
    workflow = workflow_or_404(user, slug)
    job = get_object_or_404(DatasetJob.objects.visible_to(user), workflow=workflow, layer=layer, name=name)
    job.workflow = workflow
    return job


@login_required
def job_detail(request, slug, layer, name):
    job = _job_or_404(request.user, slug, layer, name)
    runs = runs_of(job)
    context = {"job": job, "runs": runs, "is_live": any(run.status in OPEN for run in runs)}
    if request.htmx:
        return render(request, "datasets/partials/runs.html", context)
    context |= {
        "words": in_words(job),
        "dataset": Dataset.objects.visible_to(request.user).filter(name=job.dataset_name).first(),
        "changes": history_of(job)[:CHANGES_SHOWN],
    }
    return page(request, "datasets/job_detail.html", job.name, crumbs=workflow_crumbs(job.workflow), **context)


@action("ops.change_workflow")
def job_run(request, slug, layer, name):
    return run_now(request, layer, _job_or_404(request.user, slug, layer, name))


@action("datasets.delete_datasetjob")
def job_delete(request, slug, layer, name):
    return job_pages.delete(request, _job_or_404(request.user, slug, layer, name))


@login_required
def job_sql(request, slug, layer, name):
    """What each engine runs, as a part of the job's page."""
    job = _job_or_404(request.user, slug, layer, name)
    try:
        context = {"generated": services.generated_sql(job)}
    except AssayError as error:
        context = {"error": error.as_dict()}
    return render(request, "datasets/partials/generated_sql.html", {"job": job, **context})


# --- making and changing ---------------------------------------------------------------


@needs("datasets.add_datasetjob")
def job_create(request, slug, layer):
    workflow = workflow_or_404(request.user, slug)
    return _job_form(request, DatasetJob(workflow=workflow, layer=layer), f"New {layer.capitalize()} dataset")


@needs("datasets.change_datasetjob")
def job_edit(request, slug, layer, name):
    return _job_form(request, _job_or_404(request.user, slug, layer, name), f"Edit {name}")


def _job_form(request, job: DatasetJob, title: str):
    form = DatasetJobForm(request.POST if request.method == "POST" else None, instance=job)
    if request.method == "POST" and form.is_valid():
        job = form.save()
        messages.success(request, f"{job.name} is saved.")
        return redirect("datasets:job-detail", job.workflow.slug, job.layer, job.name)
    context = {
        "form": form,
        "job": job,
        "workflow": job.workflow,
        "types": TYPES,
        "columns": form.columns,
        "offered": _offered(request.user, job),
    }
    return page(request, "datasets/job_form.html", title, crumbs=workflow_crumbs(job.workflow), **context)


def _offered(user, job: DatasetJob) -> dict[str, list[str]]:
    """Tables that may be read, each with its columns' names, those of the same workflow first."""
    tables = Dataset.objects.visible_to(user).exclude(layer="landing").values_list("name", "columns")[:INPUTS_OFFERED]
    own = f".{job.workflow.slug}."
    ordered = sorted(tables, key=lambda table: (own not in table[0], table[0]))
    return {name: [column["name"] for column in columns] for name, columns in ordered if name != _own_name(job)}


def _own_name(job: DatasetJob) -> str:
    return f"{job.layer}.{job.workflow.slug}.{job.name}"


@require_POST
@needs("datasets.add_datasetjob")
def job_preview(request, slug, layer):
    """What the form, as it stands, would make: its SQL, its columns, its first rows. Nothing is saved."""
    workflow = workflow_or_404(request.user, slug)
    form = DatasetJobForm(request.POST, instance=DatasetJob(workflow=workflow, layer=layer, name="preview"))
    form.is_valid()
    job = form.instance
    job.name = job.name or "preview"
    # A name may still be missing, or be that of the job that is edited.
    problems = {field: errors for field, errors in form.errors.items() if field != "name"}
    context = {"form": form, "types": TYPES, "columns": form.columns, "problems": _flat(form, problems)}
    if not context["problems"]:
        context |= _previewed(job)
    return render(request, "datasets/partials/preview.html", context)


def _flat(form, errors: dict) -> list[tuple[str, str]]:
    return [
        ("" if field == "__all__" else form[field].label, error) for field, found in errors.items() for error in found
    ]


def _previewed(job: DatasetJob) -> dict:
    try:
        found = check(job)
        context = {"sql": found.sql, "warnings": found.warnings, "columns": [to_json(c) for c in found.columns]}
    except AssayError as error:
        return {"error": error.as_dict()}
    try:
        preview = services.preview(job)
    except AssayError as error:
        return {**context, "preview_error": error.as_dict()}
    return {**context, "preview": preview, "rows": preview.rows[:PREVIEW_ROWS]}
