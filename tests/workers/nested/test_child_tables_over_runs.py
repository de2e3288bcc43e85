"""Child tables over several runs: they follow what becomes of their parents, and survive a kill in between."""

from __future__ import annotations

import json
import random
from collections import Counter

import pytest

from tests.workers.test_executors_killed_and_doubled import KILLED, start, step_of
from workers import errors
from workers.executors.ingest.run import run_ingest
from workers.lake.publish import restore
from workers.lake.table import open_table
from workers.specs import Window


def order(key: int, *skus: str, at: str = "2026-01-01T00:00:00Z", **more: object) -> dict:
    return {"id": key, "at": at, "items": [{"sku": sku} for sku in skus], **more}


def day(number: int) -> str:
    return f"2026-01-{number:02d}T00:00:00Z"


CHILDREN = {"items": "child_table"}
BETWEEN = ("workers.executors.ingest.nested", "ChildTables._publish", "after")  # child and parent


def test_an_overwrite_replaces_the_child_rows_too(loading):
    job = loading(CHILDREN)
    job.run([order(1, "a", "b"), order(2, "c")])
    job.run([order(3, "d")])
    assert job.rows("items") == [(3, 0, "d")]
    result = job.run([order(4)])
    assert job.rows("items") == []
    assert [child.published.rows for child in result.children] == [0]


def test_an_append_adds_child_rows(loading):
    job = loading(CHILDREN, changes={"write_mode": "append"})
    job.run([order(1, "a", "b")])
    job.run([order(1, "c"), order(2)])
    assert job.rows("items") == [(1, 0, "a"), (1, 0, "c"), (1, 1, "b")]


def test_parents_that_were_loaded_before_bring_no_children_again(loading):
    job = loading(CHILDREN, watermark="at", changes={"write_mode": "append"})
    job.run([order(1, "a", at=day(1)), order(2, "b", "c", at=day(2))])
    result = job.run([order(1, "a", at=day(1)), order(2, "b", "c", at=day(2)), order(3, "d", at=day(3))])
    assert result.skipped == {"already_loaded": 1, "before_watermark": 1}
    assert job.rows("items") == [(1, 0, "a"), (2, 0, "b"), (2, 1, "c"), (3, 0, "d")]


def test_a_merge_replaces_the_children_of_the_parents_it_brings(loading):
    job = loading(CHILDREN, changes={"write_mode": "merge"})
    job.run([order(1, "a", "b"), order(2, "c"), order(3, "d")])
    job.run([order(1, "e", note="changed"), order(2, "f", "g"), order(4, "h")])
    assert job.rows("items") == [(1, 0, "e"), (2, 0, "f"), (2, 1, "g"), (3, 0, "d"), (4, 0, "h")]
    job.run([order(3), order(4, "h", "i")])
    assert job.rows("items") == [(1, 0, "e"), (2, 0, "f"), (2, 1, "g"), (4, 0, "h"), (4, 1, "i")]


def test_of_several_states_of_a_parent_the_newest_brings_the_children(loading):
    job = loading(CHILDREN, watermark="at", changes={"write_mode": "merge"})
    job.run([order(1, "old", at=day(1)), order(1, "new", at=day(5)), order(1, "older", at=day(2))])
    assert job.rows("items") == [(1, 0, "new")]


def test_an_older_state_than_the_tables_changes_no_children(loading):
    job = loading(CHILDREN, changes={"write_mode": "merge", "watermark": None})
    job.watermark = "at"
    job.changes.pop("watermark")
    job.run([order(1, "new", at=day(5)), order(2, "x", at=day(5))])
    spec = job.spec([order(1, "late", at=day(2)), order(2, "y", at=day(6))])
    wide = spec.watermark.__class__(column="at", last=spec.watermark.last, lag="10d")
    result = run_ingest(spec.__class__(**{f: getattr(spec, f) for f in spec.__slots__} | {"watermark": wide}))
    assert result.skipped == {"superseded": 1}
    assert job.rows("items") == [(1, 0, "new"), (2, 0, "y")]


def test_children_leave_with_parents_that_are_gone_at_the_source(loading):
    job = loading(CHILDREN, changes={"write_mode": "merge", "delete_detection": "hard"})
    job.run([order(key, f"s{key}") for key in range(1, 6)])
    job.run([order(key, f"s{key}") for key in range(1, 5)])
    assert job.table()["id"].sort().to_list() == [1, 2, 3, 4]
    assert job.rows("items") == [(key, 0, f"s{key}") for key in range(1, 5)]


def test_a_run_that_would_delete_too_much_leaves_the_children_alone(loading):
    job = loading(CHILDREN, changes={"write_mode": "merge", "delete_detection": "hard"})
    job.run([order(key, f"s{key}") for key in range(200)])
    before = job.rows("items")
    with pytest.raises(errors.TooManyDeletes):
        job.run([order(1, "other")])
    assert job.rows("items") == before


def test_a_window_replaces_the_children_of_its_days_only(loading):
    job = loading(CHILDREN, watermark="at", changes={"write_mode": "append"})
    job.run([order(1, "a", at=day(1)), order(2, "b", at=day(2)), order(2, "c", at=day(3))])
    job.run(
        [order(5, "x", "y", at=day(2)), order(6, "z", at=day(9))],
        window=Window(start_date="2026-01-02", end_date="2026-01-02"),
    )
    assert sorted(job.table()["id"].to_list()) == [1, 2, 5]
    assert (1, 0, "a") in job.rows("items")
    assert {(5, 0, "x"), (5, 1, "y")} <= set(job.rows("items"))
    assert (6, 0, "z") not in job.rows("items")


def test_child_columns_are_added_and_widened_as_those_of_a_table_are(loading):
    job = loading(CHILDREN, changes={"write_mode": "append"})
    job.run([{"id": 1, "items": [{"qty": 1, "size": "L"}]}])
    job.run([{"id": 2, "items": [{"qty": 1.5, "size": 40}, {"colour": "red"}]}])
    job.run([{"id": 3, "items": [{"qty": 3}]}])
    assert job.table("items").sort("id", "_index").select("id", "qty", "size", "colour").rows() == [
        (1, 1.0, "L", None),
        (2, 1.5, "40", None),
        (2, None, None, "red"),
        (3, 3.0, None, None),
    ]


def test_too_many_refused_rows_publish_neither_table_nor_children(loading):
    job = loading(CHILDREN, changes={"error_handling": "quarantine", "bad_row_threshold": 0.1})
    spec = job.spec([order(1, "a"), {"id": 2, "items": "none"}])
    with pytest.raises(errors.BadRows):
        run_ingest(spec)
    assert not (job.folder / "lake/bronze/shop/orders__items/_delta_log").exists()


@pytest.mark.parametrize(
    "kill",
    [
        ("workers.executors.ingest.nested", "publish", "before"),
        ("workers.executors.ingest.nested", "publish", "after"),
        ("workers.executors.ingest.nested", "ChildTables._publish", "after"),
        ("workers.lake.publish", "_Publication.check", "before"),
    ],
)
@pytest.mark.parametrize("mode", ["append", "merge", "overwrite"])
def test_a_kill_between_child_and_parent_is_made_good_by_the_same_run(loading, kill, mode):
    job = loading({"items": "child_table", "notes": "child_table"}, changes={"write_mode": mode})
    job.run([order(1, "a", "b", notes=["n"]), order(2, "c", notes=[])])
    spec = job.spec([order(1, "d", notes=["m", "o"]), order(3, "e", notes=["p"])])
    process = start(step_of(spec), kill=kill)
    process.communicate()
    assert process.returncode == KILLED
    result = run_ingest(spec)
    items, notes = [(1, 0, "d"), (3, 0, "e")], [(1, 0, "m"), (1, 1, "o"), (3, 0, "p")]
    old = {"append": [(1, 0, "a"), (1, 1, "b"), (2, 0, "c")], "merge": [(2, 0, "c")], "overwrite": []}[mode]
    assert job.rows("items") == sorted(items + old, key=repr)
    assert job.rows("notes") == sorted(notes + ([(1, 0, "n")] if mode == "append" else []), key=repr)
    assert [child.published.version for child in result.children] == [1, 1]
    assert run_ingest(spec).children == result.children
    assert open_table(f"{job.folder}/lake/bronze/shop/orders__items").version == 1


@pytest.mark.parametrize("changes", [{}, {"window": Window(start_date="2026-01-01", end_date="2026-01-02")}])
def test_child_rows_of_a_run_that_never_published_its_parents_leave_with_the_next_run(loading, changes):
    watermark = "at" if changes else ""
    job = loading(CHILDREN, watermark=watermark, changes={"write_mode": "append"})
    job.run([order(9, "old", at=day(9))])
    for _ in range(2):
        process = start(step_of(job.spec([order(1, "a", at=day(1))], **changes)), kill=BETWEEN)
        process.communicate()
        assert process.returncode == KILLED
    job.run([order(1, "a", at=day(1))], **changes)  # nobody went on with those runs: this is another one
    assert job.rows("items") == [(1, 0, "a"), (9, 0, "old")]
    assert sorted(job.table()["id"].to_list()) == [1, 9]


def test_child_rows_without_any_parent_table_leave_with_the_next_run(loading):
    job = loading(CHILDREN, changes={"write_mode": "append"})
    process = start(step_of(job.spec([order(1, "a")])), kill=BETWEEN)
    process.communicate()
    assert process.returncode == KILLED
    job.run([order(1, "b")])
    assert job.rows("items") == [(1, 0, "b")]


def test_after_a_rollback_of_the_parents_their_children_are_not_doubled(loading):
    job = loading(CHILDREN, changes={"write_mode": "append"})
    job.run([order(1, "a")])
    job.run([order(2, "b")])
    job.run([order(3, "c")])
    later = job.spec([order(4, "d")])
    restore(later.target, 0, job.spec([]).run_id)
    job.run([order(2, "b")])
    assert job.rows("items") == [(1, 0, "a"), (2, 0, "b")]
    assert sorted(job.table()["id"].to_list()) == [1, 2]


def test_counts_and_keys_of_children_add_up_over_many_random_runs(loading):
    draw, job = random.Random(5), loading(CHILDREN, changes={"write_mode": "merge"})
    expected: dict[int, list[str]] = {}
    for number in range(6):
        keys = draw.sample(range(60), 25)
        records = [order(key, *(f"{number}-{key}-{n}" for n in range(draw.randrange(4)))) for key in keys]
        job.run(records)
        expected |= {record["id"]: [item["sku"] for item in record["items"]] for record in records}
    wanted = {(key, place, sku) for key, skus in expected.items() for place, sku in enumerate(skus)}
    found = job.rows("items")
    assert Counter(found) == Counter(wanted)
    assert set(job.table()["id"]) == set(expected)
    assert json.dumps(sorted(found)) == json.dumps(sorted(wanted))
