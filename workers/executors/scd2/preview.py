"""What a restatement would change, with nothing written."""

from __future__ import annotations

from typing import Any

import polars as pl

from workers.engines.preview import json_rows
from workers.errors import NotAvailableYet
from workers.executors import spec_from_json
from workers.lake.table import open_table
from workers.sandbox import run_in_child
from workers.specs import to_json
from workers.template_specs import Scd2Spec

from .change import Scd2Change
from .timeline import Shape
from .work import Part

MOST_EXAMPLES = 50


def preview_restatement(spec: Scd2Spec, memory_mb: int = 2048, seconds: int = 60) -> dict[str, Any]:
    """`{removed, added, changed, keys, examples}`, made in a child process with these limits.

    A version is changed when one begins at the same time with other values
    or another end. At most 50 examples: `{change, before, after}`, rows of the
    dimension or None. Raises what the run would raise, and `ResourceLimit`.
    """
    told = {"spec": to_json(spec)}
    target = "workers.executors.scd2.preview:restated"
    return run_in_child(target, told, memory_mb=memory_mb, cpu_seconds=seconds, wall_seconds=seconds)


def restated(told: dict[str, Any]) -> dict[str, Any]:
    """In the child."""
    spec = spec_from_json(told["spec"])
    (given,) = spec.inputs
    table = open_table(spec.target.uri)
    change = Scd2Change(spec=spec, source=open_table(given.uri, given.version), staging=None, say=lambda _: None)
    work, rows = change.work(table, table.columns)
    if work.reading.how in ("first", "anew"):
        raise NotAvailableYet(
            f"The next run makes the whole dimension anew: {work.reading.why}.",
            hint="Run the job first; then a restatement can be looked at.",
        )
    counts = {"removed": 0, "added": 0, "changed": 0}
    examples: list[dict[str, Any]] = []
    for part in work.parts(rows):
        _add(part, work.shape, counts, examples)
    return {**counts, "keys": work.counts.keys, "read": work.reading.why, "examples": examples}


def _add(part: Part, shape: Shape, counts: dict[str, int], examples: list[dict[str, Any]]) -> None:
    place, names = shape.place, shape.versions.names()
    before = part.removed.select(names).sort(place)
    after = part.added.sort(place)
    changes = {
        "changed": (before.join(after, on=place, how="semi"), after.join(before, on=place, how="semi")),
        "removed": (before.join(after, on=place, how="anti"), None),
        "added": (None, after.join(before, on=place, how="anti")),
    }
    for name, (old, new) in changes.items():
        counts[name] += (old if old is not None else new).height
        rows = zip(_rows(old, new), _rows(new, old), strict=True)
        examples += [{"change": name, "before": was, "after": now} for was, now in rows]
        del examples[MOST_EXAMPLES:]


def _rows(frame: pl.DataFrame | None, other: pl.DataFrame | None) -> list[dict[str, Any] | None]:
    if frame is None:
        return [None] * min(other.height, MOST_EXAMPLES)
    return json_rows(frame.head(MOST_EXAMPLES))
