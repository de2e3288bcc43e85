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

    ratios = _ratios(names, user)
    found: dict[str, list[Use]] = {name: [] for name in names}
    jobs = DatasetJob.objects.filter(transform_type=TransformType.METRICS_AGGREGATE).select_related("workflow")
    for job in jobs.visible_to(user) if user is not None else jobs:
        for metric in _named_in(job.config):
            column = metric.get("name") or metric["metric"]
            for name, through in [(metric["metric"], ""), *ratios.get(metric["metric"], ())]:
                if name in found:
                    found[name].append(_use(job, column, through))
    return found


def ratios_of(names: Collection[str], user=None) -> dict[str, list[str]]:
    """The ratios that each of these measures is a part of, as far as `user` may see them."""
    found: dict[str, list[str]] = {name: [] for name in names}
    for ratio, parts in _ratios(names, user).items():
        for part, _ in parts:
            if part in found and ratio not in found[part]:
                found[part].append(ratio)
    return found


def told(name: str, user=None) -> str:
    """All who use it, in words; empty where nobody does. Those that `user` may not see are only counted."""
    everybody, seen = _users(name), _users(name, user)
    named = ", ".join(seen[:NAMED_AT_MOST])
    more = len(everybody) - len(seen[:NAMED_AT_MOST])
    if not named:
        return f"{more} that you may not see" if more else ""
    return f"{named} and {more} other{'' if more == 1 else 's'}" if more else named


def _users(name: str, user=None) -> list[str]:
    jobs = [use.job for use in uses_of([name], user)[name] if not use.through]
    return list(dict.fromkeys([*jobs, *(f"the ratio {ratio}" for ratio in ratios_of([name], user)[name])]))


def _named_in(config: object) -> list[dict]:
    metrics = config.get("metrics") if isinstance(config, dict) else None
    return [each for each in metrics or () if isinstance(each, dict) and isinstance(each.get("metric"), str)]


def _ratios(names: Collection[str], user=None) -> dict[str, list[tuple[str, str]]]:
    """By ratio: its parts, each with the ratio's name once more."""
    from .models import MetricDefinition

    made_of = Q(numerator__name__in=names) | Q(denominator__name__in=names)
    seen = MetricDefinition.objects.all() if user is None else MetricDefinition.objects.visible_to(user)
    rows = seen.filter(made_of).values_list("name", "numerator__name", "denominator__name")
    return {ratio: [(part, ratio) for part in dict.fromkeys(parts)] for ratio, *parts in rows}


def _use(job, column: str, through: str) -> Use:
    return Use(
        job=f"{job.workflow.slug}.{job.name}",
        dataset=job.dataset_name,
        column=column,
        through=through,
        url=reverse("datasets:job-detail", args=[job.workflow.slug, job.layer, job.name]),
    )
