"""Runs of a dimension: what they read and write, deletions, going back, restating."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from tests.workers.scd2.dimension import AT, Lake, model
from workers.errors import AuditFailed, InvalidSpec, TableMissing, TooManyDeletes
from workers.executors.scd2.run import first_rows, run
from workers.lake.maintain import vacuum
from workers.lake.publish import publish, restore
from workers.lake.stage import Staging
from workers.lake.table import open_table
from workers.schema import columns_of
from workers.specs import TableInput
from workers.template_specs import Restatement

SCHEMA = {"id": pl.Int64, "city": pl.String, "at": pl.Datetime("us")}


def day(number: int, hour: int = 0) -> datetime:
    return datetime(2026, 1, number, hour)  # noqa: DTZ001


@pytest.fixture
def lake(tmp_path):
    return Lake(tmp_path, SCHEMA)


def observed(rows):
    return [(key, at, (city,)) for key, city, at in rows]


# --- what is read and written ----------------------------------------------------------


def test_a_run_reads_only_the_files_that_the_input_has_got_since(lake):
    for number in range(1, 4):
        lake.put([(number, "A", day(number))])
    assert lake.run().facts["input_files"] == 3
    lake.put([(1, "B", day(5))])
    facts = lake.run().facts
    assert (facts["input_files"], facts["observations"], facts["versions_added"], facts["versions_closed"]) == (
        1,
        1,
        2,
        1,
    )
    assert lake.run().facts["input_files"] == 0


def test_only_the_files_of_keys_that_change_are_written_anew(lake, monkeypatch):
    monkeypatch.setattr("workers.executors.scd2.rewrite.ROWS_PER_FILE", 10)
    lake.put([(number, "A", day(1)) for number in range(40)])
    lake.run()
    before = {file.path for file in open_table(lake.target.uri).data_files}
    lake.put([(5, "B", day(2))])
    lake.run()
    after = open_table(lake.target.uri)
    kept = before & {file.path for file in after.data_files}
    assert (len(before), len(kept)) == (4, 3)
    assert {file.partition_values["is_current"] for file in after.data_files} == {True, False}
    assert all("is_current=" in file.path for file in after.data_files)
    lake.put([(5, "B", day(3)), (7, "A", day(4))])  # nothing but confirmations
    lake.run()
    assert {file.path for file in open_table(lake.target.uri).data_files} == {file.path for file in after.data_files}


def test_rows_put_behind_others_come_into_the_order_of_their_keys_within_eight_versions(lake):
    lake.put([(number, "A", day(1)) for number in range(30)])
    lake.run()
    orders = []
    for number in range(1, 9):
        lake.put([(number, "B", day(2))])
        lake.run()
        (file,) = [file for file in open_table(lake.target.uri).data_files if file.partition_values["is_current"]]
        held = pl.read_parquet(file.uri)["id"].to_list()
        orders.append(held == sorted(held))
    assert orders == [False] * 7 + [True]


def test_an_input_that_comes_whole_each_time_changes_only_what_has_changed(lake):
    rows = [(number, "A", day(1)) for number in range(100)]
    lake.put(rows, "overwrite")
    lake.run()
    rows[7] = (7, "B", day(2))
    lake.put(rows, "overwrite")
    facts = lake.run().facts
    assert (facts["observations"], facts["keys"], facts["versions_added"]) == (100, 1, 2)
    assert facts["evidence"] == 0


def test_only_keys_with_something_new_to_tell_of_the_past_count_as_late(lake):
    rows = [(1, "A", day(1)), (1, "A", day(3)), (1, "B", day(5)), (2, "A", day(1)), (2, "B", day(4)), (3, "A", day(1))]
    lake.put(rows, "overwrite")
    lake.run()
    lake.put([*rows, (1, "A", day(5)), (3, "B", day(9))], "overwrite")  # "A" of day 5 counts for nothing beside "B"
    assert lake.run().facts["late_keys"] == 0
    lake.put([*rows, (2, "C", day(2)), (2, "D", day(9)), (4, "A", day(1))], "overwrite")
    assert lake.run().facts["late_keys"] == 1
    assert lake.run(Restatement(keys=({"id": 1}, {"id": 2}))).facts["late_keys"] == 0


def test_values_that_make_no_version_are_those_of_its_first_row(tmp_path):
    lake = Lake(tmp_path, {"id": pl.Int64, "city": pl.String, "note": pl.String, "at": pl.Date})
    first, later, last = [(1, "A", "first", date(2026, 1, 1))], [(1, "A", "later", date(2026, 1, 3))], date(2026, 1, 2)
    for batch in (first, later, [(1, "B", "between", last)]):
        lake.put(batch)
        lake.run()
    assert [values for _, values, _, _ in lake.versions()] == [("A", "first"), ("B", "between"), ("A", "later")]


def test_many_small_runs_leave_few_files(lake):
    lake.put([(number, "A", day(1)) for number in range(5)])
    lake.run()
    given = [(number, "A", day(1)) for number in range(5)]
    for number in range(2, 31):
        given += [(number % 5, str(number), day(number)), ((number + 1) % 5, "A", day(number, 1))]
        lake.put(given[-2:])
        lake.run()
    assert lake.versions() == model(observed(given))
    assert len(open_table(lake.target.uri).data_files) < 30
    commit = open_table(lake.target.uri).history(1)[0]
    assert len(commit.metadata["scd2"]["evidence"]) <= 16


def test_a_row_without_key_or_time_fails_the_run_with_count_and_example(lake):
    lake.put([(1, "A", day(1))])
    lake.run()
    lake.put([(None, "B", day(2)), (2, "C", None), (3, "D", day(2))])
    with pytest.raises(AuditFailed, match=r"2 rows of bronze.shop.customers have no id or no at, e.g. id = null"):
        lake.run()
    assert lake.versions() == [(1, ("A",), day(1), None)]


def test_an_input_partitioned_by_its_key_is_read_with_it(lake):
    lake.put([(1, "A", day(1))])
    source = replace(lake.source, dataset="silver.shop.other", uri=f"{lake.folder}/other", partition_by=("city",))
    for rows in ([(1, "A", day(1)), (2, "B", day(1))], [(1, "B", day(2))]):
        run_id = lake.run_id()
        frame = pl.DataFrame(rows, schema=SCHEMA, orient="row")
        with Staging(source, run_id) as staging:
            staging.sink(frame.lazy())
            publish(source, staging.files, run_id=run_id, mode="append", columns=columns_of(frame.schema))
        given = TableInput(dataset=source.dataset, alias="c", uri=source.uri, version=open_table(source.uri).version)
        run(replace(lake.spec(), inputs=(given,)))
    rows = [(1, "A", day(1)), (2, "B", day(1)), (1, "B", day(2))]
    assert lake.versions() == model(observed(rows))


def test_the_preview_shows_versions_of_the_first_keys(lake):
    lake.put([(1, "A", day(1)), (2, "B", day(1)), (1, "C", day(2))])
    spec = lake.spec()
    rows = first_rows(spec, {"customers": open_table(lake.source.uri)}, 2)
    assert rows.select("id", "city", "is_current").rows() == [(1, "A", False), (1, "C", True)]


def test_a_dimension_in_an_object_store_is_the_same(s3_lake):
    lake = Lake(s3_lake, SCHEMA)
    rows = [(1, "A", day(1)), (1, "A", day(4)), (2, "B", day(1)), (1, "B", day(2)), (2, "C", day(3))]
    for batch in (rows[:3], rows[3:4], rows[4:]):
        lake.put(batch)
        lake.run()
    assert lake.versions() == model(observed(rows))
    assert vacuum(lake.target.uri, retention_hours=0).orphans == ()


# --- deletions -------------------------------------------------------------------------


def test_a_time_of_deletion_closes_the_version_then_and_a_later_row_opens_another(tmp_path):
    zoned = pl.Datetime("us", "UTC")
    lake = Lake(tmp_path, {**SCHEMA, "_deleted_at": zoned}, delete_mode="close", deleted_column="_deleted_at")
    lake.put([(1, "A", day(1), None), (2, "B", day(1), None)])
    lake.run()
    lake.put([(1, "A", day(1), datetime(2026, 1, 4, tzinfo=UTC))], "overwrite")
    lake.run()
    lake.put([(1, "A", day(6), None), (2, "C", day(2), None)])
    lake.run()
    assert lake.versions() == [
        (1, ("A",), day(1), day(4)),
        (1, ("A",), day(6), None),
        (2, ("B",), day(1), day(2)),
        (2, ("C",), day(2), None),
    ]


def test_to_ignore_deletions_keeps_every_version_open(tmp_path):
    lake = Lake(tmp_path, {**SCHEMA, "gone": pl.Boolean}, deleted_column="gone")
    lake.put([(1, "A", day(1), False), (1, "A", day(3), True)])
    lake.run()
    assert lake.versions() == [(1, ("A",), day(1), None)]


def test_a_key_that_the_input_no_longer_has_is_closed_at_the_run_and_opened_when_it_is_back(tmp_path):
    lake = Lake(tmp_path, SCHEMA, delete_mode="close")
    everyone = [(number, "A", day(1)) for number in range(1, 6)]
    lake.put(everyone)
    lake.run()
    lake.put(everyone[1:], "overwrite")
    assert lake.run(run_time=AT).facts["gone_keys"] == 1
    assert lake.run(run_time=AT + timedelta(hours=1)).facts["versions_added"] == 0
    lake.put(everyone, "overwrite")
    lake.run(run_time=AT + timedelta(days=1))
    plain = AT.replace(tzinfo=None)
    wanted = [(1, ("A",), day(1), plain), (1, ("A",), plain + timedelta(days=1), None)]
    assert lake.versions() == wanted + [(number, ("A",), day(1), None) for number in range(2, 6)]


def test_a_version_of_the_future_whose_key_has_gone_never_begins(tmp_path):
    lake = Lake(tmp_path, SCHEMA, delete_mode="close")
    future = AT.replace(tzinfo=None) + timedelta(days=30)
    lake.put([(1, "A", day(1)), (1, "B", future), (2, "A", day(1))])
    lake.run()
    lake.put([(2, "A", day(1))], "overwrite")
    lake.run()
    (first, *_) = lake.versions()
    assert first == (1, ("A",), day(1), AT.replace(tzinfo=None))
    assert [version for version in lake.versions() if version[3] is None] == [(2, ("A",), day(1), None)]


def test_an_input_that_lost_all_its_rows_closes_nothing(tmp_path):
    lake = Lake(tmp_path, SCHEMA, delete_mode="close")
    lake.put([(number, "A", day(1)) for number in range(3)])
    lake.run()
    before = lake.versions()
    lake.put([], "overwrite")
    with pytest.raises(TooManyDeletes, match="3 of the dimension's 3 current keys are not in the input"):
        lake.run()
    assert lake.versions() == before


# --- another configuration, going back, restating ----------------------------------------


def test_other_tracked_columns_make_the_history_anew_from_the_input_and_from_what_is_known(tmp_path):
    lake = Lake(tmp_path, {"id": pl.Int64, "city": pl.String, "name": pl.String, "at": pl.Datetime("us")})
    lake.put([(1, "A", "x", day(1)), (1, "A", "y", day(2))], "overwrite")
    lake.run()
    lake.put([(1, "B", "y", day(5))], "overwrite")  # the earlier rows are nowhere any more but in the dimension
    lake.tracked = ("city", "name")
    facts = lake.run().facts
    assert facts["read"] == "its configuration changed"
    assert lake.versions() == model([(1, day(1), ("A", "x")), (1, day(2), ("A", "y")), (1, day(5), ("B", "y"))])


def test_after_a_rollback_a_run_takes_the_input_in_again(lake):
    rows = [(1, "A", day(1)), (1, "A", day(4)), (1, "C", day(3)), (2, "B", day(1))]
    for row in rows:
        lake.put([row])
        lake.run()
    restore(lake.target, 1, lake.run_id())
    assert lake.versions() == model(observed(rows[:2]))
    assert "restored" in lake.run().facts["read"]
    assert lake.versions() == model(observed(rows))


def test_a_restored_version_has_its_own_evidence(lake):
    lake.put([(1, "A", day(1)), (1, "A", day(4))], "overwrite")
    lake.run()
    lake.put([(1, "A", day(6))], "overwrite")
    lake.run()
    restore(lake.target, 0, lake.run_id())
    lake.put([(1, "B", day(2))], "overwrite")
    lake.run()
    # The row of day 6 came after the version that was restored, and the input has it no more.
    assert lake.versions() == model(observed([(1, "A", day(1)), (1, "A", day(4)), (1, "B", day(2))]))


def test_vacuum_keeps_evidence_that_a_version_needs_and_removes_what_none_names(lake):
    for number in range(1, 5):
        lake.put([(1, "A", day(number))], "overwrite")
        lake.run()
    folder = Path(lake.target.uri, "_evidence")
    stray = folder / "stray.parquet"
    pl.DataFrame({"id": [1]}).write_parquet(stray)
    before = set(folder.iterdir())
    report = vacuum(lake.target.uri, retention_hours=0)
    assert report.orphans == ("_evidence/stray.parquet",)
    assert set(folder.iterdir()) == before - {stray}
    lake.put([(1, "B", day(2, 12))], "overwrite")
    lake.run()
    rows = [(1, "A", day(number)) for number in range(1, 5)]
    assert lake.versions() == model(observed([*rows, (1, "B", day(2, 12))]))


def test_a_dimension_whose_evidence_was_taken_away_says_so(lake):
    lake.put([(1, "A", day(1)), (1, "A", day(4))])
    lake.run()
    for file in Path(lake.target.uri, "_evidence").iterdir():
        file.unlink()
    lake.put([(1, "B", day(2))])
    with pytest.raises(TableMissing, match="1 files of the dimension's evidence are gone"):
        lake.run()


def test_a_restatement_takes_keys_and_days_from_the_input_anew(lake):
    wrong = [(1, "A", day(1)), (1, "X", day(5)), (2, "A", day(1)), (2, "X", day(5)), (1, "A", day(9))]
    lake.put(wrong, "overwrite")
    lake.run()
    right = [(1, "A", day(1)), (1, "B", day(4)), (2, "A", day(1)), (2, "Y", day(7)), (1, "A", day(9))]
    lake.put(right, "overwrite")
    result = lake.run(Restatement(keys=({"id": 1},), start_date=date(2026, 1, 3), end_date=date(2026, 1, 6)))
    assert result.facts["restatement"]["keys"] == [{"id": 1}]
    assert lake.versions() == model(observed([*right, *wrong[2:4]]))
    lake.run(Restatement(start_date=date(2026, 1, 1)))
    assert lake.versions() == model(observed(right))


def test_a_restated_key_that_the_input_has_no_more_has_no_history(lake):
    lake.put([(1, "A", day(1)), (1, "A", day(2)), (1, "B", day(3)), (2, "A", day(1))], "overwrite")
    lake.run()
    lake.put([(2, "A", day(1))], "overwrite")
    lake.run(Restatement(keys=({"id": 1},)))
    assert lake.versions() == [(2, ("A",), day(1), None)]
    lake.put([(1, "A", day(4))], "overwrite")
    lake.run()
    assert lake.versions()[0] == (1, ("A",), day(4), None)


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ({"number": 1}, "A key of this dimension is id"),
        ({"id": "one"}, "“one” is no int64"),
        ({"id": None}, "no int64"),
    ],
)
def test_a_key_that_is_none_is_refused(lake, key, message):
    lake.put([(1, "A", day(1))])
    lake.run()
    with pytest.raises(InvalidSpec, match=message):
        lake.run(Restatement(keys=(key,)))
