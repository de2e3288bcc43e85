"""Parts of a job's page: what waits for a decision at its source, and how its columns have changed."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render

from assay.common.pages import action
from catalog.models import Dataset
from ops.job_pages import with_pipeline_runs
from workers.errors import AssayError

from . import contract_changes
from .api_contract import examples_for
from .form_views import job_or_404
from .models import ContractChange, IngestJob

DECIDED_SHOWN = 10
SCHEMA_CHANGES_SHOWN = 50


@login_required
def job_contract_changes(request, slug, name):
    return _changes(request, job_or_404(request.user, slug, name))


@action("ingest.change_ingestjob")
def job_contract_change_decide(request, slug, name, pk):
    """`decision` is accept, refuse, or map with a `column`; answers with the whole part anew."""
    job = job_or_404(request.user, slug, name)
    change = get_object_or_404(job.contract_changes.visible_to(request.user), pk=pk)
    decision = request.POST.get("decision")
    try:
        if decision == "accept":
            contract_changes.accept(change, request.user)
        elif decision == "map":
            contract_changes.map_to(change, request.POST.get("column", ""), request.user)
        elif decision == "refuse":
            contract_changes.refuse(change, request.user)
        else:
            raise Http404
    except AssayError as error:
        return _changes(request, job, error=error.as_dict())
    return _changes(request, job)


def _changes(request: HttpRequest, job: IngestJob, **more: Any) -> HttpResponse:
    changes = list(job.contract_changes.visible_to(request.user).select_related("decided_by"))
    for change in changes:
        change.job = job
    pending = [change for change in changes if change.status == ContractChange.Status.PENDING]
    # The same for all of them, so it is asked once.
    downstream = contract_changes.downstream(pending[0], request.user) if pending else []
    names = _names_in_table(request.user, job) if pending else []
    context = {
        "job": job,
        "pending": [_shown(request.user, change, changes, names) | {"downstream": downstream} for change in pending],
        "decided": [change for change in changes if change.status != ContractChange.Status.PENDING][:DECIDED_SHOWN],
        **more,
    }
    return render(request, "ingest/partials/contract_changes.html", context)


def _shown(user, change: ContractChange, others: list[ContractChange], names: list[str]) -> dict[str, Any]:
    return {
        "change": change,
        "examples": examples_for(user, change),
        "if_accepted": contract_changes.consequence(change),
        "is_gone": change.change in (ContractChange.Change.MISSING, ContractChange.Change.REQUIRED),
        "columns": _other_names(change, others, names),
    }


def _other_names(change: ContractChange, others: list[ContractChange], names: list[str]) -> list[str]:
    """What the column may be mapped to: the table's columns, or, of one that is gone, what is new at the source."""
    if change.change == ContractChange.Change.MISSING:
        added = [other.column for other in others if other.change == ContractChange.Change.ADDED]
        return list(dict.fromkeys([change.new] * bool(change.new) + added))
    return [name for name in names if name != change.column]


def _names_in_table(user, job: IngestJob) -> list[str]:
    dataset = Dataset.objects.visible_to(user).filter(name=job.bronze_name).first()
    names = [column["name"] for column in (dataset.columns if dataset else ())]
    return [name for name in names if not name.startswith("_")]


@login_required
def job_schema_history(request, slug, name):
    """The runs that changed the table's columns, the newest first."""
    job = job_or_404(request.user, slug, name)
    changed = job.runs.visible_to(request.user).exclude(schema_changes=[])[:SCHEMA_CHANGES_SHOWN]
    context = {"job": job, "runs": with_pipeline_runs(changed)}
    return render(request, "ingest/partials/schema_history.html", context)
