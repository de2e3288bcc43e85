"""What a step of a dataset can do: one small module for each, found by the `type` of its spec."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import Any

from workers.access import NOTHING, Access
from workers.errors import InvalidSpec
from workers.progress import Progress, silent
from workers.results import StepResult
from workers.specs import DatasetSpec, from_json

# type → the module with its `Spec` and `run(spec, progress, access)`. Imported only when it is needed.
EXECUTORS = {
    "sql": "workers.executors.sql",
    "metrics": "workers.executors.metrics.run",
    "conform": "workers.executors.conform.run",
    "snapshot": "workers.executors.snapshot.run",
    "scd2": "workers.executors.scd2.run",
    "point_in_time": "workers.executors.point_in_time.run",
    "vector_index": "workers.executors.vector_index.run",
    "export_feed": "workers.executors.export_feed.run",
}


def run_dataset(spec: dict[str, Any], progress: Progress = silent, access: Access = NOTHING) -> StepResult:
    """Do what the stored spec of a Silver or Gold run says. Raises `AssayError`."""
    module = executor_of(spec)
    return module.run(from_json(module.Spec, spec), progress, access)


def spec_from_json(spec: dict[str, Any]) -> DatasetSpec:
    """The spec that a run has stored, as its executor takes it."""
    return from_json(executor_of(spec).Spec, spec)


def executor_of(spec: dict[str, Any]) -> ModuleType:
    """The module that does what the stored spec says; one that names no type is of a query."""
    kind = spec.get("type", "sql")
    if kind not in EXECUTORS:
        raise InvalidSpec(f"There is no executor “{kind}”.", hint=f"Known are {', '.join(EXECUTORS)}.")
    return import_module(EXECUTORS[kind])
