"""What the columns of a table hold, held against plain Python over the same rows."""

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from statistics import fmean

import polars as pl
import pytest

from tests.workers.published import published
from workers.checks.statistics import BARS, table_statistics
from workers.lake.table import open_table

ROWS = 5_000


@pytest.fixture(scope="module")
def rows():
    start = datetime(2026, 1, 1, tzinfo=UTC)
    countries = ["DE", "FR", "DE", "IT", None]
    return [
        {
            "id": n,
            "country": countries[n % 5],
            "amount": Decimal(n * 7 % 1000) / 4,
            "share": None if n % 10 == 0 else n / ROWS,
            "day": date(2026, 1, 1) + timedelta(days=n % 30),
            "seen_at": start + timedelta(minutes=n * n % 100_000),
            "is_new": n % 4 == 0,
            "nothing": None,
            "tags": ["a"] * (n % 3),
        }
        for n in range(ROWS)
    ]


@pytest.fixture(scope="module")
def table(rows, tmp_path_factory):
    schema = {
        "id": pl.Int64,
        "country": pl.String,
        "amount": pl.Decimal(10, 2),
        "share": pl.Float64,
        "day": pl.Date,
        "seen_at": pl.Datetime("us", "UTC"),
        "is_new": pl.Boolean,
        "nothing": pl.String,
        "tags": pl.List(pl.String),
    }
    given = published(tmp_path_factory.mktemp("lake"), "silver.shop.orders", pl.DataFrame(rows, schema=schema))
    return open_table(given.uri)


@pytest.fixture(scope="module")
def told(table):
    found = table_statistics(table)
    assert (found["rows"], found["rows_looked_at"]) == (ROWS, ROWS)
    return {column["name"]: column for column in found["columns"]}


def _there(rows, name):
    return [row[name] for row in rows if row[name] is not None]


@pytest.mark.parametrize("name", ["id", "country", "amount", "share", "day", "seen_at", "is_new", "nothing", "tags"])
def test_nulls_are_counted_exactly(told, rows, name):
    nulls = sum(row[name] is None for row in rows)
    assert (told[name]["nulls"], told[name]["null_share"]) == (nulls, nulls / ROWS)


@pytest.mark.parametrize("name", ["id", "country", "amount", "share", "day", "seen_at"])
def test_distinct_values_are_counted_without_null(told, rows, name):
    assert told[name]["distinct"] == len(set(_there(rows, name)))


@pytest.mark.parametrize("name", ["id", "country", "amount", "share", "day", "seen_at"])
def test_bounds_are_those_of_the_values(told, rows, name):
    kind = {"id": int, "share": float}.get(name, str)
    shown = [value.isoformat() if isinstance(value, date) else value for value in _there(rows, name)]
    assert type(told[name]["min"]) is kind
    if name == "amount":
        assert (Decimal(told[name]["min"]), Decimal(told[name]["max"])) == (min(shown), max(shown))
    else:
        assert (told[name]["min"], told[name]["max"]) == (min(shown), max(shown))


@pytest.mark.parametrize("name", ["id", "amount", "share"])
def test_means_leave_nulls_out(told, rows, name):
    assert told[name]["mean"] == pytest.approx(fmean(float(value) for value in _there(rows, name)))


def test_the_most_frequent_values_are_counted_where_there_are_few(told, rows):
    expected = Counter(_there(rows, "country")).most_common()
    assert [(top["value"], top["count"]) for top in told["country"]["top"]] == expected
    assert {top["value"]: top["count"] for top in told["is_new"]["top"]} == Counter(_there(rows, "is_new"))
    assert told["id"]["top"] == []


@pytest.mark.parametrize("name", ["id", "share", "seen_at", "amount", "day"])
def test_bars_count_equal_intervals(told, rows, name):
    plain = {"seen_at": datetime.timestamp, "day": date.toordinal}.get(name, float)
    values = [plain(value) for value in _there(rows, name)]
    low, high = min(values), max(values)
    places = Counter(min(int((value - low) / (high - low) * BARS), BARS - 1) for value in values)
    # A value on the very edge may fall to either side.
    assert sum(told[name]["bars"]) == len(values)
    assert told[name]["bars"] == pytest.approx([places[place] for place in range(BARS)], abs=2)


def test_of_a_large_table_only_so_many_rows_are_read_and_the_rest_is_from_the_log(table, rows):
    found = table_statistics(table, max_rows=100)
    told = {column["name"]: column for column in found["columns"]}
    assert (found["rows"], found["rows_looked_at"]) == (ROWS, 100)
    assert (told["id"]["min"], told["id"]["max"]) == (0, ROWS - 1)
    assert told["country"]["nulls"] == ROWS / 5
    assert told["country"]["null_share"] == 0.2
    assert told["id"]["distinct"] == 100
    last = max(row["seen_at"] for row in rows)
    assert datetime.fromisoformat(told["seen_at"]["max"]) == last


def test_an_empty_table_has_figures_too(tmp_path):
    given = published(tmp_path, "silver.shop.none", pl.DataFrame(schema={"id": pl.Int64, "name": pl.String}))
    found = table_statistics(open_table(given.uri))
    assert found["rows"] == 0
    assert [(c["name"], c["nulls"], c["null_share"], c["distinct"], c["min"]) for c in found["columns"]] == [
        ("id", 0, 0.0, 0, None),
        ("name", 0, 0.0, 0, None),
    ]
