"""The as-of join on DuckDB: the query of sql.py, within a memory limit, spilling to disk."""

# ruff: noqa: S608 - names are quoted, and the steps are those of sql.py

from __future__ import annotations

from collections.abc import Iterator

import duckdb
import polars as pl
import pyarrow as pa
from polars.io.plugins import register_io_source

from workers.engines.base import Limits
from workers.engines.duckdb import connected
from workers.engines.statement import quoted
from workers.executors.refresh import Tables
from workers.lake.stage import Staging
from workers.schema import duckdb_type, polars_schema
from workers.specs import Column

from .examples import Moment, one_thread
from .plan import Group, Plan
from .polars import EXAMPLES, Frames, Told, not_unique
from .split import Cuts
from .sql import LABELLED, example_parts, names, order_by, statement, with_parts

BATCH_ROWS = 100_000
STATES = "assay_result"


def stage(
    plan: Plan, tables: Tables, staging: Staging, moment: Moment, columns: tuple[Column, ...], told: Told
) -> Cuts | None:
    """Stage the set's rows, cast to `columns`; where the split's parts begin, if it goes by time."""
    limits = Limits(memory_mb=moment.memory_mb, threads=1 if one_thread(plan) else None)
    with connected(tables, limits, []) as connection:
        cuts = _make(connection, plan, moment, told)
        staging.sink(_stream(connection, plan, columns))
    return cuts


def features_of(plan: Plan, examples: pl.DataFrame, frames: Frames) -> pl.DataFrame:
    """The features of a few examples, in their order. `plan` has neither label nor split."""
    with connected({}, Limits(memory_mb=1024), []) as connection:
        for alias, frame in frames.items():
            connection.register(alias, frame.collect().to_arrow())
        connection.register("assay_given", examples.to_arrow())
        given = "SELECT * REPLACE (make_timestamp(assay_time) AS assay_time) FROM assay_given"
        connection.execute(f"CREATE TEMP TABLE assay_made AS {given}")
        rows = connection.execute(statement(plan, examples="assay_made")).to_arrow_table()
    return pl.from_arrow(rows).select(plan.feature_names)


def _make(connection: duckdb.DuckDBPyConnection, plan: Plan, moment: Moment, told: Told) -> Cuts | None:
    for group in plan.groups:
        if not group.is_timed:
            _must_be_unique(connection, group)
    parts = list(example_parts(plan, moment))
    steps = with_parts(parts)
    connection.execute(f"CREATE TEMP TABLE assay_made AS {steps} SELECT * FROM assay_examples")
    _count_dropped(connection, plan, moment, parts, told)
    query = statement(plan, moment, states=True, examples="assay_made")
    unsorted = query.removesuffix(f"\nORDER BY {order_by(plan)}")
    connection.execute(f"CREATE TEMP TABLE {STATES} AS {unsorted}")
    for group in plan.groups:
        _count_states(connection, group, told)
    if not (plan.split and plan.split.method == "time"):
        return None
    cut = "SELECT epoch_us(validation_from), epoch_us(test_from) FROM assay_cuts"
    return connection.execute(f"{steps} {cut}").fetchone()


def _stream(connection: duckdb.DuckDBPyConnection, plan: Plan, columns: tuple[Column, ...]) -> pl.LazyFrame:
    casts = (f"CAST({quoted(each.name)} AS {duckdb_type(each.type)}) AS {quoted(each.name)}" for each in columns)
    query = f"SELECT {', '.join(casts)} FROM {STATES} ORDER BY {order_by(plan, '')}"

    def batches(with_columns, predicate, n_rows, batch_size) -> Iterator[pl.DataFrame]:
        for batch in connection.execute(query).to_arrow_reader(BATCH_ROWS):
            frame = pl.from_arrow(pa.Table.from_batches([batch]))
            frame = frame if with_columns is None else frame.select(with_columns)
            yield frame if predicate is None else frame.filter(predicate)

    return register_io_source(batches, schema=polars_schema(columns))


# --- counting --------------------------------------------------------------------------


def _count_dropped(
    connection: duckdb.DuckDBPyConnection, plan: Plan, moment: Moment, parts: list[tuple[str, str]], told: Told
) -> None:
    """Each rule's rows, as the difference between one step and the next."""
    entity, rules = plan.entity, {}
    has_key = " AND ".join(f"{quoted(name)} IS NOT NULL" for name in entity.key_columns)
    time = quoted(entity.as_of_column)
    read, keyed, timed = connection.execute(
        f"SELECT count(*), count(*) FILTER (WHERE {has_key}), count(*) FILTER (WHERE {has_key} AND {time} IS NOT NULL) "
        f"FROM {quoted(entity.alias)}"
    ).fetchone()
    steps = with_parts(parts)
    known = [name for name in ("assay_entity", "assay_ready") if name in dict(parts)]
    counts = [connection.execute(f"{steps} SELECT count(*) FROM {name}").fetchone()[0] for name in known]
    made = connection.execute("SELECT count(*) FROM assay_made").fetchone()[0]
    rules["without_key"], rules["without_time"] = read - keyed, keyed - timed
    rules["outside_window"] = timed - counts[0]
    rules["not_yet_labelled"] = counts[0] - counts[-1]
    labelled = connection.execute(f"{steps} SELECT count(*) FROM {LABELLED}").fetchone()[0] if plan.reach else made
    rules["without_label"], rules["purged"] = counts[-1] - labelled, labelled - made
    told.read += read
    told.dropped.update({rule: count for rule, count in rules.items() if count})


def _count_states(connection: duckdb.DuckDBPyConnection, group: Group, told: Told) -> None:
    state = f"assay_state_{group.number}"
    found = connection.execute(f"SELECT {state}, count(*) FROM {STATES} GROUP BY {state}").fetchall()
    told.states.setdefault(group.number, type(told.dropped)()).update(dict(found))
    feature = group.feature
    times = [quoted(name) for name in (feature.time_column, feature.knowledge_column) if name]
    if not group.is_timed:
        return
    keys = " AND ".join(f"{quoted(name)} IS NOT NULL" for name in feature.key_columns)
    unplaced = " OR ".join(f"{time} IS NULL" for time in times)
    query = f"SELECT count(*) FROM {quoted(group.alias)} WHERE {keys} AND ({unplaced})"
    if count := connection.execute(query).fetchone()[0]:
        told.without_time[group.number] += count


def _must_be_unique(connection: duckdb.DuckDBPyConnection, group: Group) -> None:
    keys, alias = names(*group.feature.key_columns), quoted(group.alias)
    needed = " AND ".join(f"{quoted(name)} IS NOT NULL" for name in group.feature.key_columns)
    repeated = f"SELECT {keys} FROM {alias} WHERE {needed} GROUP BY ALL HAVING count(*) > 1"
    count = connection.execute(f"SELECT count(*) FROM ({repeated})").fetchone()[0]
    if count:
        rows = connection.execute(f"{repeated} ORDER BY ALL LIMIT {EXAMPLES}").fetchall()
        raise not_unique(group, count, [", ".join(map(str, row)) for row in rows])
