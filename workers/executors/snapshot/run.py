"""What was true at the end of each period, out of a dimension's history or out of events."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import date, datetime
from typing import Any

import polars as pl

from workers.access import NOTHING, Access
from workers.engines.base import Limits, engine_named
from workers.engines.statement import quoted
from workers.errors import AuditFailed, InvalidSpec
from workers.executors.clock import Clock
from workers.executors.refresh import Staged, Tables, run_refresh
from workers.executors.sql import check_query
from workers.lake.stage import StagedFile, Staging
from workers.lake.table import open_table, table_exists
from workers.progress import Progress, silent
from workers.results import StepResult
from workers.schema import polars_schema
from workers.specs import Column, TableTarget, Window
from workers.template_specs import SnapshotSpec

from .periods import ONE_DAY, Calendar, Period, Retention, expired, period_at, periods

Spec = SnapshotSpec
MOST_PERIODS = 10_000
EXAMPLE_PERIODS = 3
AT_A_TIME = 100  # periods in one query
MOST_TOLD = 400  # periods listed in a run's facts
ROWS_TIMES_PERIODS = 20_000_000  # that one query compares


def run(spec: SnapshotSpec, progress: Progress = silent, access: Access = NOTHING) -> StepResult:
    """Publish one row for each key and period, as `run_refresh` does.

    The periods are those of the run's window, or of `as_of`, or the one that
    the run's date lies in. With `overwrite_partition` exactly they are
    replaced, those without rows too, and in the same commit the periods that
    `retention` no longer keeps are dropped. Raises also `AuditFailed` for a
    dimension that has two rows of a key at one time, when its keys are named.
    """

    def make(tables: Tables, staging: Staging, clock: Clock) -> Staged:
        engine, limits = engine_named(spec.engine), Limits.of(spec)
        wanted = periods_of(spec)
        held = _held(spec)
        gone = _expired(spec, {*held, *(each.day for each in wanted)})
        built = [each for each in wanted if each.day not in gone]
        columns = tables[spec.base].columns
        with clock("read"):
            for part in _parts(built, tables[spec.base].rows):
                progress("read", message=f"{part[0].day} to {part[-1].day} on {spec.engine}")
                checked = check_query(replace(spec, sql=snapshot_sql(spec, columns, part)), tables)
                engine.run(checked, tables, staging, limits, progress)
            if not built:  # the staged rows have a schema all the same
                staging.sink(pl.LazyFrame(schema=polars_schema(spec.columns)))
            if spec.event_time_column:
                counted = check_query(replace(spec, sql=_unusable_sql(spec), columns=()), tables)
                unusable = engine.first_rows(counted, tables, 1, limits).item()
            else:
                unusable = 0
        rows = _rows_of(spec, staging.files)
        facts = _facts(spec, built, wanted, rows, {day: held[day] for day in gone if day in held})
        facts["without_time_or_key"] = int(unusable)
        replaced = [each.day for each in built] + [day for day in gone if day in held]
        return Staged(
            checks=_checks(spec, staging),
            facts={"snapshot": facts},
            partitions=tuple({spec.snapshot_column: day} for day in replaced) if _by_period(spec) else (),
        )

    return run_refresh(spec, progress, make)


def periods_of(spec: SnapshotSpec) -> list[Period]:
    """What a run of this spec builds, apart from retention. Raises `InvalidSpec` for too many."""
    calendar, window = calendar_of(spec), spec.window
    today = calendar.today(spec.run_time)
    first, last = spec.start_date or _before(calendar, today, spec.rebuild_previous), spec.end_date or today
    if (window.start_date or window.end_date) and _by_period(spec):
        first = date.fromisoformat(window.start_date or window.end_date)
        last = date.fromisoformat(window.end_date) if window.end_date else today
    if (min(last, today) - first).days > MOST_PERIODS:
        raise InvalidSpec(
            f"From {first} to {last} there are more than {MOST_PERIODS:,} days.", hint="Build them in parts."
        )
    return periods(calendar, first, last, spec.run_time)


def _before(calendar: Calendar, day: date, number: int) -> date:
    for _ in range(number):
        day = calendar.start(day) - ONE_DAY
    return day


def example_sql(facts: Mapping[str, Any], columns: tuple[Column, ...], now: datetime, window: Window) -> str:
    """The query of the first periods that a run at `now` would build; `facts` are the spec's own fields."""
    nothing = {"run_id": "", "workflow": "", "job": "", "inputs": (), "columns": (), "sql": ""}
    target = TableTarget(dataset="", uri="")
    spec = SnapshotSpec(**nothing, **facts, target=target, window=window, run_time=now)
    built = periods_of(spec) or [period_at(calendar_of(spec), calendar_of(spec).today(now), now)]
    return snapshot_sql(spec, columns, built[:EXAMPLE_PERIODS])


def calendar_of(spec: SnapshotSpec) -> Calendar:
    return Calendar(grain=spec.grain, time_zone=spec.time_zone, week_start=spec.week_start)


def _by_period(spec: SnapshotSpec) -> bool:
    return spec.refresh_mode == "overwrite_partition"


def _parts(built: list[Period], rows: int) -> Iterator[list[Period]]:
    """So many periods at a time that neither the query nor what it compares grows too large."""
    size = max(1, min(AT_A_TIME, ROWS_TIMES_PERIODS // max(rows, 1)))
    for start in range(0, len(built), size):
        yield built[start : start + size]


# --- the query ------------------------------------------------------------------------


def snapshot_sql(spec: SnapshotSpec, columns: Iterable[Column], part: list[Period]) -> str:
    """The canonical SELECT for these periods; `columns` are those of the base."""
    columns = tuple(columns)
    types = {column.name: column.type for column in columns}
    if spec.event_time_column:
        states, source = f", assay_states AS ({_states_sql(spec, columns, part[-1])})", "assay_states"
        start, until = spec.event_time_column, "assay_until"
        kinds = {start: types[start], until: types[start]}
    else:
        states, source = "", quoted(spec.base)
        start, until = spec.effective_from_column, spec.effective_to_column
        kinds = {start: types[start], until: types[until]}
    bounds = list(dict.fromkeys(kinds.values()))
    values = ", ".join(f"({', '.join([_text(each.day), *(_text(_bound(each, k)) for k in bounds)])})" for each in part)
    names = ", ".join(["period_day", *(f"bound_{n}" for n in range(len(bounds)))])
    casts = ["CAST(period_day AS DATE) AS assay_day"]
    casts += [f"CAST(bound_{n} AS {_SQL_TYPES[kind]}) AS assay_bound_{n}" for n, kind in enumerate(bounds)]
    periods_sql = f"SELECT {', '.join(casts)} FROM (VALUES {values}) AS assay_values({names})"  # noqa: S608 - our own
    selected = [f"assay_periods.assay_day AS {quoted(spec.snapshot_column)}"]
    selected += [f"{source}.{quoted(column.name)}" for column in columns]
    begun = f"assay_periods.assay_bound_{bounds.index(kinds[start])}"
    ended = f"assay_periods.assay_bound_{bounds.index(kinds[until])}"
    lower, upper = f"{source}.{quoted(start)}", f"{source}.{quoted(until)}"
    return (
        f"WITH assay_periods AS ({periods_sql}){states} SELECT {', '.join(selected)} "  # noqa: S608 - quoted names
        f"FROM {source} CROSS JOIN assay_periods "
        f"WHERE ({lower} IS NULL OR {lower} < {begun}) AND ({upper} IS NULL OR {upper} >= {ended})"
    )


_SQL_TYPES = {"date": "DATE", "timestamp": "TIMESTAMP", "timestamptz": "TIMESTAMPTZ"}


def _states_sql(spec: SnapshotSpec, columns: tuple[Column, ...], last: Period) -> str:
    """Each event with the time of the next one of its key; of those at one instant the last by their values."""
    time, kind = quoted(spec.event_time_column), next(c.type for c in columns if c.name == spec.event_time_column)
    keys = ", ".join(quoted(key) for key in spec.key_columns)
    taken = {*spec.key_columns, spec.event_time_column}
    rest = [c for c in columns if c.name not in taken and not c.type.startswith(("list", "struct", "binary"))]
    order = ", ".join([time, *(f"{quoted(column.name)} NULLS LAST" for column in rest)])
    has_key = " AND ".join(f"{quoted(key)} IS NOT NULL" for key in spec.key_columns)
    names = ", ".join(quoted(column.name) for column in columns)
    before = f"{time} < CAST({_text(_bound(last, kind))} AS {_SQL_TYPES[kind]})"
    until = f"LEAD({time}) OVER (PARTITION BY {keys} ORDER BY {order}) AS assay_until"
    return f"SELECT {names}, {until} FROM {quoted(spec.base)} WHERE {before} AND {has_key}"  # noqa: S608 - quoted names


def _unusable_sql(spec: SnapshotSpec) -> str:
    missing = " OR ".join(f"{quoted(name)} IS NULL" for name in [*spec.key_columns, spec.event_time_column])
    return f"SELECT COUNT(*) AS unusable FROM {quoted(spec.base)} WHERE {missing}"  # noqa: S608 - quoted names


def _bound(period: Period, kind: str) -> date:
    return {"date": period.date, "timestamp": period.clock, "timestamptz": period.instant}[kind]


def _text(value: date) -> str:
    return f"'{value!s}'"


# --- what the table has, and what is told -----------------------------------------------


def _held(spec: SnapshotSpec) -> dict[date, int]:
    """Rows of each period that the table has now and this run may leave."""
    if not _by_period(spec) or not table_exists(spec.target.uri):
        return {}
    rows: Counter[date] = Counter()
    for file in open_table(spec.target.uri).data_files:
        rows[file.partition_values.get(spec.snapshot_column)] += file.rows
    return {day: count for day, count in rows.items() if day is not None}


def _expired(spec: SnapshotSpec, days: set[date]) -> list[date]:
    if not spec.keep or not days:
        return []
    kept = Retention(keep=spec.keep, keep_month_ends=spec.keep_month_ends)
    return expired(calendar_of(spec), days, max(days), kept)


def _rows_of(spec: SnapshotSpec, files: Iterable[StagedFile]) -> Mapping[str, int]:
    """Rows of each period, told from the files where they are split by period."""
    rows: Counter[str] = Counter()
    for file in files:
        rows[file.partition_values.get(spec.snapshot_column) or ""] += file.rows
    return rows


def _facts(
    spec: SnapshotSpec, built: list[Period], wanted: list[Period], rows: Mapping[str, int], dropped: Mapping[date, int]
) -> dict[str, Any]:
    open_one = next((each for each in built if not each.is_finished), None)
    is_split = spec.snapshot_column in spec.target.partition_by
    return {
        "built": len(built),
        "first": str(built[0].day) if built else None,
        "last": str(built[-1].day) if built else None,
        "as_of": spec.run_time.isoformat() if open_one else None,  # of a last period that is not over yet
        "periods": [
            {"day": str(each.day), "rows": rows.get(str(each.day), 0) if is_split else None}
            for each in built[-MOST_TOLD:]
        ],
        "beyond_retention": len(wanted) - len(built),
        "dropped_periods": len(dropped),
        "dropped_rows": sum(dropped.values()),
        "dropped": [str(day) for day in sorted(dropped)[:MOST_TOLD]],
    }


def _checks(spec: SnapshotSpec, staging: Staging) -> tuple[dict[str, Any], ...]:
    """One row for each key and period: by construction for events, looked at for a dimension whose keys are named."""
    if spec.event_time_column or not spec.key_columns:
        return ()
    names = [spec.snapshot_column, *spec.key_columns]
    doubled = staging.scan().group_by(names).len().filter(pl.col("len") > 1)
    count, example = doubled.select(pl.len()).collect().item(), doubled.head(1).collect().to_dicts()
    if count:
        told = ", ".join(f"{name} {example[0][name]}" for name in names)
        raise AuditFailed(
            f"{count:,} keys have more than one row at the end of a period, such as {told}. Nothing was published.",
            hint=f"The times of {spec.base} overlap: correct {spec.effective_from_column} and "
            f"{spec.effective_to_column}, or name other key_columns.",
        )
    return ({"name": "one_row_per_key", "passed": True, "detail": f"one row for each {', '.join(names)}"},)
