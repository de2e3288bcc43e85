"""A checked query over pinned inputs becomes one version of a Silver or Gold table."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

import polars as pl

from workers.engines.base import Limits, engine_named
from workers.engines.sql import CheckedSql, Parameters, check_sql
from workers.errors import AuditFailed, InvalidSpec, NotAvailableYet
from workers.executors.clock import Clock
from workers.lake.publish import already_published, publish
from workers.lake.stage import StagedFile, Staging
from workers.lake.table import Table, open_table
from workers.progress import Progress, silent
from workers.results import Published, StepResult
from workers.specs import SqlSpec, Window

MODES = {"full_refresh": "overwrite", "overwrite_partition": "overwrite_partition", "append": "append"}
LONGEST_WINDOW_DAYS = 10_000


def run_sql(spec: SqlSpec, progress: Progress = silent) -> StepResult:
    """Run the query and publish its rows in one commit, or nothing.

    The inputs are read at the versions the spec pins, the rows are cast to
    `spec.columns` and audited before the commit. `full_refresh` replaces the
    table; `overwrite_partition` the partitions of the window, when the query
    uses `:start_date` or `:end_date`, else those that its rows fall into;
    `append` adds. A run that has published is not run again.

    Raises `SqlRejected`, `QueryFailed`, `ResourceLimit`, `AuditFailed` (the
    user must act), `NotAvailableYet` for merge and Spark, and what
    `workers.lake` raises; the table is then as it was.
    """
    _check(spec)
    if before := already_published(spec.target, spec.run_id):
        return _reported_again(spec, before)
    clock = Clock()
    tables = {each.alias: open_table(each.uri, each.version) for each in spec.inputs}
    with clock("check"):
        checked = check_query(spec, tables)
    with Staging(spec.target, spec.run_id) as staging:
        progress("read", message=f"Running on {spec.engine}: {checked.statement}")
        with clock("read"):
            limits = Limits(memory_mb=spec.memory_limit_mb)
            engine_named(spec.engine).run(checked, tables, staging, limits)
            files = staging.files
        rows = sum(file.rows for file in files)
        progress("audit", done=rows, total=rows)
        with clock("audit"):
            partitions = _partitions(spec, checked)
            checks = _audit(spec, checked, files, staging, partitions)
        progress("publish", done=rows, total=rows)
        with clock("publish"):
            facts = {"rows_read": sum(table.rows for table in tables.values()), "checks": checks}
            published = _publish(spec, facts, tables, files, partitions)
    return _result(spec, facts, published, clock.seconds)


def check_query(spec: SqlSpec, tables: Mapping[str, Table]) -> CheckedSql:
    """Guard the stored text again, against the inputs as they are in the pinned versions."""
    parameters = Parameters(
        start_date=_day(spec.window.start_date, date.min),
        end_date=_day(spec.window.end_date, date.max),
        run_time=spec.run_time,
    )
    inputs = {alias: table.columns for alias, table in tables.items()}
    return check_sql(spec.sql, inputs, spec.engine, spec.columns, parameters, leave_out_extra=True)


def _check(spec: SqlSpec) -> None:
    if spec.refresh_mode == "merge":
        raise NotAvailableYet(
            "This version of Assay does not merge yet.",
            hint="Use full_refresh, or overwrite_partition with a partition column.",
        )
    if spec.refresh_mode == "overwrite_partition" and not spec.target.partition_by:
        raise InvalidSpec("refresh_mode='overwrite_partition' needs a partition_by.")
    if not spec.columns:
        raise InvalidSpec("A query needs a target schema.", hint="Declare the columns of the dataset.")


def _day(text: str | None, otherwise: date) -> date:
    return date.fromisoformat(text) if text else otherwise


# --- the audit --------------------------------------------------------------------


def _audit(
    spec: SqlSpec,
    checked: CheckedSql,
    files: tuple[StagedFile, ...],
    staging: Staging,
    partitions: tuple[Mapping[str, date], ...],
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
    left_out = ", ".join(checked.left_out)
    return (
        {"name": "rows", "passed": True, "detail": f"{rows:,} rows in {len(files)} files, counted from their footers"},
        {"name": "not_null", "passed": True, "detail": f"no nulls in {', '.join(required) or 'nullable columns only'}"},
        {
            "name": "schema",
            "passed": True,
            "detail": f"not in the target schema, left out: {left_out}" if left_out else "as declared",
        },
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


def _partitions(spec: SqlSpec, checked: CheckedSql) -> tuple[Mapping[str, date], ...]:
    """The days that a windowed query replaces, also those it has no rows for; none: those of its rows."""
    uses_window = {"start_date", "end_date"} & set(checked.parameters_used)
    names = spec.target.partition_by
    types = {column.name: column.type for column in spec.columns}
    if spec.refresh_mode != "overwrite_partition" or not uses_window or [types.get(n) for n in names] != ["date"]:
        return ()
    return tuple({names[0]: day} for day in _days(spec.window))


def _days(window: Window) -> list[date]:
    if not (window.start_date and window.end_date):
        return []
    start, end = date.fromisoformat(window.start_date), date.fromisoformat(window.end_date)
    if (end - start).days > LONGEST_WINDOW_DAYS:
        raise InvalidSpec(f"The window {start} to {end} has more than {LONGEST_WINDOW_DAYS:,} days.")
    return [start + timedelta(days=number) for number in range((end - start).days + 1)]


def _check_window(files: tuple[StagedFile, ...], partitions: tuple[Mapping[str, date], ...]) -> None:
    """A windowed query must not replace other days than its own: their rows would be only partly there."""
    if not partitions:
        return
    days = {str(day) for each in partitions for day in each.values()}
    outside = {str(value): file.rows for file in files for value in file.partition_values.values() if value not in days}
    if outside:
        first, last = min(days), max(days)
        raise AuditFailed(
            f"The query returned rows outside its window of {first} to {last}: {', '.join(sorted(outside)[:5])}.",
            hint="Filter by the partition column: WHERE … BETWEEN :start_date AND :end_date.",
            partitions=sorted(outside),
        )


# --- the end ----------------------------------------------------------------------


def _publish(
    spec: SqlSpec,
    facts: Mapping[str, Any],
    tables: Mapping[str, Table],
    files: tuple[StagedFile, ...],
    partitions: tuple[Mapping[str, date], ...],
) -> Published:
    versions = {each.dataset: tables[each.alias].version for each in spec.inputs}
    return publish(
        spec.target,
        files,
        run_id=spec.run_id,
        mode=MODES[spec.refresh_mode],
        columns=spec.columns,
        metadata={"inputs": versions, "engine": spec.engine, **facts},
        partitions=partitions,
    )


def _reported_again(spec: SqlSpec, published: Published) -> StepResult:
    commit = next(commit for commit in open_table(spec.target.uri).history() if commit.run_id == spec.run_id)
    return _result(spec, commit.metadata, published, {})


def _result(spec: SqlSpec, facts: Mapping[str, Any], published: Published, phases: dict[str, float]) -> StepResult:
    """The result from what the commit carries, so that a run reports the same however often it is asked."""
    return StepResult(
        rows_read=facts["rows_read"],
        rows_written=published.rows,
        published=published,
        columns=open_table(spec.target.uri, published.version).columns,
        checks=tuple(facts["checks"]),
        phases=phases,
    )
