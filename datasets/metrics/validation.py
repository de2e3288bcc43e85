"""What is wrong with a metric definition: one list for API, admin, pages and `apply`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from assay.common.columns import as_columns
from assay.common.problems import Problem
from catalog.models import Layer
from datasets.visibility import datasets_for

from . import uses

if TYPE_CHECKING:
    from .models import MetricDefinition

# `/metrics/new/` is the form of one that is not saved yet.
RESERVED_NAMES = frozenset({"new", "check"})
SIDES = ("numerator", "denominator")


def fill_in(definition: MetricDefinition) -> None:
    """What follows from its parts: a ratio is measured where they are, and its values are never summed."""
    if definition.numerator_id is None:
        return
    definition.dataset = definition.dataset or definition.numerator.dataset
    definition.additivity = "non_additive"


def problems_of(definition: MetricDefinition) -> list[Problem]:
    """Every fault. The expression is looked at last, against the columns of its dataset where they are known."""
    before = type(definition).objects.filter(pk=definition.pk).first() if definition.pk else None
    found = [
        *_name_problems(definition, before),
        *_form_problems(definition),
        *_ratio_problems(definition),
        *_dataset_problems(definition, before),
    ]
    return found or list(_expression_problems(definition))


def _name_problems(definition: MetricDefinition, before: MetricDefinition | None) -> Iterator[Problem]:
    name = definition.name
    if name in RESERVED_NAMES:
        yield Problem("name", f"“{name}” is part of an address; choose another name.", "reserved_name")
    if type(definition).objects.filter(name=name).exclude(pk=definition.pk).exists():
        yield Problem("name", f"There is a metric “{name}” already.", "unique")
    if before and before.name != name:
        yield Problem("name", f"The name never changes: jobs use it. It is “{before.name}”.", "immutable")


def _form_problems(definition: MetricDefinition) -> Iterator[Problem]:
    """Either an expression, or both sides of a ratio."""
    has_expression = bool((definition.expression or "").strip())
    sides = [side for side in SIDES if getattr(definition, f"{side}_id") is not None]
    if not has_expression and not sides:
        yield Problem("expression", "Give an expression, or a numerator and a denominator.", "required")
    elif has_expression and sides:
        yield Problem("expression", "A ratio has no expression of its own: leave one of the two out.", "not_allowed")
    elif len(sides) == 1:
        missing = "denominator" if sides == ["numerator"] else "numerator"
        yield Problem(missing, "A ratio has a numerator and a denominator.", "required")
    if sides and definition.filter:
        yield Problem("filter", "A ratio has no filter: filter its numerator and denominator.", "not_allowed")


def _ratio_problems(definition: MetricDefinition) -> Iterator[Problem]:
    parts = {side: getattr(definition, side) for side in SIDES if getattr(definition, f"{side}_id") is not None}
    for side, part in parts.items():
        if part.pk == definition.pk:
            yield Problem(side, "A metric cannot be divided by itself, or itself by another.", "cycle")
        elif part.is_ratio:
            detail = f"{part.name} is a ratio itself; a ratio is made of two measures."
            yield Problem(side, detail, "not_a_measure")
        elif definition.dataset and part.dataset != definition.dataset:
            detail = f"{part.name} is measured in {part.dataset}, the ratio in {definition.dataset}."
            yield Problem(side, detail, "other_dataset")
    if parts and definition.pk and uses.ratios_of([definition.name])[definition.name]:
        seen = uses.ratios_of([definition.name], definition.author)[definition.name]
        detail = f"{', '.join(seen) or 'A ratio'} is made of it; a ratio is made of two measures."
        yield Problem("numerator", detail, "not_a_measure")


def _dataset_problems(definition: MetricDefinition, before: MetricDefinition | None) -> Iterator[Problem]:
    if not definition.dataset:
        yield Problem("dataset", "Name the dataset that it is measured in: layer.workflow.name.", "required")
        return
    found = datasets_for(definition.author).filter(name=definition.dataset).first()
    if found is None:
        detail = f"There is no dataset “{definition.dataset}”. Its name is layer.workflow.name."
        yield Problem("dataset", detail, "unknown_dataset")
    elif found.layer == Layer.LANDING:
        yield Problem("dataset", f"“{found.name}” holds files, not rows. Name bronze.… instead.", "not_a_table")
    if before and before.dataset != definition.dataset and (told := uses.told(before.name, definition.author)):
        detail = f"It is measured in {before.dataset} by {told}: that cannot change under them."
        yield Problem("dataset", detail, "in_use")


def _expression_problems(definition: MetricDefinition) -> Iterator[Problem]:
    if definition.is_ratio:
        return
    from workers.executors.metrics.measures import measure_problems  # slow to import, as all that reads SQL

    known = datasets_for(definition.author).filter(name=definition.dataset).values_list("columns", flat=True).first()
    columns = as_columns(known or [])
    for fault in measure_problems(definition.expression, definition.filter, columns, definition.additivity):
        yield Problem(fault["field"], f"{fault['message']} {fault['hint']}".strip(), "invalid_metric")
