"""Metrics over time: what the lines of a job's table are, how many points, and what is never summed."""

from __future__ import annotations

from collections import defaultdict
from datetime import date, timedelta

import pytest

from datasets.models import DatasetJob
from tests.datasets.metric_tables import ORDERS, publish_orders, run_job

GOLD = "/api/workflows/shop/gold-jobs/"
SERIES = f"{GOLD}daily/series/"
DAILY = {
    "name": "daily",
    "dataset_type": "metric_table",
    "inputs": [{"dataset": "silver.shop.orders", "alias": "orders"}],
    "transform_type": "metrics_aggregate",
    "config": {
        "base": "orders",
        "time_column": "ordered_on",
        "dimensions": ["country", "status"],
        "metrics": [
            {"name": "revenue", "expression": "sum(amount)"},
            {"name": "mean", "expression": "avg(amount)"},
            {"name": "orders", "expression": "count(*)"},
            {"name": "order_value", "numerator": "revenue", "denominator": "orders"},
        ],
    },
}
# A year of days in twelve countries: the first sells most.
MANY = [
    (date(2024, 1, 1) + timedelta(days=day), f"C{country:02}", "paid", float(100 - country))
    for day in range(366)
    for country in range(12)
]


@pytest.fixture
def publish(shop, api):
    """Publishes the rows as orders and runs the job over them; `changes` are of its config."""

    def run(rows=ORDERS, **changes) -> DatasetJob:
        publish_orders(rows)
        body = {**DAILY, "config": {**DAILY["config"], **changes}}
        answer = api.post(GOLD, body)
        assert answer.status_code == 201, answer.json()
        run_job()
        return DatasetJob.objects.get(name="daily")

    return run


def lines(answer) -> dict[str, dict[str, float]]:
    body = answer.json()
    assert answer.status_code == 200, body
    return {
        line["label"]: {p: v for p, v in zip(body["periods"], line["values"], strict=True) if v is not None}
        for line in body["series"]
    }


def by_hand(rows=ORDERS, key=lambda row: "") -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for row in rows:
        found[key(row)][row[0].isoformat()] += row[3]
    return {label: dict(line) for label, line in found.items()}


def test_an_additive_metric_is_summed_over_all_dimensions(publish, api):
    publish()
    answer = api.get(SERIES)
    assert lines(answer) == by_hand()
    told = answer.json()
    assert (told["metric"], told["additivity"], told["grain"], told["dimension"]) == ("revenue", "additive", "day", [])


def test_a_line_for_each_value_of_a_dimension_null_too(publish, api):
    publish()
    assert lines(api.get(f"{SERIES}?dimension=country")) == by_hand(key=lambda row: row[1] or "(none)")
    both = by_hand(key=lambda row: f"{row[1] or '(none)'} · {row[2]}")
    assert lines(api.get(f"{SERIES}?dimension=country,status")) == both


def test_a_range_takes_its_first_and_last_day(publish, api):
    publish()
    found = lines(api.get(f"{SERIES}?from=2024-01-02&to=2024-03-01"))
    assert sorted(found[""]) == ["2024-01-02", "2024-02-10", "2024-03-01"]


def test_a_metric_without_a_sum_is_shown_for_each_combination_only(publish, api):
    publish()
    found = lines(api.get(f"{SERIES}?metric=order_value"))
    means = defaultdict(list)
    for day, country, status, amount in ORDERS:
        means[f"{country or '(none)'} · {status}", day.isoformat()].append(amount)
    assert {(label, day): value for label, line in found.items() for day, value in line.items()} == {
        key: sum(amounts) / len(amounts) for key, amounts in means.items()
    }
    for dimension in ("", "country"):
        answer = api.get(f"{SERIES}?metric=mean&dimension={dimension}")
        assert answer.status_code == 400
        assert [(each["code"], each["attr"]) for each in answer.json()["errors"]] == [("not_additive", "dimension")]


def test_the_eight_largest_lines_are_shown_and_the_others_as_one(publish, api):
    publish(MANY, dimensions=["country"])
    answer = api.get(f"{SERIES}?dimension=country")
    found, told = lines(answer), answer.json()
    assert list(found) == [f"C{n:02}" for n in range(8)] + ["Others"]
    assert told["labels"] == [f"C{n:02}" for n in range(12)]
    assert found["Others"]["2024-05-01" if told["grain"] == "month" else "2024-05-06"] > 0
    # Nothing is lost: the lines add up to everything.
    assert sum(sum(line.values()) for line in found.values()) == sum(row[3] for row in MANY)


def test_too_many_points_are_added_up_to_longer_periods(publish, api):
    publish(MANY, dimensions=["country"])
    answer = api.get(f"{SERIES}?dimension=country")
    told = answer.json()
    assert (told["table_grain"], told["grain"], told["earlier_periods"]) == ("day", "week", 0)
    assert len(told["periods"]) * len(told["series"]) <= 2_000
    weekly = defaultdict(float)
    for day, country, _, amount in MANY:
        if country == "C03":
            weekly[(day - timedelta(days=day.weekday())).isoformat()] += amount
    assert lines(answer)["C03"] == weekly


def test_of_a_metric_without_a_sum_the_latest_periods_are_shown_and_no_others(publish, api):
    publish(MANY, dimensions=["country"])
    told = api.get(f"{SERIES}?metric=mean").json()
    assert (told["grain"], told["more_series"]) == ("day", 4)
    assert [line["is_others"] for line in told["series"]] == [False] * 8
    assert told["earlier_periods"] == 366 - 250
    assert told["periods"][-1] == "2024-12-31"
    chosen = api.get(f"{SERIES}?metric=mean&value=C11&value=C00").json()
    assert [line["label"] for line in chosen["series"]] == ["C00", "C11"]


def test_a_semi_additive_metric_is_summed_over_dimensions_but_never_over_time(publish, api):
    publish_orders(MANY)
    body = {
        "name": "stock",
        "dataset": "silver.shop.orders",
        "expression": "sum(amount)",
        "additivity": "semi_additive",
    }
    assert api.post("/api/metrics/", body).status_code == 201
    publish(MANY, dimensions=["country"], metrics=[{"metric": "stock"}])
    told = api.get(f"{SERIES}?dimension=country").json()
    assert (told["grain"], told["series"][-1]["is_others"], told["earlier_periods"]) == ("day", True, 366 - 222)
    per_day = sum(row[3] for row in MANY) / 366
    assert set(lines(api.get(SERIES))[""].values()) == {per_day}


@pytest.mark.parametrize(
    ("query", "refused"),
    [
        ("metric=profit", "metric"),
        ("dimension=city", "dimension"),
        ("from=yesterday", "from"),
        ("from=2024-02-01&to=2024-01-01", "to"),
        ("colour=red", "colour"),
    ],
)
def test_what_cannot_be_asked_is_told_at_its_parameter(publish, api, query, refused):
    publish()
    answer = api.get(f"{SERIES}?{query}")
    assert answer.status_code == 400
    assert [each["attr"] for each in answer.json()["errors"]] == [refused]


def test_before_the_first_run_there_is_nothing_to_draw(shop, api):
    publish_orders()
    api.post(GOLD, DAILY)
    answer = api.get(SERIES)
    assert answer.status_code == 409
    assert answer.json()["errors"][0]["code"] == "table_missing"


def test_a_job_without_metrics_has_no_series(shop, api):
    publish_orders()
    body = {**DAILY, "transform_type": "sql", "config": {}, "sql_text": "select country from orders"}
    assert api.post(GOLD, body).status_code == 201
    assert api.get(SERIES).status_code == 404


# --- windows, as whole runs ---------------------------------------------------------------


def test_a_run_of_some_days_makes_their_whole_weeks_anew_and_leaves_the_others(shop, api):
    publish_orders()
    body = {**DAILY, "config": {**DAILY["config"], "time_grain": "week", "week_start": "sunday", "dimensions": []}}
    body |= {"refresh_mode": "overwrite_partition", "partition_by": ["ordered_on"]}
    assert api.post(GOLD, body).status_code == 201
    run_job()
    # Late rows: one in a week that the run is about, on another of its days, and one in a week that it is not.
    late = [(date(2024, 3, 22), "DE", "paid", 100.0), (date(2024, 1, 3), "DE", "paid", 1000.0)]
    publish_orders(ORDERS + late)
    run = run_job(start_date=date(2024, 3, 19), end_date=date(2024, 3, 20))
    assert run.spec["window"] == {"start_date": "2024-03-17", "end_date": "2024-03-23"}
    found = lines(api.get(SERIES))[""]
    assert found["2024-03-17"] == 109.0
    assert found["2023-12-31"] == 22.0
    assert ":start_date" in api.get(f"{GOLD}daily/sql/").json()["sql"]
    run_job()
    assert lines(api.get(SERIES))[""]["2023-12-31"] == 1022.0


def test_a_week_whose_rows_are_gone_is_gone_after_a_run_of_its_days(shop, api):
    publish_orders()
    body = {**DAILY, "config": {**DAILY["config"], "time_grain": "month", "dimensions": []}}
    body |= {"refresh_mode": "overwrite_partition", "partition_by": ["ordered_on"]}
    assert api.post(GOLD, body).status_code == 201
    run_job()
    publish_orders([row for row in ORDERS if row[0].month != 2])
    run_job(start_date=date(2024, 2, 15), end_date=date(2024, 2, 16))
    assert sorted(lines(api.get(SERIES))[""]) == ["2024-01-01", "2024-03-01"]
