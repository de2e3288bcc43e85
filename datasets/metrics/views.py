"""Pages about metric definitions, and the part of a job's page that draws its metrics."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.db.models import Q
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST

from assay.common.api import InvalidInput, made_once
from assay.common.history import history_of
from assay.common.pages import action, needs, page, tell
from datasets.models import DatasetJob, DatasetLayer, TransformType
from ops.views import workflow_or_404
from workers.errors import AssayError

from . import services, uses
from .forms import MetricForm
from .models import Additivity, MetricDefinition
from .series import facts_now, published_facts, series_of
from .series_api import SeriesQuery

PER_PAGE = 25
CHANGES_SHOWN = 10
PERIODS_REVIEWED = 6
ROWS_SHOWN = 100
METRICS = ("Metrics", "/metrics/")


def _metric_or_404(user, name: str) -> MetricDefinition:
    found = MetricDefinition.objects.visible_to(user).select_related("owner", "numerator", "denominator")
    return get_object_or_404(found, name=name)


@login_required
def metric_list(request):
    term, additivity = request.GET.get("q", "").strip(), request.GET.get("additivity", "")
    rows = MetricDefinition.objects.visible_to(request.user).select_related("owner", "numerator", "denominator")
    rows = rows.filter(
        Q(name__icontains=term) | Q(title__icontains=term) | Q(description__icontains=term) | Q(dataset__icontains=term)
    )
    if additivity in Additivity.values:
        rows = rows.filter(additivity=additivity)
    page_obj = Paginator(rows, PER_PAGE).get_page(request.GET.get("page"))
    metrics = list(page_obj.object_list)
    used = uses.uses_of([metric.name for metric in metrics], request.user)
    for metric in metrics:
        metric.jobs = sorted({use.job for use in used[metric.name]})
    page_obj.object_list = metrics
    return page(request, "datasets/metric_list.html", "Metrics", page_obj=page_obj, term=term, additivity=additivity)


@login_required
def metric_detail(request, name):
    metric = _metric_or_404(request.user, name)
    context = {
        "metric": metric,
        "uses": uses.uses_of([name], request.user)[name],
        "ratios": uses.ratios_of([name], request.user)[name],
        "changes": history_of(metric)[:CHANGES_SHOWN],
    }
    return page(request, "datasets/metric_detail.html", name, crumbs=[METRICS], **context)


# --- making and changing -------------------------------------------------------------------


@needs("datasets.add_metricdefinition")
def metric_create(request):
    return _form(request, MetricDefinition(owner=request.user), "New metric", METRICS[1])


@needs("datasets.change_metricdefinition")
def metric_edit(request, name):
    metric = _metric_or_404(request.user, name)
    return _form(request, metric, f"Edit {name}", reverse("datasets:metric-detail", args=[name]))


def _form(request, metric: MetricDefinition, title: str, back: str):
    form = MetricForm(request.POST or None, instance=metric, user=request.user)
    if request.method == "POST" and form.is_valid() and (saved := _saved(form)):
        messages.success(request, f"{saved.name} is saved. Jobs that use it take it in their next run.")
        return redirect("datasets:metric-detail", saved.name)
    return page(request, "datasets/metric_form.html", title, crumbs=[METRICS], form=form, back=back)


def _saved(form: MetricForm) -> MetricDefinition | None:
    try:
        with made_once("name", "There is a metric of this name already."):
            return form.save()
    except InvalidInput as error:
        form.add_error("name", error.problems[0].detail)
        return None


@require_POST
@needs("datasets.add_metricdefinition", "datasets.change_metricdefinition")
def metric_check(request):
    """What the form, as it stands, would mean: what is wrong with it, or its last periods. Nothing is saved."""
    old = MetricDefinition.objects.visible_to(request.user).filter(name=request.POST.get("was", "")).first()
    form = MetricForm(request.POST, instance=_copy_of(old), user=request.user)
    form.is_valid()
    # While nobody has typed a name, the rest can be looked at.
    problems = [(form[field].label if field != "__all__" else "", text) for field, text in _faults(form)]
    context = {"problems": problems, "old": old}
    if not problems:
        context |= _reviewed(old, form.instance, request.user)
    return render(request, "datasets/partials/metric_review.html", context)


def _copy_of(metric: MetricDefinition | None) -> MetricDefinition:
    """Another record: checking a form must not touch the one that old values come from."""
    return MetricDefinition.objects.get(pk=metric.pk) if metric else MetricDefinition()


def _faults(form: MetricForm) -> list[tuple[str, str]]:
    return [(field, text) for field, found in form.errors.items() for text in found if field != "name"]


def _reviewed(old: MetricDefinition | None, new: MetricDefinition, user) -> dict:
    context = {"broken": services.jobs_that_break(new, user), "used_by": uses.told(old.name, user)} if old else {}
    try:
        return context | {"review": services.review(old, new, user, periods=PERIODS_REVIEWED)}
    except AssayError as error:
        return context | {"error": error.as_dict()}


@action("datasets.delete_metricdefinition")
def metric_delete(request, name):
    try:
        services.delete_metric(_metric_or_404(request.user, name), request.user)
    except AssayError as error:
        tell(request, error)
        return redirect("datasets:metric-detail", name)
    messages.success(request, f"{name} is deleted.")
    return redirect("datasets:metric-list")


# --- on a job's page ---------------------------------------------------------------------


@login_required
def job_metrics(request, slug, name):
    """What the job's metrics mean, and a chart of one of them: a part of the pages of the job and of its dataset.

    Nothing for a job without metrics: the catalog cannot know how a dataset is made.
    """
    workflow = workflow_or_404(request.user, slug)
    jobs = DatasetJob.objects.visible_to(request.user).filter(workflow=workflow, layer=DatasetLayer.GOLD)
    job = jobs.filter(name=name, transform_type=TransformType.METRICS_AGGREGATE).first()
    if job is None:
        return HttpResponse()
    job.workflow = workflow
    context = {"job": job, "chosen": request.GET, **_meanings(job), **_drawn(request, job)}
    return render(request, "datasets/partials/metrics_chart.html", context)


def _meanings(job: DatasetJob) -> dict:
    """Each metric as the last run computed it, and as its definition says now where that is something else."""
    published = published_facts(job) or {"metrics": [], "dimensions": []}
    ran = {metric["name"]: metric for metric in published["metrics"]}
    try:
        now = facts_now(job)
    except AssayError as error:
        return {"facts": published, "metrics": published["metrics"], "now_error": error.as_dict()}
    for metric in now:
        before = ran.get(metric["name"])
        formula = (metric["expression"], metric["filter"])
        is_other = before and (before["expression"], before["filter"]) != formula
        metric["ran_as"] = before if is_other else None
    return {"facts": published, "metrics": now}


def _drawn(request, job: DatasetJob) -> dict:
    """The series that is asked for; or why there is none, in words."""
    given = request.GET.copy()
    for name in [name for name, values in given.lists() if not any(values)]:
        del given[name]  # fields of the form that are left empty
    query = SeriesQuery(data=given)
    if not query.is_valid():
        return {"refused": [str(text) for texts in query.errors.values() for text in texts]}
    try:
        series = series_of(job, request.user, query.asked())
    except Http404:
        return {}
    except InvalidInput as error:
        return {"refused": [problem.detail for problem in error.problems]}
    except AssayError as error:
        return {"error": error.as_dict()}
    return {"series": series, "chart": _chart(series), "rows": _table(series)}


def _chart(series: dict) -> dict:
    """For charts.js: lines, with gaps where there is no value."""
    name = series["title"] or series["metric"]
    lines = [{"label": line["label"] or name, "data": line["values"]} for line in series["series"]]
    return {"type": "line", "unit": series["unit"], "labels": series["periods"], "datasets": lines}


def _table(series: dict) -> list[tuple[str, list]]:
    """The same for those who read: the newest periods first."""
    columns = [line["values"] for line in series["series"]]
    rows = [(period, [values[place] for values in columns]) for place, period in enumerate(series["periods"])]
    return rows[::-1][:ROWS_SHOWN]
