"""The first rows of a template that is no query, with nothing written and nothing at risk."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from workers.engines.base import Limits
from workers.engines.preview import LIMITS, MAX_ROWS, STAND_INS, json_rows
from workers.lake.table import open_table
from workers.results import Preview
from workers.sandbox import run_in_child
from workers.specs import DatasetSpec, to_json

from . import executor_of, spec_from_json


def preview_template(spec: DatasetSpec, limit: int = MAX_ROWS, limits: Limits = LIMITS, seconds: int = 60) -> Preview:
    """At most `limit` (50) rows of what a run of this spec would write.

    The executor's `first_rows(spec, tables, limit)` makes them, in a child
    process which may use so many `seconds`. Raises what the run would raise,
    `ResourceLimit`, and `TableMissing` for an input that has no table yet.
    """
    stand_in, note = STAND_INS.get(spec.engine, (spec.engine, ""))
    spec = replace(spec, engine=stand_in)
    answer = run_in_child(
        "workers.executors.preview:first_rows",
        {"spec": to_json(spec), "limit": min(limit, MAX_ROWS)},
        memory_mb=limits.memory_mb,
        cpu_seconds=seconds,
        wall_seconds=seconds,
    )
    rows = tuple(answer["rows"])
    return Preview(columns=spec.columns, rows=rows, rows_sampled=len(rows), note=note)


def first_rows(told: dict[str, Any]) -> dict[str, Any]:
    """In the child: the rows as JSON values."""
    spec = spec_from_json(told["spec"])
    tables = {each.alias: open_table(each.uri, each.version) for each in spec.inputs}
    frame = executor_of(told["spec"]).first_rows(spec, tables, told["limit"])
    return {"rows": json_rows(frame.head(told["limit"]))}
