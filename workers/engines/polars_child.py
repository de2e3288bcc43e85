"""A query on Polars in a process of its own, watched: it ends there, not in the worker, when memory runs out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from workers.errors import ResourceLimit
from workers.lake.stage import Staging
from workers.lake.table import Table, open_table
from workers.sandbox import run_in_child
from workers.specs import Column, TableTarget

from .base import Limits
from .statement import CheckedSql

SECONDS = 7 * 24 * 3600  # the clock is not what is limited here


def stage_in_child(checked: CheckedSql, tables: Mapping[str, Table], staging: Staging, limits: Limits) -> None:
    """Stage the query's rows as the engine does. Raises `ResourceLimit`, naming the engines that work on disk."""
    # A table of its own inside the scratch folder: whatever becomes of the child, `staging` can discard it.
    target = replace(staging.target, uri=staging.folder)
    try:
        answer = run_in_child(
            "workers.engines.polars_child:stage",
            {
                "checked": asdict(checked),
                "inputs": [[alias, tables[alias].uri, tables[alias].version] for alias in checked.inputs_used],
                "target": asdict(target),
            },
            memory_mb=limits.memory_mb,
            cpu_seconds=SECONDS,
            wall_seconds=SECONDS,
            threads=limits.threads,
        )
    except ResourceLimit as error:
        raise ResourceLimit(
            f"Polars keeps the rows of this query in memory. {error.message}",
            hint="Choose the engine duckdb, which works on disk, or spark, which works on many machines; "
            "or give steps more memory (ASSAY_STEP_MEMORY_MB).",
            **error.facts,
        ) from error
    staging.adopt(*answer["files"])


def stage(spec: dict[str, Any]) -> dict[str, Any]:
    """In the child: stage the rows, and tell where they lie."""
    from .polars import sink

    told = spec["checked"]
    checked = CheckedSql(**told | {"columns": tuple(Column(**each) for each in told["columns"])})
    tables = {alias: open_table(uri, version) for alias, uri, version in spec["inputs"]}
    target = spec["target"]
    staging = Staging(TableTarget(**target | {"partition_by": tuple(target["partition_by"])}), "child")
    sink(checked, tables, staging)
    return {"files": [file.uri for file in staging.files]}
