"""The road of every dataset's run: pinned inputs, staged rows, audit, one commit. Templates say what is staged."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import polars as pl

from workers.errors import AuditFailed, InvalidSpec
from workers.executors.clock import Clock
from workers.executors.refresh_merge import MergeByKeys, check_keys
from workers.lake.publish import ChangeOf, already_published, publish
from workers.lake.stage import StagedFile, Staging
from workers.lake.table import Table, open_table
from workers.progress import Progress
from workers.results import Published, StepResult
from workers.specs import DatasetSpec, SqlSpec

MODES = {
    "full_refresh": "overwrite",
    "overwrite_partition": "overwrite_partition",
    "append": "append",
    "merge": "merge",
}
Tables = Mapping[str, Table]  # by alias, at their pinned versions


@dataclass(frozen=True, slots=True, kw_only=True)
class Staged:
    """What a template has left in staging, and how it meets the rows that the table has."""

    checks: tuple[dict[str, Any], ...] = ()  # what the template itself has looked at
    facts: dict[str, Any] = field(default_factory=dict)  # JSON: kept in the commit, and on the run
    partitions: tuple[Mapping[str, Any], ...] = ()  # replaced also where there are no rows for them
    change: ChangeOf | None = None  # as `publish` asks for it; None: as the spec's refresh_mode says


def run_refresh(spec: DatasetSpec, progress: Progress, make: Callable[[Tables, Staging, Clock], Staged]) -> StepResult:
    """Publish what `make` stages, in one commit, or nothing.

    The inputs are opened at the versions that the spec pins; the staged rows
    have the spec's columns, and are audited before the commit. `full_refresh`
    replaces the table, `overwrite_partition` the partitions of the rows and
    those in `Staged.partitions`, `append` adds, `merge` lets the rows meet those
    of the table by `merge_keys`. A run that has published is not run again: it
    reports what its commit says.

    Raises what `make` raises, `AuditFailed` (the user must act), and what
    `workers.lake` raises; the table is then as it was.
    """
    _check(spec)
    if before := already_published(spec.target, spec.run_id):
        return _reported(spec, before, {})
    clock = Clock()
    tables = {each.alias: open_table(each.uri, each.version) for each in spec.inputs}
    with _staging(spec) as staging:
        staged = make(tables, staging, clock)
        files = staging.files
        rows = sum(file.rows for file in files)
        progress("audit", done=rows, total=rows)
        with clock("audit"):
            checks = (*_audit(spec, files, staging, staged.partitions), *staged.checks)
        progress("publish", done=rows, total=rows)
        with clock("publish"):
            told = {
                "rows_read": sum(table.rows for table in tables.values()),
                "checks": checks,
                "facts": staged.facts,
            }
            published = _published(spec, told, tables, staging, staged)
    return _reported(spec, published, clock.seconds)


def _staging(spec: DatasetSpec) -> Staging:
    """Where rows are staged. Those of a query that merges are only compared, so no partition splits them."""
    merges = spec.refresh_mode == "merge" and isinstance(spec, SqlSpec)
    return Staging(replace(spec.target, partition_by=()) if merges else spec.target, spec.run_id)


def _check(spec: DatasetSpec) -> None:
    if spec.refresh_mode == "overwrite_partition" and not spec.target.partition_by:
        raise InvalidSpec("refresh_mode='overwrite_partition' needs a partition_by.")
    if spec.refresh_mode == "merge" and isinstance(spec, SqlSpec) and not spec.merge_keys:
        raise InvalidSpec("refresh_mode='merge' needs merge_keys.")
    if not spec.columns:
        raise InvalidSpec("A dataset needs a target schema.", hint="Declare its columns.")


# --- the audit --------------------------------------------------------------------


def _audit(
    spec: DatasetSpec, files: tuple[StagedFile, ...], staging: Staging, partitions: tuple[Mapping[str, Any], ...]
) -> tuple[dict[str, Any], ...]:
    """Look at what was staged before anybody sees it; `publish` compares names and types once more."""
    required = [column.name for column in spec.columns if not column.nullable]
    nulls = {name: count for name, count in _nulls(files, staging, required).items() if count}
    rows = sum(file.rows for file in files)
    if nulls:
        listed = ", ".join(f"{name} in {count:,} of {rows:,} rows" for name, count in nulls.items())
        raise AuditFailed(
            f"Columns that must have a value are null: {listed}. Nothing was published.",
            hint="Filter these rows out or fill them with COALESCE(…), or make the column nullable.",
            nulls=nulls,
        )
    _check_window(files, partitions)
    merges = spec.refresh_mode == "merge" and spec.merge_keys and rows
    return (
        {"name": "rows", "passed": True, "detail": f"{rows:,} rows in {len(files)} files, counted from their footers"},
        {"name": "not_null", "passed": True, "detail": f"no nulls in {', '.join(required) or 'nullable columns only'}"},
        *((check_keys(staging.scan(), spec.merge_keys),) if merges else ()),
    )


def _nulls(files: tuple[StagedFile, ...], staging: Staging, required: list[str]) -> dict[str, int]:
    """Nulls in each required column: from the footers, or by reading the columns that footers do not count."""
    counts: dict[str, int] = dict.fromkeys(required, 0)
    unknown: set[str] = set()
    for file in files:
        told = file.stats.get("nullCount", {})
        for name in required:
            if name in file.partition_values:
                counts[name] += file.rows if file.partition_values[name] is None else 0
            elif name in told:
                counts[name] += told[name]
            else:
                unknown.add(name)
    if unknown:
        counts |= staging.scan().select(pl.col(sorted(unknown)).null_count()).collect().row(0, named=True)
    return counts


def _check_window(files: tuple[StagedFile, ...], partitions: tuple[Mapping[str, Any], ...]) -> None:
    """A windowed query must not replace other days than its own: their rows would be only partly there."""
    if not partitions or len(partitions[0]) > 1:
        return
    days = {str(day) for each in partitions for day in each.values()}
    found = {str(value) for file in files for value in file.partition_values.values()}
    if outside := sorted(found - days):
        raise outside_window(outside, min(days), max(days))


def outside_window(days: Sequence[str], first: str, last: str) -> AuditFailed:
    return AuditFailed(
        f"The query returned rows outside its window of {first} to {last}: {', '.join(days[:5])}.",
        hint="Filter by the partition column: WHERE … BETWEEN :start_date AND :end_date.",
        partitions=list(days),
    )


# --- the end ----------------------------------------------------------------------


def _published(
    spec: DatasetSpec, told: Mapping[str, Any], tables: Tables, staging: Staging, staged: Staged
) -> Published:
    if staged.change is not None:
        return _publish(spec, told, tables, (), staged.change, staged.partitions)
    if spec.refresh_mode != "merge":
        return _publish(spec, told, tables, staging.files, None, staged.partitions)
    with MergeByKeys(spec, staging, staged.facts) as change:
        published = _publish(spec, told, tables, (), change)
    staging.discard()  # no commit names these files: the merge has written its own
    return published


def _publish(
    spec: DatasetSpec,
    told: Mapping[str, Any],
    tables: Tables,
    files: tuple[StagedFile, ...],
    change: ChangeOf | None,
    partitions: tuple[Mapping[str, Any], ...] = (),
) -> Published:
    versions = {each.dataset: tables[each.alias].version for each in spec.inputs}
    return publish(
        spec.target,
        files,
        run_id=spec.run_id,
        mode="append" if change and spec.refresh_mode != "merge" else MODES[spec.refresh_mode],
        columns=spec.columns,
        metadata={"inputs": versions, "engine": spec.engine, **told},
        partitions=partitions,
        change=change,
    )


def _reported(spec: DatasetSpec, published: Published, phases: dict[str, float]) -> StepResult:
    """The result from what the commit carries, so that a run reports the same however often it is asked."""
    table = open_table(spec.target.uri, published.version)
    told = table.history(limit=1)[0].metadata
    return StepResult(
        rows_read=told["rows_read"],
        rows_written=published.rows,
        published=published,
        columns=table.columns,
        checks=tuple(told["checks"]),
        facts=dict(told.get("facts") or {}),
        phases=phases,
    )
