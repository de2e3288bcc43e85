"""Definitions in place of their names: what a job's metrics are when it runs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from assay.common.problems import Problem
from workers.errors import InvalidConfig

from .models import MetricDefinition

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser

    from datasets.transforms.metrics_aggregate import MetricsOptions
    from workers.executors.metrics.reading import Plan
    from workers.template_specs import MetricFacts


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """A job's config in which no definition is named any more, and which definition each metric came from."""

    config: dict[str, Any]
    definitions: dict[int, MetricDefinition]  # by the metric's place in the list

    @property
    def uses(self) -> dict[int, str]:
        return {place: definition.name for place, definition in self.definitions.items()}

    def facts(self, plan: Plan) -> tuple[MetricFacts, ...]:
        """What each metric means. One without a definition is as additive as its expression shows."""
        from workers.template_specs import MetricFacts

        found = []
        for place, (metric, given) in enumerate(zip(plan.metrics, self.config["metrics"], strict=True)):
            definition = self.definitions.get(place)
            told = {"expression": _as_text(given), "filter": given.get("filter") or ""}
            if definition is None:
                told |= {"additivity": metric.additivity}
            else:
                told |= {"additivity": definition.additivity, "unit": definition.unit}
                told |= {"title": definition.title, "metric": definition.name}
            found.append(MetricFacts(name=metric.name, **told))
        return tuple(found)


def _as_text(metric: dict[str, Any]) -> str:
    if "expression" in metric:
        return metric["expression"]
    return " / ".join(_part_as_text(metric[side]) for side in ("numerator", "denominator"))


def _part_as_text(part: str | dict[str, Any]) -> str:
    if isinstance(part, str):
        return part
    condition = f" where {part['filter']}" if part.get("filter") else ""
    return f"({part['expression']}{condition})"


def resolve(
    options: MetricsOptions,
    dataset: str,
    changed: MetricDefinition | None = None,
    author: AbstractBaseUser | None = None,
) -> Resolved:
    """The options as the executor takes them; `dataset` is what their base is.

    `changed` is taken as it is here, and not as it was saved. Raises
    `InvalidConfig` for definitions that are not there (for the author, where
    there is one), or are measured in another dataset.
    """
    definitions = {name: _with(each, changed) for name, each in _named(options, author).items()}
    config = options.model_dump(exclude_none=True)
    faults, used, metrics = [], {}, []
    for place, given in enumerate(config["metrics"]):
        name = given.get("metric")
        if name is None:
            metrics.append(given)
            continue
        definition = definitions.get(name)
        if fault := _misfit(name, definition, dataset):
            faults.append({"field": f"config.metrics.{place}.metric", "message": fault, "hint": ""})
            continue
        used[place] = definition
        metrics.append({"name": given.get("name") or name, **as_metric(definition)})
    if faults:
        raise InvalidConfig(faults[0]["message"], field=faults[0]["field"], problems=faults)
    return Resolved(config=config | {"metrics": metrics}, definitions=used)


def _with(definition: MetricDefinition, changed: MetricDefinition | None) -> MetricDefinition:
    if changed is None or changed.pk is None:
        return definition
    if definition.pk == changed.pk:
        return changed
    for side in ("numerator", "denominator"):
        if getattr(definition, f"{side}_id") == changed.pk:
            setattr(definition, side, changed)
    return definition


def as_metric(definition: MetricDefinition) -> dict[str, Any]:
    """What the executor takes for it, without a name."""
    if not definition.is_ratio:
        return {"expression": definition.expression} | ({"filter": definition.filter} if definition.filter else {})
    return {"numerator": as_metric(definition.numerator), "denominator": as_metric(definition.denominator)}


def unknown_definitions(options: MetricsOptions, path: str, author: AbstractBaseUser | None) -> Iterator[Problem]:
    known = _named(options, author)
    for place, metric in enumerate(options.metrics):
        name = getattr(metric, "metric", None)
        if name is not None and name not in known:
            yield Problem(f"{path}.metrics.{place}.metric", _misfit(name, None, ""), "unknown_metric")


def _named(options: MetricsOptions, author: AbstractBaseUser | None) -> dict[str, MetricDefinition]:
    names = {name for metric in options.metrics if (name := getattr(metric, "metric", None))}
    if not names:
        return {}
    found = MetricDefinition.objects.select_related("numerator", "denominator").filter(name__in=names)
    if author is not None:
        found = found.visible_to(author)
    return {definition.name: definition for definition in found}


def _misfit(name: str, definition: MetricDefinition | None, dataset: str) -> str:
    if definition is None:
        return f"There is no metric definition “{name}”."
    if definition.dataset and dataset and definition.dataset != dataset:
        return f"{name} is measured in {definition.dataset}, not in {dataset}."
    return ""
