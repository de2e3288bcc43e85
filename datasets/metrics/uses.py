"""Who uses a metric definition: jobs that name it, and ratios that are made of it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from django.db.models import Q
from django.urls import reverse

NAMED_AT_MOST = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """One job whose result holds the metric, by itself or in a ratio."""

    job: str  # workflow.name
    dataset: str  # what the job makes
    column: str
    through: str  # the ratio; empty: the job names the metric itself
    url: str


def uses_of(names: Collection[str], user=None) -> dict[str, list[Use]]:
    """By name of the definition; only jobs that `user` may see, where one is given. Two queries."""
    from datasets.models import DatasetJob, TransformType

    ratios = _ratios(names)
    found: dict[str, list[Use]] = {name: [] for name in names}
    jobs = DatasetJob.objects.filter(transform_type=TransformType.METRICS_AGGREGATE).select_related("workflow")
    for job in jobs.visible_to(user) if user is not None else jobs:
        for metric in _named_in(job.config):
            column = metric.get("name") or metric["metric"]
            for name, through in [(metric["metric"], ""), *ratios.get(metric["metric"], ())]:
                if name in found:
                    found[name].append(_use(job, column, through))
    return found


def ratios_of(names: Collection[str]) -> dict[str, list[str]]:
    """The ratios that each of these measures is a part of."""
    found: dict[str, list[str]] = {name: [] for name in names}
    for ratio, parts in _ratios(names).items():
        for part, _ in parts:
            if part in found and ratio not in found[part]:
                found[part].append(ratio)
    return found


def told(name: str) -> str:
    """All who use it, in words; empty where nobody does."""
    jobs = [use.job for use in uses_of([name])[name] if not use.through]
    ratios = [f"the ratio {ratio}" for ratio in ratios_of([name])[name]]
    everybody = list(dict.fromkeys([*jobs, *ratios]))
    more = len(everybody) - NAMED_AT_MOST
    return ", ".join(everybody[:NAMED_AT_MOST]) + (f" and {more} others" if more > 0 else "")


def _named_in(config: object) -> list[dict]:
    metrics = config.get("metrics") if isinstance(config, dict) else None
    return [each for each in metrics or () if isinstance(each, dict) and isinstance(each.get("metric"), str)]


def _ratios(names: Collection[str]) -> dict[str, list[tuple[str, str]]]:
    """By ratio: its parts, each with the ratio's name once more."""
    from .models import MetricDefinition

    made_of = Q(numerator__name__in=names) | Q(denominator__name__in=names)
    rows = MetricDefinition.objects.filter(made_of).values_list("name", "numerator__name", "denominator__name")
    return {ratio: [(part, ratio) for part in dict.fromkeys(parts)] for ratio, *parts in rows}


def _use(job, column: str, through: str) -> Use:
    return Use(
        job=f"{job.workflow.slug}.{job.name}",
        dataset=job.dataset_name,
        column=column,
        through=through,
        url=reverse("datasets:job-detail", args=[job.workflow.slug, job.layer, job.name]),
    )
