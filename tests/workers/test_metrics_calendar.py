"""Periods in a time zone, weeks that begin on other days, ratios, and windows: held against Python's own calendar."""

from __future__ import annotations

import random
from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import polars as pl
import pytest

from workers.engines.base import Limits, engine_named
from workers.engines.sql import check_sql
from workers.engines.statement import Parameters
from workers.errors import InvalidConfig
from workers.executors.metrics.periods import last_day, whole_periods
from workers.executors.metrics.run import to_sql
from workers.ids import new_run_id
from workers.lake.publish import publish
from workers.lake.stage import Staging
from workers.lake.table import open_table
from workers.schema import columns_of
from workers.specs import TableTarget, Window

ALWAYS = Window()
ZONES = ["UTC", "Europe/Berlin", "Asia/Kolkata", "America/New_York", "Australia/Adelaide"]
PICK = random.Random(11)
# Around both nights on which clocks in Europe change, both in America, and around the ends of two years.
MOMENTS = ["2024-03-31T00:00", "2024-10-27T00:00", "2024-03-10T06:00", "2024-11-03T05:00", "2023-12-31T22:00"]
ROWS = [
    (
        datetime.fromisoformat(PICK.choice(MOMENTS)).replace(tzinfo=UTC)
        + timedelta(minutes=PICK.randrange(-3000, 3000)),
        PICK.choice(["DE", "IN", None]),
        PICK.randrange(1, 9),
        PICK.choice([None, 0, 1, 2]),
    )
    for _ in range(400)
] + [(None, "DE", 5, 1)]
SALES = pl.DataFrame(
    ROWS,
    schema={"at": pl.Datetime("us", "UTC"), "country": pl.String, "buyer": pl.Int64, "units": pl.Int32},
    orient="row",
).with_columns(clock=pl.col("at").dt.replace_time_zone(None), day=pl.col("at").dt.date())
INPUTS = {"sales": columns_of(SALES.schema)}
CONFIG = {
    "base": "sales",
    "time_column": "at",
    "time_grain": "day",
    "metrics": [
        {"name": "sales", "expression": "count(*)"},
        {"name": "units", "expression": "sum(units)"},
        {"name": "buyers", "expression": "count(distinct buyer)"},
        {"name": "large", "expression": "count(*)", "filter": "units > 1"},
        {"name": "per_buyer", "numerator": "units", "denominator": "buyers"},
        {"name": "per_large", "numerator": "sales", "denominator": "large"},
    ],
}


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    target = TableTarget(dataset="silver.shop.sales", uri=str(tmp_path_factory.mktemp("sales")))
    run_id = str(new_run_id())
    with Staging(target, run_id) as staging:
        staging.sink(SALES.lazy())
        publish(target, staging.files, run_id=run_id, mode="overwrite", columns=columns_of(SALES.schema))
    return open_table(target.uri)


@pytest.fixture(params=["polars", "duckdb"])
def result(request, table):
    def run(config, window=ALWAYS) -> set[tuple]:
        sides = [name for name in ("start_date", "end_date") if getattr(window, name)]
        dates = {name: date.fromisoformat(getattr(window, name)) for name in sides}
        checked = check_sql(to_sql(config, INPUTS, sides), INPUTS, request.param, parameters=Parameters(**dates))
        return set(engine_named(request.param).first_rows(checked, {"sales": table}, 1_000_000, Limits()).rows())

    return run


def start_of(at: datetime | None, grain: str, zone: str = "UTC", week_start: str = "monday"):
    """The period's first day on the zone's calendar; for hours the instant at which the hour began."""
    if at is None:
        return None
    clock = at.astimezone(ZoneInfo(zone))
    if grain == "hour":
        return at - timedelta(minutes=clock.minute, seconds=clock.second)
    day = clock.date()
    if grain == "week":
        while day.strftime("%A").lower() != week_start:
            day -= timedelta(days=1)
    return {"month": day.replace(day=1), "year": day.replace(month=1, day=1)}.get(grain, day)


def metrics(rows) -> tuple:
    units = [units for *_, units in rows if units is not None]
    buyers, large = len({buyer for _, _, buyer, _ in rows}), sum(1 for each in units if each > 1)
    total = sum(units) if units else None
    per_buyer = None if total is None else total / buyers
    return (len(rows), total, buyers, large, per_buyer, len(rows) / large if large else None)


def expected(grain: str, zone: str = "UTC", week_start: str = "monday", by_country: bool = False) -> set[tuple]:
    groups = defaultdict(list)
    for row in ROWS:
        key = (start_of(row[0], grain, zone, week_start), *([row[1]] if by_country else []))
        groups[key].append(row)
    return {(*key, *metrics(rows)) for key, rows in groups.items()}


@pytest.mark.parametrize("grain", ["hour", "day", "week", "month"])
@pytest.mark.parametrize("zone", ZONES)
def test_periods_are_those_of_the_zones_own_clocks(result, zone, grain):
    assert result(CONFIG | {"time_zone": zone, "time_grain": grain}) == expected(grain, zone)


@pytest.mark.parametrize(("day", "hours"), [("2024-03-31", 23), ("2024-10-27", 25), ("2024-06-01", 24)])
def test_a_day_on_which_clocks_change_has_23_or_25_hours(tmp_path, table, day, hours):
    """A row for each half hour of UTC around the day; on the day itself there are as many hours as its clocks show."""
    first = datetime.fromisoformat(f"{day}T00:00+00:00") - timedelta(hours=6)
    rows = pl.DataFrame({"at": [first + timedelta(minutes=30 * n) for n in range(96)]})
    inputs = {"rows": columns_of(rows.schema)}
    count = {"base": "rows", "time_column": "at", "metrics": [{"name": "n", "expression": "count(*)"}]}
    berlin = count | {"time_zone": "Europe/Berlin"}
    for grain, wanted in (("day", {hours * 2}), ("hour", {2})):
        text = check_sql(to_sql(berlin | {"time_grain": grain}, inputs), inputs, "polars").statement
        found = pl.SQLContext({"rows": rows.lazy()}).execute(text).collect()
        clock = found["at"] if grain == "day" else found["at"].dt.convert_time_zone("Europe/Berlin").dt.date()
        on_the_day = found.filter(clock == date.fromisoformat(day))
        assert set(on_the_day["n"]) == wanted
        assert len(on_the_day) == (hours if grain == "hour" else 1)


@pytest.mark.parametrize("week_start", ["monday", "sunday", "saturday"])
@pytest.mark.parametrize("time_column", ["at", "clock", "day"])
def test_weeks_begin_on_the_day_that_is_asked_for(result, time_column, week_start):
    config = CONFIG | {"time_column": time_column, "time_grain": "week", "week_start": week_start}
    assert result(config) == expected("week", week_start=week_start)


def test_dimensions_keep_their_null_and_their_zone(result):
    config = CONFIG | {"dimensions": ["country"], "time_zone": "Asia/Kolkata"}
    assert result(config) == expected("day", "Asia/Kolkata", by_country=True)


# --- gaps -------------------------------------------------------------------------------


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Kolkata"])
def test_every_hour_is_there_once_also_in_the_night_on_which_clocks_go_back(result, zone):
    config = CONFIG | {"time_grain": "hour", "time_zone": zone, "fill_gaps": True}
    found = [row[0] for row in result(config) if row[0] is not None]
    first, last = (start_of(end(row[0] for row in ROWS if row[0]), "hour", zone) for end in (min, max))
    assert sorted(found) == [first + timedelta(hours=n) for n in range(int((last - first) / timedelta(hours=1)) + 1)]


@pytest.mark.parametrize("week_start", ["sunday", "saturday"])
def test_weeks_are_filled_from_their_own_first_day(result, week_start):
    config = CONFIG | {"time_grain": "week", "week_start": week_start, "time_zone": "Europe/Berlin", "fill_gaps": True}
    rows = {row[0]: row[1:] for row in result(config) if row[0] is not None}
    first, last = min(rows), max(rows)
    assert sorted(rows) == [first + timedelta(days=7 * n) for n in range((last - first).days // 7 + 1)]
    assert {first.strftime("%A").lower()} == {week_start}
    # Counts and sums are 0 where nothing happened, ratios have no value.
    assert (0, 0, 0, 0, None, None) in rows.values()


# --- windows ----------------------------------------------------------------------------


@pytest.mark.parametrize("fill_gaps", [False, True])
@pytest.mark.parametrize(
    ("grain", "week_start"), [("hour", "monday"), ("day", "monday"), ("week", "sunday"), ("month", "monday")]
)
def test_a_window_makes_exactly_the_rows_that_a_full_run_makes_for_its_periods(result, grain, week_start, fill_gaps):
    config = CONFIG | {
        "time_grain": grain, "week_start": week_start, "time_zone": "Europe/Berlin", "dimensions": ["country"],
        "fill_gaps": fill_gaps,
    }  # fmt: skip
    window = whole_periods(Window(start_date="2024-03-09", end_date="2024-03-30"), grain, week_start)
    first, last = date.fromisoformat(window.start_date), date.fromisoformat(window.end_date)

    def inside(start) -> bool:
        day = start.astimezone(ZoneInfo("Europe/Berlin")).date() if isinstance(start, datetime) else start
        return day is not None and first <= day <= last

    wanted = {row for row in result(config) if inside(row[0])}
    assert wanted
    assert result(config, window) == wanted


@pytest.mark.parametrize(
    ("grain", "week_start", "first", "last"),
    [
        ("day", "monday", "2024-02-28", "2024-03-05"),
        ("week", "monday", "2024-02-26", "2024-03-10"),
        ("week", "sunday", "2024-02-25", "2024-03-09"),
        ("week", "saturday", "2024-02-24", "2024-03-08"),
        ("month", "monday", "2024-02-01", "2024-03-31"),
        ("quarter", "monday", "2024-01-01", "2024-03-31"),
        ("year", "monday", "2024-01-01", "2024-12-31"),
    ],
)
def test_a_window_grows_to_whole_periods(grain, week_start, first, last):
    window = whole_periods(Window(start_date="2024-02-28", end_date="2024-03-05"), grain, week_start)
    assert (window.start_date, window.end_date) == (first, last)


def test_the_last_day_of_every_month_and_quarter_is_found():
    for year in (2023, 2024):
        for month in range(1, 13):
            day = date(year, month, 17)
            after = date(year + month // 12, month % 12 + 1, 1)
            assert last_day(day, "month") == after - timedelta(days=1)
            assert last_day(day, "quarter").month % 3 == 0
            assert (last_day(day, "quarter") + timedelta(days=1)).day == 1


def test_an_open_window_stays_open():
    assert whole_periods(Window(start_date="2024-02-28"), "month") == Window(start_date="2024-02-01")


def test_the_sql_names_the_days_of_the_run():
    text = to_sql(CONFIG, INPUTS, ("start_date", "end_date"))
    assert ":start_date" in text
    assert ":end_date" in text
    assert ":start_date" not in to_sql(CONFIG, INPUTS)


# --- what is refused --------------------------------------------------------------------


def faults(**changes) -> dict[str, str]:
    with pytest.raises(InvalidConfig) as refusal:
        to_sql(CONFIG | changes, INPUTS)
    return {each["field"]: f"{each['message']} {each['hint']}" for each in refusal.value.facts["problems"]}


@pytest.mark.parametrize("zone", ["Berlin", "CET", "Europe/Atlantis", "posix/Europe/Berlin", "x' OR 1=1", "../etc", 5])
def test_what_is_no_zone_of_every_engine_is_refused(zone):
    assert "IANA" in faults(time_zone=zone)["config.time_zone"]


@pytest.mark.parametrize("time_column", ["clock", "day"])
def test_a_time_without_a_zone_cannot_be_moved_to_one(time_column):
    assert "no zone" in faults(time_column=time_column, time_zone="Europe/Berlin")["config.time_zone"]


def test_a_week_begins_on_one_of_three_days():
    assert "monday, sunday, saturday" in faults(week_start="friday")["config.week_start"]


def test_hours_are_not_filled_where_clocks_shift_by_half_an_hour():
    config = {"time_zone": "Australia/Lord_Howe", "time_grain": "hour", "fill_gaps": True}
    assert "parts of an hour" in faults(**config)["config.fill_gaps"]


@pytest.mark.parametrize(
    ("metric", "field", "words"),
    [
        ({"name": "r", "numerator": "units"}, "denominator", "no measure"),
        ({"name": "r", "numerator": "units", "denominator": "boxes"}, "denominator", "no measure “boxes”"),
        ({"name": "r", "numerator": "per_buyer", "denominator": "units"}, "numerator", "no measure “per_buyer”"),
        ({"name": "r", "numerator": "r", "denominator": "units"}, "numerator", "no measure “r”"),
        ({"name": "r", "numerator": "units", "denominator": "buyers", "filter": "units > 1"}, "filter", "no option"),
        ({"name": "r", "expression": "x", "numerator": "units", "denominator": "buyers"}, "expression", "no option"),
        ({"name": "r", "expression": "count(:start_date)"}, "expression", "no parameter"),
        ({"name": "r", "expression": "count(*)", "filter": ":start_date > '2026-01-01'"}, "filter", "no parameter"),
    ],
)  # fmt: skip
def test_a_ratio_is_made_of_two_measures_of_the_list(metric, field, words):
    assert words in faults(metrics=[*CONFIG["metrics"], metric])[f"config.metrics.6.{field}"]
