"""A checked query over pinned inputs becomes one version of a Silver or Gold table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, timedelta
from typing import Any

from workers.access import NOTHING, Access
from workers.engines.base import Limits, engine_named
from workers.engines.sql import CheckedSql, Parameters, check_sql
from workers.errors import InvalidSpec
from workers.executors.clock import Clock
from workers.executors.refresh import Staged, Tables, outside_window, run_refresh
from workers.lake.stage import Staging
from workers.lake.table import open_table, table_exists
from workers.progress import Progress, silent
from workers.results import StepResult
from workers.specs import SqlSpec, Window

Spec = SqlSpec
Partitions = tuple[Mapping[str, Any], ...]  # {column: value} each
LONGEST_WINDOW_DAYS = 10_000


def run(
    spec: SqlSpec,
    progress: Progress = silent,
    access: Access = NOTHING,
    replaced: Callable[[Staging], Partitions] | None = None,
) -> StepResult:
    """Run the query and publish its rows as `refresh.run_refresh` does.

    `overwrite_partition` replaces the partitions of the window, when the query
    uses `:start_date` or `:end_date`, else those that its rows fall into; a
    template that knows better says with `replaced` which, once rows are staged.
    Raises also `SqlRejected`, `QueryFailed` and `ResourceLimit`.
    """

    def make(tables: Tables, staging: Staging, clock: Clock) -> Staged:
        with clock("check"):
            checked = check_query(spec, tables)
        progress("read", message=f"Running on {spec.engine}: {checked.statement}")
        with clock("read"):
            engine_named(spec.engine).run(checked, tables, staging, Limits.of(spec), progress)
        if replaced:
            return Staged(checks=(_as_declared(checked),), partitions=replaced(staging))
        partitions = _partitions(spec, checked)
        if len(spec.target.partition_by) > 1 and partitions is not None:
            _check_days(spec, staging)
        return Staged(checks=(_as_declared(checked),), partitions=partitions or ())

    return run_refresh(spec, progress, make)


def check_query(spec: SqlSpec, tables: Tables) -> CheckedSql:
    """Guard the stored text again, against the inputs as they are in the pinned versions."""
    parameters = Parameters(
        start_date=_day(spec.window.start_date, date.min),
        end_date=_day(spec.window.end_date, date.max),
        run_time=spec.run_time,
    )
    inputs = {alias: table.columns for alias, table in tables.items()}
    return check_sql(spec.sql, inputs, spec.engine, spec.columns, parameters, leave_out_extra=True)


def _as_declared(checked: CheckedSql) -> dict[str, object]:
    left_out = ", ".join(checked.left_out)
    detail = f"not in the target schema, left out: {left_out}" if left_out else "as declared"
    return {"name": "schema", "passed": True, "detail": detail}


def _day(text: str | None, otherwise: date) -> date:
    return date.fromisoformat(text) if text else otherwise


def _partitions(spec: SqlSpec, checked: CheckedSql) -> Partitions | None:
    """What a windowed query replaces, also where it has no rows any more; None: the partitions of its rows.

    Of a table by one date they are the window's days; where other columns
    divide the days further, those partitions of the days that the table has.
    """
    uses_window = {"start_date", "end_date"} & set(checked.parameters_used)
    days, day = _days(spec.window), _day_column(spec)
    if spec.refresh_mode != "overwrite_partition" or not (uses_window and days and day):
        return None
    if len(spec.target.partition_by) == 1:
        return tuple({day: each} for each in days)
    if not table_exists(spec.target.uri):
        return ()
    held = [file.partition_values for file in open_table(spec.target.uri).data_files]
    known = {tuple(values.items()) for values in held if days[0] <= (values.get(day) or date.min) <= days[-1]}
    return tuple(dict(values) for values in known)


def _day_column(spec: SqlSpec) -> str | None:
    """The one partition column that is a date."""
    types = {column.name: column.type for column in spec.columns}
    dates = [name for name in spec.target.partition_by if types.get(name) == "date"]
    return dates[0] if len(dates) == 1 else None


def _check_days(spec: SqlSpec, staging: Staging) -> None:
    column, window = _day_column(spec), spec.window
    found = {str(file.partition_values[column]) for file in staging.files}
    if outside := sorted(day for day in found if not window.start_date <= day <= window.end_date):
        raise outside_window(outside, window.start_date, window.end_date)


def _days(window: Window) -> list[date]:
    if not (window.start_date and window.end_date):
        return []
    start, end = date.fromisoformat(window.start_date), date.fromisoformat(window.end_date)
    if (end - start).days > LONGEST_WINDOW_DAYS:
        raise InvalidSpec(f"The window {start} to {end} has more than {LONGEST_WINDOW_DAYS:,} days.")
    return [start + timedelta(days=number) for number in range((end - start).days + 1)]
