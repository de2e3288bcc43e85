"""Pages and parts of pages for making and changing an ingest job."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST

from assay.common.column_fields import TYPES
from assay.common.pages import action, needs, page, tell
from ops import job_pages
from ops.connections import services as connections
from ops.connections.models import Connection
from ops.models import Workflow
from ops.views import workflow_crumbs, workflow_or_404
from workers.errors import AssayError
from workers.ids import new_run_id
from workers.results import Preview

from . import services, watermarks
from .forms import CONNECTION_KINDS, IngestJobForm
from .forms.answers import indented
from .forms.nested import nested_values
from .models import IncrementalMode, IngestJob, SchemaMode, Upload, WriteMode
from .words import example_path

PREVIEW_ROWS = 12
EXAMPLES = 3
TABLES_SHOWN = 200


def job_or_404(user, slug: str, name: str) -> IngestJob:
    workflow = workflow_or_404(user, slug)
    job = get_object_or_404(IngestJob.objects.visible_to(user), workflow=workflow, name=name)
    job.workflow = workflow
    return job


@needs("ingest.add_ingestjob")
def job_create(request, slug):
    workflow = workflow_or_404(request.user, slug)
    return _job_form(request, IngestJob(workflow=workflow), "New source")


@needs("ingest.change_ingestjob")
def job_edit(request, slug, name):
    return _job_form(request, job_or_404(request.user, slug, name), f"Edit {name}")


@action("ingest.delete_ingestjob")
def job_delete(request, slug, name):
    return job_pages.delete(request, job_or_404(request.user, slug, name))


def _job_form(request: HttpRequest, job: IngestJob, title: str) -> HttpResponse:
    is_new = job.pk is None
    form = IngestJobForm(_data(request), instance=job, user=request.user)
    if request.method == "POST" and form.is_valid() and _save(form, request.user):
        messages.success(request, f"{job.name} is saved. Press Run to load it." if is_new else "Saved.")
        return redirect("ingest:job-detail", job.workflow.slug, job.name)
    context = {
        "form": form,
        "job": job,
        "workflow": job.workflow,
        "upload": Upload.objects.visible_to(request.user).filter(pk=_upload_id(form)).first(),
        "types": TYPES,
        "example_path": example_path(job),
    }
    return page(request, "ingest/job_form.html", title, crumbs=workflow_crumbs(job.workflow), **context)


def _save(form: IngestJobForm, user) -> bool:
    """Keep the job, and where its first run begins. False where the table says that this cannot be."""
    try:
        with transaction.atomic():
            watermarks.adopt(form.save(), user)
    except AssayError as error:
        form.add_error("watermark_start", f"{error.message} {error.hint}".strip())
        return False
    return True


def _data(request: HttpRequest) -> Any:
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


def _upload_id(form: IngestJobForm) -> Any:
    value = form["upload"].value()
    return value if value and not form.has_error("upload") else None


# --- parts of the form ---------------------------------------------------------------


@require_POST
@needs("ingest.add_upload")
def job_upload(request, slug):
    """Keep the file and answer with its part of the form."""
    workflow = workflow_or_404(request.user, slug)
    context: dict[str, Any] = {"workflow": workflow}
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


@login_required
def job_path(request, slug):
    """Where a file of the job would lie, from the form's `name`, `partition_mode` and `partition_pattern`."""
    names = ("name", "partition_mode", "partition_pattern")
    given = {name: request.GET[name] for name in names if request.GET.get(name)}
    return HttpResponse(example_path(IngestJob(workflow=workflow_or_404(request.user, slug), **given)))


@needs("ingest.add_ingestjob", "ingest.change_ingestjob")
def job_connections(request, slug):
    """What the picker `?field=` offers now: somebody may have made a connection meanwhile."""
    form = IngestJobForm(instance=IngestJob(workflow=workflow_or_404(request.user, slug)), user=request.user)
    name = request.GET.get("field", "")
    if name not in CONNECTION_KINDS:
        raise Http404
    choices = form.fields[name].widget.choices
    return render(request, "ingest/partials/choices.html", {"choices": choices, "chosen": request.GET.get(name, "")})


@needs("ingest.add_ingestjob", "ingest.change_ingestjob")
def job_tables(request, slug):
    """Tables of a connection, whose name has `table_search` in it, to choose one."""
    workflow_or_404(request.user, slug)
    name, term = request.GET.get("db_connection", ""), request.GET.get("table_search", "").strip()
    context: dict[str, Any] = {"connection": name, "term": term}
    if name:
        try:
            connection = get_object_or_404(Connection.objects.usable_by(request.user), name=name)
            found = connections.tables(connection, term)[:TABLES_SHOWN]
            context["tables"] = [{**table, "name": _full_name(table)} for table in found]
        except AssayError as error:
            context["error"] = error.as_dict()
    return render(request, "ingest/partials/tables.html", context)


def _full_name(table: dict[str, Any]) -> str:
    return f"{table['schema']}.{table['name']}" if table.get("schema") else table["name"]


@require_POST
@needs("ingest.add_ingestjob", "ingest.change_ingestjob")
def job_preview(request, slug):
    """What the form, as it stands, would load: columns, first rows, rows that do not fit. Nothing is saved."""
    form = _form_as_it_stands(request, workflow_or_404(request.user, slug))
    job = form.instance
    context: dict[str, Any] = {"form": form, "types": TYPES, "problems": form.source_problems}
    if not context["problems"]:
        context |= _previewed(job)
    preview = context.get("preview")
    if preview and form.takes_nested(job.source_type, job.format):
        context["nested"] = nested_values(preview.columns, form.nested)
    if job.schema_mode == SchemaMode.USER and form.columns:
        context["columns"] = _with_examples(form.columns, preview)
    return render(request, "ingest/partials/preview.html", context)


@require_POST
@needs("ingest.add_ingestjob", "ingest.change_ingestjob")
def job_request(request, slug):
    """Ask the API for its first page, as the form stands, and show what came. Nothing is saved."""
    form = _form_as_it_stands(request, workflow_or_404(request.user, slug))
    context: dict[str, Any] = {"problems": form.source_problems}
    if not context["problems"]:
        context |= _asked(form.instance, form["api_records_path"].value() or "")
    return render(request, "ingest/partials/request.html", context)


def _asked(job: IngestJob, records_path: str) -> dict[str, Any]:
    """What the API answered, for the template."""
    from workers.sources import api

    try:
        spec = services.spec_of(job, str(new_run_id()))
        result = api.try_request(spec, services.access_for(spec, job))
    except AssayError as error:
        return {"error": error.as_dict()}
    found = (result.get("lists") or {}).items()
    lists = [{"path": path, "records": rows, "is_chosen": path == records_path} for path, rows in found]
    return {
        "result": result,
        "error": result.get("error"),
        "body": indented(result.get("body_start", "")),
        "lists": lists,
    }


def _form_as_it_stands(request: HttpRequest, workflow: Workflow) -> IngestJobForm:
    """The form, validated but not to be saved. Much may still be missing: only the source matters.

    `?job=NAME` says that it is about a job that exists: its secrets count where none was typed.
    """
    name = request.GET.get("job")
    job = job_or_404(request.user, workflow.slug, name) if name else IngestJob(workflow=workflow)
    form = IngestJobForm(request.POST, instance=job, user=request.user)
    form.is_valid()
    job.name = job.name or "preview"
    if job.error_handling == "quarantine" and not job.quarantine_path:
        job.quarantine_path = "quarantine/preview"
    if not job.watermark_column:
        job.incremental_mode = IncrementalMode.FULL
    if not job.key_columns and job.write_mode == WriteMode.MERGE:
        job.write_mode = WriteMode.APPEND
    return form


def _previewed(job: IngestJob) -> dict[str, Any]:
    if job.schema_mode == SchemaMode.USER and not job.user_schema:
        job.schema_mode = SchemaMode.INFER
    try:
        found = services.preview(job)
    except AssayError as error:
        return {"error": error.as_dict()}
    columns = _with_examples([{"name": c.name, "type": c.type, "nullable": c.nullable} for c in found.columns], found)
    return {"preview": found, "columns": columns, "rows": found.rows[:PREVIEW_ROWS]} | _watermark_note(job, found)


def _with_examples(columns: list[dict[str, Any]], preview: Preview | None) -> list[dict[str, Any]]:
    """The columns, each with a few of its values in words."""
    profile = {column["name"]: column for column in preview.profile} if preview else {}
    return [{**column, "examples": _examples(column, profile.get(column["name"], {}))} for column in columns]


def _examples(column: dict[str, Any], facts: dict[str, Any]) -> str:
    if column["type"].startswith(("struct<", "list<")):
        return ""
    return ", ".join(str(value) for value in (facts.get("examples") or [])[:EXAMPLES])


def _watermark_note(job: IngestJob, preview: Preview) -> dict[str, str]:
    """A watermark that is null in some rows, or that is no column at all, told before the first run."""
    name = job.watermark_column
    if not name:
        return {}
    facts = next((column for column in preview.profile if column["name"] == name), None)
    if facts is None:
        return {"null_watermarks": f"There is no column “{name}” for the watermark."}
    if not facts.get("nulls"):
        return {}
    rows = f"{facts['nulls']:,} of {preview.rows_sampled:,} rows that were looked at have no {name}"
    return {"null_watermarks": f"{rows}: a run cannot tell whether they are new."}
