"""kill -9 at random moments while the source changes; `python -m benchmarks.random_kills` does it for long."""

from pathlib import Path

import pytest

from benchmarks.random_kills import CsvFile, Table, storm

RUNS, KILLS = 6, 3
pytestmark = pytest.mark.chaos


def survives(source, *, is_merge: bool) -> None:
    told = storm("test", source, is_merge=is_merge, runs=RUNS, kills=KILLS, seed=5)
    assert told.kills >= KILLS
    assert (told.lost, told.doubled, told.is_watermark_right) == (0, 0, True), told


@pytest.mark.parametrize("is_merge", [False, True])
def test_a_file_that_is_sent_whole_each_time_loses_and_doubles_nothing(tmp_path, is_merge):
    survives(CsvFile(Path(tmp_path, "events.csv")), is_merge=is_merge)


@pytest.mark.parametrize("is_merge", [False, True])
def test_a_table_that_is_written_meanwhile_loses_and_doubles_nothing(tmp_path, is_merge):
    survives(Table(f"{tmp_path}/events.db"), is_merge=is_merge)


@pytest.mark.postgres
@pytest.mark.parametrize("is_merge", [False, True])
def test_a_table_of_postgresql_that_is_written_meanwhile_loses_and_doubles_nothing(postgres_url, is_merge):
    survives(Table(postgres_url), is_merge=is_merge)
