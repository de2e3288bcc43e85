"""Training and feature sets: what was known of an entity at its time, and, of a training set, what came of it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import date, timedelta
from itertools import pairwise

import polars as pl

from workers.access import NOTHING, Access
from workers.engines.polars import failing_clearly
from workers.errors import InvalidSpec
from workers.executors.clock import Clock
from workers.executors.refresh import Staged, Tables, run_refresh
from workers.lake.stage import Staging
from workers.progress import Progress, silent
from workers.results import StepResult
from workers.schema import parse_type, polars_schema
from workers.specs import Column
from workers.template_specs import PointInTimeSpec

from .examples import Examples, Moment, examples_of
from .leakage import check_leakage
from .plan import Plan, plan_of_spec
from .polars import Told, attach
from .report import balance_check, card_of, digest_of
from .split import Cuts

Spec = PointInTimeSpec
BYTES_OF_TEXT = 32  # an estimate, as is that joining takes three times the memory of what is read
TIMES_IN_MEMORY = 3


def run(spec: PointInTimeSpec, progress: Progress = silent, access: Access = NOTHING) -> StepResult:
    """Publish one row for each entity's time, with the features known then, its label and its part.

    A row is left out only by a named rule, and counted: no key, no time,
    outside the run's dates, not yet labelled, no label. The facts are the
    set's card. The same spec gives the same bytes, told by their `digest`.
    Raises `InvalidConfig` where an input changed, and `AuditFailed` for a
    feature that is not unique or a leak.
    """
    _check(spec)

    def make(tables: Tables, staging: Staging, clock: Clock) -> Staged:
        plan, told = plan_of_spec(spec, {alias: table.columns for alias, table in tables.items()}), Told()
        progress("read", message=f"Joining {len(plan.groups)} inputs as of {spec.entity.as_of_column} on {spec.engine}")
        with clock("read"):
            cuts = _stage(spec, plan, tables, staging, told)
        with clock("report"):
            card = card_of(spec, plan, staging, told, cuts)
        with clock("leakage"):
            frames = {alias: table.scan() for alias, table in tables.items()}
            leakage = check_leakage(spec.engine, plan, frames, staging)
        facts = {"digest": digest_of(staging), "card": {**card, "leakage": leakage}}
        return Staged(
            checks=(balance_check(card), {"name": "leakage", "passed": True, "detail": leakage["detail"]}),
            facts=facts,
            partitions=_partitions(spec, plan),
        )

    return run_refresh(spec, progress, make)


def first_rows(spec: PointInTimeSpec, tables: Tables, limit: int) -> pl.DataFrame:
    """The set of a few entities: those of the first keys of the entity's input."""
    plan = plan_of_spec(spec, {alias: table.columns for alias, table in tables.items()})
    frames = {alias: table.scan() for alias, table in tables.items()}
    entity, keys = spec.entity, list(spec.entity.key_columns)
    with failing_clearly():
        some = frames[entity.alias].select(keys).drop_nulls().head(limit * 20).unique().sort(keys).head(limit).collect()
        own = frames[entity.alias].join(some.lazy(), on=keys, how="semi").head(limit * 20)
        made = examples_of(plan, {**frames, entity.alias: own}, _moment(spec, memory_mb=512), Told())
        examples = made.frame.head(limit)
        return _rows(plan, examples, frames, Told(), spec.columns)


def _check(spec: PointInTimeSpec) -> None:
    if spec.engine not in ("polars", "duckdb"):
        raise InvalidSpec(f"Training and feature sets do not run on {spec.engine}.", hint="Use polars or duckdb.")
    split = spec.split
    if spec.refresh_mode != "full_refresh" and split and split.method == "time" and not split.validation_from:
        raise InvalidSpec(
            "The shares of a split by time can be cut only where the whole set is made anew.",
            hint="Name validation_from and test_from, or use full_refresh.",
        )


def _moment(spec: PointInTimeSpec, memory_mb: int | None = None) -> Moment:
    """The run's dates choose among the entity's times only where the rest of the table stays."""
    window = spec.window if spec.refresh_mode != "full_refresh" else None
    first, last = (_day(window.start_date), _day(window.end_date)) if window else (None, None)
    return Moment(run_time=spec.run_time, days=(first, last), memory_mb=memory_mb or spec.memory_limit_mb)


def _day(text: str | None) -> date | None:
    return date.fromisoformat(text) if text else None


def _partitions(spec: PointInTimeSpec, plan: Plan) -> tuple[dict[str, date], ...]:
    """The days that are replaced, also those without rows, when the table is partitioned by the entity's date."""
    first, last = _moment(spec).days
    column = spec.entity.as_of_column
    is_by_day = spec.target.partition_by == (column,) and plan.type_of(spec.entity.alias, column) == "date"
    if spec.refresh_mode != "overwrite_partition" or not (is_by_day and first and last):
        return ()
    return tuple({column: first + timedelta(days=number)} for number in range((last - first).days + 1))


# --- staging ---------------------------------------------------------------------------


def _stage(spec: PointInTimeSpec, plan: Plan, tables: Tables, staging: Staging, told: Told) -> Cuts | None:
    if spec.engine == "duckdb":
        from . import duckdb

        return duckdb.stage(plan, tables, staging, _moment(spec), spec.columns, told)
    frames = {alias: table.scan() for alias, table in tables.items()}
    with failing_clearly():
        made = examples_of(plan, frames, _moment(spec), told)
        for examples in _slices(plan, made, _parts(spec, plan, tables)):
            # One chunk: how rows lie in memory shows in the bytes of the file.
            staging.sink(_rows(plan, examples, frames, told, spec.columns).rechunk().lazy())
    return made.cuts


def _rows(plan: Plan, examples: pl.DataFrame, frames, told: Told, columns: tuple[Column, ...]) -> pl.DataFrame:
    features = attach(plan, examples, frames, told)
    rows = pl.concat([examples.drop("assay_time"), features], how="horizontal") if features.width else examples
    return rows.select(pl.col(name).cast(dtype) for name, dtype in polars_schema(columns).items())


def _parts(spec: PointInTimeSpec, plan: Plan, tables: Tables) -> int:
    """In how many parts, by ranges of the key, the features fit into the memory that the run may use."""
    largest = max((_bytes(plan, group.alias, group.feature.columns, tables) for group in plan.groups), default=0)
    return max(1, math.ceil(largest * TIMES_IN_MEMORY / (spec.memory_limit_mb * 2**20)))


def _bytes(plan: Plan, alias: str, names: tuple[str, ...], tables: Tables) -> int:
    kinds = (parse_type(plan.type_of(alias, name)) for name in names)
    widths = (BYTES_OF_TEXT if kind.is_nested() or kind in (pl.String, pl.Binary) else 8 for kind in kinds)
    return tables[alias].rows * (sum(widths) + 24)


def _slices(plan: Plan, made: Examples, parts: int) -> Iterator[pl.DataFrame]:
    """The examples in runs of whole keys, about equally long; they are sorted by key."""
    first, rows = plan.entity.key_columns[0], made.frame
    starts = rows.select((pl.col(first) != pl.col(first).shift(1)).fill_null(value=True).arg_true())[first]
    wanted = [rows.height * part // parts for part in range(1, parts)]
    places = starts.search_sorted(pl.Series(wanted, dtype=starts.dtype))
    cuts = sorted({0, rows.height, *(starts[place] for place in places if place < len(starts))})
    if len(cuts) < 2:
        yield rows
    for start, end in pairwise(cuts):
        yield rows[start:end]
