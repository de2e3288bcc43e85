"""The as-of join on Polars: each feature input once, sorted light, its values fetched only for the rows that won.

Two clocks make one: a row is available from the later of when it happened and
when it was known. Key and moment make one number, so that one sort puts the
rows in order and one search finds, for each example, the last that was
available. Where a better one (a later event) preceded it, that one is the
answer; after that, age and validity are looked at.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

import polars as pl

from workers.errors import AuditFailed

from .plan import INTEGERS, Group, Plan

Frames = Mapping[str, pl.LazyFrame]  # by alias
FEW_KEYS = 20_000  # so many are looked for one by one when a feature is read
EXAMPLES = 5
KEY_RANGE = 2**32  # numbers further apart than this are counted through, so that they fit beside any moment
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
    keys = examples.select(key_columns(plan, plan.entity.alias, plan.entity.key_columns))
    numbered, codes = _numbered(keys)
    numbered = numbered.with_columns(examples["assay_time"].alias("t"))
    found = [_values(plan, group, keys, numbered, codes, frames[group.alias], told) for group in plan.groups]
    return pl.concat(found, how="horizontal") if found else pl.DataFrame(height=keys.height)


def _numbered(keys: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame | None]:
    """Each key as a number, `key`, and which number stands for which key; None: each for itself.

    Numbers are sorted and compared several times as fast as texts, or as several columns.
    """
    if keys.schema == {"k0": pl.Int64} and (keys.is_empty() or keys["k0"].max() - keys["k0"].min() < KEY_RANGE):
        return keys.rename({"k0": "key"}), None
    numbered = keys.select(pl.struct(keys.columns).rle_id().cast(pl.Int64).alias("key"))
    return numbered, pl.concat([keys, numbered], how="horizontal").unique("key", keep="first", maintain_order=True)


def _values(
    plan: Plan,
    group: Group,
    keys: pl.DataFrame,
    numbered: pl.DataFrame,
    codes: pl.DataFrame | None,
    frame: pl.LazyFrame,
    told: Told,
) -> pl.DataFrame:
    rows = _read(plan, group, keys, codes, frame)
    if group.is_timed:
        rows = _with_times(group, rows, told)
        place, state = _latest(group, numbered, rows)
    else:
        place, state = _only(group, keys, numbered, rows)
    told.states.setdefault(group.number, Counter()).update(dict(state.value_counts().iter_rows()))
    return rows.select(pl.col(f"v{n}").gather(place).alias(column.name) for n, (_, column) in enumerate(group.outputs))


def _read(
    plan: Plan, group: Group, keys: pl.DataFrame, codes: pl.DataFrame | None, frame: pl.LazyFrame
) -> pl.DataFrame:
    """The input's rows whose key may be among those asked for: `key`, `event`, `known`, `until`, and values `v…`."""
    feature = group.feature

    def time(name: str, called: str) -> list[pl.Expr]:
        return [micros(name, plan.type_of(group.alias, name)).alias(called)] if name else []

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
    if codes is None:
        return rows.filter(pl.col("k0").is_not_null()).rename({"k0": "key"}).collect(engine="streaming")
    return rows.join(codes.lazy(), on=keys.columns, how="inner").drop(keys.columns).collect(engine="streaming")


# --- features that change with time --------------------------------------------------


def _with_times(group: Group, rows: pl.DataFrame, told: Told) -> pl.DataFrame:
    clocks = rows.select(pl.col("^(event|known)$"))
    if not any(column.null_count() for column in clocks):
        return rows
    placed = rows.drop_nulls(clocks.columns)
    told.without_time[group.number] += rows.height - placed.height
    return placed


def _latest(group: Group, examples: pl.DataFrame, rows: pl.DataFrame) -> tuple[pl.Series, pl.Series]:
    """Where in `rows` each example's values stand (null: nowhere), and why. `examples` are `key` and `t`ime."""
    line = _Line.of(examples["key"], rows)
    order = _in_order(line, rows)
    within = examples.select("key", t=pl.col("t").clip(line.before, line.last))
    now, start = within.select(now=line.number("t"), start=line.start)
    after = order["number"].search_sorted(now, side="right")
    last = pl.select(pl.when(after > 0).then(after - 1)).to_series()
    found = examples.select("t", now=now, after=after).with_columns(
        place=_best(order).gather(last), is_there=(order["number"].gather(last) >= start).fill_null(value=False)
    )
    return _states(group, found, order, rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    """Key and moment as one number: each key has a stretch of `span` units of time, which begins before any row."""

    first_key: int
    before: int  # microseconds: one unit before anything happened
    last: int
    unit: int  # microseconds
    span: int
    dtype: pl.DataType

    @classmethod
    def of(cls, keys: pl.Series, rows: pl.DataFrame) -> _Line:
        """The line of all these keys. Whole seconds, if there is nothing finer, most often leave room in 64 bits."""
        first, last, *rests = rows.select(
            pl.col("event").min().alias("first"),
            pl.max_horizontal(pl.col("^(event|known)$").max()),
            (pl.col("^(event|known)$") % SECOND).max().name.suffix(" rest"),
        ).row(0)
        unit = 1 if any(rests) else SECOND
        before, last = (first or 0) - unit, last or 0
        span = (last - before) // unit + 1
        first_key, last_key = keys.min() or 0, keys.max() or 0
        fits = (last_key - first_key + 1) * span < 2**63
        return cls(
            first_key=first_key,
            before=before,
            last=last,
            unit=unit,
            span=span,
            dtype=pl.Int64() if fits else pl.Int128(),
        )

    @property
    def start(self) -> pl.Expr:
        return (pl.col("key").cast(self.dtype) - self.first_key) * self.span

    def number(self, time: str) -> pl.Expr:
        """Where this time of `before` to `last` lies."""
        return self.start + (pl.col(time) - self.before) // self.unit


def _in_order(line: _Line, rows: pl.DataFrame) -> pl.DataFrame:
    """`number` of when a row is available, its `place` in `rows`, and, of two clocks, when it `happened`; sorted."""
    if "known" not in rows.columns:
        order = rows.select(number=line.number("event"))
    else:
        available = rows.select("key", "event", available=pl.max_horizontal("event", "known"))
        order = available.select(number=line.number("available"), happened=line.number("event"))
    order = order.rechunk()  # fetching from one place takes a quarter of the time
    place = order["number"].arg_sort()
    return _settle_ties(order.select(pl.all().gather(place), place=place), rows)


def _settle_ties(order: pl.DataFrame, rows: pl.DataFrame) -> pl.DataFrame:
    """Put rows of one key and moment in order: a later event, then later knowledge, then greater values are better."""
    like_previous = order.select(tie=(pl.col("number") == pl.col("number").shift(1)).fill_null(value=False))["tie"]
    if not like_previous.any():
        return order
    tie = like_previous | like_previous.shift(-1, fill_value=False)
    tied = order.filter(tie)
    extra = [name for name in rows.columns if name not in ("key", "event")]
    full = pl.concat([tied, rows.select(pl.col(extra).gather(tied["place"]))], how="horizontal")
    settled = full.sort(*_greatness(full.drop("place").schema), nulls_last=False)
    # Both stand in the same order of numbers, so that the rest can be exchanged row for row.
    where = tie.arg_true()
    return order.with_columns(order[name].clone().scatter(where, settled[name]) for name in tied.columns)


def _greatness(schema: pl.Schema) -> Iterator[pl.Expr]:
    for name, dtype in schema.items():
        yield pl.col(name)
        if dtype.is_float():
            yield 1 / pl.col(name)  # 0.0 and -0.0 are equal, and yet other bytes


def _best(order: pl.DataFrame) -> pl.Series:
    """The place of the row that is the answer from here on.

    A correction of the past is not, when something newer was known before it.
    Numbers of a later key are greater, so one maximum runs through all keys.
    """
    if "happened" not in order.columns:
        return order["place"]
    is_newest = pl.col("happened") >= pl.col("happened").cum_max()
    return order.select(pl.when(is_newest).then("place").forward_fill())["place"]


def _states(group: Group, found: pl.DataFrame, order: pl.DataFrame, rows: pl.DataFrame) -> tuple[pl.Series, pl.Series]:
    state = pl.when(pl.col("is_there").not_()).then(_unknown(order, found))
    if group.ttl is not None:
        oldest = pl.col("t") - group.ttl // _MICROSECOND
        state = state.when(rows["event"].gather(found["place"]) < oldest).then(pl.lit("expired"))
    if group.feature.valid_to_column:
        state = state.when(rows["until"].gather(found["place"]) <= pl.col("t")).then(pl.lit("ended"))
    found = found.with_columns(state=state.otherwise(pl.lit("found")))
    return found.select(pl.when(pl.col("state") == "found").then("place"))["place"], found["state"]


def _unknown(order: pl.DataFrame, found: pl.DataFrame) -> pl.Expr:
    """Why nothing was available: it had not happened, or it had, and nobody knew.

    The rows of such an example's key, if there are any, all come after it, and those of later keys have greater
    numbers: so the least of all that come after tells whether one of its own had happened.
    """
    if "happened" not in order.columns:
        return pl.lit("never_known")
    least = order.select(pl.col("happened").cum_min(reverse=True))["happened"]
    after = pl.when(pl.col("after") < order.height).then("after")
    had_happened = least.gather(found.select(after)["after"]) <= found["now"]
    return pl.when(had_happened).then(pl.lit("not_yet_known")).otherwise(pl.lit("never_known"))


# --- features that never change ------------------------------------------------------


def _only(group: Group, keys: pl.DataFrame, examples: pl.DataFrame, rows: pl.DataFrame) -> tuple[pl.Series, pl.Series]:
    repeated = rows.group_by("key").len().filter(pl.col("len") > 1)
    if repeated.height:
        raise not_unique(group, repeated.height, _written(keys, examples["key"].is_in(repeated["key"].implode())))
    places = rows.with_row_index("place").select("key", "place", *(["known"] if "known" in rows.columns else []))
    found = examples.join(places, on="key", how="left", maintain_order="left")
    state = pl.when(pl.col("place").is_null()).then(pl.lit("never_known"))
    if "known" in rows.columns:
        state = state.when((pl.col("known") <= pl.col("t")).not_().fill_null(value=True)).then(pl.lit("not_yet_known"))
    found = found.with_columns(state=state.otherwise(pl.lit("found")))
    return found.select(pl.when(pl.col("state") == "found").then("place"))["place"], found["state"]


def _written(keys: pl.DataFrame, asked: pl.Series) -> list[str]:
    """The first few of the keys that are asked for, as people write them."""
    return [", ".join(map(str, row)) for row in keys.filter(asked).unique().sort(pl.all()).head(EXAMPLES).iter_rows()]


def not_unique(group: Group, count: int, examples: list[str]) -> AuditFailed:
    keys = ", ".join(group.feature.key_columns)
    return AuditFailed(
        f"{group.alias} has no time_column, and more than one row for {count:,} of the keys ({keys}), "
        f"such as {'; '.join(examples)}. Nothing was published.",
        hint="Name its time_column, or aggregate it to one row for each key.",
        alias=group.alias,
        keys=count,
    )
