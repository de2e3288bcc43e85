"""The lattice of docs/schema.md over all pairs of types, against a table written by hand and against real values."""

from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import permutations, product

import polars as pl
import pytest

from workers.lake.lattice import converted, holds, join, least_holding, spelled, text_of
from workers.schema import parse_type

LOW_DEC, WIDE_DEC, TALL_DEC = "decimal(10,2)", "decimal(12,4)", "decimal(38,0)"
STRUCT_A, STRUCT_AB = "struct<a: int64>", "struct<a: int64, b: string>"
LISTED, LISTED_AB = f"list<{STRUCT_A}>", f"list<{STRUCT_AB}>"
TYPES = (
    "string", "json", "boolean", "int8", "int16", "int32", "int64", "float32", "float64",
    LOW_DEC, WIDE_DEC, TALL_DEC, "date", "time", "timestamp", "timestamptz", "binary",
    "list<int32>", "list<int64>", STRUCT_A, STRUCT_AB, LISTED, LISTED_AB,
)  # fmt: skip

# The join of each two types of which neither holds the other by being the same; what is not here needs a decision.
JOINS = {
    ("int8", "int16"): "int16", ("int8", "int32"): "int32", ("int8", "int64"): "int64",
    ("int16", "int32"): "int32", ("int16", "int64"): "int64", ("int32", "int64"): "int64",
    ("int8", "float32"): "float32", ("int16", "float32"): "float32", ("int32", "float32"): "float64",
    ("int64", "float32"): "string",
    ("int8", "float64"): "float64", ("int16", "float64"): "float64", ("int32", "float64"): "float64",
    ("int64", "float64"): "string", ("float32", "float64"): "float64",
    ("int8", LOW_DEC): LOW_DEC, ("int16", LOW_DEC): LOW_DEC, ("int32", LOW_DEC): "decimal(12,2)",
    ("int64", LOW_DEC): "decimal(21,2)",
    ("int8", WIDE_DEC): WIDE_DEC, ("int16", WIDE_DEC): WIDE_DEC, ("int32", WIDE_DEC): "decimal(14,4)",
    ("int64", WIDE_DEC): "decimal(23,4)",
    ("int8", TALL_DEC): TALL_DEC, ("int16", TALL_DEC): TALL_DEC, ("int32", TALL_DEC): TALL_DEC,
    ("int64", TALL_DEC): TALL_DEC,
    (LOW_DEC, WIDE_DEC): WIDE_DEC, (LOW_DEC, TALL_DEC): "string", (WIDE_DEC, TALL_DEC): "string",
    **{(kind, decimal): "string" for kind in ("float32", "float64") for decimal in (LOW_DEC, WIDE_DEC, TALL_DEC)},
    ("date", "timestamp"): "timestamp",
    **{(kind, "string"): "string" for kind in TYPES[1:16]},
    ("list<int32>", "list<int64>"): "list<int64>",
    (STRUCT_A, STRUCT_AB): STRUCT_AB, (LISTED, LISTED_AB): LISTED_AB,
}  # fmt: skip


@pytest.mark.parametrize(("one", "other"), list(product(TYPES, TYPES)))
def test_two_types_meet_where_the_table_says(one, other):
    wanted = one if one == other else JOINS.get((one, other)) or JOINS.get((other, one))
    assert join(one, other) == wanted


def test_the_join_is_the_least_type_that_holds_both():
    for one, other in product(TYPES, TYPES):
        if not (least := join(one, other)):
            continue
        assert holds(least, one)
        assert holds(least, other)
        above_both = [kind for kind in TYPES if holds(kind, one) and holds(kind, other)]
        assert all(holds(kind, least) for kind in above_both), (one, other, least, above_both)


def test_it_is_an_order():
    for one, two, three in product(TYPES, repeat=3):
        assert not (holds(two, one) and holds(three, two)) or holds(three, one), (one, two, three)
    assert [pair for pair in permutations(TYPES, 2) if holds(*pair) and holds(*reversed(pair))] == []


def test_three_types_meet_in_one_whatever_their_order():
    for kinds in product(TYPES[2:12] + TYPES[:1], repeat=3):
        ways = {join(join(a, b) or "binary", c) for a, b, c in permutations(kinds)}
        assert len(ways - {None}) <= 1, kinds


@pytest.mark.parametrize(
    ("one", "other", "wanted"),
    [
        ("timestamp", "int64", "string"), ("boolean", "int8", "string"), ("timestamp", "timestamptz", "string"),
        (STRUCT_A, "string", "string"), (STRUCT_A, "list<int64>", "json"), (STRUCT_A, "struct<a: boolean>", "json"),
        (STRUCT_A, "json", "json"), ("binary", "string", None), ("binary", STRUCT_A, None),
        (STRUCT_A, "struct<A: int64>", "json"),
    ],
)  # fmt: skip
def test_what_needs_a_decision_becomes_json_or_text_once_it_is_taken(one, other, wanted):
    assert (join(one, other), join(other, one)) == (None, None)
    assert least_holding(one, other) == least_holding(other, one) == wanted


AT = datetime(2026, 11, 22, 10, 30, 0, 4500, tzinfo=UTC)
VALUES = {
    "string": [(None, None), ("é,“", "é,“"), ("", "")],
    "boolean": [(True, "true"), (False, "false")],
    "int8": [(-128, "-128"), (127, "127")],
    "int16": [(-(2**15), "-32768"), (2**15 - 1, "32767")],
    "int32": [(-(2**31), "-2147483648"), (2**31 - 1, "2147483647")],
    "int64": [(-(2**63), "-9223372036854775808"), (2**63 - 1, "9223372036854775807")],
    "float32": [(0.5, "0.5"), (-16777216.0, "-16777216.0"), (16777215.0, "16777215.0")],
    "float64": [(0.1, "0.1"), (1e300, "1e+300"), (9007199254740991.0, "9007199254740991.0"), (5e-324, "5e-324")],
    LOW_DEC: [(Decimal("-99999999.99"), "-99999999.99"), (Decimal("0.10"), "0.10")],
    WIDE_DEC: [(Decimal("99999999.9999"), "99999999.9999")],
    TALL_DEC: [(Decimal(10**38 - 1), str(10**38 - 1))],
    "date": [(date(1, 1, 1), "0001-01-01"), (date(2026, 11, 22), "2026-11-22")],
    "timestamp": [
        (AT.replace(tzinfo=None), "2026-11-22T10:30:00.004500"),
        (datetime.combine(date(2026, 1, 2), datetime.min.time()), "2026-01-02T00:00:00"),
    ],
    "timestamptz": [(AT, "2026-11-22T10:30:00.004500Z")],
    "list<int32>": [([1, None], "[1,null]"), ([], "[]"), (None, None)],
    STRUCT_A: [({"a": 1}, '{"a":1}'), ({"a": None}, '{"a":null}'), (None, None)],
    STRUCT_AB: [({"a": 2**63 - 1, "b": 'x"y'}, '{"a":9223372036854775807,"b":"x\\"y"}')],
    LISTED: [([{"a": 1}, None], '[{"a":1},null]')],
}


def series(kind):
    return pl.Series("x", [value for value, _ in VALUES[kind]], dtype=parse_type(kind))


@pytest.mark.parametrize("kind", VALUES)
def test_every_value_has_one_text(kind):
    texts = series(kind).to_frame().select(x=text_of(pl.col("x"), kind))["x"].to_list()
    assert texts == [text for _, text in VALUES[kind]]


@pytest.mark.parametrize(("old", "new"), [(a, b) for a, b in product(VALUES, TYPES) if a != b and holds(b, a)])
def test_a_type_that_holds_another_keeps_every_value_of_it(old, new):
    before = series(old)
    after = before.to_frame().lazy().select(x=converted(pl.col("x"), old, new)).collect(engine="streaming")["x"]
    assert after.dtype == parse_type(new)
    if new in ("string", "json"):
        assert after.to_list() == [text for _, text in VALUES[old]]
    elif old in (STRUCT_A, LISTED):
        assert repr(after.to_list()) == repr(before.to_list()).replace("}", ", 'b': None}")
    elif (old, new) == ("date", "timestamp"):
        assert after.to_list() == [datetime.combine(day, datetime.min.time()) for day in before.to_list()]
    else:
        assert [None if v is None else v for v in after.to_list()] == before.to_list()


def test_types_are_compared_however_they_are_spelled():
    assert spelled("Decimal( 10, 2)") == "decimal(10,2)"
    assert join("INT32", "Int64") == "int64"
    assert join("list< struct<a:int64> >", "list<struct<a: int64>>") == LISTED
