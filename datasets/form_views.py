"""Pages and parts of pages for making and changing a Silver or Gold job."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST

from assay.common.api import InvalidInput, made_once
from assay.common.column_fields import TYPES
from assay.common.pages import action, needs, page
from catalog.models import Dataset
from ops import job_pages
from ops.views import workflow_crumbs, workflow_or_404
from workers.errors import AssayError

from . import services
from .checking import engine_of, where_and_what
from .forms import DatasetJobForm
from .forms.deep import TREES
from .models import DatasetJob
from .template_words import made_by
from .words import refresh_sentence

PREVIEW_ROWS = 50
INPUTS_OFFERED = 1000
NAMELESS = "unnamed"  # while nobody has typed a name
SAVE_AGAIN = "Save again to put what stands here in its place, or open the page anew to go on from it."
NEEDED = frozenset({"required", "too_short", "string_too_short"})  # nobody has filled it in yet
# What a query stands on: as long as something of it is wrong, there is none to show.
ABOUT_THE_QUERY = frozenset({*TREES, "transform_type", "sql_text", "engine", "target_schema"})


def job_or_404(user, slug: str, layer: str, name: str) -> DatasetJob:
    workflow = workflow_or_404(user, slug)
    job = get_object_or_404(DatasetJob.objects.visible_to(user), workflow=workflow, layer=layer, name=name)
    job.workflow = workflow
    return job


@needs("datasets.add_datasetjob")
def job_create(request, slug, layer):
    workflow = workflow_or_404(request.user, slug)
    return _job_form(request, DatasetJob(workflow=workflow, layer=layer), f"New {layer.capitalize()} dataset")


@needs("datasets.change_datasetjob")
def job_edit(request, slug, layer, name):
    return _job_form(request, job_or_404(request.user, slug, layer, name), f"Edit {name}")


@action("datasets.delete_datasetjob")
def job_delete(request, slug, layer, name):
    return job_pages.delete(request, job_or_404(request.user, slug, layer, name))


def _job_form(request: HttpRequest, job: DatasetJob, title: str) -> HttpResponse:
    form = DatasetJobForm(request.POST if request.method == "POST" else None, instance=job, user=request.user)
    if request.method == "POST" and form.is_valid() and _save(form):
        messages.success(request, f"{job.name} is saved.")
        return redirect("datasets:job-detail", job.workflow.slug, job.layer, job.name)
    context = {
        "form": form,
        "told": form.told if form.is_bound else [],
        "job": job,
        "workflow": job.workflow,
        "types": TYPES,
        "columns": form.columns,
        "offered": _offered(request.user, job),
    }
    return page(request, "datasets/job_form.html", title, crumbs=workflow_crumbs(job.workflow), **context)


def _save(form: DatasetJobForm) -> bool:
    """Whether the job was saved. Where somebody was quicker, the form says so, and what was typed stays."""
    if form.is_outdated:
        last = form.instance.history.select_related("history_user").first()
        who = last.history_user.get_username() if last and last.history_user else "Somebody"
        form.add_error(None, f"{who} changed this job while it was open here. {SAVE_AGAIN}")
        return False
    try:
        with made_once("name", "The workflow has a job of this name already."):
            form.save()
    except InvalidInput as error:
        form.keep(error.problems)
        return False
    return True


def _offered(user, job: DatasetJob) -> dict[str, list[str]]:
    """Tables that may be read, each with its columns' names, those of the same workflow first."""
    tables = Dataset.objects.visible_to(user).exclude(layer="landing").values_list("name", "columns")[:INPUTS_OFFERED]
    own = f".{job.workflow.slug}."
    ordered = sorted(tables, key=lambda table: (own not in table[0], table[0]))
    return {name: [column["name"] for column in columns] for name, columns in ordered if name != _own_name(job)}


def _own_name(job: DatasetJob) -> str:
    return f"{job.layer}.{job.workflow.slug}.{job.name}"


# --- parts of the form ---------------------------------------------------------------


def _form_as_it_stands(request: HttpRequest, slug: str, layer: str) -> DatasetJobForm:
    """The form, validated but not to be saved. `?job=NAME` says that it is about a job that exists."""
    workflow, name = workflow_or_404(request.user, slug), request.GET.get("job")
    job = job_or_404(request.user, slug, layer, name) if name else DatasetJob(workflow=workflow, layer=layer)
    data = request.POST.copy()
    data["name"] = data.get("name") or NAMELESS
    form = DatasetJobForm(data, instance=job, user=request.user)
    form.is_valid()
    return form


@require_POST
@needs("datasets.add_datasetjob", "datasets.change_datasetjob")
def job_check(request, slug, layer):
    """What is wrong with the form as it stands, and what it would do: words, SQL for each engine, columns."""
    form = _form_as_it_stands(request, slug, layer)
    faults = _faults(form)
    if not form.instance.pk and not request.POST.get("name"):
        faults.append({"place": "name", "label": "Name", "text": "This is needed.", "is_needed": True})
    context = {
        "form": form,
        "job": form.instance,
        "faults": faults,
        "wrong": [fault for fault in faults if not fault["is_needed"]],
        "needed": [fault for fault in faults if fault["is_needed"]],
        "proposes": form.data.get("types_from") != "person",
        "types": TYPES,
        "refresh": refresh_sentence(form.instance),
    }
    if not _tops(form) & ABOUT_THE_QUERY:
        context |= _generated(form.instance)
    return render(request, "datasets/partials/form_check.html", context)


def _tops(form: DatasetJobForm) -> set[str]:
    """The fields of the model that something is wrong with."""
    return {problem.attr.partition(".")[0] for _, problem in form.problems} | set(form.errors)


def _faults(form: DatasetJobForm) -> list[dict[str, Any]]:
    """`[{place, label, text, is_needed, is_rule}]`: each fault with the name of the field that shows it."""
    labels = {(told["attr"], told["text"]): told["label"] for told in form.told}
    found = {}
    for place, problem in form.problems:
        label = labels.get((problem.attr, problem.detail)) or labels.get((place, problem.detail), "")
        found[place, problem.detail] = _fault(place, label, problem.detail, problem.code)
    for name, errors in form.errors.as_data().items():
        if name not in TREES:
            place = "" if name == "__all__" else name
            for text, code in ((text, error.code or "") for error in errors for text in error.messages):
                found.setdefault((place, text), _fault(place, labels.get((name, text), ""), text, code))
    faults = list(found.values())
    if any(fault["is_needed"] for fault in faults):
        for fault in faults:
            # A rule about several fields means little before they are all there.
            fault["is_needed"] |= fault["is_rule"]
    return faults


def _fault(place: str, label: str, text: str, code: str) -> dict[str, Any]:
    return {
        "place": place,
        "label": label,
        "text": text,
        "is_needed": code in NEEDED,
        "is_rule": code == "value_error",
    }


def _generated(job: DatasetJob) -> dict[str, Any]:
    try:
        generated = services.generated_sql(job)
    except AssayError as error:
        return {"error": error.as_dict(), "refusal": where_and_what(error)}
    return {
        "generated": generated,
        "columns": generated["columns"],
        "words": made_by(job),
        "engine": engine_of(job),
    }


@require_POST
@needs("datasets.add_datasetjob", "datasets.change_datasetjob")
def job_preview(request, slug, layer):
    """The first rows of what the form, as it stands, would make. Nothing is saved."""
    form = _form_as_it_stands(request, slug, layer)
    # A name may still be missing, or be that of the job that is edited.
    context: dict[str, Any] = {"told": [told for told in form.told if told["anchor"] != form["name"].id_for_label]}
    if not context["told"]:
        context |= _previewed(request, form.instance)
    return render(request, "datasets/partials/preview.html", context)


def _previewed(request: HttpRequest, job: DatasetJob) -> dict[str, Any]:
    try:
        preview = services.preview(job, request.user)
    except AssayError as error:
        return {"error": error.as_dict()}
    return {"preview": preview, "rows": preview.rows[:PREVIEW_ROWS]}
