"""Metric definitions in a workflow's file: which belong to it, and what a file means that leaves something out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from datasets.metrics.api import MetricSerializer
from datasets.metrics.models import MetricDefinition
from datasets.models import DatasetJob
from ops.models import Workflow

SECTION = "metrics"
NEEDS = "the metric "  # in front of a definition's name, where names of datasets stand beside it
# What follows from the parts of a ratio.
FOLLOWS = ("dataset", "additivity")


def of_workflow(workflow: Workflow) -> list[MetricDefinition]:
    """The definitions that are measured in the workflow's datasets or named by its jobs, parts before ratios."""
    used = {name for job in DatasetJob.objects.filter(workflow=workflow) for name in named_by(job.config)}
    found = [
        each
        for each in MetricDefinition.objects.select_related("owner", "numerator", "denominator")
        if each.name in used or each.dataset.split(".")[1:2] == [workflow.slug]
    ]
    parts = {side.pk: side for each in found if each.is_ratio for side in (each.numerator, each.denominator)}
    everything = {each.pk: each for each in found} | parts
    return sorted(everything.values(), key=lambda each: (each.is_ratio, each.name))


def named_by(config: Any) -> Iterable[str]:
    """The definitions that a job's config names."""
    metrics = config.get("metrics") if isinstance(config, dict) else None
    listed = metrics if isinstance(metrics, list) else []
    return [str(each["metric"]) for each in listed if isinstance(each, dict) and "metric" in each]


def needs_of(given: dict[str, Any]) -> Iterable[str]:
    """What must be there before this job or definition of a file, beside the datasets that a job reads."""
    dataset = given.get("dataset")
    parts = [given[side] for side in ("numerator", "denominator") if given.get(side)]
    named = [f"{NEEDS}{name}" for name in [*parts, *named_by(given.get("config"))]]
    return [*([dataset] if isinstance(dataset, str) else []), *named]


def with_defaults(given: dict[str, Any]) -> dict[str, Any]:
    """The definition of a file with the default of every field that it leaves out."""
    own = [name for name, field in MetricSerializer().fields.items() if not field.read_only]
    left = [name for name in own if not (given.get("numerator") and name in FOLLOWS)]
    defaults = {name: MetricDefinition._meta.get_field(name).get_default() for name in left if name != "name"}
    return {**defaults, **given}
