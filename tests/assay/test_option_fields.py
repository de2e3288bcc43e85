"""Fields made from declared options: what stands in them goes out and comes back as it was."""

from datetime import date
from typing import Annotated, Literal

import pytest
from django.http import QueryDict
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field, model_validator

from assay.common.option_kinds import IsColumn, kind_of_model
from assay.common.option_nodes import Words, nodes_of, place_errors, trail
from assay.common.option_posts import Reader, as_tree
from assay.common.options import FieldError, Options, read_options


class Inner(Options):
    name: str = Field(min_length=1)
    size: int = Field(3, ge=0, le=9)


class Days(Options):
    start_date: date
    end_date: date | None = None


class Use(Options):
    metric: str


class Everything(Options):
    """One option of each shape."""

    text: str
    note: str | None = None
    columns: Annotated[list[Annotated[str, IsColumn()]], Field(min_length=1)] = ["id"]
    maybe: list[str] | None = None
    share: float = Field(0.5, ge=0, le=1)
    count: int | None = 7
    mode: Literal["fast", "slow"] = "fast"
    level: Literal[1, 2] | None = None
    flag: bool = True
    maybe_flag: bool | None = None
    inner: Inner
    extra: Inner | None = None
    split: Inner = Inner(name="x")
    rows: list[Inner] = []
    mixed: list[Inner | Use] = []
    mappings: dict[str, str] = {}
    rules: dict[str, Literal["first", "last"]] = {}
    nested: dict[str, Inner] = {}
    as_of: str | dict[str, str] = "run_date"
    days: Literal["run_date"] | Days = "run_date"
    limit: int | str = 5
    anything: list[dict] = []


KIND = kind_of_model(Everything)


def sent(node):
    """What a browser sends of the fields, in their order."""
    if node.key:
        yield node.key.name, node.key.value
    if node.shape == "flag":
        yield from [(node.name, "on")] if node.value else []
    elif node.shape == "object":
        yield from [(node.toggle, "on")] if node.toggle and node.is_on else []
    elif node.shape == "either":
        yield node.toggle, node.value
    elif node.shape not in ("rows", "pairs"):
        yield node.name, str(node.value).replace("\r\n", "\n").replace("\n", "\r\n")
    for child in node.children:
        yield from sent(child)


def read(pairs, before, model=Everything):
    query = QueryDict(mutable=True)
    for name, value in pairs:
        query.appendlist(name, value)
    reader = Reader()
    tree = as_tree(((name, query[name]) for name in query), "t")
    return reader.object(kind_of_model(model), tree, "t", "config", before), reader


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\r"), min_size=1, max_size=12).filter(str.strip)
NAMES = st.lists(TEXT, min_size=1, max_size=3)
INNER = st.fixed_dictionaries({"name": TEXT}, optional={"size": st.integers(0, 9)})
PAIRS = st.dictionaries(TEXT, TEXT, max_size=3)
CONFIGS = st.fixed_dictionaries(
    {"text": st.text(max_size=5).filter(lambda text: "\r" not in text), "inner": INNER},
    optional={
        "note": st.none() | TEXT,
        "columns": NAMES,
        "maybe": st.none() | st.just([]) | NAMES,
        "share": st.floats(0, 1) | st.just(1),
        "count": st.none() | st.integers(),
        "mode": st.sampled_from(["fast", "slow"]),
        "level": st.sampled_from([None, 1, 2]),
        "flag": st.booleans(),
        "maybe_flag": st.sampled_from([None, True, False]),
        "extra": st.none() | INNER,
        "split": INNER,
        "rows": st.lists(INNER, max_size=3),
        "mixed": st.lists(INNER | st.fixed_dictionaries({"metric": TEXT}), max_size=3),
        "mappings": PAIRS,
        "rules": st.dictionaries(TEXT, st.sampled_from(["first", "last"]), max_size=2),
        "nested": st.dictionaries(TEXT, INNER, max_size=2),
        "as_of": TEXT | PAIRS,
        "days": st.just("run_date") | st.fixed_dictionaries({"start_date": st.dates().map(str)}),
        "limit": st.integers() | TEXT,
        "anything": st.lists(st.dictionaries(TEXT, st.integers() | TEXT), max_size=2),
    },
)


@settings(max_examples=150, deadline=None)
@given(CONFIGS)
def test_a_form_that_is_saved_as_it_was_opened_changes_nothing(config):
    assert read_options(Everything, config, "config")[1] == []
    node = nodes_of(Everything, "t", config, Words())
    found, reader = read(sent(node), config)
    assert found == config
    assert reader.faults == []


@settings(max_examples=60, deadline=None)
@given(CONFIGS)
def test_what_was_typed_means_the_same_to_who_reads_it(config):
    """Typed anew, nothing stored before: defaults are left out, and the options are the same."""
    config = {name: value for name, value in config.items() if value is not None}
    kept = {name for name in config if name not in ("text", "anything")}
    node = nodes_of(Everything, "t", config, Words())
    found, _ = read(sent(node), {})
    strip = lambda value: value.strip() if isinstance(value, str) else value  # noqa: E731
    for name in kept & {"note", "share", "count", "mode", "flag", "level"}:
        default = Everything.model_fields[name].default
        assert found.get(name, default) == strip(config[name])


def test_an_empty_form_stores_nothing_but_says_what_is_needed():
    found, _ = read(sent(nodes_of(Everything, "t", {}, Words())), {})
    assert found == {"inner": {}}
    problems = {problem.attr for problem in read_options(Everything, found, "config")[1]}
    assert problems == {"config.text", "config.inner.name"}


ROWS = [("t.rows.0.name", "a"), ("t.rows.0.size", "3"), ("t.rows.1.name", ""), ("t.rows.1.size", "3")]


def test_a_row_that_was_left_empty_is_none_and_faults_find_the_field_that_was_typed_in():
    found, reader = read([*ROWS, ("t.rows.7.name", "b"), ("t.rows.7.size", "12")], {})
    assert found["rows"] == [{"name": "a"}, {"name": "b", "size": 12}]
    assert reader.place_of("config.rows.1.size") == "t.rows.7.size"
    assert reader.place_of("config.rows.1.unknown") == "t.rows.7"


def test_two_values_of_one_name_are_told_and_both_stay_in_the_form():
    pairs = [("t.mappings.0.key", "email"), ("t.mappings.0.value", "a"), ("t.mappings.1.key", "email")]
    found, reader = read([*pairs, ("t.mappings.1.value", "b"), ("t.mappings.2.value", "c")], {})
    assert reader.faults == [
        ("config.mappings.email", "“email” is given twice."),
        ("config.mappings.", "Give it a name."),
    ]
    node = next(child for child in nodes_of(Everything, "t", found, Words()).children if child.name == "t.mappings")
    assert [(child.key.value, child.value) for child in node.children] == [("email", "a"), ("email", "b"), ("", "c")]


@pytest.mark.parametrize(("name", "text"), [("count", "many"), ("share", "nan"), ("level", "3"), ("count", "1.5")])
def test_what_is_no_such_value_stays_as_it_was_typed_for_the_model_to_refuse(name, text):
    found, _ = read([("t.text", "x"), ("t.inner.name", "x"), (f"t.{name}", text), ("t.flag", "on")], {})
    assert found[name] == text
    assert [problem.attr for problem in read_options(Everything, found, "config")[1]] == [f"config.{name}"]


def test_a_name_with_a_comma_stands_in_quotes():
    found, _ = read([("t.columns", 'id, "last, first",  plain ,')], {})
    assert found["columns"] == ["id", "last, first", "plain"]


def test_a_fault_hangs_on_the_nearest_field_and_says_where_that_is():
    config = {"text": "x", "inner": {"name": "x"}, "nested": {"a.b": {"name": ""}}, "rows": [{"name": "a"}]}
    root = nodes_of(Everything, "t", config, Words())
    placed = place_errors(
        root, {"config.nested.a.b.name": ["no"], "config.rows.0.other": ["what"], "config.gone": ["?"]}
    )
    assert [(node.name, trail(root, node)) for node, _, _ in placed] == [
        ("t.nested.0.value.name", "Nested · a.b · Name"),
        ("t.rows.0", "Rows · row 1"),
        ("t", ""),
    ]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"days": {"start_date": "2026-13-01"}}, {"config.days.start_date"}),  # who wrote an object meant no word
        ({"days": {}}, {"config.days.start_date"}),
        ({"days": "tomorrow"}, {"config.days"}),  # members of a union have names that nobody wrote
        ({"mixed": ["x"]}, {"config.mixed.0"}),
        ({"mappings": {"email": 5}}, {"config.mappings.email"}),
    ],
)
def test_what_is_wrong_is_told_at_a_place_that_was_written(given, told):
    problems = read_options(Everything, {"text": "x", "inner": {"name": "x"}, **given}, "config")[1]
    assert {problem.attr for problem in problems} == told


class Pair(Options):
    least: int
    greatest: int

    @model_validator(mode="after")
    def _in_order(self):
        if self.greatest < self.least:
            raise FieldError("greatest", "must not be less than least")
        return self


class Bounds(Options):
    pairs: list[Pair]


def test_a_validator_of_a_whole_model_can_name_the_field():
    [problem] = read_options(Bounds, {"pairs": [{"least": 2, "greatest": 1}]}, "config")[1]
    assert (problem.attr, problem.detail) == ("config.pairs.0.greatest", "Must not be less than least.")
