"""Pages about ingest jobs."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST

from assay.common.column_fields import TYPES
from assay.common.history import history_of
from assay.common.pages import action, needs, page, tell
from assay.common.runs import OPEN
from catalog.models import Dataset
from ops import job_pages
from ops.job_pages import run_now, runs_of
from ops.views import workflow_crumbs, workflow_or_404
from workers.errors import AssayError

from . import quarantine, services
from .forms import SOURCE_FIELDS, IngestJobForm
from .models import IngestJob, SchemaMode, Upload
from .words import example_path, in_words

CHANGES_SHOWN = 10
PREVIEW_ROWS = 12


def _job_or_404(user, slug: str, name: str) -> IngestJob:
    workflow = workflow_or_404(user, slug)
    job = get_object_or_404(IngestJob.objects.visible_to(user), workflow=workflow, name=name)
    job.workflow = workflow
    return job


@login_required
def job_detail(request, slug, name):
    job = _job_or_404(request.user, slug, name)
    runs = runs_of(job)
    context = {"job": job, "runs": runs, "is_live": any(run.status in OPEN for run in runs)}
    if request.htmx:
        return render(request, "ingest/partials/runs.html", context)
    context |= {
        "words": in_words(job),
        "dataset": Dataset.objects.visible_to(request.user).filter(name=job.bronze_name).first(),
        "changes": history_of(job)[:CHANGES_SHOWN],
        "quarantined": next((run for run in runs if run.quarantined_rows and run.quarantine_path), None),
    }
    return page(request, "ingest/job_detail.html", job.name, crumbs=workflow_crumbs(job.workflow), **context)


@action("ops.change_workflow")
def job_run(request, slug, name):
    return run_now(request, "ingest", _job_or_404(request.user, slug, name))


@action("ingest.delete_ingestjob")
def job_delete(request, slug, name):
    return job_pages.delete(request, _job_or_404(request.user, slug, name))


@login_required
def job_quarantine(request, slug, name):
    """The rows that the last run with bad rows set aside, as a part of the job's page."""
    job = _job_or_404(request.user, slug, name)
    run = get_object_or_404(job.runs.exclude(quarantine_path="").filter(quarantined_rows__gt=0)[:1])
    context = {"columns": [{"name": name, "type": ""} for name in quarantine.COLUMNS], "run": run}
    try:
        context["rows"] = quarantine.sample(run)
    except AssayError as error:
        context["error"] = error.as_dict()
    return render(request, "ingest/partials/quarantine.html", context)


# --- making and changing ---------------------------------------------------------------


@needs("ingest.add_ingestjob")
def job_create(request, slug):
    workflow = workflow_or_404(request.user, slug)
    return _job_form(request, IngestJob(workflow=workflow), "New source")


@needs("ingest.change_ingestjob")
def job_edit(request, slug, name):
    return _job_form(request, _job_or_404(request.user, slug, name), f"Edit {name}")


def _job_form(request, job: IngestJob, title: str):
    is_new = job.pk is None
    form = IngestJobForm(_data(request), instance=job)
    if request.method == "POST" and form.is_valid():
        job = form.save()
        messages.success(request, f"{job.name} is saved. Press Run to load it." if is_new else "Saved.")
        return redirect("ingest:job-detail", job.workflow.slug, job.name)
    context = {
        "form": form,
        "job": job,
        "workflow": job.workflow,
        "upload": Upload.objects.visible_to(request.user).filter(pk=_upload_id(form)).first(),
        "types": TYPES,
        "example_path": example_path(job),
        "kept_name": {"name": job.name},  # a field that cannot be changed is not sent
    }
    return page(request, "ingest/job_form.html", title, crumbs=workflow_crumbs(job.workflow), **context)


def _data(request):
    """What was posted; a file that came with the form itself is kept like any upload."""
    if request.method != "POST":
        return None
    if "file" not in request.FILES:
        return request.POST
    data = request.POST.copy()
    try:
        data["upload"] = str(services.save_upload(request.FILES["file"], request.user).pk)
    except AssayError as error:
        tell(request, error)
    return data


def _upload_id(form: IngestJobForm):
    value = form["upload"].value()
    return value if value and not form.has_error("upload") else None


@require_POST
@needs("ingest.add_upload")
def job_upload(request, slug):
    """Keep the file and answer with its part of the form."""
    workflow = workflow_or_404(request.user, slug)
    context = {"workflow": workflow}
    try:
        upload = services.save_upload(request.FILES["file"], request.user)
        context |= {"upload": upload, "guessed": services.guess_options(upload)}
    except KeyError:
        context["error"] = {"message": "No file came.", "hint": "Choose one.", "code": "required"}
    except AssayError as error:
        context["error"] = error.as_dict()
    response = render(request, "ingest/partials/upload.html", context)
    response["HX-Trigger-After-Settle"] = "source-changed"
    return response


@require_POST
@needs("ingest.add_ingestjob")
def job_preview(request, slug):
    """What the form, as it stands, would load: columns, first rows, rows that do not fit. Nothing is saved."""
    workflow = workflow_or_404(request.user, slug)
    form = IngestJobForm(request.POST, instance=IngestJob(workflow=workflow))
    form.is_valid()  # a name may still be missing: only what is about the source matters here
    job = form.instance
    job.name = job.name or "preview"
    context = {"form": form, "types": TYPES, "example_path": example_path(job)}
    context["problems"] = [error for name in sorted(SOURCE_FIELDS & set(form.errors)) for error in form.errors[name]]
    if not context["problems"]:
        context |= _previewed(job)
    if job.schema_mode == SchemaMode.USER and form.columns:
        context["columns"] = form.columns
    return render(request, "ingest/partials/preview.html", context)


def _previewed(job: IngestJob) -> dict:
    if job.schema_mode == SchemaMode.USER and not job.user_schema:
        job.schema_mode = SchemaMode.INFER
    if job.error_handling == "quarantine" and not job.quarantine_path:
        job.quarantine_path = "quarantine/preview"
    try:
        found = services.preview(job)
    except AssayError as error:
        return {"error": error.as_dict()}
    return {"preview": found, "columns": found.columns, "rows": found.rows[:PREVIEW_ROWS]}
