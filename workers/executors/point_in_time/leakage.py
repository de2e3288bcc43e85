"""Does anything from an entity's future reach its row? Change that future, and see whether the row changes.

For a sample of the rows that were written, every feature row which happened or
became known after the entity's time gets other values and later times. The
features are then joined anew, and must be those that were written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import polars as pl

from workers.errors import AuditFailed
from workers.lake.stage import Staging
from workers.schema import parse_type

from .plan import Group, Plan
from .polars import Told, attach, key_columns, micros

SAMPLE = 1_000  # entities
EXAMPLES = 3
Rebuild = Callable[[Plan, pl.DataFrame, Mapping[str, pl.LazyFrame]], pl.DataFrame]


def check_leakage(
    engine: str, plan: Plan, frames: Mapping[str, pl.LazyFrame], staging: Staging, sample: int = SAMPLE
) -> dict[str, Any]:
    """`{passed, entities, changed_rows, not_tested, detail}`. Raises `AuditFailed` when a row changes."""
    written = sample_of(plan, staging.scan(), sum(file.rows for file in staging.files), sample)
    changed = 0
    for group in plan.groups:
        if _has_a_future(group):
            leaking, count = leaks(plan, group, written, frames[group.alias], rebuild_on(engine))
            changed += count
            _refuse(group, leaking)
    not_tested = [group.alias for group in plan.groups if not _has_a_future(group)]
    told = f"{written.height:,} entities, {changed:,} rows of their future changed, nothing else did"
    told += f"; without a time, so not tested: {', '.join(not_tested)}" if not_tested else ""
    return {
        "passed": True,
        "entities": written.height,
        "changed_rows": changed,
        "not_tested": not_tested,
        "detail": told,
    }


def rebuild_on(engine: str) -> Rebuild:
    if engine == "duckdb":
        from .duckdb import features_of

        return features_of
    return lambda plan, examples, frames: attach(plan, examples, frames, Told())


def sample_of(plan: Plan, rows: pl.LazyFrame, height: int, sample: int = SAMPLE) -> pl.DataFrame:
    """Rows from all over the set, each of another key, with `assay_time`, sorted by key."""
    entity = plan.entity
    own = [*entity.key_columns, entity.as_of_column]
    some = rows.select(*own, *plan.feature_names).gather_every(max(1, height // sample)).head(sample).collect()
    kinds = {name: parse_type(plan.type_of(entity.alias, name)) for name in own}
    some = some.cast(kinds).unique(entity.key_columns, keep="first", maintain_order=True).sort(own)
    return some.with_columns(assay_time=micros(entity.as_of_column, plan.type_of(entity.alias, entity.as_of_column)))


def leaks(
    plan: Plan, group: Group, written: pl.DataFrame, rows: pl.LazyFrame, rebuild: Rebuild
) -> tuple[pl.DataFrame, int]:
    """The written rows that are others once the future is, and how many feature rows of it were changed."""
    entity = replace(plan.entity, columns=())
    alone = replace(plan, entity=entity, groups=(group,), label=None, split=None)
    examples = written.select(*entity.key_columns, entity.as_of_column, "assay_time")
    changed, count = with_another_future(alone, group, examples, rows)
    expected = written.select(alone.feature_names)
    found = rebuild(alone, examples, {group.alias: changed.lazy()}).cast(dict(expected.schema))
    differs = pl.any_horizontal(pl.col(name).ne_missing(pl.col(f"{name} after")) for name in expected.columns)
    both = pl.concat([written, found.rename(lambda name: f"{name} after")], how="horizontal")
    return both.filter(differs), count


def with_another_future(
    plan: Plan, group: Group, examples: pl.DataFrame, rows: pl.LazyFrame
) -> tuple[pl.DataFrame, int]:
    """The feature rows of the examples' keys, those of each one's future changed, and their number."""
    feature = group.feature
    times = {
        name: micros(name, plan.type_of(group.alias, name))
        for name in (feature.time_column, feature.knowledge_column)
        if name
    }
    names = list(dict.fromkeys([*feature.key_columns, *times, *filter(None, [feature.valid_to_column])]))
    names = list(dict.fromkeys([*names, *feature.columns]))
    keys = examples.select(*key_columns(plan, plan.entity.alias, plan.entity.key_columns), "assay_time")
    ours = [name for name in keys.columns if name != "assay_time"]
    own = rows.select(*names, *key_columns(plan, group.alias, feature.key_columns))
    if len(keys):
        own = own.filter(pl.col("k0").is_in(keys["k0"].unique().implode()))
    found = own.join(keys.lazy(), on=ours, how="inner").drop(ours).collect(engine="streaming")
    is_later = pl.any_horizontal((time > pl.col("assay_time")).fill_null(value=False) for time in times.values())
    found = found.with_columns(assay_later=is_later)
    values = [name for name in dict.fromkeys(feature.columns) if name not in (*feature.key_columns, *times)]
    values = [name for name in values if name != feature.valid_to_column]
    changes = [_other(name, found.schema[name]) for name in values]
    changes += [_later(name, time) for name, time in times.items()]
    if feature.valid_to_column:
        # When a version ends is learnt only then.
        ends = micros(feature.valid_to_column, plan.type_of(group.alias, feature.valid_to_column))
        until = pl.col(feature.valid_to_column)
        changes.append(pl.when(ends <= pl.col("assay_time")).then(until).alias(feature.valid_to_column))
    return found.with_columns(changes).select(names), int(found["assay_later"].sum())


def _later(name: str, time: pl.Expr) -> pl.Expr:
    """A time that is still to come comes a day later; one of the two clocks may be past already, and stays."""
    is_later = pl.col("assay_later") & (time > pl.col("assay_time"))
    return pl.when(is_later).then(pl.col(name).dt.offset_by("1d")).otherwise(pl.col(name)).alias(name)


def _other(name: str, dtype: pl.DataType) -> pl.Expr:
    """Another value than the row has, where one is easily made; else that of another row."""
    value = pl.col(name)
    if dtype == pl.Boolean:
        other = value.not_().fill_null(value=True)
    elif dtype == pl.String:
        other = pl.concat_str([value.fill_null(""), pl.lit("~")])
    elif dtype.is_integer():
        other = pl.when(value == 0).then(pl.lit(1, dtype=dtype)).otherwise(pl.lit(0, dtype=dtype))
    elif dtype.is_float():
        other = pl.when(value == 0).then(1.0).otherwise(0.0).cast(dtype)
    elif dtype.is_temporal():
        other = value.dt.offset_by("1d")
    else:
        other = value.reverse()
    return pl.when("assay_later").then(other).otherwise(value).alias(name)


def _has_a_future(group: Group) -> bool:
    return bool(group.feature.time_column or group.feature.knowledge_column)


def _refuse(group: Group, leaking: pl.DataFrame) -> None:
    if leaking.height:
        some = leaking.head(EXAMPLES).to_dicts()
        rows = [", ".join(f"{name} {value}" for name, value in row.items()) for row in some]
        raise AuditFailed(
            f"{leaking.height:,} sampled rows change when only their future does: {group.alias} leaks. "
            f"Such as {'; '.join(rows)}. Nothing was published.",
            hint="This is a fault of the join, not of the data. Report it, with this run's specification.",
            alias=group.alias,
        )
