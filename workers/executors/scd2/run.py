"""A dimension that keeps its history (slowly changing, type 2), from the observations of its one input."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from workers.access import NOTHING, Access
from workers.errors import InvalidSpec, OutcomeUnknown
from workers.executors.clock import Clock
from workers.executors.refresh import Staged, Tables, run_refresh
from workers.lake.stage import Staging
from workers.lake.table import Table
from workers.progress import Progress, silent
from workers.results import StepResult
from workers.template_specs import Scd2Spec

from .change import Scd2Change
from .observations import check_places, input_rows, observations, shape_of
from .timeline import IS_CURRENT, timeline

Spec = Scd2Spec


def run(spec: Scd2Spec, progress: Progress = silent, access: Access = NOTHING) -> StepResult:
    """Bring the dimension up to date with its input, in one commit.

    Only what the input has got since the last run is read, and only files
    with versions that change are written anew. A run that finds nothing new
    leaves the same rows. Raises `AuditFailed` for rows without a key or a
    time, and `TooManyDeletes`.
    """
    changes: list[Scd2Change] = []

    def make(tables: Tables, staging: Staging, clock: Clock) -> Staged:
        (source,) = tables.values()
        change = Scd2Change(spec=spec, source=source, staging=staging, say=lambda text: progress("read", message=text))
        changes.append(change)
        return Staged(change=change)

    _check(spec)
    try:
        return run_refresh(spec, progress, make)
    except OutcomeUnknown:
        raise
    except Exception:
        for change in changes:
            change.discard()
        raise


def first_rows(spec: Scd2Spec, tables: Mapping[str, Table], limit: int) -> pl.DataFrame:
    """The versions of the input's first keys, from all of their rows."""
    (source,) = tables.values()
    shape, rows = shape_of(spec), input_rows(source)
    names = list(shape.keys)
    check_places(rows, spec)
    seen = observations(rows, spec, shape)
    keys = seen.select(names).head(limit * 100).unique(maintain_order=True).head(limit).collect()
    everything = seen.join(keys.lazy(), on=names, how="semi").collect(engine="streaming")
    return timeline(everything, shape).versions.head(limit)


def _check(spec: Scd2Spec) -> None:
    if len(spec.inputs) != 1:
        raise InvalidSpec("A dimension is made from one input.", hint="Join or union the others in a job before.")
    if spec.engine != "polars":
        raise InvalidSpec("A dimension's timeline is built by Polars.", hint="Use the engine polars.")
    if spec.target.partition_by != (IS_CURRENT,):
        raise InvalidSpec(f"A dimension is partitioned by {IS_CURRENT}.")
