"""Whatever the data, both engines give what a plain search through all rows gives."""

# ruff: noqa: DTZ001, DTZ901 - what happens to times without a zone is the question

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from workers.executors.point_in_time.leakage import leaks, rebuild_on, with_another_future
from workers.executors.point_in_time.plan import plan_of
from workers.executors.point_in_time.polars import Told, attach, micros
from workers.schema import columns_of
from workers.template_specs import Entity, Feature

START = datetime(2026, 1, 1)
# Now and then a time far away, so that key and time no longer fit into one number.
HOURS = st.integers(0, 60) | st.sampled_from([-24 * 365 * 200, 24 * 365 * 5000])
KINDS = {
    "date": (pl.Date(), lambda hour: (START + timedelta(hours=hour)).date()),
    "timestamp": (pl.Datetime("us"), lambda hour: START + timedelta(hours=hour)),
    "timestamptz": (pl.Datetime("us", "UTC"), lambda hour: (START + timedelta(hours=hour)).replace(tzinfo=UTC)),
}
KEYS = {
    "one number": ((pl.Int64(),), st.tuples(st.integers(0, 2))),
    "one text": ((pl.String(),), st.tuples(st.sampled_from(["a", "b", ""]))),
    "two": ((pl.String(), pl.Int32()), st.tuples(st.sampled_from(["a", "b"]), st.integers(0, 1))),
    "a truth": ((pl.Boolean(),), st.tuples(st.booleans())),
}


def at(value) -> datetime | None:
    """Any time as UTC without a zone; a date is its first moment."""
    if value is None:
        return None
    if isinstance(value, datetime):
        return value.replace(tzinfo=None)
    return datetime(value.year, value.month, value.day)


def best(key, moment, rows, ttl, *, knows, ends):
    """The answer by definition: look at every row."""
    fit = [
        row
        for row in rows
        if row["key"] == key
        and row["event"] is not None
        and at(row["event"]) <= moment
        and (not knows or (row["known"] is not None and at(row["known"]) <= moment))
    ]
    if not fit:
        return None, None

    def order(row):
        until = row["until"] if ends else None
        return (
            at(row["event"]),
            at(row["known"]) if knows else datetime.min,
            (until is not None, at(until) or datetime.min),
            (row["value"] is not None, row["value"] or 0),
            (row["text"] is not None, row["text"] or ""),
        )

    row = max(fit, key=order)
    if ttl is not None and moment - at(row["event"]) > ttl:
        return None, None
    if ends and row["until"] is not None and at(row["until"]) <= moment:
        return None, None
    return row["value"], row["text"]


@st.composite
def cases(draw):
    types, key = KEYS[draw(st.sampled_from(sorted(KEYS)))]
    kinds = {name: draw(st.sampled_from(sorted(KINDS))) for name in ("as_of", "event", "known", "until")}

    def time(name, nulls=True):
        value = HOURS.map(KINDS[kinds[name]][1])
        return st.none() | value if nulls else value

    row = st.fixed_dictionaries(
        {
            "key": st.tuples(*(st.none() for _ in types)) | key,
            "event": time("event"),
            "known": time("known"),
            "until": time("until"),
            "value": st.none() | st.integers(0, 3),
            "text": st.none() | st.sampled_from(["x", "y"]),
        }
    )
    rows = draw(st.lists(row, max_size=25))
    entities = draw(st.lists(st.tuples(key, time("as_of", nulls=False)), min_size=1, max_size=8))
    names = [f"key_{n}" for n in range(len(types))]
    feature = Feature(
        alias="feature",
        columns=("value", "text"),
        key_columns=tuple(names),
        time_column="event",
        knowledge_column=draw(st.sampled_from(["known", ""])),
        valid_to_column=draw(st.sampled_from(["until", ""])),
        ttl=draw(st.sampled_from(["", "1h", "1d"])),
    )
    schema = dict(zip(names, types, strict=True))
    frame = pl.DataFrame(
        [{**dict(zip(names, each["key"], strict=True)), **each} for each in rows],
        schema=schema
        | {name: KINDS[kinds[name]][0] for name in ("event", "known", "until")}
        | {"value": pl.Int64(), "text": pl.String()},
    )
    examples = pl.DataFrame(
        [{**dict(zip(names, key, strict=True)), "as_of": moment} for key, moment in entities],
        schema=schema | {"as_of": KINDS[kinds["as_of"]][0]},
    )
    examples = examples.with_columns(assay_time=micros("as_of", kinds["as_of"])).sort(*names, "as_of")
    entity = Entity(alias="entity", key_columns=tuple(names), as_of_column="as_of")
    inputs = {"entity": columns_of(examples.drop("assay_time").schema), "feature": columns_of(frame.schema)}
    return plan_of(entity, [feature], None, None, inputs), examples, frame, rows


def expected_of(plan, examples, rows):
    feature = plan.groups[0].feature
    for *key, as_of, _ in examples.iter_rows():
        knows, ends = bool(feature.knowledge_column), bool(feature.valid_to_column)
        yield best(tuple(key), at(as_of), rows, plan.groups[0].ttl, knows=knows, ends=ends)


@settings(max_examples=250, deadline=None)
@given(cases())
def test_polars_finds_for_each_row_what_was_known_of_it(case):
    plan, examples, frame, rows = case
    found = attach(plan, examples, {"feature": frame.lazy()}, Told())
    assert found.rows() == list(expected_of(plan, examples, rows))


@settings(max_examples=40, deadline=None)
@given(cases())
def test_duckdb_finds_for_each_row_what_was_known_of_it(case):
    plan, examples, frame, rows = case
    found = rebuild_on("duckdb")(plan, examples, {"feature": frame.lazy()})
    assert found.rows() == list(expected_of(plan, examples, rows))


@settings(max_examples=100, deadline=None)
@given(cases())
def test_the_reasons_for_missing_values_are_those_of_the_definition(case):
    plan, examples, frame, rows = case
    told, feature = Told(), plan.groups[0].feature
    attach(plan, examples, {"feature": frame.lazy()}, told)
    states = dict.fromkeys(("found", "expired", "ended", "not_yet_known", "never_known"), 0)
    for *key, as_of, _ in examples.iter_rows():
        knows, moment = bool(feature.knowledge_column), at(as_of)
        free = [
            {**row, "value": 1, "text": "there"}
            for row in rows
            if row["event"] is not None and (not knows or row["known"] is not None)
        ]
        kept = best(tuple(key), moment, free, plan.groups[0].ttl, knows=knows, ends=bool(feature.valid_to_column))
        young = best(tuple(key), moment, free, plan.groups[0].ttl, knows=knows, ends=False)
        known = best(tuple(key), moment, free, None, knows=knows, ends=False)
        happened = best(tuple(key), moment, free, None, knows=False, ends=False)
        names = ("found", "ended", "expired", "not_yet_known")
        answers = (kept, young, known, happened)
        states[next((name for name, (_, text) in zip(names, answers, strict=True) if text), "never_known")] += 1
    assert dict(told.states[0]) == {name: count for name, count in states.items() if count}


@pytest.mark.parametrize("engine", ["polars", "duckdb"])
def test_another_future_never_changes_a_row(engine):
    rebuild = rebuild_on(engine)

    @settings(max_examples=100 if engine == "polars" else 20, deadline=None, suppress_health_check=list(HealthCheck))
    @given(cases())
    def check(case):
        plan, examples, frame, _ = case
        written = _written(plan, examples, frame, rebuild)
        leaking, _ = leaks(plan, plan.groups[0], written, frame.lazy(), rebuild)
        assert leaking.is_empty()

    check()


def _written(plan, examples, frame, rebuild):
    first = examples.unique(plan.entity.key_columns, keep="first", maintain_order=True)
    first = first.sort(*plan.entity.key_columns)
    return pl.concat([first, rebuild(plan, first, {"feature": frame.lazy()})], how="horizontal")


@settings(max_examples=100, deadline=None)
@given(cases())
def test_a_join_that_takes_the_latest_row_of_all_is_caught_wherever_it_takes_one_of_the_future(case):
    plan, examples, frame, rows = case

    def leaking_join(plan, examples, frames):
        far = examples.with_columns(assay_time=pl.lit(2**60))
        return attach(replace(plan, groups=(replace(plan.groups[0], ttl=None),)), far, frames, Told())

    plan = replace(plan, groups=(_without_ends(plan.groups[0]),))
    written = _written(plan, examples, frame, leaking_join)
    caught, changed = leaks(plan, plan.groups[0], written, frame.lazy(), leaking_join)
    assert caught.height == _rows_with_a_future_answer(plan, written, rows)
    assert changed or not caught.height


def _without_ends(group):
    return replace(group, feature=replace(group.feature, valid_to_column="", ttl=""), ttl=None)


def _rows_with_a_future_answer(plan, written, rows):
    """How many written rows show one that, at the time, had not happened or was not known."""
    feature, count = plan.groups[0].feature, 0
    names = [*plan.entity.key_columns, "as_of"]
    for *key, as_of in written.select(names).iter_rows():
        knows = bool(feature.knowledge_column)
        times = ("event", "known") if knows else ("event",)
        usable = [
            row for row in rows if row["key"] == tuple(key) and all(row[name] is not None for name in ("event", *times))
        ]
        if usable:
            top = max(
                usable,
                key=lambda row: (
                    at(row["event"]),
                    at(row["known"]) if knows else 0,
                    (row["value"] is not None, row["value"] or 0),
                    (row["text"] is not None, row["text"] or ""),
                ),
            )
            count += any(at(top[name]) > at(as_of) for name in times)
    return count


@settings(max_examples=50, deadline=None)
@given(cases())
def test_only_rows_of_the_future_are_changed(case):
    plan, examples, frame, rows = case
    first = examples.unique(plan.entity.key_columns, keep="first", maintain_order=True)
    changed, count = with_another_future(plan, plan.groups[0], first, frame.lazy())
    moments = {tuple(key): at(as_of) for *key, as_of, _ in first.iter_rows()}
    times = ("event", "known") if plan.groups[0].feature.knowledge_column else ("event",)
    own = [row for row in rows if row["key"] in moments]
    future = [
        row for row in own if any(row[name] is not None and at(row[name]) > moments[row["key"]] for name in times)
    ]
    assert (changed.height, count) == (len(own), len(future))


def test_a_date_is_its_first_moment():
    frame = pl.DataFrame({"on": [date(2026, 1, 2)]})
    assert frame.select(micros("on", "date")).item() == int(datetime(2026, 1, 2, tzinfo=UTC).timestamp()) * 1_000_000
