"""The as-of join on Polars: each feature input once, sorted light, its values fetched only for the rows that won.

Two clocks make one: a row is available from the later of when it happened and
when it was known. Sorted by that, a row which a better one (a later event)
preceded is never the answer and is dropped; what is left is an ordinary
backward as-of join, after which age and validity are looked at.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

import polars as pl

from workers.errors import AuditFailed

from .plan import INTEGERS, Group, Plan

Frames = Mapping[str, pl.LazyFrame]  # by alias
FEW_KEYS = 20_000  # so many are looked for one by one when a feature is read
EXAMPLES = 5
ROUNDS = 4
SECOND = 1_000_000  # in microseconds
_MICROSECOND = timedelta(microseconds=1)


@dataclass(slots=True)
class Told:
    """What became of the rows: counts by rule, and by the state of each feature input."""

    read: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    states: dict[int, Counter[str]] = field(default_factory=dict)  # found, expired, ended, not_yet_known, never_known
    without_time: Counter[int] = field(default_factory=Counter)  # rows of an input that nobody can place in time


def micros(name: str, kind: str) -> pl.Expr:
    """A date or time as microseconds since 1970 in UTC; a date is its first moment."""
    value = pl.col(name)
    if kind == "timestamptz":
        value = value.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    return value.cast(pl.Datetime("us")).to_physical()


def key_columns(plan: Plan, alias: str, names: tuple[str, ...]) -> list[pl.Expr]:
    """The key as `k0, k1, …`, whole numbers of any size alike."""
    return [
        (pl.col(name).cast(pl.Int64) if plan.type_of(alias, name) in INTEGERS else pl.col(name)).alias(f"k{place}")
        for place, name in enumerate(names)
    ]


def attach(plan: Plan, examples: pl.DataFrame, frames: Frames, told: Told) -> pl.DataFrame:
    """The features of each example, in its order: the columns of `plan.feature_names`.

    `examples` have the entity's key and `assay_time`, and are sorted by both.
    Raises `AuditFailed` where a feature without a time has two rows of one key.
    """
    keys = examples.select(*key_columns(plan, plan.entity.alias, plan.entity.key_columns), t=pl.col("assay_time"))
    columns: list[pl.Series] = []
    for group in plan.groups:
        rows = _read(plan, group, keys, frames[group.alias])
        place, state = (_latest if group.is_timed else _only)(group, keys, rows, told)
        told.states.setdefault(group.number, Counter()).update(dict(state.value_counts().iter_rows()))
        columns += [rows[f"v{n}"].gather(place).alias(column.name) for n, (_, column) in enumerate(group.outputs)]
    return pl.DataFrame(columns) if columns else pl.DataFrame(height=keys.height)


def _read(plan: Plan, group: Group, keys: pl.DataFrame, frame: pl.LazyFrame) -> pl.DataFrame:
    """The input's rows whose key may be among those asked for: `k…`, `e`vent, `k`nown, `u`ntil, and values `v…`."""
    feature = group.feature

    def time(name: str, called: str) -> list[pl.Expr]:
        return [micros(name, plan.type_of(group.alias, name)).alias(called)] if name else []

    names = [f"k{place}" for place in range(len(feature.key_columns))]
    rows = frame.select(
        *key_columns(plan, group.alias, feature.key_columns),
        *time(feature.time_column, "event"),
        *time(feature.knowledge_column, "known"),
        *time(feature.valid_to_column, "until"),
        *(pl.col(name).alias(f"v{n}") for n, (name, _) in enumerate(group.outputs)),
    )
    first = keys["k0"].unique()
    if len(first) <= FEW_KEYS:
        rows = rows.filter(pl.col("k0").is_in(first.implode()))
    elif keys.schema["k0"] != pl.Boolean:
        rows = rows.filter(pl.col("k0").is_between(first.min(), first.max()))
    if len(names) == 1 and keys.schema["k0"] == pl.Int64:
        return rows.filter(pl.col("k0").is_not_null()).rename({"k0": "key"}).collect(engine="streaming")
    # Keys of several columns, and texts, become numbers: everything after this sorts and compares them.
    codes = keys.select(names).unique().sort(names).with_row_index("key")
    return rows.join(codes.lazy(), on=names, how="inner").drop(names).collect(engine="streaming")


def _coded(keys: pl.DataFrame) -> pl.DataFrame:
    names = [name for name in keys.columns if name != "t"]
    if names == ["k0"] and keys.schema["k0"] == pl.Int64:
        return keys.rename({"k0": "key"})
    codes = keys.select(names).unique().sort(names).with_row_index("key")
    return keys.join(codes, on=names, how="left", maintain_order="left").select("key", "t")


# --- features that change with time --------------------------------------------------


def _latest(group: Group, keys: pl.DataFrame, rows: pl.DataFrame, told: Told) -> tuple[pl.Series, pl.Series]:
    """Where in `rows` each example's values stand (null: nowhere), and why."""
    coded = _coded(keys)
    clock = rows.select("key", "event", *(["known"] if "known" in rows.columns else []))
    clock = clock.with_row_index("place")
    if clock["event"].null_count() or ("known" in clock.columns and clock["known"].null_count()):
        placed = clock.drop_nulls(["event", *(["known"] if "known" in clock.columns else [])])
        told.without_time[group.number] += clock.height - placed.height
        clock = placed
    history = _history(clock, rows, [f"v{n}" for n in range(len(group.outputs))])
    found = coded.join_asof(
        history, left_on="t", right_on="available", by="key", strategy="backward", check_sortedness=False
    ).select("key", "t", "event", "place")
    return _states(group, found, clock, rows)


def _history(clock: pl.DataFrame, rows: pl.DataFrame, values: list[str]) -> pl.DataFrame:
    """The rows that are the answer at some moment, in the order in which they become it."""
    if "known" not in clock.columns:
        return _settle_ties(_in_order(clock.with_columns(available="event")), rows, values)
    order = clock.select("key", "event", "place", available=pl.max_horizontal("event", "known"))
    return _without_late(_settle_ties(_in_order(order), rows, values))


def _in_order(clock: pl.DataFrame) -> pl.DataFrame:
    """Sorted by key and `available`; as one number where both fit into one, which takes half the time."""
    low, high, first, last, is_whole = clock.select(
        pl.col("key").min().alias("low"),
        pl.col("key").max().alias("high"),
        pl.col("available").min().alias("first"),
        pl.col("available").max().alias("last"),
        (pl.col("available") % SECOND == 0).all().alias("is_whole"),
    ).row(0)
    if low is None:
        return clock
    unit = SECOND if is_whole else 1
    span = (last - first) // unit + 1
    if (high - low + 1) * span >= 2**63:
        return clock.sort("key", "available")
    number = (pl.col("key").cast(pl.Int64) - low) * span + (pl.col("available") - first) // unit
    return clock.with_columns(number=number).sort("number").drop("number")


def _without_late(order: pl.DataFrame) -> pl.DataFrame:
    """Drop corrections of the past that came when something newer was known already: they are never the latest.

    Most often few rows are late, and comparing neighbours a few times finds
    them all, for a fraction of what a running maximum within each key takes.
    """
    is_late = (pl.col("key") == pl.col("key").shift(1)) & (pl.col("event") < pl.col("event").shift(1))
    for _ in range(ROUNDS):
        height = order.height
        order = order.filter(is_late.fill_null(value=False).not_())
        if order.height == height:
            return order
    return order.filter(pl.col("event") >= pl.col("event").cum_max().over("key"))


def _settle_ties(order: pl.DataFrame, rows: pl.DataFrame, values: list[str]) -> pl.DataFrame:
    """Put rows of one key and moment in order: a later event, then later knowledge, then greater values are better."""
    same = pl.all_horizontal(pl.col(name) == pl.col(name).shift(1) for name in ("key", "available"))
    like_previous = order.select(same.fill_null(value=False).alias("tie"))["tie"]
    if not like_previous.any():
        return order
    tie = like_previous | like_previous.shift(-1, fill_value=False)
    tied = order.filter(tie).select("key", "available", "event", "place")
    extra = [name for name in ("known", "until", *values) if name in rows.columns]
    full = pl.concat([tied, rows.select(extra)[tied["place"]]], how="horizontal")
    settled = full.sort("key", "available", "event", *extra, nulls_last=False)
    # Both stand in the same order of key and moment, so that the rest can be exchanged row for row.
    where = tie.arg_true()
    return order.with_columns(order[name].clone().scatter(where, settled[name]) for name in ("event", "place"))


def _states(group: Group, found: pl.DataFrame, clock: pl.DataFrame, rows: pl.DataFrame) -> tuple[pl.Series, pl.Series]:
    state = pl.when(pl.col("place").is_null()).then(pl.lit("never_known"))
    if group.ttl is not None:
        oldest = pl.col("t") - group.ttl // _MICROSECOND
        state = state.when(pl.col("event") < oldest).then(pl.lit("expired"))
    if group.feature.valid_to_column:
        found = found.with_columns(until=rows["until"].gather(found["place"]))
        state = state.when(pl.col("until") <= pl.col("t")).then(pl.lit("ended"))
    found = found.with_columns(state=state.otherwise(pl.lit("found")))
    if group.feature.knowledge_column:
        found = _with_not_yet_known(found, clock)
    place = found.select(pl.when(pl.col("state") == "found").then("place"))["place"]
    return place, found["state"]


def _with_not_yet_known(found: pl.DataFrame, clock: pl.DataFrame) -> pl.DataFrame:
    """Of the examples with nothing, those for which something had happened that nobody knew."""
    empty = found.filter(pl.col("state") == "never_known").select(pl.col("key").unique())
    if not empty.height:
        return found
    first = clock.join(empty, on="key", how="semi").group_by("key").agg(first=pl.col("event").min())
    happened = (pl.col("state") == "never_known") & (pl.col("first") <= pl.col("t")).fill_null(value=False)
    state = pl.when(happened).then(pl.lit("not_yet_known")).otherwise("state").alias("state")
    return found.join(first, on="key", how="left", maintain_order="left").with_columns(state)


# --- features that never change ------------------------------------------------------


def _only(group: Group, keys: pl.DataFrame, rows: pl.DataFrame, told: Told) -> tuple[pl.Series, pl.Series]:
    repeated = rows.group_by("key").len().filter(pl.col("len") > 1)
    if repeated.height:
        raise not_unique(group, repeated.height, _written(keys, repeated["key"]))
    places = rows.with_row_index("place").select("key", "place", *(["known"] if "known" in rows.columns else []))
    found = _coded(keys).join(places, on="key", how="left", maintain_order="left")
    state = pl.when(pl.col("place").is_null()).then(pl.lit("never_known"))
    if "known" in rows.columns:
        state = state.when((pl.col("known") <= pl.col("t")).not_().fill_null(value=True)).then(pl.lit("not_yet_known"))
    found = found.with_columns(state=state.otherwise(pl.lit("found")))
    return found.select(pl.when(pl.col("state") == "found").then("place"))["place"], found["state"]


def _written(keys: pl.DataFrame, codes: pl.Series) -> list[str]:
    """The first few of the keys, as people write them."""
    names = [name for name in keys.columns if name != "t"]
    told = keys.with_columns(code=_coded(keys)["key"]).filter(pl.col("code").is_in(codes.implode()))
    told = told.select(names).unique().sort(names).head(EXAMPLES)
    return [", ".join(map(str, row)) for row in told.iter_rows()]


def not_unique(group: Group, count: int, examples: list[str]) -> AuditFailed:
    keys = ", ".join(group.feature.key_columns)
    return AuditFailed(
        f"{group.alias} has no time_column, and more than one row for {count:,} of the keys ({keys}), "
        f"such as {'; '.join(examples)}. Nothing was published.",
        hint="Name its time_column, or aggregate it to one row for each key.",
        alias=group.alias,
        keys=count,
    )
