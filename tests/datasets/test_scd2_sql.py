"""The SQL that explains a dimension and the runs that make it agree, for every type of time and of deletion."""

from __future__ import annotations

import random
from datetime import UTC, datetime

import duckdb
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from datasets.transforms.scd2_sql import scd2_sql
from tests.workers.scd2.dimension import Lake
from workers.lake.table import open_table

TIMES = {"date": pl.Date(), "timestamp": pl.Datetime("us"), "timestamptz": pl.Datetime("us", "UTC")}
MARKERS = TIMES | {"boolean": pl.Boolean()}
SCORES = [None, float("nan"), -0.0, 0.0, 2.5]


def some_value(chance: random.Random, dtype: pl.DataType, days: int) -> object:
    if dtype == pl.Boolean:
        return chance.random() < 0.4
    moment = datetime(2026, 1, 1 + chance.randrange(days), chance.choice([0, 8, 23]))  # noqa: DTZ001
    if dtype == pl.Date:
        return moment.date()
    return moment.replace(tzinfo=UTC) if dtype.time_zone else moment


@pytest.mark.parametrize("time", TIMES)
@pytest.mark.parametrize("marker", MARKERS)
@pytest.mark.parametrize("seed", range(3))
def test_the_sql_gives_what_the_runs_make(tmp_path, time, marker, seed):
    chance = random.Random(f"{seed}{time}{marker}")
    rows = [
        (
            chance.randrange(3),
            chance.choice([None, "A", "B"]),
            chance.choice(SCORES),
            some_value(chance, TIMES[time], 7),
            None if chance.random() < 0.6 else some_value(chance, MARKERS[marker], 8),
        )
        for _ in range(20)
    ]
    schema = {"id": pl.Int64(), "city": pl.String(), "score": pl.Float64(), "at": TIMES[time], "gone": MARKERS[marker]}
    lake = Lake(tmp_path, schema, tracked=("city", "score"), delete_mode="close", deleted_column="gone")
    for batch in (rows[:5], rows[5:]):
        lake.put(batch)
        lake.run()
    connection = duckdb.connect()
    connection.execute("set timezone = 'UTC'")
    connection.execute(f"create view c as select * from read_parquet({open_table(lake.source.uri).files()})")
    names, facts = ["city", "score"], {"time": "at", "time_type": time, "marker": "gone", "marker_type": marker}
    wanted = connection.execute(scd2_sql("c", keys=["id"], values=names, tracked=names, **facts)).pl()
    found = open_table(lake.target.uri).scan().select(wanted.columns).collect()
    order = ["id", "effective_from"]
    assert_frame_equal(found.sort(order), wanted.cast(found.schema).sort(order))
