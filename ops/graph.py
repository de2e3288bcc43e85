"""Which job follows which: a workflow's graph, made from what its jobs read and write."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from django.db.models import Max

from catalog.models import Dataset
from workers.errors import AssayError

from . import kinds
from .models import Job, Step, Workflow

_LAYERS = ("bronze", "silver", "gold")


class GraphError(AssayError):
    """A workflow, or the chosen part of it, that cannot be run. The code says why."""

    def __init__(self, code: str, message: str, *, hint: str = "") -> None:
        super().__init__(message, hint=hint, http_status=400)
        self.code = code


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """One job of a plan. `after` and `upstream` say the same: the steps it waits for, by name and by position."""

    kind: str
    job: Job
    layer: str
    after: tuple[str, ...]
    upstream: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run will do; no step comes before one that it waits for."""

    steps: tuple[PlannedStep, ...]

    def as_list(self) -> list[dict[str, Any]]:
        return [{"job": step.job.name, "kind": step.kind, "after": list(step.after)} for step in self.steps]


@dataclass(frozen=True, slots=True)
class _Node:
    kind: kinds.JobKind
    job: Job
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    @property
    def key(self) -> tuple[str, int]:
        return self.kind.name, self.job.pk

    @property
    def place(self) -> tuple[int, bool, str]:
        """Among steps that are ready together: lower layers first, references before the rest, then by name."""
        return _LAYERS.index(self.kind.layer), not self.is_reference, self.job.name

    @property
    def is_reference(self) -> bool:
        return getattr(self.job, "is_reference", False)


def build_plan(workflow: Workflow, only: list[str] | None = None) -> Plan:
    """The enabled jobs of the workflow, or those of them that `only` names, in the order of their inputs.

    Reference sources run before all other sources. An input that no step of
    the plan writes counts as met when the catalog has a version of it.

    Raises `GraphError`: `cycle`, `missing_input`, `no_jobs`, `unknown_job`.
    """
    nodes = _nodes_of(workflow)
    chosen = _chosen(workflow, nodes, only)
    _refuse_missing_inputs(nodes, chosen)
    return _in_order(chosen, _upstream_of(chosen))


def plan_job(kind: str, job: Job) -> Plan:
    """The plan of one job alone. Raises `GraphError`: `missing_input`, and `no_jobs` where it is disabled."""
    nodes = _nodes_of(job.workflow)
    chosen = [node for node in nodes if node.key == (kind, job.pk)]
    _refuse_disabled(chosen)
    _refuse_missing_inputs(nodes, chosen)
    return _in_order(chosen, {node.key: set() for node in chosen})


def _nodes_of(workflow: Workflow) -> list[_Node]:
    nodes = []
    for kind in kinds.all_kinds():
        for job in kind.jobs(workflow):
            # Every job gets the one workflow in hand; else its name would cost a query each.
            job.workflow = workflow
            nodes.append(_Node(kind, job, tuple(kind.inputs(job)), tuple(kind.outputs(job))))
    return nodes


def _chosen(workflow: Workflow, nodes: list[_Node], only: list[str] | None) -> list[_Node]:
    if only is None:
        chosen = [node for node in nodes if node.job.enabled]
    else:
        chosen = [node for node in nodes if node.job.name in only]
        _refuse_unknown(nodes, only)
        _refuse_disabled(chosen)
    if not chosen:
        hint = "Add a job, or enable one." if only is None else "Name at least one job."
        raise GraphError("no_jobs", f"There is nothing to run in {workflow.slug}.", hint=hint)
    return chosen


def _refuse_unknown(nodes: list[_Node], only: list[str]) -> None:
    known = {node.job.name for node in nodes}
    if unknown := sorted(set(only) - known):
        hint = f"Known are {', '.join(sorted(known))}." if known else "It has no jobs yet."
        raise GraphError("unknown_job", f"The workflow has no job {', '.join(unknown)}.", hint=hint)


def _refuse_disabled(chosen: list[_Node]) -> None:
    if disabled := sorted(node.job.name for node in chosen if not node.job.enabled):
        raise GraphError("no_jobs", f"Disabled: {', '.join(disabled)}.", hint="Enable it to run it.")


def _refuse_missing_inputs(nodes: list[_Node], chosen: list[_Node]) -> None:
    makers = {name: node for node in nodes for name in node.outputs}
    made_here = {name for node in chosen for name in node.outputs}
    from_before = {name for node in chosen for name in node.inputs} - made_here
    published = set(Dataset.objects.filter(name__in=from_before, version__isnull=False).values_list("name", flat=True))
    faults = [
        f"{node.job.name} reads {name}, {_why_missing(makers.get(name))}"
        for node in sorted(chosen, key=lambda node: node.place)
        for name in node.inputs
        if name in from_before - published
    ]
    if faults:
        hint = "Correct the input's name, or run the job that makes it first."
        raise GraphError("missing_input", f"{'; '.join(faults)}.", hint=hint)


def _why_missing(maker: _Node | None) -> str:
    if maker is None:
        return "which no job makes"
    reason = "is not part of this run" if maker.job.enabled else "is disabled"
    return f"but its job {maker.job.name} {reason} and it was never published"


def _upstream_of(chosen: list[_Node]) -> dict[tuple[str, int], set[tuple[str, int]]]:
    makers = {name: node.key for node in chosen for name in node.outputs}
    upstream = {node.key: {makers[name] for name in node.inputs if name in makers} for node in chosen}
    references = {node.key for node in chosen if node.is_reference}
    for node in chosen:
        if not node.inputs and not node.is_reference:
            upstream[node.key] |= references
    return upstream


def _in_order(chosen: list[_Node], upstream: dict[tuple[str, int], set[tuple[str, int]]]) -> Plan:
    """Topologically, by Kahn's algorithm; ready steps in the order of their `place`."""
    by_key = {node.key: node for node in chosen}
    waiting_for = {key: set(keys) for key, keys in upstream.items()}
    downstream: dict[tuple[str, int], list[tuple[str, int]]] = {key: [] for key in by_key}
    for key, keys in upstream.items():
        for above in keys:
            downstream[above].append(key)
    ready = [(by_key[key].place, key) for key, keys in waiting_for.items() if not keys]
    heapq.heapify(ready)
    position: dict[tuple[str, int], int] = {}
    while ready:
        _, key = heapq.heappop(ready)
        position[key] = len(position)
        for below in downstream[key]:
            waiting_for[below].discard(key)
            if not waiting_for[below]:
                heapq.heappush(ready, (by_key[below].place, below))
    if len(position) < len(by_key):
        _refuse_cycle(by_key, {key: keys for key, keys in waiting_for.items() if key not in position})
    return Plan(tuple(_planned(by_key[key], upstream[key], by_key, position) for key in position))


def _planned(node: _Node, upstream: set[tuple[str, int]], by_key: dict, position: dict) -> PlannedStep:
    above = sorted(upstream, key=position.__getitem__)
    names = tuple(by_key[key].job.name for key in above)
    return PlannedStep(node.kind.name, node.job, node.kind.layer, names, tuple(position[key] for key in above))


def _refuse_cycle(by_key: dict, waiting_for: dict[tuple[str, int], set[tuple[str, int]]]) -> None:
    """Walk upwards from any waiting step until one comes again: that is the ring."""
    path = [min(waiting_for, key=lambda key: by_key[key].place)]
    while path.count(path[-1]) < 2:
        path.append(min(waiting_for[path[-1]], key=lambda key: by_key[key].place))
    ring = path[path.index(path[-1]) :][::-1]
    names = " → ".join(by_key[key].job.name for key in ring)
    hint = "Take one input out of the ring: a job cannot wait for itself."
    raise GraphError("cycle", f"The jobs wait for each other: {names}.", hint=hint)


def workflow_graph(workflow: Workflow) -> dict[str, list[dict[str, Any]]]:
    """`{nodes: [{id, kind, layer, name, type, status}], edges: [{source, target}]}`, for drawing.

    Nodes are sources and datasets, ids their names; what another workflow
    makes has the kind `external`. A node's status is that of its job's last
    step, or null. It is drawn also where it could not be run.
    """
    nodes = _nodes_of(workflow)
    statuses = _last_statuses(workflow)
    drawn: dict[str, dict[str, Any]] = {}
    edges = []
    for node in sorted(nodes, key=lambda node: node.place):
        first = node.inputs or (f"source.{workflow.slug}.{node.job.name}",)
        road = node.outputs[:1] if node.inputs else (*first, *node.outputs[:1])
        facts = {"kind": node.kind.name, "type": node.kind.type_label(node.job), "status": statuses.get(node.key)}
        for name in (*road, *node.outputs[1:]):
            drawn[name] = {"id": name, "layer": name.split(".")[0], "name": name.rsplit(".", 1)[-1], **facts}
        edges += [{"source": name, "target": node.outputs[0]} for name in node.inputs]
        edges += [{"source": one, "target": two} for one, two in pairwise(road)]
        # Of what arrived, a source makes its table and those of the lists in its records.
        edges += [{"source": road[-1], "target": name} for name in node.outputs[1:]]
    for name in {edge["source"] for edge in edges} - set(drawn):
        drawn[name] = {"id": name, "kind": "external", "layer": name.split(".")[0], "name": name}
        drawn[name] |= {"type": "", "status": None}
    return {"nodes": list(drawn.values()), "edges": edges}


def _last_statuses(workflow: Workflow) -> dict[tuple[str, int], str]:
    steps = Step.objects.filter(pipeline_run__workflow=workflow).order_by()
    last = steps.values("kind", "job_id").annotate(last=Max("id")).values("last")
    return {(step.kind, step.job_id): step.status for step in Step.objects.filter(pk__in=last)}
