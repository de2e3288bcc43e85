import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.errors import InvalidSpec
from workers.schema import duckdb_type, parse_type, type_name

SIMPLE = st.sampled_from(
    ["string", "boolean", "int8", "int64", "float32", "decimal(10,2)", "date", "time", "timestamp", "timestamptz"]
)
TYPES = st.recursive(
    SIMPLE,
    lambda inner: st.one_of(
        inner.map(lambda name: f"list<{name}>"),
        st.tuples(inner, inner).map(lambda pair: f"struct<a: {pair[0]}, b: {pair[1]}>"),
    ),
    max_leaves=6,
)


@given(TYPES)
def test_a_written_type_reads_back_as_itself(name):
    assert type_name(parse_type(name)) == name


@pytest.mark.parametrize(
    "name", ["integer", "decimal(40,2)", "decimal(2,5)", "list<>", "struct<a>", "struct<: int64>", ""]
)
def test_an_unknown_type_is_refused(name):
    with pytest.raises(InvalidSpec):
        parse_type(name)


def test_duckdb_spells_nested_types_its_own_way():
    assert duckdb_type("list<struct<a: int64, b: decimal(9,2)>>") == 'STRUCT("a" BIGINT, "b" DECIMAL(9,2))[]'
