"""The rows of the set before their features: the entity's moments, each with its label and its part, in order."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import duckdb
import polars as pl

from workers.engines.statement import quoted
from workers.errors import QueryFailed, ResourceLimit
from workers.schema import duckdb_type

from .plan import SPLIT, Plan
from .polars import Frames, Told, key_columns, micros
from .split import Cuts, cuts_of, looks_ahead, split_column

_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """What a run knows beside its inputs."""

    run_time: datetime  # aware; nothing after it has happened
    days: tuple[date | None, date | None] = (None, None)  # of the entity's time, inclusive; None: all
    memory_mb: int = 2048

    @property
    def micros(self) -> int:
        return (self.run_time - datetime(1970, 1, 1, tzinfo=UTC)) // _MICROSECOND


@dataclass(frozen=True, slots=True, kw_only=True)
class Examples:
    """Sorted by key, time and what is carried. `frame` has also `assay_time`, microseconds since 1970."""

    frame: pl.DataFrame
    cuts: Cuts | None = None


def examples_of(plan: Plan, frames: Frames, moment: Moment, told: Told) -> Examples:
    """Every row of the entity's input is in the frame, or counted in `told.dropped` by the rule that left it out."""
    entity = plan.entity
    own = (*entity.key_columns, entity.as_of_column, *plan.carried)
    rows = frames[entity.alias].select(own).collect(engine="streaming")
    told.read += rows.height
    has_key = pl.all_horizontal(pl.col(name).is_not_null() for name in entity.key_columns)
    rows = _keep(rows, has_key, "without_key", told)
    rows = _keep(rows, pl.col(entity.as_of_column).is_not_null(), "without_time", told)
    rows = rows.with_columns(assay_time=micros(entity.as_of_column, plan.type_of(entity.alias, entity.as_of_column)))
    rows = _keep(rows, _in_window(moment.days), "outside_window", told)
    if plan.label:
        rows = _labelled(plan, rows, frames, moment, told)
    rows = rows.sort(*sort_columns(plan), nulls_last=False)
    if not plan.split:
        return Examples(frame=rows)
    cuts = cuts_of(plan.split, rows["assay_time"]) if plan.split.method == "time" else None
    if cuts and plan.reach:
        rows = _keep(rows, looks_ahead(cuts, plan.reach).not_(), "purged", told)
    return Examples(frame=rows.with_columns(split_column(plan, rows, cuts).alias(SPLIT)), cuts=cuts)


def sort_columns(plan: Plan) -> list[str]:
    """Key, time, and what is carried: rows that are alike in all of it are alike in everything."""
    carried = (*plan.entity.columns, *([plan.label.name] if plan.label else []))
    return [*plan.entity.key_columns, plan.entity.as_of_column, *carried]


def _keep(rows: pl.DataFrame, condition: pl.Expr, rule: str, told: Told) -> pl.DataFrame:
    kept = rows.filter(condition)
    if dropped := rows.height - kept.height:
        told.dropped[rule] += dropped
    return kept


def _in_window(days: tuple[date | None, date | None]) -> pl.Expr:
    day = pl.col("assay_time").cast(pl.Datetime("us")).dt.date()
    first, last = days
    return pl.all_horizontal(pl.lit(value=True), *([day >= first] if first else []), *([day <= last] if last else []))


# --- the label -----------------------------------------------------------------------


def _labelled(plan: Plan, rows: pl.DataFrame, frames: Frames, moment: Moment, told: Told) -> pl.DataFrame:
    label = plan.label
    if plan.window is not None:
        horizon = _horizon(plan, frames, moment)
        known = (
            pl.lit(value=False) if horizon is None else pl.col("assay_time") + plan.window // _MICROSECOND <= horizon
        )
        rows = _keep(rows, known, "not_yet_labelled", told)
    if label.column:
        rows = rows.with_columns(pl.col(label.column).alias(label.name))
    else:
        rows = rows.with_columns(_outcomes(plan, rows, frames, moment).alias(label.name))
    if label.on_missing == "drop":
        return _keep(rows, pl.col(label.name).is_not_null(), "without_label", told)
    if label.on_missing == "zero":
        nothing = pl.lit(value=False) if plan.label_type == "boolean" else pl.lit(0)
        return rows.with_columns(pl.col(label.name).fill_null(nothing.cast(rows.schema[label.name])))
    return rows


def _horizon(plan: Plan, frames: Frames, moment: Moment) -> int | None:
    """Until when the outcome is known: the last thing that the label's input tells of, and never later than the run."""
    label = plan.label
    if label.column:
        return moment.micros
    time = micros(label.time_column, plan.type_of(label.alias, label.time_column))
    last = frames[label.alias].select(time.max()).collect().item()
    return None if last is None else min(last, moment.micros)


def _outcomes(plan: Plan, rows: pl.DataFrame, frames: Frames, moment: Moment) -> pl.Series:
    """The expression over what happened in each example's window.

    DuckDB works it out, whatever the engine: it is SQL. Examples of the same
    key and time have the same outcome, which is worked out once.
    """
    from .label import over_nothing  # slow to import, for the checker it stands on

    label = plan.label
    keys = rows.select(*key_columns(plan, plan.entity.alias, plan.entity.key_columns), "assay_time")
    names = [name for name in keys.columns if name != "assay_time"]
    moments = keys.unique(maintain_order=True).with_row_index("assay_row")
    empty = over_nothing(plan.label_sql, plan.inputs[label.alias], plan.label_type)
    found = _aggregated(plan, moments, _events(plan, frames, keys["k0"]), moment.memory_mb)
    value = pl.when(pl.col("is_there")).then("outcome").otherwise(pl.lit(empty.item(), dtype=empty.dtype))
    outcomes = moments.join(found, on="assay_row", how="left", maintain_order="left").select(
        *names, "assay_time", outcome=value
    )
    joined = keys.join(outcomes, on=[*names, "assay_time"], how="left", maintain_order="left")
    return joined["outcome"]


def _events(plan: Plan, frames: Frames, first_keys: pl.Series) -> pl.DataFrame:
    """What the label's input tells: its columns as the expression names them, its key and its time as ours."""
    label, used = plan.label, _used(plan)
    keys = key_columns(plan, label.alias, label.key_columns)
    time = [micros(label.time_column, plan.type_of(label.alias, label.time_column))] if label.time_column else []
    rows = frames[label.alias].select(
        *keys,
        *(each.alias("assay_at") for each in time),
        *(pl.col(name).alias(f"u{n}") for n, name in enumerate(used)),
    )
    if first_keys.dtype != pl.Boolean and len(first_keys):
        rows = rows.filter(pl.col("k0").is_between(first_keys.min(), first_keys.max()))
    return rows.collect(engine="streaming")


def _used(plan: Plan) -> list[str]:
    """The columns that the expression reads."""
    from sqlglot import exp, parse_one

    named = {each.name.lower() for each in parse_one(plan.label_sql, read="duckdb").find_all(exp.Column)}
    return [column.name for column in plan.inputs[plan.label.alias] if column.name.lower() in named]


def _aggregated(plan: Plan, moments: pl.DataFrame, events: pl.DataFrame, memory_mb: int) -> pl.DataFrame:
    """`assay_row, outcome, is_there` of the moments in whose window something happened."""
    label, kind = plan.label, duckdb_type(plan.label_type)
    keys = [name for name in moments.columns if name.startswith("k")]
    conditions = [f"m.{name} = e.{name}" for name in keys]
    if plan.window is not None:
        width = plan.window // _MICROSECOND
        conditions += ["e.assay_at > m.assay_time", f"e.assay_at <= m.assay_time + {width}"]
    columns = ", ".join(f"e.u{n} AS {quoted(name)}" for n, name in enumerate(_used(plan)))
    query = f"""
        SELECT assay_row, CAST({plan.label_sql} AS {kind}) AS outcome, true AS is_there
        FROM (SELECT {", ".join(filter(None, ["m.assay_row", columns]))}
              FROM moments AS m JOIN events AS e ON {" AND ".join(conditions)}) AS {quoted(label.alias)}
        GROUP BY assay_row
    """  # noqa: S608 - made from a checked tree
    config = {"python_enable_replacements": "false", "memory_limit": f"{memory_mb}MB", **one_thread(plan)}
    try:
        with duckdb.connect(":memory:", config=config) as connection:
            connection.execute("SET TimeZone = 'UTC'; SET enable_external_access = false")
            connection.register("moments", moments.to_arrow())
            connection.register("events", events.to_arrow())
            return pl.from_arrow(connection.execute(query).to_arrow_table())
    except duckdb.OutOfMemoryException as error:
        raise ResourceLimit(
            "The label needed more memory than its limit.", hint="Shorten its window, or choose the engine duckdb."
        ) from error
    except duckdb.Error as error:
        raise QueryFailed(f"The label's expression failed: {str(error).splitlines()[0]}") from error


def one_thread(plan: Plan) -> dict[str, str]:
    """Sums of floats, and lists, depend on the order of their rows: one thread keeps it, and the bytes the same."""
    exact = ("boolean", "int8", "int16", "int32", "int64", "date", "timestamp", "timestamptz")
    is_exact = plan.label_type in exact or plan.label_type.startswith("decimal")
    return {} if is_exact else {"threads": "1"}
