"""Labels look forward, and only as far as their window: what Python counts, both engines give."""

# ruff: noqa: DTZ001 - what happens to times without a zone is the question

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import duckdb
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workers.errors import InvalidConfig
from workers.executors.point_in_time.examples import Moment, examples_of
from workers.executors.point_in_time.plan import duration, plan_of
from workers.executors.point_in_time.polars import Told
from workers.executors.point_in_time.sql import example_parts, with_parts
from workers.schema import columns_of
from workers.template_specs import Entity, Label, Split

START = datetime(2026, 1, 1)
HOURS = st.integers(0, 40)
RUN_TIME = START + timedelta(hours=60)
# What an expression says of the amounts in the window, by plain Python.
EXPRESSIONS = {
    "count(*)": len,
    "count(*) = 0": lambda amounts: not amounts,
    "count(amount)": lambda amounts: len(_there(amounts)),
    "sum(amount)": lambda amounts: sum(_there(amounts)) if _there(amounts) else None,
    "max(amount)": lambda amounts: max(_there(amounts), default=None),
    "coalesce(sum(amount), 0) > 3": lambda amounts: sum(_there(amounts)) > 3,
    "count(*) filter (where amount > 1)": lambda amounts: len([each for each in _there(amounts) if each > 1]),
}


def _there(amounts):
    return [each for each in amounts if each is not None]


def at(hour):
    return START + timedelta(hours=hour)


@st.composite
def cases(draw):
    entity = st.tuples(st.none() | st.integers(0, 2), st.none() | HOURS.map(at))
    event = st.tuples(st.none() | st.integers(0, 2), st.none() | HOURS.map(at), st.none() | st.integers(0, 4))
    entities = pl.DataFrame(
        draw(st.lists(entity, max_size=10)), schema={"id": pl.Int32, "as_of": pl.Datetime("us")}, orient="row"
    )
    events = pl.DataFrame(
        draw(st.lists(event, max_size=20)),
        schema={"id": pl.Int64, "as_of": pl.Datetime("us"), "amount": pl.Int64},
        orient="row",
    )
    label = Label(
        alias="events",
        name="label",
        expression=draw(st.sampled_from(sorted(EXPRESSIONS))),
        key_columns=("id",),
        time_column="as_of",
        window=draw(st.sampled_from(["1h", "5 hours", "1d"])),
        on_missing=draw(st.sampled_from(["drop", "keep"])),
    )
    by_time = {"method": "time", "purge": draw(st.booleans()), "gap": draw(st.sampled_from(["", "3h"]))}
    split = Split(
        train=0.5,
        validation=0.3,
        test=0.2,
        seed=draw(st.integers(0, 3)),
        **draw(st.sampled_from([{}, by_time])),
    )
    inputs = {"entity": columns_of(entities.schema), "events": columns_of(events.schema)}
    entity = Entity(alias="entity", key_columns=("id",), as_of_column="as_of")
    return plan_of(entity, [], label, split, inputs), entities, events


def expected_of(plan, entities, events):
    """The examples without their split, and what was left out."""
    window, last = duration(plan.label.window), events["as_of"].max()
    rules = ("without_key", "without_time", "not_yet_labelled", "without_label", "purged")
    rows, dropped = [], dict.fromkeys(rules, 0)
    for key, moment in entities.iter_rows():
        if key is None or moment is None:
            dropped["without_key" if key is None else "without_time"] += 1
            continue
        if last is None or moment + window > min(last, RUN_TIME):
            dropped["not_yet_labelled"] += 1
            continue
        amounts = [
            amount
            for other, time, amount in events.iter_rows()
            if other == key and time is not None and moment < time <= moment + window
        ]
        label = EXPRESSIONS[plan.label.expression](amounts)
        if label is None and plan.label.on_missing == "drop":
            dropped["without_label"] += 1
        else:
            rows.append((key, moment, label))
    kept = [row for row in rows if not looks_ahead(plan.split, row[1], rows, window)]
    dropped["purged"] = len(rows) - len(kept)
    ordered = sorted(kept, key=lambda row: (row[0], row[1], row[2] is not None, row[2] or 0))
    return ordered, {rule: count for rule, count in dropped.items() if count}


def looks_ahead(split, moment, rows, window):
    """Whether an example of this moment, with what is purged and the gap, reaches beyond where a later part begins."""
    if split.method != "time":
        return False
    times = sorted(row[1] for row in rows)
    places = (math.ceil(share * len(times) - 1e-9) for share in (split.train, split.train + split.validation))
    reach = (window if split.purge else timedelta()) + (duration(split.gap) if split.gap else timedelta())
    return any(moment < times[place] < moment + reach for place in places if place < len(times))


MOMENT = Moment(run_time=RUN_TIME.replace(tzinfo=UTC))


@settings(max_examples=60, deadline=None)
@given(cases())
def test_labels_are_what_python_makes_of_the_rows_in_the_window(case):
    plan, entities, events = case
    told = Told()
    made = examples_of(plan, {"entity": entities.lazy(), "events": events.lazy()}, MOMENT, told)
    rows, dropped = expected_of(plan, entities, events)
    assert made.frame.select("id", "as_of", "label").rows() == rows
    assert (told.read, dict(told.dropped)) == (entities.height, dropped)


@settings(max_examples=60, deadline=None)
@given(cases())
def test_the_sql_makes_the_same_examples_and_the_same_split(case):
    plan, entities, events = case
    made = examples_of(plan, {"entity": entities.lazy(), "events": events.lazy()}, MOMENT, Told())
    names = ["id", "as_of", "label", "split"]
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.register("entity", entities.to_arrow())
        connection.register("events", events.to_arrow())
        text = f"{with_parts(list(example_parts(plan, MOMENT)))} SELECT {', '.join(names)} FROM assay_examples"
        found = connection.execute(f"{text} ORDER BY ALL NULLS FIRST").fetchall()
    assert made.frame.select(names).rows() == found


@st.composite
def splits_by_time(draw):
    rows = draw(st.lists(st.tuples(st.integers(0, 2), HOURS.map(at), st.booleans()), min_size=3, max_size=12))
    schema = {"id": pl.Int64, "as_of": pl.Datetime("us"), "won": pl.Boolean}
    entities = pl.DataFrame(rows, schema=schema, orient="row")
    gap = draw(st.sampled_from(["", "1h", "9h"]))
    split = Split(train=0.5, validation=0.3, test=0.2, method="time", purge=draw(st.booleans()), gap=gap)
    label = Label(alias="entity", name="won", column="won", window=draw(st.sampled_from(["1h", "5 hours", "18h"])))
    return plan_of(ENTITY, [], label, split, {"entity": columns_of(entities.schema)}), entities, sorted(rows)


@settings(max_examples=60, deadline=None)
@given(splits_by_time())
def test_of_a_split_by_time_both_engines_leave_out_what_looks_into_the_next_part(case):
    plan, entities, rows = case
    told, names = Told(), ["id", "as_of", "won"]
    made = examples_of(plan, {"entity": entities.lazy()}, MOMENT, told)
    kept = [row for row in rows if not looks_ahead(plan.split, row[1], rows, plan.window)]
    assert made.frame.select(names).rows() == kept
    assert told.dropped["purged"] == len(rows) - len(kept)
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.register("entity", entities.to_arrow())
        text = f"{with_parts(list(example_parts(plan, MOMENT)))} SELECT * FROM assay_examples"
        found = connection.execute(f"SELECT {', '.join(names)} FROM ({text}) ORDER BY ALL").fetchall()
    assert found == kept


INPUTS = {
    "entity": columns_of(pl.Schema({"id": pl.Int64(), "as_of": pl.Datetime("us")})),
    "events": columns_of(pl.Schema({"id": pl.Int64(), "at": pl.Datetime("us"), "amount": pl.Float64()})),
}
ENTITY = Entity(alias="entity", key_columns=("id",), as_of_column="as_of")
LABEL = Label(
    alias="events", name="label", expression="sum(amount)", key_columns=("id",), time_column="at", window="1d"
)


def test_a_label_without_a_time_looks_at_all_rows_of_the_key():
    label = replace(LABEL, expression="max(amount)", time_column="", window="")
    frames = {
        "entity": pl.LazyFrame({"id": [1, 2], "as_of": [at(0), at(0)]}),
        "events": pl.LazyFrame({"id": [1, 1], "at": [at(-5), None], "amount": [2.0, 3.0]}),
    }
    made = examples_of(plan_of(ENTITY, [], label, None, INPUTS), frames, MOMENT, Told())
    assert made.frame.select("id", "label").rows() == [(1, 3.0)]


@pytest.mark.parametrize(("on_missing", "labels"), [("zero", [0.0]), ("keep", [None]), ("drop", [])])
def test_a_missing_label_is_dropped_kept_or_zero(on_missing, labels):
    frames = {
        "entity": pl.LazyFrame({"id": [1], "as_of": [at(0)]}),
        "events": pl.LazyFrame({"id": [2], "at": [at(50)], "amount": [2.0]}),
    }
    plan = plan_of(ENTITY, [], replace(LABEL, on_missing=on_missing), None, INPUTS)
    told = Told()
    made = examples_of(plan, frames, MOMENT, told)
    assert made.frame["label"].to_list() == labels
    assert sum(told.dropped.values()) == (on_missing == "drop")


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("amount", "does not aggregate"),
        ("sum(amount) + amount", "stands outside an aggregate"),
        ("sum(sum(amount)) over ()", None),
        ("sum(amount) from events, entity", "cannot be read"),
        ("sum(amount)) from (select 1 as amount", None),
        ("max(:run_time)", "no clock"),
        ("max(current_date)", "no clock"),
        ("sum(amount); drop table events", None),
        ("max(getenv('HOME'))", None),
    ],
)
def test_an_expression_that_is_more_than_an_aggregate_is_refused(expression, words):
    with pytest.raises(InvalidConfig, match=words) as caught:
        plan_of(ENTITY, [], replace(LABEL, expression=expression), None, INPUTS)
    assert caught.value.facts["problems"][0]["field"] == "config.label.expression"


def test_lengths_of_time_are_read_as_people_write_them():
    found = [duration(text) for text in ("90d", "30 days", "1 hour", "2w", "15 min", "10s")]
    hours = [each / timedelta(hours=1) for each in found]
    assert hours == [2160, 720, 1, 336, 0.25, pytest.approx(10 / 3600)]
    for text in ("", "1 month", "0d", "-1d", "1.5d", "d"):
        with pytest.raises(ValueError, match="length of time"):
            duration(text)
