"""A run of a window replaces exactly the table's rows of those days."""

import pytest

from workers.errors import InvalidSpec
from workers.specs import Window

FIRST = [
    (1, "2026-11-19T23:59:59.999999Z", "before"),
    (2, "2026-11-20T00:00:00Z", "first moment"),
    (3, "2026-11-21T23:59:59.999999Z", "last moment"),
    (4, "2026-11-22T00:00:00Z", "after"),
]
WINDOW = Window(start_date="2026-11-20", end_date="2026-11-21")


def ids(job):
    return sorted((row[0], row[2]) for row in job.rows)


def test_the_rows_of_the_window_are_replaced_and_no_others(by_time):
    by_time.run(FIRST)
    rows = [(3, "2026-11-21T12:00:00Z", "corrected"), (9, "2026-11-20T01:00:00Z", "late")]
    result = by_time.run(rows, window=WINDOW)
    assert ids(by_time) == [(1, "before"), (3, "corrected"), (4, "after"), (9, "late")]
    assert (result.rows_written, result.deleted_rows) == (2, 2)


def test_what_the_source_sends_beside_the_window_is_left_out(by_time):
    by_time.run(FIRST)
    rows = [*FIRST, (5, None, "no time"), (6, "2026-11-23T00:00:00Z", "newer")]
    result = by_time.run(rows, window=WINDOW)
    assert result.skipped == {"outside_window": 4}
    assert ids(by_time) == sorted((row[0], row[2]) for row in FIRST)


def test_the_watermark_stays_where_it_is_and_the_next_run_doubles_nothing(by_time):
    by_time.run(FIRST)
    future = Window(start_date="2026-11-25", end_date="2026-11-25")
    ahead = (7, "2026-11-25T10:00:00Z", "ahead")
    assert by_time.run([ahead], window=future).watermark == "2026-11-22T00:00:00+00:00"
    result = by_time.run([ahead, (8, "2026-11-23T10:00:00Z", "between")])
    assert result.skipped == {"already_loaded": 1}
    assert [row[0] for row in ids(by_time)] == [1, 2, 3, 4, 7, 8]


def test_a_window_of_an_empty_source_empties_it(by_time):
    by_time.run(FIRST)
    assert by_time.run([], window=WINDOW).deleted_rows == 2
    assert ids(by_time) == [(1, "before"), (4, "after")]


def test_a_first_run_may_be_one_of_a_window(by_time):
    by_time.run(FIRST, window=WINDOW)
    assert by_time.last is None
    by_time.run(FIRST)
    assert [row[0] for row in ids(by_time)] == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("window", "left"), [(Window(start_date="2026-11-21"), [1, 2]), (Window(end_date="2026-11-20"), [3, 4])]
)
def test_a_window_may_be_open_at_one_end(by_time, window, left):
    by_time.run(FIRST)
    by_time.run([], window=window)
    assert [row[0] for row in ids(by_time)] == left


def test_files_without_a_row_of_the_window_stay_as_they_are(by_time):
    for row in FIRST:
        by_time.run([row])
    before = by_time.files()
    by_time.run([(2, "2026-11-20T05:00:00Z", "again")], window=Window(start_date="2026-11-20", end_date="2026-11-20"))
    assert len(before & by_time.files()) == 3


def test_a_window_of_a_merge_replaces_removes_and_keeps_one_row_a_key(by_time):
    job = by_time.but(write_mode="merge", key_columns=("id",))
    job.run(FIRST)
    rows = [(2, "2026-11-20T00:00:00Z", "first moment"), (5, "2026-11-21T06:00:00Z", "new"),
            (1, "2026-11-20T07:00:00Z", "moved into the window")]  # fmt: skip
    result = job.run(rows, window=WINDOW)
    assert ids(job) == [(1, "moved into the window"), (2, "first moment"), (4, "after"), (5, "new")]
    assert (result.skipped, result.deleted_rows) == ({"unchanged": 1}, 1)


def test_numbers_have_no_days(by_number):
    with pytest.raises(InvalidSpec, match="Only days can be replaced, and at is of the type int64"):
        by_number.run([(1, 10, "a")], window=WINDOW)
