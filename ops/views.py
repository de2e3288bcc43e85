"""Pages about workflows and runs."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.db.models import Q
from django.http import Http404
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone

from assay.common.gantt import gantt
from assay.common.pages import action, needs, page, tell
from assay.common.runs import OPEN, RunStatus
from workers.errors import AssayError

from . import kinds, reading, services
from .forms import RunForm, WorkflowForm
from .models import PipelineRun, StepLog, Workflow

PER_PAGE = 25
RUNS_SHOWN = 8
LOG_LINES = 400
WORKFLOWS = ("Workflows", "/workflows/")
RUNS = ("Runs", "/runs/")


def workflow_or_404(user, slug: str) -> Workflow:
    return get_object_or_404(Workflow.objects.visible_to(user), slug=slug)


def workflow_crumbs(workflow: Workflow) -> list[tuple[str, str]]:
    return [WORKFLOWS, (workflow.slug, reverse("ops:workflow-detail", args=[workflow.slug]))]


# --- workflows ----------------------------------------------------------------------


@login_required
def workflow_list(request):
    term = request.GET.get("q", "").strip()
    rows = Workflow.objects.visible_to(request.user).filter(Q(slug__icontains=term) | Q(name__icontains=term))
    page_obj = Paginator(rows.order_by("slug"), PER_PAGE).get_page(request.GET.get("page"))
    page_obj.object_list = reading.with_last_run(page_obj.object_list)
    return page(request, "ops/workflow_list.html", "Workflows", page_obj=page_obj, term=term)


@login_required
def workflow_detail(request, slug):
    workflow = workflow_or_404(request.user, slug)
    rows = reading.job_rows(workflow)
    runs = list(reading.with_progress(workflow.pipeline_runs.select_related("workflow"))[:RUNS_SHOWN])
    context = {
        "workflow": workflow,
        "layers": reading.by_layer(rows),
        "drawing": reading.drawing_of(workflow, rows),
        "runs": runs,
        "is_live": any(run.status in OPEN for run in runs),
    }
    if request.htmx:
        return render(request, "ops/partials/workflow_live.html", context)
    context |= {"runnable": reading.runnable(rows), "unfinished": services.unfinished_run(workflow)}
    title = workflow.name or workflow.slug
    return page(request, "ops/workflow_detail.html", title, crumbs=[WORKFLOWS], **context)


@needs("ops.add_workflow")
def workflow_create(request):
    form = WorkflowForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        form.instance.owner = request.user
        workflow = form.save()
        messages.success(request, f"{workflow.slug} is there. Add its first source now.")
        return redirect("ops:workflow-detail", workflow.slug)
    return page(request, "ops/workflow_form.html", "New workflow", crumbs=[WORKFLOWS], form=form, back=WORKFLOWS[1])


@needs("ops.change_workflow")
def workflow_edit(request, slug):
    workflow = workflow_or_404(request.user, slug)
    form = WorkflowForm(request.POST or None, instance=workflow)
    if request.method == "POST" and form.is_valid():
        form.save()
        messages.success(request, "Saved.")
        return redirect("ops:workflow-detail", slug)
    crumbs = workflow_crumbs(workflow)
    return page(request, "ops/workflow_form.html", "Edit", crumbs=crumbs, form=form, back=crumbs[-1][1])


@action("ops.delete_workflow")
def workflow_delete(request, slug):
    workflow = workflow_or_404(request.user, slug)
    try:
        services.delete_workflow(workflow)
    except AssayError as error:
        tell(request, error)
        return redirect("ops:workflow-detail", slug)
    messages.success(request, f"{slug} is deleted. What it published stays in the lake.")
    return redirect("ops:workflow-list")


@action("ops.change_workflow")
def workflow_run(request, slug):
    workflow = workflow_or_404(request.user, slug)
    form = RunForm(request.POST, jobs=reading.runnable(reading.job_rows(workflow)))
    if not form.is_valid():
        for field, errors in form.errors.items():
            messages.error(request, f"{form[field].label}: {' '.join(errors)}")
        return redirect("ops:workflow-detail", slug)
    try:
        run = services.start_run(workflow, user=request.user, **form.as_options())
    except AssayError as error:
        tell(request, error)
        return redirect("ops:workflow-detail", slug)
    return redirect("ops:run-detail", run.pk)


# --- runs ---------------------------------------------------------------------------


@login_required
def run_list(request):
    status, slug = request.GET.get("status", ""), request.GET.get("workflow", "")
    runs = PipelineRun.objects.visible_to(request.user).select_related("workflow")
    if status in RunStatus.values:
        runs = runs.filter(status=status)
    if slug:
        runs = runs.filter(workflow__slug=slug)
    page_obj = Paginator(reading.with_progress(runs), PER_PAGE).get_page(request.GET.get("page"))
    context = {
        "page_obj": page_obj,
        "statuses": RunStatus.values,
        "status": status,
        "slug": slug,
        "workflows": Workflow.objects.visible_to(request.user).values_list("slug", flat=True),
        "is_live": any(run.status in OPEN for run in page_obj),
    }
    if request.htmx:
        return render(request, "ops/partials/run_list_live.html", context)
    return page(request, "ops/run_list.html", "Runs", **context)


@login_required
def run_detail(request, pk):
    """`?step=STEP` unfolds that step: in the address, so that the live part keeps it open."""
    run = _run_or_404(request.user, pk)
    steps = reading.steps_of(run)
    begun = min(
        (step.queued_at or step.start_time for step in steps if step.queued_at or step.start_time), default=None
    )
    context = {
        "run": run,
        "steps": steps,
        "shares": reading.shares(steps),
        "ended": sum(step.has_ended for step in steps),
        "gantt": gantt(steps, run.start_time or begun, run.end_time or timezone.now()),
        "totals": {name: sum(getattr(step, name) or 0 for step in steps) for name in _ROWS},
        "is_live": not run.has_ended,
        **_open_step(steps, request.GET.get("step", "")),
    }
    if request.htmx:
        return render(request, "ops/partials/run_live.html", context)
    return page(request, "ops/run_detail.html", f"Run #{run.pk}", crumbs=_run_crumbs(run), **context)


_ROWS = ("rows_read", "rows_written", "quarantined_rows")


def _run_or_404(user, pk: int) -> PipelineRun:
    return get_object_or_404(PipelineRun.objects.visible_to(user).select_related("workflow", "started_by"), pk=pk)


def _run_crumbs(run: PipelineRun) -> list[tuple[str, str]]:
    return workflow_crumbs(run.workflow)


def _open_step(steps, wanted: str) -> dict:
    """What is known of the step that is unfolded: its try's own row, and its last lines, oldest first."""
    step = next((step for step in steps if str(step.pk) == wanted), None)
    if wanted and step is None:
        raise Http404
    if step is None:
        return {"open_step": None}
    lines = StepLog.objects.filter(step=step).order_by("-id")[:LOG_LINES]
    found = kinds.get(step.kind).runs([step.run_id]).first() if step.run_id else None
    return {"open_step": step.pk, "job_run": found, "log_lines": list(lines)[::-1]}


@action("ops.change_workflow")
def run_cancel(request, pk):
    run = _run_or_404(request.user, pk)
    try:
        services.cancel_run(run)
    except AssayError as error:
        tell(request, error)
    return redirect("ops:run-detail", pk)


@action("ops.change_workflow")
def run_retry(request, pk):
    run = _run_or_404(request.user, pk)
    try:
        return redirect("ops:run-detail", services.retry_run(run, request.user).pk)
    except AssayError as error:
        tell(request, error)
        return redirect("ops:run-detail", pk)
