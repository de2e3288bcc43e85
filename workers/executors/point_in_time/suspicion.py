"""Features that alone tell the label: seldom insight, mostly the outcome in disguise."""

from __future__ import annotations

import polars as pl

from .plan import Plan, is_number

SAMPLE = 200_000  # rows that are looked at
FEWEST = 50  # rows: fewer prove nothing
ROWS_PER_VALUE = 5  # a feature with hardly two rows of one value tells every label, and means nothing
CORRELATION = 0.999


def suspicions(plan: Plan, rows: pl.LazyFrame) -> list[dict[str, str]]:
    """A warning for each feature from which alone the label follows, in a sample of the rows."""
    if not plan.label:
        return []
    height = rows.select(pl.len()).collect().item()
    label = plan.label.name
    every = max(1, -(-height // SAMPLE))
    some = rows.select(*plan.feature_names, label).gather_every(every).collect().drop_nulls(label)
    if some.height < FEWEST or some[label].n_unique() < 2:
        return []
    return [
        {
            "code": "possible_leakage",
            "feature": name,
            "text": f"Possible leakage: {name} alone {how} {label}. Is it known before the outcome?",
        }
        for name in plan.feature_names
        if (how := _tells(some, name, label, is_number(plan.label_type)))
    ]


def _tells(some: pl.DataFrame, name: str, label: str, label_is_number: bool) -> str:
    """How the feature tells the label; empty: it does not."""
    if some.schema[name].is_nested():
        return ""
    if label_is_number and some.schema[name].is_numeric() and _correlates(some, name, label):
        return "moves exactly with"
    if some[label].n_unique() > some.height / ROWS_PER_VALUE:
        return ""
    if some.schema[name].is_numeric() and some[label].n_unique() == 2 and _separates(some, name, label):
        return "separates the two values of"
    return "determines" if _determines(some, name, label) else ""


def _correlates(some: pl.DataFrame, name: str, label: str) -> bool:
    pairs = some.select(pl.col(name, label).cast(pl.Float64)).drop_nulls()
    if pairs.height < FEWEST:
        return False
    found = pairs.select(pl.corr(name, label)).item()
    return found is not None and found == found and abs(found) > CORRELATION


def _separates(some: pl.DataFrame, name: str, label: str) -> bool:
    """Whether every value of one class lies below every value of the other."""
    present = some.drop_nulls(name)
    if present.height < max(FEWEST, some.height / 2):
        return False
    bounds = present.group_by(label).agg(low=pl.col(name).min(), high=pl.col(name).max()).sort("low")
    return bounds.height == 2 and bounds["high"][0] < bounds["low"][1]


def _determines(some: pl.DataFrame, name: str, label: str) -> bool:
    """Whether each value, and its absence, goes with one value of the label only."""
    values = some.group_by(name).agg(labels=pl.col(label).n_unique())
    return 1 < values.height <= some.height / ROWS_PER_VALUE and values["labels"].max() == 1
