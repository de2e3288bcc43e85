"""What the pages about workflows and runs show, read in a few queries."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from django.db.models import Count, Max, Q, QuerySet, Sum
from django.urls import reverse

from assay.common.graph import LANES, Drawing, Node, draw
from assay.common.runs import OPEN, RunStatus
from catalog.models import Dataset

from . import kinds
from .graph import workflow_graph
from .models import Job, PipelineRun, Step, Workflow

LAYERS = ("bronze", "silver", "gold")


@dataclass(frozen=True)
class JobRow:
    """A job in a list. `step` is its last one, or None."""

    kind: str
    layer: str
    type: str
    job: Job
    url: str
    step: Step | None


def with_progress(runs: QuerySet[PipelineRun]) -> QuerySet[PipelineRun]:
    """Runs with the number of their steps, of those that ended, and the rows these wrote."""
    return runs.order_by("-id").annotate(
        step_count=Count("steps"),
        ended_count=Count("steps", filter=~Q(steps__status__in=OPEN)),
        rows=Sum("steps__rows_written"),
        quarantined=Sum("steps__quarantined_rows"),
    )


def with_last_run(workflows: QuerySet[Workflow]) -> list[Workflow]:
    """Workflows, each with its `last_run` (or None) and `job_count`."""
    found = list(workflows.annotate(last_run_id=Max("pipeline_runs__id")))
    runs = PipelineRun.objects.in_bulk([workflow.last_run_id for workflow in found if workflow.last_run_id])
    counts = _job_counts(found)
    for workflow in found:
        workflow.last_run = runs.get(workflow.last_run_id)
        workflow.job_count = counts[workflow.pk]
    return found


def _job_counts(workflows: list[Workflow]) -> Counter[int]:
    """Jobs of all kinds, by their workflow's id: one query for each model that kinds stand on."""
    models = {kind.jobs(workflow).model for kind in kinds.all_kinds() for workflow in workflows[:1]}
    counts: Counter[int] = Counter()
    for model in models:
        rows = model.objects.filter(workflow__in=workflows).order_by().values_list("workflow").annotate(Count("id"))
        counts.update(dict(rows))
    return counts


def job_rows(workflow: Workflow) -> list[JobRow]:
    """Every job of the workflow, lower layers first."""
    steps = last_steps(workflow)
    rows = []
    for kind in kinds.all_kinds():
        for job in kind.jobs(workflow):
            job.workflow = workflow  # the one in hand: page_url would fetch it again
            step = steps.get((kind.name, job.pk))
            rows.append(JobRow(kind.name, kind.layer, kind.type_label(job), job, kind.page_url(job), step))
    return sorted(rows, key=lambda row: (LAYERS.index(row.layer), row.job.name))


def runnable(rows: list[JobRow]) -> list[str]:
    """The names of the jobs that a run may be made of."""
    return [row.job.name for row in rows if row.job.enabled]


def by_layer(rows: list[JobRow]) -> list[tuple[str, list[JobRow]]]:
    return [(layer, [row for row in rows if row.layer == layer]) for layer in LAYERS]


def last_steps(workflow: Workflow) -> dict[tuple[str, int], Step]:
    """The last step of each job, by its kind and id."""
    steps = Step.objects.filter(pipeline_run__workflow=workflow).order_by()
    last = steps.values("kind", "job_id").annotate(last=Max("id")).values("last")
    return {(step.kind, step.job_id): step for step in Step.objects.filter(pk__in=last)}


def drawing_of(workflow: Workflow, rows: list[JobRow]) -> Drawing:
    """The workflow's graph. What a node's job did last is on it."""
    graph = workflow_graph(workflow)
    jobs = {row.job.name: row for row in rows}
    names = [node["id"] for node in graph["nodes"]]
    held = dict(Dataset.objects.filter(name__in=names).order_by().values_list("name", "rows"))
    nodes = [_node(node, jobs.get(node["name"]), held.get(node["id"])) for node in graph["nodes"]]
    return draw(nodes, [(edge["source"], edge["target"]) for edge in graph["edges"]])


def _node(node: dict[str, Any], row: JobRow | None, held: int | None) -> Node:
    """`held`: the rows of the dataset, as far as it has any."""
    lane = node["layer"] if node["layer"] in LANES else LANES[0]
    if node["kind"] == "external":
        url = reverse("catalog:dataset-detail", args=[node["id"]])
        return Node(node["id"], lane, node["name"], "from another workflow", "", url)
    detail = node["type"].replace("_", " ")
    if held is not None:
        detail = f"{detail} · {held:,} rows"
    return Node(node["id"], lane, node["name"], detail, node["status"] or "", row.url if row else "")


def steps_of(run: PipelineRun) -> list[Step]:
    """The run's steps, each with the `url` of its job's page (empty when the job is gone)."""
    steps = list(run.steps.all())
    for name in {step.kind for step in steps}:
        kind = kinds.get(name)
        jobs = {job.pk: job for job in kind.jobs(run.workflow)}
        for step in (step for step in steps if step.kind == name):
            job = jobs.get(step.job_id)
            if job is not None:
                job.workflow = run.workflow
            step.url = kind.page_url(job) if job else ""
    return steps


def shares(steps: list[Step]) -> list[tuple[str, float]]:
    """How many percent of the steps are in each state that is worth a colour."""
    shown = (RunStatus.SUCCESS, RunStatus.FAILED, RunStatus.SKIPPED, RunStatus.CANCELLED, RunStatus.RUNNING)
    counts = [(status.value, sum(step.status == status for step in steps)) for status in shown]
    return [(status, round(100 * count / len(steps), 2)) for status, count in counts if count]
