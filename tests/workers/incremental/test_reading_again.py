"""A source that sends what it sent before: what is new is loaded once, all else is left out by a named rule."""

from datetime import UTC, datetime

import polars as pl
import pytest

from workers.errors import InvalidSpec, MissingColumns, PublishConflict
from workers.executors.ingest.run import run_ingest
from workers.specs import Column

from .conftest import Loading

FIRST = [(1, 10, "a"), (2, 20, "b"), (3, 30, "c")]


def test_a_second_run_over_the_same_rows_loads_nothing(by_number):
    assert by_number.run(FIRST).rows_written == 3
    again = by_number.run(FIRST)
    assert (again.rows_read, again.rows_written) == (0, 0)
    assert again.skipped == {"before_watermark": 2, "already_loaded": 1}
    assert by_number.rows == FIRST
    assert (again.watermark, by_number.last) == (30, 30)


def test_only_newer_rows_and_new_ones_at_the_watermark_itself_are_loaded(by_number):
    by_number.run(FIRST)
    result = by_number.run([*FIRST, (4, 30, "at the border"), (5, 31, "e")])
    assert result.skipped == {"before_watermark": 2, "already_loaded": 1}
    assert (result.rows_read, result.rows_written, result.watermark) == (2, 2, 31)
    assert by_number.rows == [*FIRST, (4, 30, "at the border"), (5, 31, "e")]


def test_rows_that_are_equal_are_counted_and_not_taken_for_one(by_number):
    twin = (7, 30, "twin")
    by_number.run([*FIRST, twin])
    result = by_number.run([twin, twin, twin])
    assert result.skipped == {"already_loaded": 1}
    assert by_number.rows == sorted([*FIRST, twin, twin, twin], key=repr)


def test_within_the_lag_late_rows_are_caught_and_known_ones_left_out(by_number):
    by_number.lag = "15"
    by_number.run(FIRST)
    result = by_number.run([(8, 14, "too late"), (9, 16, "late"), (2, 20, "b"), (2, 20, "changed")])
    assert result.skipped == {"before_watermark": 1, "already_loaded": 1}
    assert by_number.rows == sorted([*FIRST, (9, 16, "late"), (2, 20, "changed")], key=repr)
    assert result.watermark == 30


def test_rows_without_a_value_are_loaded_once_and_counted(by_number):
    loaded = by_number.run([*FIRST, (4, None, "nobody knows when")])
    assert loaded.facts["null_watermarks"] == 1
    again = by_number.run([(4, None, "nobody knows when"), (5, None, "nor here")])
    assert again.skipped == {"already_loaded": 1}
    assert by_number.rows == sorted([*FIRST, (4, None, "nobody knows when"), (5, None, "nor here")], key=repr)
    assert again.watermark == 30


def test_a_value_that_is_no_number_is_set_aside_and_moves_nothing(by_number):
    by_number.run(FIRST)
    result = by_number.run("id,at,note\n4,x99,d\n5,40,e\n")
    assert (result.rows_read, result.rows_written, result.quarantined_rows) == (2, 1, 1)
    assert result.reasons == {"at: type": 1}
    assert result.watermark == 40


def test_the_initial_value_is_where_the_first_run_begins(by_number):
    by_number.initial = 20
    result = by_number.run(FIRST)
    assert result.skipped == {"before_watermark": 1}
    assert by_number.rows == FIRST[1:]


def test_a_run_with_nothing_newer_carries_the_watermark_on(by_number):
    by_number.run(FIRST)
    assert by_number.run([]).watermark == 30
    assert by_number.last == 30


def test_a_rollback_takes_the_watermark_back_with_the_rows_and_the_next_run_brings_them_again(by_number):
    by_number.run(FIRST)
    by_number.run([(4, 40, "d")])
    by_number.roll_back(0)
    assert (by_number.last, by_number.rows) == (30, FIRST)
    by_number.run([(4, 40, "d")])
    assert by_number.rows == [*FIRST, (4, 40, "d")]


@pytest.mark.parametrize("value", [None, 10, 25])
def test_reading_again_after_a_rewind_brings_what_is_missing_and_doubles_nothing(by_number, value):
    by_number.run(FIRST)
    by_number.set_watermark(value)
    missing = (9, 29, "was missing")
    result = by_number.run([*FIRST, missing, (4, 40, "d")])
    assert by_number.rows == sorted([*FIRST, missing, (4, 40, "d")], key=repr)
    assert result.watermark == 40


def test_after_a_rewind_the_watermark_reaches_the_rows_that_were_there_all_along(by_number):
    by_number.run(FIRST)
    by_number.set_watermark(10)
    assert by_number.run(FIRST).watermark == 30


def test_rows_of_a_full_load_are_known_when_the_job_becomes_incremental(by_number):
    by_number.run(FIRST, watermark=None)
    assert by_number.last is None
    result = by_number.run([*FIRST, (4, 40, "d")])
    assert result.skipped == {"already_loaded": 3}
    assert by_number.rows == [*FIRST, (4, 40, "d")]


def test_a_year_that_means_never_does_not_end_all_further_loading(by_time):
    by_time.run([(1, "2026-11-20T10:00:00Z", "a"), (2, "9999-12-31T00:00:00Z", "never")])
    assert by_time.last == "2026-11-20T10:00:00+00:00"
    result = by_time.run([(2, "9999-12-31T00:00:00Z", "never"), (3, "2026-11-21T10:00:00Z", "c")])
    assert result.skipped == {"already_loaded": 1}
    assert result.rows_written == 1
    assert "ten years ahead" in result.facts["warning"]
    assert by_time.last == "2026-11-21T10:00:00+00:00"


def test_a_watermark_ahead_of_the_clock_moves_and_is_warned_of(by_time):
    result = by_time.run([(1, "2027-06-01T00:00:00Z", "a")])
    assert result.watermark == "2027-06-01T00:00:00+00:00"
    assert "in the future" in result.facts["warning"]


@pytest.mark.parametrize(
    ("kind", "values", "last"),
    [
        ("date", ["2026-11-20", "2026-11-21", "2026-11-22"], "2026-11-22"),
        ("timestamp", ["2026-11-20T10:00:00", "2026-11-21T00:00:00.000001", "2026-11-21T00:00:00.000002"],
         "2026-11-21T00:00:00.000002"),
        ("decimal(20,4)", ["1.5", "12345678901234.5678", "12345678901234.5679"], "12345678901234.5679"),
        ("float64", ["-1.5", "0.1", "0.30000000000000004"], 0.30000000000000004),
        ("int64", ["9007199254740993", "9007199254740994", "9007199254740995"], 9007199254740995),
        ("string", ["a", "b", "é"], "é"),
    ],
)  # fmt: skip
def test_every_type_that_has_an_order_is_read_again_exactly(tmp_path, kind, values, last):
    job = Loading(tmp_path, {"id": "int64", "at": kind, "note": "string"})
    rows = [(number, value, "x") for number, value in enumerate(values)]
    job.run(rows[:2])
    again = job.run(rows)
    assert (again.rows_written, again.skipped) == (1, {"before_watermark": 1, "already_loaded": 1})
    assert job.last == last
    assert job.run(rows).rows_written == 0


def test_values_that_equal_only_themselves_are_known_again(tmp_path):
    job = Loading(tmp_path, {"id": "int64", "at": "int64", "x": "float64", "day": "time"})
    rows = [(1, 5, "nan", "10:00:00"), (2, 5, "-0.0", "10:00:00.5"), (3, 5, "inf", None), (4, 5, None, None)]
    job.run(rows)
    assert job.run(rows).skipped == {"already_loaded": 4}


def test_a_float_that_is_no_number_moves_nothing_and_is_loaded_once(tmp_path):
    job = Loading(tmp_path, {"id": "int64", "at": "float64", "note": "string"})
    rows = [(1, "1.5", "a"), (2, "nan", "b"), (3, "inf", "c")]
    assert job.run(rows).watermark == 1.5
    assert job.run(rows).rows_written == 0


def test_rows_are_known_although_a_column_came_or_went_or_became_wider(tmp_path):
    narrow = Loading(tmp_path, {"id": "int64", "at": "int64", "gone": "string"})
    narrow.run([(1, 10, "x"), (2, 20, "y")])
    wide = Loading(tmp_path, {"id": "int64", "at": "int64", "note": "string"})
    wide.columns["id"] = "decimal(20,0)"
    result = wide.run([(2, 20, "new column"), (3, 30, "c")])
    assert result.skipped == {"already_loaded": 1}
    held = pl.read_delta(wide.target.uri).sort("at")
    assert held["at"].to_list() == [10, 20, 30]
    assert held["note"].to_list() == [None, None, "c"]


@pytest.mark.parametrize("id_type", ["int64", "decimal(20,0)"])
def test_rows_within_the_lag_stay_known_in_every_run_after_a_column_was_added(tmp_path, id_type):
    old = Loading(tmp_path, {"id": "int64", "at": "int64"}, lag="100")
    old.run([(1, 10), (2, 20), (2, 20)])
    new = Loading(tmp_path, {"id": id_type, "at": "int64", "note": "string"}, lag="100")
    rows = [(1, 10, "default"), (2, 20, "default"), (2, 20, "default"), (3, 30, "c")]
    assert new.run(rows).skipped == {"already_loaded": 3}
    assert new.run([*rows, (3, 30, "other"), (4, 40, "d")]).skipped == {"already_loaded": 4}
    assert new.run([*rows, (2, 20, "one more")]).rows_written == 1
    held = pl.read_delta(new.target.uri).sort("at", "note", nulls_last=False)
    assert held["note"].to_list() == [None, None, None, "one more", "c", "other", "d"]


def test_a_date_partition_and_many_runs_change_nothing_of_it(tmp_path):
    job = Loading(tmp_path, {"id": "int64", "at": "int64", "note": "string"}, lag="100").but(partitioned=True)
    for day in range(20, 24):
        rows = [(number, number, "x") for number in range(day * 10)]
        job.run(rows, ingested_at=datetime(2026, 11, day, tzinfo=UTC))
    assert [row[0] for row in sorted(job.rows)] == list(range(230))


def test_more_rows_than_are_compared_at_a_time(by_number, monkeypatch):
    monkeypatch.setattr("workers.executors.ingest.change.COMPARED_ROWS", 7)
    rows = [(number // 3, number // 2, f"{number // 3}") for number in range(100)]
    by_number.run(rows)
    by_number.set_watermark(None)
    assert by_number.run([*rows, (-1, 5, "new")]).skipped == {"already_loaded": 100}
    assert by_number.rows == sorted([*rows, (-1, 5, "new")], key=repr)


def test_a_run_that_began_before_another_published_is_refused_and_may_be_tried_again(by_number):
    by_number.run(FIRST)
    early, late = by_number.spec([(4, 40, "d")]), by_number.spec([(4, 40, "d")])
    run_ingest(early)
    with pytest.raises(PublishConflict, match="moved on") as refused:
        run_ingest(late)
    assert refused.value.retryable
    assert by_number.rows == [*FIRST, (4, 40, "d")]


def test_a_source_without_the_column_names_those_it_has(by_number):
    with pytest.raises(MissingColumns, match="watermark of this job"):
        by_number.run("id,note\n1,a\n", columns=(Column(name="id", type="int64"), Column(name="note", type="string")))


def test_a_column_without_an_order_is_refused(tmp_path):
    job = Loading(tmp_path, {"id": "int64", "at": "boolean"})
    with pytest.raises(InvalidSpec, match="cannot be a watermark"):
        job.run([(1, "true")])


def test_a_watermark_of_another_kind_than_the_column_is_explained(by_number):
    by_number.initial = "yesterday"
    with pytest.raises(InvalidSpec, match="at 'yesterday', which is no int64"):
        by_number.run(FIRST)


@pytest.mark.parametrize("write_mode", ["append", "merge"])
@pytest.mark.parametrize("nothing", ["[]", '{"items": [], "more": false}'])
def test_an_api_that_has_nothing_new_sends_no_column_either(by_number, nothing, write_mode):
    job = by_number.but(
        format="json", records_path="items" if "items" in nothing else "", write_mode=write_mode, key_columns=("id",)
    )
    records = '[{"id": 1, "at": 10, "note": "a"}]'
    job.run(f'{{"items": {records}}}' if "items" in nothing else records, schema_mode="infer", columns=())
    result = job.run(nothing, schema_mode="infer", columns=())
    assert (result.rows_read, result.watermark) == (0, 10)
    assert job.rows == [(1, 10, "a")]


def test_json_that_leaves_out_what_has_no_value_is_known_again_and_told_apart(by_number):
    job = by_number.but(format="ndjson", schema_mode="infer", columns=())
    job.run('{"id": 1, "at": 10, "note": "a"}\n{"id": 2, "at": 10}\n')
    result = job.run('{"id": 1, "at": 10}\n{"id": 2, "at": 10}\n')
    assert result.skipped == {"already_loaded": 1}
    assert job.rows == sorted([(1, 10, "a"), (2, 10, None), (1, 10, None)], key=repr)
