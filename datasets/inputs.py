"""A job's inputs: `[{dataset, alias}]`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pydantic import Field

from assay.common.options import Options, read_options
from assay.common.problems import Problem
from workers.specs import Column

from .visibility import datasets_for

if TYPE_CHECKING:
    from .models import DatasetJob


class InputOptions(Options):
    dataset: str = Field(description="layer.workflow.name")
    alias: str = Field(
        pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=63, description="what the SQL calls it; default: the name"
    )


def with_aliases(inputs: Any) -> Any:
    """The inputs, each with an alias: where none was given, the dataset's own name."""
    if not isinstance(inputs, list):
        return inputs
    return [_with_alias(given) if isinstance(given, dict) else given for given in inputs]


def _with_alias(given: dict[str, Any]) -> dict[str, Any]:
    if "alias" in given or not isinstance(given.get("dataset"), str):
        return given
    return {**given, "alias": re.sub(r"[^A-Za-z0-9_]", "_", given["dataset"].rsplit(".", 1)[-1])}


def input_problems(job: DatasetJob) -> list[Problem]:
    if not isinstance(job.inputs, list):
        return [Problem("inputs", "This must be a list of {dataset, alias}.", "wrong_type")]
    if not job.inputs:
        return [Problem("inputs", "Name at least one dataset that is read.", "required")]
    return list(_input_problems(job))


def _input_problems(job: DatasetJob) -> Iterator[Problem]:
    layers = dict(datasets_for(job.author).filter(name__in=_names(job.inputs)).values_list("name", "layer"))
    aliases: set[str] = set()
    for position, given in enumerate(job.inputs):
        options, faults = read_options(InputOptions, given, f"inputs.{position}")
        yield from faults
        if options is None:
            continue
        yield from _dataset_problems(options.dataset, layers, job, f"inputs.{position}.dataset")
        if options.alias.lower() in aliases:
            detail = f"Two inputs are called “{options.alias}” (case does not matter)."
            yield Problem(f"inputs.{position}.alias", detail, "duplicate")
        aliases.add(options.alias.lower())


def _dataset_problems(name: str, layers: dict[str, str], job: DatasetJob, path: str) -> Iterator[Problem]:
    if name not in layers:
        yield Problem(
            path,
            f"There is no dataset “{name}”. Its name is layer.workflow.name; make its job first.",
            "unknown_dataset",
        )
    elif layers[name] == "landing":
        yield Problem(path, f"“{name}” holds files, not rows. Read bronze.… instead.", "not_a_table")
    elif job.workflow_id and name == job.dataset_name:
        yield Problem(path, "A job cannot read what it writes.", "cycle")


def columns_by_alias(job: DatasetJob) -> dict[str, tuple[Column, ...]]:
    """What each input has; nothing for one whose columns nobody knows yet. One query."""
    known = dict(datasets_for(job.author).filter(name__in=_names(job.inputs)).values_list("name", "columns"))
    return {
        given["alias"]: tuple(Column(**column) for column in known.get(given["dataset"], ())) for given in job.inputs
    }


def _names(inputs: list[Any]) -> set[str]:
    return {given["dataset"] for given in inputs if isinstance(given, dict) and isinstance(given.get("dataset"), str)}
