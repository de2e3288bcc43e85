"""A workflow with its jobs, its schedule and the metrics they use as one YAML file, and back.

What a file leaves out has its default; what it names is made or changed;
jobs that it does not name stay as they are. The API's serializers read and
write the file, so it says exactly what the API says.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import yaml
from django.db import models, transaction
from rest_framework import serializers

from assay.common.api import InvalidInput, flatten_errors
from assay.common.problems import Problem
from assay.common.secrets import MASK, Unreadable
from datasets.api import DatasetJobSerializer
from datasets.metrics.api import MetricSerializer
from datasets.metrics.models import MetricDefinition
from ingest.api import IngestJobSerializer
from ops.api import WorkflowSerializer
from ops.graph import GraphError, build_plan
from ops.models import Job, Workflow
from workers.errors import AssayError

from . import portable_metrics
from .portable_yaml import dump, load

SECTIONS: dict[str, tuple[type[serializers.ModelSerializer], dict[str, str]]] = {
    "ingest_jobs": (IngestJobSerializer, {}),
    "silver_jobs": (DatasetJobSerializer, {"layer": "silver"}),
    "gold_jobs": (DatasetJobSerializer, {"layer": "gold"}),
}
METRICS = portable_metrics.SECTION
LISTS = {**dict.fromkeys(SECTIONS, "jobs"), METRICS: "metrics"}  # each section, and what it is a list of
# What a run has left behind is no part of a definition.
STATE = frozenset({"last_watermark_value"})
NO_SCHEDULE = {"cron": "", "timezone": "UTC", "enabled": False}
TOLD = ("name", "description", "owner", "schedule", "on_overlap")
WORKFLOW_DEFAULTS = {"description": "", "on_overlap": "queue", "schedule": NO_SCHEDULE}


class InvalidFile(AssayError):
    """The file cannot be applied; nothing was changed. `problems` has each fault at its path in the file."""

    code = "invalid_file"

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = problems
        super().__init__("; ".join(f"{problem.attr}: {problem.detail}" for problem in problems))


@dataclass(frozen=True, slots=True)
class Change:
    """One field that differs; `field` has dots where a part of it does."""

    field: str
    old: Any
    new: Any


@dataclass(frozen=True, slots=True)
class Action:
    """What happens to the workflow or to one job."""

    what: str  # create | change | nothing
    section: str  # workflow | ingest_jobs | silver_jobs | gold_jobs | metrics
    name: str
    changes: tuple[Change, ...] = ()


# --- export ------------------------------------------------------------------------------


def export_workflow(workflow: Workflow) -> str:
    """The YAML file of a workflow."""
    shown = WorkflowSerializer(workflow).data
    document: dict[str, Any] = {name: shown[name] for name in ("slug", *TOLD)}
    document["schedule"] = dict(document["schedule"])
    document = {name: value for name, value in document.items() if value != WORKFLOW_DEFAULTS.get(name)}
    for section, (serializer, fixed) in SECTIONS.items():
        jobs = serializer.Meta.model.objects.filter(workflow=workflow, **fixed).order_by("name")
        if jobs:
            document[section] = [_exported(serializer(job)) for job in jobs]
    if metrics := portable_metrics.of_workflow(workflow):
        document[METRICS] = [_exported(MetricSerializer(metric)) for metric in metrics]
    return dump(document)


def _exported(serializer: serializers.ModelSerializer) -> dict[str, Any]:
    """The writable fields that are not at their default. What follows from other fields is always written."""
    shown, model = serializer.data, serializer.Meta.model
    kept = {}
    for name, field in serializer.fields.items():
        if field.read_only or name in STATE:
            continue
        is_filled_in = name in serializer.Meta.filled_in and shown[name] not in (None, [])
        if is_filled_in or shown[name] != _default(model, name):
            kept[name] = shown[name]
    return kept


def _default(model: type[models.Model], name: str) -> Any:
    return model._meta.get_field(name).get_default()


# --- apply ---------------------------------------------------------------------------------


def apply(text: str, *, dry_run: bool = False) -> list[Action]:
    """Make the installation what the file says, in one transaction; what was done, in the file's order.

    Applying a file again changes nothing. Raises `InvalidFile`, with nothing changed.
    """
    document = _read(text)
    with transaction.atomic():
        actions = _Application(document).carry_out()
        transaction.set_rollback(dry_run)
    return actions


def _read(text: str) -> dict[str, Any]:
    try:
        document = load(text)
    except yaml.YAMLError as error:
        raise InvalidFile([Problem("", f"This is no YAML: {' '.join(str(error).split())}", "parse_error")]) from error
    if not isinstance(document, dict):
        raise InvalidFile([Problem("", "The file must begin with `slug: …`, the workflow's name.", "wrong_type")])
    problems = []
    for section, what in LISTS.items():
        found = [] if document.get(section) is None else document[section]
        if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
            problems.append(Problem(section, f"This must be a list of {what}.", "wrong_type"))
    if problems:
        raise InvalidFile(problems)
    return document


class _Application:
    """One file on its way into the database."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document
        self.problems: list[Problem] = []
        self.broken: set[str] = set()  # datasets that a refused job would make

    def carry_out(self) -> list[Action]:
        actions = [self._workflow()]
        if not self.problems:
            done = {place: self._make(*place, given) for place, given in self._by_need()}
            actions += [done[place] for place, _ in self._listed() if place in done]
            self._check_graph()
        if self.problems:
            raise InvalidFile(self.problems)
        return [action for action in actions if action]

    def _workflow(self) -> Action | None:
        given = {name: value for name, value in self.document.items() if name not in LISTS}
        if isinstance(schedule := given.get("schedule"), dict):
            # A cron line without `enabled` is meant to be: that default is the serializer's.
            defaults = {"timezone": "UTC"} if schedule.get("cron") else NO_SCHEDULE
            given["schedule"] = {**defaults, **schedule}
        self.workflow = Workflow.objects.filter(slug=str(given.get("slug"))).first()
        before = self.workflow and WorkflowSerializer(self.workflow).data
        serializer = WorkflowSerializer(self.workflow, data={**WORKFLOW_DEFAULTS, **given})
        if not self._is_valid(serializer, ""):
            return None
        if self.workflow is None:
            self.workflow = serializer.save()
            return Action("create", "workflow", self.workflow.slug)
        changed = [name for name, value in serializer.validated_data.items() if getattr(self.workflow, name) != value]
        if changed:
            self.workflow = serializer.save()
        after = WorkflowSerializer(self.workflow).data
        changes = tuple(change for name in TOLD for change in differences(name, before[name], after[name]))
        return Action("change" if changed else "nothing", "workflow", self.workflow.slug, changes)

    def _listed(self) -> Iterator[tuple[tuple[str, int], dict[str, Any]]]:
        for section in LISTS:
            for position, job in enumerate(self.document.get(section) or []):
                yield (section, position), job

    def _by_need(self) -> Iterator[tuple[tuple[str, int], dict[str, Any]]]:
        """A job or metric after those whose datasets it reads, and the metrics it names: it is checked against them."""
        waiting = list(self._listed())
        while waiting:
            made_later = {self._makes(place[0], job) for place, job in waiting}
            ready = [each for each in waiting if not made_later & set(_reads(each[1]))]
            # In a circle nobody is ready: each is then checked as it stands, and the graph is refused at the end.
            yield from ready or waiting
            waiting = [each for each in waiting if each not in ready] if ready else []

    def _makes(self, section: str, job: dict[str, Any]) -> str:
        if section == METRICS:
            return f"{portable_metrics.NEEDS}{job.get('name')}"
        layer = SECTIONS[section][1].get("layer", "bronze")
        return f"{layer}.{self.workflow.slug}.{job.get('name')}"

    def _make(self, section: str, position: int, given: dict[str, Any]) -> Action | None:
        if self.broken & set(_reads(given)):
            # What it reads was refused: whatever is said about this one would be about that.
            self.broken.add(self._makes(section, given))
            return None
        return self._metric(position, given) if section == METRICS else self._job(section, position, given)

    def _metric(self, position: int, given: dict[str, Any]) -> Action | None:
        existing = MetricDefinition.objects.filter(name=str(given.get("name"))).first()
        before = existing and MetricSerializer(existing).data
        serializer = MetricSerializer(existing, data=portable_metrics.with_defaults(given))
        if not self._is_valid(serializer, f"{METRICS}.{position}", str(given.get("name", ""))):
            self.broken.add(self._makes(METRICS, given))
            return None
        wanted = serializer.validated_data
        if existing is None:
            serializer.save()
            return Action("create", METRICS, given["name"])
        if all(getattr(existing, name) == value for name, value in wanted.items()):
            return Action("nothing", METRICS, existing.name)
        after = MetricSerializer(serializer.save()).data
        changes = tuple(change for name in wanted for change in differences(name, before[name], after[name]))
        return Action("change", METRICS, existing.name, changes)

    def _job(self, section: str, position: int, given: dict[str, Any]) -> Action | None:
        kind, fixed = SECTIONS[section]
        model, path = kind.Meta.model, f"{section}.{position}"
        fixed = {"workflow": self.workflow, **fixed}
        existing = model.objects.filter(**fixed, name=given.get("name")).first()
        # Without an instance every field that the file leaves out is at its default, as in a new job.
        serializer = kind(data=given, context={"fixed": {**fixed, "pk": existing and existing.pk}})
        if not self._is_valid(serializer, path, str(given.get("name", ""))):
            self.broken.add(self._makes(section, given))
            return None
        wanted = {name: _default(model, name) for name in kind.Meta.fields if name in _own_fields(serializer)}
        wanted |= serializer.validated_data
        if existing is None:
            model.objects.create(**fixed, **wanted)
            return Action("create", section, given["name"])
        return _changed(existing, wanted, section)

    def _is_valid(self, serializer: serializers.BaseSerializer, path: str, name: str = "") -> bool:
        try:
            serializer.is_valid(raise_exception=True)
        except InvalidInput as error:
            found = error.problems
        except serializers.ValidationError as error:
            found = [Problem(each["attr"] or "", each["detail"], each["code"]) for each in flatten_errors(error)]
        else:
            return True
        who = f"“{name}”: " if name else ""
        for problem in found:
            place = ".".join(part for part in (path, problem.attr) if part)
            self.problems.append(Problem(place, f"{who}{problem.detail}", problem.code))
        return False

    def _check_graph(self) -> None:
        if self.problems:
            return
        try:
            build_plan(self.workflow)
        except GraphError as error:
            # A missing input was told at its place; a workflow may well be without jobs.
            if error.code == "cycle":
                self.problems.append(Problem("", f"{error.message} {error.hint}".strip(), error.code))


def _reads(job: dict[str, Any]) -> Iterable[str]:
    inputs = job.get("inputs")
    datasets = (
        [str(each.get("dataset")) for each in inputs if isinstance(each, dict)] if isinstance(inputs, list) else []
    )
    return [*datasets, *portable_metrics.needs_of(job)]


def _own_fields(serializer: serializers.ModelSerializer) -> set[str]:
    return {name for name, field in serializer.fields.items() if not field.read_only and name not in STATE}


def _changed(job: Job, wanted: dict[str, Any], section: str) -> Action:
    changes: list[Change] = []
    for name, value in wanted.items():
        before = getattr(job, name)
        changes += _secret_differences(before, value) if name == "secrets" else differences(name, before, value)
        setattr(job, name, value)
    if changes:
        job.save()
    return Action("change" if changes else "nothing", section, job.name, tuple(changes))


def _secret_differences(old: Any, new: Any) -> Iterator[Change]:
    """Which secrets of config are others now; they themselves are not told."""
    before = {} if isinstance(old, Unreadable) else old or {}
    for path, secret in (new or {}).items():
        if before.get(path) != secret:
            yield Change(f"config.{path}", MASK, f"{MASK} (another one)")


def differences(path: str, old: Any, new: Any) -> Iterator[Change]:
    """Where two values differ; inside of objects at the paths of their parts."""
    if isinstance(old, dict) and isinstance(new, dict):
        for name in [*old, *(name for name in new if name not in old)]:
            yield from differences(f"{path}.{name}", old.get(name), new.get(name))
    elif old != new:
        yield Change(path, old, new)
