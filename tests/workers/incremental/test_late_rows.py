"""How late rows come: those that a run caught behind its watermark, and those that it no longer looked for."""

from datetime import UTC, datetime

import polars as pl
import pytest

FIRST = [(1, "2026-11-20T10:00:00Z", "a"), (2, "2026-11-20T12:00:00Z", "b")]


def test_rows_behind_the_watermark_are_counted_by_how_late_they_came(by_time):
    by_time.lag = "2h"
    by_time.run(FIRST)
    late = [(3, "2026-11-20T11:59:30Z", "x"), (4, "2026-11-20T11:13:00Z", "y"), (5, "2026-11-20T10:00:00Z", "z")]
    result = by_time.run([*FIRST, *late, (6, "2026-11-20T12:30:00Z", "new"), (7, "2026-11-20T12:00:00Z", "border")])
    told = result.facts["late"]
    assert (told["caught"], told["missed"], told["max_seconds"]) == (3, 0, 7200.0)
    assert told["buckets"] == {"60": 1, "3600": 1, "21600": 1}


def test_a_run_without_late_rows_tells_of_none(by_time):
    by_time.run(FIRST)
    assert "late" not in by_time.run([(3, "2026-11-20T12:30:00Z", "new")]).facts


@pytest.mark.parametrize("keys", [(), ("id",)])
def test_rows_of_the_source_that_no_lag_reached_are_missed(by_time, keys):
    job = by_time.but(key_columns=keys)
    job.run(FIRST)
    moments = [datetime(2026, 11, 20, 10, tzinfo=UTC), datetime(2026, 11, 20, 11, 13, tzinfo=UTC)]
    compared = pl.DataFrame({"id": [1, 9], "at": moments}, schema_overrides={"at": pl.Datetime("us", "UTC")})
    told = job.run_with([], "late", compared if keys else compared.select("at")).facts["late"]
    assert (told["caught"], told["missed"], told["max_seconds"]) == (0, 1, 47 * 60)
    assert told["missed_buckets"] == {"3600": 1}


def test_a_change_that_came_late_is_missed_although_its_key_is_there(by_time):
    job = by_time.but(write_mode="merge", key_columns=("id",))
    job.run(FIRST)
    changed = [datetime(2026, 11, 20, 11, tzinfo=UTC)]
    compared = pl.DataFrame({"id": [1], "at": changed}, schema_overrides={"at": pl.Datetime("us", "UTC")})
    assert job.run_with([], "late", compared).facts["late"]["missed"] == 1


def test_late_rows_of_a_column_of_numbers_have_a_distance_and_no_time(by_number):
    by_number.lag = "15"
    by_number.run([(1, 10, "a"), (2, 30, "b")])
    told = by_number.run([(3, 16, "late")]).facts["late"]
    assert told == {"caught": 1, "missed": 0, "max_distance": 14.0}
