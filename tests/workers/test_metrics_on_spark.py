"""Spark answers what Polars and DuckDB do: periods in zones, weeks, ratios, filled gaps and windows."""

from __future__ import annotations

from datetime import date

import pytest

from tests.spark_cluster import LIMITS, needs_spark
from tests.workers.test_metrics_calendar import CONFIG, INPUTS, expected, table  # noqa: F401  (a fixture)
from workers.engines.base import engine_named
from workers.engines.sql import check_sql
from workers.engines.statement import Parameters
from workers.errors import SqlRejected
from workers.executors.metrics.run import to_sql

pytestmark = needs_spark
WINDOW = Parameters(start_date=date(2024, 3, 1), end_date=date(2024, 3, 31))


def rows(config, table, engine, window=()) -> set[tuple]:  # noqa: F811
    checked = check_sql(to_sql(CONFIG | config, INPUTS, window), INPUTS, engine, parameters=WINDOW)
    return set(engine_named(engine).first_rows(checked, {"sales": table}, 100_000, LIMITS).rows())


@pytest.mark.parametrize(("zone", "grain"), [("Asia/Kolkata", "hour"), ("America/New_York", "day")])
def test_spark_cuts_periods_by_the_zones_own_clocks(table, zone, grain):  # noqa: F811
    assert rows({"time_zone": zone, "time_grain": grain}, table, "spark") == expected(grain, zone)


def test_spark_begins_weeks_on_the_day_that_is_asked_for(table):  # noqa: F811
    found = rows({"time_grain": "week", "week_start": "saturday"}, table, "spark")
    assert found == expected("week", week_start="saturday")


@pytest.mark.parametrize("window", [(), ("start_date", "end_date")])
def test_spark_fills_the_same_gaps(table, window):  # noqa: F811
    config = {"time_grain": "month", "time_zone": "Europe/Berlin", "dimensions": ["country"], "fill_gaps": True}
    assert rows(config, table, "spark", window) == rows(config, table, "duckdb", window)


def test_hours_of_a_zone_that_was_shifted_by_parts_of_one_are_refused_on_spark(table):  # noqa: F811
    with pytest.raises(SqlRejected, match="Spark"):
        rows({"time_grain": "hour", "time_zone": "Australia/Lord_Howe"}, table, "spark")
