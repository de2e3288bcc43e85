"""Several features of several inputs at once, of any type, for entity rows that repeat: both engines are the model.

The model is a page of plain Python that looks at every row. What counts as
greater among rows of one time is part of it: false, numbers, not-a-number;
texts and lists by what they begin with; and anything is more than null.
"""

# ruff: noqa: DTZ001 - moments are told in UTC

from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from workers.executors.point_in_time.leakage import rebuild_on
from workers.executors.point_in_time.plan import plan_of
from workers.executors.point_in_time.polars import micros
from workers.schema import columns_of
from workers.template_specs import Entity, Feature

START = datetime(2026, 1, 1)
# Few moments, so that they meet; parts of a second, and times far away, so that numbers of 64 bits do not hold them.
MOMENTS = st.integers(0, 8).map(lambda hour: START + timedelta(hours=hour)) | st.sampled_from(
    [
        START + timedelta(microseconds=1),
        START + timedelta(hours=2, microseconds=-1),
        datetime(1850, 1, 1),
        datetime(7000, 1, 1),
    ]
)
KEYS = st.sampled_from([0, 1, 2**62, -(2**62)]) | st.integers(0, 2)
VALUES = {
    "number": (pl.Float64(), st.sampled_from([0.0, -0.0, 1.5, -1.5, math.inf, -math.inf, math.nan])),
    "text": (pl.String(), st.sampled_from(["", "a", "A", "ab", "ä", "𝄞", "\uffff"])),
    "truth": (pl.Boolean(), st.booleans()),
    "list": (pl.List(pl.Int64()), st.lists(st.none() | st.integers(0, 2), max_size=2)),
}
EVENTS = {
    "key": pl.Int64(),
    "event": pl.Datetime("us"),
    "known": pl.Datetime("us"),
    "until": pl.Datetime("us"),
    **{name: dtype for name, (dtype, _) in VALUES.items()},
}


@st.composite
def tables(draw) -> pl.DataFrame:
    event = st.tuples(
        st.none() | KEYS,
        *(st.none() | MOMENTS for _ in range(3)),
        *(st.none() | values for _, values in VALUES.values()),
    )
    rows = draw(st.lists(event, max_size=14))
    # Some rows more than once, and some again with other values.
    rows += draw(st.lists(st.sampled_from(rows), max_size=4)) if rows else []
    return pl.DataFrame(rows, schema=EVENTS, orient="row")


@st.composite
def features(draw, number: int) -> Feature:
    return Feature(
        alias=draw(st.sampled_from(["orders", "visits"])),
        columns=tuple(draw(st.lists(st.sampled_from(sorted(VALUES)), min_size=1, unique=True))),
        key_columns=("key",),
        time_column="event",
        knowledge_column=draw(st.sampled_from(["known", ""])),
        valid_to_column=draw(st.sampled_from(["", "until"])),
        ttl=draw(st.sampled_from(["", "1h", "3h"])),
        prefix=f"f{number}_",
    )


@st.composite
def cases(draw):
    asked = draw(st.lists(st.tuples(KEYS, MOMENTS), min_size=1, max_size=8))
    asked += draw(st.lists(st.sampled_from(asked), max_size=3))
    examples = pl.DataFrame(asked, schema={"key": pl.Int64, "as_of": pl.Datetime("us")}, orient="row")
    examples = examples.with_columns(assay_time=micros("as_of", "timestamp")).sort("key", "as_of")
    frames = {"orders": draw(tables()), "visits": draw(tables())}
    chosen = [draw(features(number)) for number in range(draw(st.integers(1, 3)))]
    entity = Entity(alias="entity", key_columns=("key",), as_of_column="as_of")
    inputs = {name: columns_of(frame.schema) for name, frame in frames.items()}
    plan = plan_of(entity, chosen, None, None, {"entity": columns_of(examples.drop("assay_time").schema), **inputs})
    return plan, examples, frames


# --- the model -------------------------------------------------------------------------


def known_of(feature: Feature, ttl: timedelta | None, key: int, now: datetime, rows: list[dict[str, Any]]) -> list[Any]:
    """The feature's values for this key at this moment."""
    clocks = ["event", "known"] if feature.knowledge_column else ["event"]
    own = [row for row in rows if row["key"] == key and all(row[clock] and row[clock] <= now for clock in clocks)]
    ends = ["until"] if feature.valid_to_column else []
    best = max(own, key=lambda row: [greatness(row[name]) for name in (*clocks, *ends, *feature.columns)], default=None)
    is_old = best and ttl is not None and best["event"] < now - ttl
    is_over = best and ends and best["until"] and best["until"] <= now
    return [None if best is None or is_old or is_over else best[name] for name in feature.columns]


def greatness(value: Any) -> tuple:
    if value is None:
        return (0,)
    if isinstance(value, float):
        return (1, math.isnan(value), 0.0 if math.isnan(value) else value, math.copysign(1, value))
    if isinstance(value, list):
        return (1, [greatness(each) for each in value])
    return (1, value)


def told(rows: list[tuple]) -> list[list[str]]:
    """As texts, so that not-a-number equals itself and 0.0 is not -0.0."""
    return [[repr(value) for value in row] for row in rows]


@pytest.mark.parametrize("engine", ["polars", "duckdb"])
@pytest.mark.parametrize("numbers", [[0.0, -0.0, -0.0], [-0.0, 0.0], [math.nan, 1.0], [None, -math.inf]])
def test_of_numbers_that_came_together_the_greatest_counts_in_whatever_order_they_are_read(engine, numbers):
    rows = pl.DataFrame({"key": 1, "event": START, "number": numbers}, schema_overrides={"number": pl.Float64})
    examples = pl.DataFrame({"key": [1], "as_of": [START]}).with_columns(assay_time=micros("as_of", "timestamp"))
    feature = Feature(alias="orders", columns=("number",), key_columns=("key",), time_column="event")
    entity = Entity(alias="entity", key_columns=("key",), as_of_column="as_of")
    inputs = {"entity": columns_of(examples.drop("assay_time").schema), "orders": columns_of(rows.schema)}
    found = rebuild_on(engine)(plan_of(entity, [feature], None, None, inputs), examples, {"orders": rows.lazy()})
    assert told(found.rows()) == told([(max(numbers, key=greatness),)])


@pytest.mark.parametrize("engine", ["polars", "duckdb"])
def test_whatever_the_data_the_engine_is_the_model(engine):
    @settings(max_examples=300 if engine == "polars" else 60, deadline=None, suppress_health_check=list(HealthCheck))
    @given(cases())
    def check(case):
        plan, examples, frames = case
        found = rebuild_on(engine)(plan, examples, {name: frame.lazy() for name, frame in frames.items()})
        rows = {name: frame.to_dicts() for name, frame in frames.items()}
        expected = [
            [
                value
                for group in plan.groups
                for value in known_of(group.feature, group.ttl, key, now, rows[group.alias])
            ]
            for key, now, _ in examples.iter_rows()
        ]
        assert told(found.rows()) == told(expected)

    check()
