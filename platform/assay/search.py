"""Ctrl-K: workflows, jobs, datasets and runs by their names, through the policy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice

from django.db.models import Q
from django.urls import reverse

from catalog.models import Dataset
from datasets.models import DatasetJob
from ingest.models import IngestJob
from ops.models import Connection, PipelineRun, Workflow

EACH = 6  # of one kind, so that none crowds out the others
PLACES = (
    ("Home", "space_dashboard", "home"),
    ("Workflows", "account_tree", "ops:workflow-list"),
    ("Runs", "play_circle", "ops:run-list"),
    ("Connections", "cable", "ops:connection-list"),
    ("Datasets", "dataset", "catalog:dataset-list"),
)


@dataclass(frozen=True)
class Found:
    title: str
    kind: str
    url: str
    icon: str


def find(user, term: str) -> list[Found]:
    """At most `EACH` of a kind. Without a term: the places there are and the latest runs."""
    kinds = (_places, _workflows, _jobs, _connections, _datasets, _runs)
    return list(chain.from_iterable(islice(kind(user, term), EACH) for kind in kinds))


def _places(user, term: str) -> Iterator[Found]:
    for title, icon, name in PLACES:
        if term.lower() in title.lower():
            yield Found(title, "page", reverse(name), icon)


def _workflows(user, term: str) -> Iterator[Found]:
    if not term:
        return
    rows = Workflow.objects.visible_to(user).filter(Q(slug__icontains=term) | Q(name__icontains=term))
    for workflow in rows[:EACH]:
        url = reverse("ops:workflow-detail", args=[workflow.slug])
        yield Found(workflow.name or workflow.slug, f"workflow {workflow.slug}", url, "account_tree")


def _jobs(user, term: str) -> Iterator[Found]:
    if not term:
        return
    for job in IngestJob.objects.visible_to(user).filter(name__icontains=term).select_related("workflow")[:EACH]:
        url = reverse("ingest:job-detail", args=[job.workflow.slug, job.name])
        yield Found(job.name, f"ingest job in {job.workflow.slug}", url, "input")
    for job in DatasetJob.objects.visible_to(user).filter(name__icontains=term).select_related("workflow")[:EACH]:
        url = reverse("datasets:job-detail", args=[job.workflow.slug, job.layer, job.name])
        yield Found(job.name, f"{job.layer} job in {job.workflow.slug}", url, "transform")


def _connections(user, term: str) -> Iterator[Found]:
    if not term:
        return
    for found in Connection.objects.visible_to(user).filter(name__icontains=term)[:EACH]:
        kind = found.get_kind_display()
        yield Found(found.name, f"connection, {kind}", reverse("ops:connection-detail", args=[found.name]), "cable")


def _datasets(user, term: str) -> Iterator[Found]:
    if not term:
        return
    for dataset in Dataset.objects.visible_to(user).filter(name__icontains=term)[:EACH]:
        yield Found(
            dataset.name, dataset.type or "dataset", reverse("catalog:dataset-detail", args=[dataset.name]), "dataset"
        )


def _runs(user, term: str) -> Iterator[Found]:
    rows = PipelineRun.objects.visible_to(user).select_related("workflow")
    digits = term.lstrip("#")
    if digits.isdigit() and len(digits) < 19:
        rows = rows.filter(pk=int(digits))
    elif term:
        rows = rows.filter(workflow__slug__icontains=term)
    for run in rows[:EACH]:
        yield Found(str(run), f"run, {run.status}", reverse("ops:run-detail", args=[run.pk]), "play_circle")
