"""The page of an ingest job and its parts. The forms are in form_views.py."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest
from django.shortcuts import redirect, render
from django.urls import reverse

from assay.common.history import history_of
from assay.common.pages import action, page, tell
from assay.common.policy import visible_rows
from assay.common.runs import OPEN
from catalog.models import Dataset
from ops.job_pages import run_now, runs_of, with_pipeline_runs
from ops.views import workflow_crumbs
from workers.errors import AssayError

from . import quarantine, services
from .form_views import job_or_404
from .forms import FILES, WindowForm
from .models import ContractChange, IncrementalMode, IngestJob
from .quarantine_file import FORMATS, as_download
from .words import in_words

CHANGES_SHOWN = 10
QUARANTINED_SHOWN = 50
LOOK_ROWS = 12


@login_required
def job_detail(request, slug, name):
    job = job_or_404(request.user, slug, name)
    runs = runs_of(job)
    context = {"job": job, "runs": runs, "is_live": any(run.status in OPEN for run in runs)}
    if request.htmx:
        return render(request, "ingest/partials/runs.html", context)
    context |= {
        "words": in_words(job),
        "dataset": Dataset.objects.visible_to(request.user).filter(name=job.bronze_name).first(),
        "changes": history_of(job)[:CHANGES_SHOWN],
        **_sections(job),
    }
    return page(request, "ingest/job_detail.html", job.name, crumbs=workflow_crumbs(job.workflow), **context)


# Parts of the page that are read once they are seen: (id, title, note, name of the address).
CONTRACT = ("contract", "What changed at the source", "differences that a person decides about", "job-contract-changes")
SECTIONS = (
    ("watermark", "Watermark", "how far the source was read", "job-watermarks"),
    ("lateness", "Late rows", "how late they come, and what lag would catch them", "job-late-rows"),
    ("quarantine", "In quarantine", "rows that did not fit, and why", "job-quarantine"),
    ("files", "Files", "that were loaded, told by their content", "job-files"),
    ("schema-history", "How its columns changed", "", "job-schema-history"),
)


def _sections(job: IngestJob) -> dict[str, list[dict[str, str]]]:
    """What waits for a decision stands on top; where nothing waits, what was decided stands at the end."""
    waits = job.contract_changes.filter(status=ContractChange.Status.PENDING).exists()
    left_out = set() if job.source_type in FILES else {"files"}
    if job.incremental_mode != IncrementalMode.INCREMENTAL:
        left_out |= {"watermark", "lateness"}
    parts = [part for part in (*SECTIONS, CONTRACT) if part[0] not in left_out]
    urgent = [parts.pop()] if waits else []
    return {"urgent": [_section(job, *part) for part in urgent], "sections": [_section(job, *part) for part in parts]}


def _section(job: IngestJob, key: str, title: str, note: str, name: str) -> dict[str, str]:
    address = reverse(f"ingest:{name}", args=(job.workflow.slug, job.name))
    return {"id": key, "title": title, "note": note, "address": address}


@action("ingest.add_ingestjob", "ingest.change_ingestjob")
def job_look(request, slug, name):
    """The first rows that the job's source has now, as a part of its page. Nothing is written."""
    job = job_or_404(request.user, slug, name)
    try:
        found = services.preview(job)
        context = {"preview": found, "rows": list(visible_rows(request.user, job.bronze_name, found.rows[:LOOK_ROWS]))}
    except AssayError as error:
        context = {"error": error.as_dict()}
    return render(request, "ingest/partials/look.html", context)


@action("ops.change_workflow")
def job_run(request, slug, name):
    """Start the job; `start_date` and `end_date` make it a run that replaces these days."""
    job = job_or_404(request.user, slug, name)
    window = WindowForm(request.POST, job=job)
    if not window.is_valid():
        messages.error(request, window.told)
        return redirect("ingest:job-detail", slug, name)
    return run_now(request, "ingest", job, **window.cleaned_data)


# --- quarantine -----------------------------------------------------------------------


@login_required
def job_quarantine(request, slug, name):
    """Rows that were set aside, as a part of the job's page: of `?run=`, by default the newest that has any."""
    job = job_or_404(request.user, slug, name)
    runs = with_pipeline_runs(quarantine.runs_of(job)[: quarantine.RUNS])
    wanted = _wanted(request, default=str(runs[0].pk) if runs else "")
    context = {
        "job": job,
        "runs": runs,
        "wanted": wanted,
        "reasons": quarantine.reasons(runs, wanted.run),
    }
    try:
        found = quarantine.select(job, wanted)
        context |= {"rows": found.rows(request.user, limit=QUARANTINED_SHOWN), "count": found.count()}
    except AssayError as error:
        context["error"] = error.as_dict()
    return render(request, "ingest/partials/quarantine.html", context)


@login_required
def job_quarantine_download(request, slug, name):
    """`?format=csv|parquet`, with `run` and `reason` as on the page."""
    job = job_or_404(request.user, slug, name)
    kind = request.GET.get("format", "csv")
    if kind not in FORMATS:
        raise Http404
    try:
        return as_download(job, _wanted(request), request.user, kind)
    except AssayError as error:
        tell(request, error)
        return redirect("ingest:job-detail", slug, name)


def _wanted(request: HttpRequest, default: str = "") -> quarantine.Wanted:
    try:
        return quarantine.Wanted.asked(request.GET.get("run", default), request.GET.get("reason", ""))
    except ValueError:
        raise Http404 from None
