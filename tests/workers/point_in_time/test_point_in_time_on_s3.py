"""Training and feature sets with the lake on a real S3 server: the same rows, and the same bytes again."""

from __future__ import annotations

import polars as pl
import pytest

from tests.workers.point_in_time.test_point_in_time_runs import (
    CHURN,
    ENTITY,
    FEATURES,
    ORDERS,
    SEGMENTS,
    SNAPSHOTS,
    again,
    expected_rows,
    rows_of,
)
from workers.executors import run_dataset
from workers.specs import to_json
from workers.template_specs import Split

pytestmark = pytest.mark.s3


@pytest.fixture
def lake(s3_lake):
    return s3_lake


@pytest.mark.parametrize("engine", ["polars", "duckdb"])
def test_sets_are_made_and_made_again_on_s3(load, make_spec, engine):
    inputs = [load("snapshots", SNAPSHOTS), load("orders", ORDERS), load("segments", SEGMENTS)]
    spec = make_spec(inputs, ENTITY, FEATURES, label=CHURN, split=Split(seed=7), engine=engine)
    first, second = run_dataset(to_json(spec)), run_dataset(to_json(again(spec)))
    expected = list(expected_rows())
    assert rows_of(spec).select(list(expected[0])).to_dicts() == expected
    assert first.facts["card"]["leakage"]["changed_rows"] > 0
    assert first.facts["digest"] == second.facts["digest"]

    features = make_spec(inputs, ENTITY, FEATURES, engine=engine, name="features")
    run_dataset(to_json(features))
    shared = ["customer_id", "as_of", "amount", "channel", "segment"]
    known = rows_of(features).join(pl.DataFrame(expected), on=shared[:2], how="semi", maintain_order="left")
    assert known.select(shared).to_dicts() == [{name: row[name] for name in shared} for row in expected]
