"""Tracked columns of every kind: lists, structs, decimals and floats with NaN make versions as plain ones do."""

from __future__ import annotations

import json
import tempfile
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.workers.scd2.dimension import Lake, model

NAN = float("nan")
SCHEMA = {
    "id": pl.Int64,
    "tags": pl.List(pl.String),
    "address": pl.Struct({"city": pl.String, "floors": pl.List(pl.Int64)}),
    "readings": pl.List(pl.Float64),
    "price": pl.Decimal(10, 2),
    "weight": pl.Float64,
    "at": pl.Date,
}
TRACKED = ("tags", "address", "readings", "price", "weight")
values = st.tuples(
    st.sampled_from([None, [], [None], ["a"], ["a", "b"], ["b", "a"], ["a,b"]]),
    st.sampled_from(
        [
            None,
            {"city": None, "floors": None},
            {"city": None, "floors": []},
            {"city": "Rome", "floors": [1, 2]},
            {"city": "Rome", "floors": [1, None]},
        ]
    ),
    st.sampled_from([None, [], [NAN], [1.5, None], [1.5]]),
    st.sampled_from([None, Decimal("0.00"), Decimal("1.50"), Decimal("-99999999.99")]),
    st.sampled_from([None, NAN, 0.0, -0.0, float("inf"), 1.5]),
)
# A key has one row a day: which of several wins is told of plain values in test_scd2_order.py.
rows = st.tuples(st.integers(0, 2), st.integers(1, 9).map(lambda day: date(2026, 1, day)), values)
observations = st.lists(rows, unique_by=lambda row: row[:2], min_size=1, max_size=12)


def comparable(value: Any) -> str | None:
    """As text, in which NaN equals itself and both zeros are one."""
    return None if value is None else json.dumps(value + 0.0 if isinstance(value, float) else value, default=str)


def told(given: tuple) -> tuple:
    return tuple(map(comparable, given))


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(given=observations, repeats=st.booleans(), data=st.data())
def test_nested_columns_decimals_and_nan_make_versions_where_they_differ(given, repeats, data):
    lake = Lake(Path(tempfile.mkdtemp()), SCHEMA, tracked=TRACKED)
    shuffled = data.draw(st.permutations(given))
    cut = data.draw(st.integers(0, len(shuffled)))
    batches = [shuffled[:cut], shuffled if repeats else shuffled[cut:]]
    for batch in batches:
        lake.put([(key, *held, at) for key, at, held in batch])
        lake.run()
    versions = [(key, told(held), start, end) for key, held, start, end in lake.versions()]
    assert versions == model((key, at, told(held)) for key, at, held in given)
    assert lake.run().facts["versions_added"] == 0
