"""The demo, run as people run it; its numbers against figures computed without Assay, from the same files."""

import csv
import hashlib
import io
import json
import os
import sqlite3
import subprocess
import sys
import zipfile
from collections import defaultdict
from datetime import datetime, time, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from deltalake import DeltaTable

from assay.demo.shop_files import FAULTS, FAULTS_OF_EACH_KIND, ORDER_COLUMNS, ORDERS, write_shop_files

ROOT = Path(__file__).resolve().parents[2]


def run_demo(home):
    environment = {**os.environ, "ASSAY_HOME": str(home), "ASSAY_BROKER_URL": "", "DATABASE_URL": ""}
    command = [sys.executable, "manage.py", "demo", "--no-serve"]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """The home that one demo has left."""
    folder = tmp_path_factory.mktemp("demo") / "home"
    done = run_demo(folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def rows(home, name):
    """A table as any Delta reader sees it."""
    return DeltaTable(home / "lake" / name.replace(".", "/")).to_pyarrow_table().to_pylist()


# --- shop ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def orders(home):
    """The sound rows of orders.csv by their id."""
    with (home / "inbox/shop/orders.csv").open(newline="") as file:
        found = [row for row in list(csv.reader(file))[1:] if is_sound(row)]
    return {int(row[0]): dict(zip(ORDER_COLUMNS, row, strict=True)) for row in found}


def is_sound(row):
    if len(row) != len(ORDER_COLUMNS):
        return False
    _, customer, ordered_at, _, _, discount, _ = row
    try:
        datetime.fromisoformat(ordered_at)
        Decimal(discount or "0")
    except (ValueError, ArithmeticError):
        return False
    return customer.isdigit() and int(customer) < 2**63


@pytest.fixture(scope="module")
def countries(home):
    with (home / "inbox/shop/customers.csv").open(newline="") as file:
        return {int(row["customer_id"]): row["country"] for row in csv.DictReader(file)}


@pytest.fixture(scope="module")
def lines(home, orders):
    """(order, amount, quantity) of every line whose order is sound."""
    found = []
    with (home / "inbox/shop/order_lines.ndjson").open() as file:
        for document in map(json.loads, file):
            if order := orders.get(document["order_id"]):
                for line in document["lines"]:
                    amount = Decimal(str(line["unit_price"])) * line["quantity"]
                    found.append((order, amount, line["quantity"]))
    return found


def test_every_faulty_order_is_set_aside_with_its_line_and_its_reason(home, tmp_path):
    import pyarrow.dataset as arrow

    aside = arrow.dataset(home / "lake/quarantine/shop/orders").to_table().to_pylist()
    made = write_shop_files(tmp_path / "shop")
    assert {row["_line"] for row in aside} == set(made.faulty)
    assert len(aside) == len(made.faulty) == len(FAULTS) * FAULTS_OF_EACH_KIND
    assert all(row["_reason"] and row["_raw"] for row in aside)


def test_no_order_is_lost(home, orders):
    found = rows(home, "bronze.shop.orders")
    assert {row["order_id"] for row in found} == set(orders)
    assert len(found) == len(orders) == ORDERS - len(FAULTS) * FAULTS_OF_EACH_KIND


def test_daily_revenue_by_country_is_right(home, lines, countries):
    revenue, units, ids = defaultdict(Decimal), defaultdict(int), defaultdict(set)
    for order, amount, quantity in lines:
        day = datetime.fromisoformat(order["ordered_at"]).date()
        key = (day, countries[int(order["customer_id"])])
        revenue[key] += amount if order["status"] != "cancelled" else 0
        units[key] += quantity if order["status"] != "cancelled" else 0
        ids[key, order["status"] == "cancelled"].add(order["order_id"])
    found = rows(home, "gold.shop.daily_revenue_by_country")
    assert len(found) == len(revenue)
    for row in found:
        key = (row["order_date"], row["country"])
        assert (row["revenue"] or 0, row["units"] or 0) == (revenue[key], units[key]), key
        assert (row["orders"], row["cancelled_orders"]) == (len(ids[key, False]), len(ids[key, True])), key
        orders = len(ids[key, False])
        assert row["order_value"] == (pytest.approx(float(revenue[key] / orders)) if orders else None), key


def test_every_payment_of_the_database_is_there_to_the_cent(home):
    with sqlite3.connect(home / "inbox/shop/payments.sqlite") as database:
        kept = database.execute("SELECT payment_id, amount FROM payments").fetchall()
    found = {row["payment_id"]: row["amount"] for row in rows(home, "bronze.shop.payments")}
    assert found == {number: Decimal(str(amount)).quantize(Decimal("0.01")) for number, amount in kept}


def test_what_a_customer_is_worth_is_right(home, lines):
    amounts, discounts = defaultdict(Decimal), defaultdict(dict)
    for order, amount, _ in lines:
        if order["status"] != "cancelled":
            customer = int(order["customer_id"])
            amounts[customer] += amount
            discounts[customer][order["order_id"]] = Decimal(order["discount"] or 0)
    found = {row["customer_id"]: row for row in rows(home, "gold.shop.customer_value")}
    assert found.keys() == amounts.keys()
    for customer, row in found.items():
        assert row["revenue"] == amounts[customer] - sum(discounts[customer].values()), customer
        assert row["orders"] == len(discounts[customer])


# --- flights -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def flights(home):
    with zipfile.ZipFile(home / "inbox/flights/flights.csv.zip") as archive, archive.open("flights.csv") as file:
        return list(csv.DictReader(io.TextIOWrapper(file, "utf-8")))


def mean(values):
    return sum(values) / len(values) if values else None


def test_every_flight_is_there_once_and_na_is_no_value(home, flights):
    assert len(flights) == 336_776
    table = DeltaTable(home / "lake/silver/flights/flights_fact").to_pyarrow_table(
        columns=["arr_delay", "is_cancelled"]
    )
    assert table.num_rows == len(flights)
    assert table["arr_delay"].null_count == sum(flight["arr_delay"] == "NA" for flight in flights) == 9_430
    assert sum(table["is_cancelled"].to_pylist()) == sum(flight["dep_time"] == "NA" for flight in flights) == 8_255


def test_delay_by_carrier_and_month_is_right(home, flights):
    groups = defaultdict(list)
    for flight in flights:
        groups[int(flight["month"]), flight["carrier"]].append(flight)
    found = rows(home, "gold.flights.delay_by_carrier_month")
    assert len(found) == len(groups)
    for row in found:
        group = groups[row["flight_date"].month, row["carrier"]]
        delays = [int(flight["arr_delay"]) for flight in group if flight["arr_delay"] != "NA"]
        departures = [int(flight["dep_delay"]) for flight in group if flight["dep_delay"] != "NA"]
        assert (row["flights"], row["over_15_minutes_late"]) == (len(group), sum(delay > 15 for delay in delays))
        assert row["cancelled"] == sum(flight["dep_time"] == "NA" for flight in group)
        assert row["avg_arr_delay"] == pytest.approx(mean(delays))
        assert row["avg_dep_delay"] == pytest.approx(mean(departures))


def test_delay_by_route_is_right(home, flights):
    groups = defaultdict(list)
    for flight in flights:
        groups[flight["origin"], flight["dest"]].append(flight["arr_delay"])
    found = {(row["origin"], row["dest"]): row for row in rows(home, "gold.flights.delay_by_route")}
    assert found.keys() == groups.keys()
    for route, row in found.items():
        delays = [int(delay) for delay in groups[route] if delay != "NA"]
        assert (row["flights"], row["arrived"]) == (len(groups[route]), len(delays))
        assert row["avg_arr_delay"] == (pytest.approx(mean(delays)) if delays else None)
        assert row["worst_arr_delay"] == (max(delays) if delays else None)


# --- customers -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def versions(home):
    """By customer the records that differ from those before them, as (from, to, values), made from the log."""
    told = defaultdict(dict)
    with (home / "inbox/customers/customer_changes.csv").open(newline="") as file:
        for row in list(csv.reader(file))[1:]:
            customer, *values, moment = row
            told[int(customer)][datetime.fromisoformat(moment)] = tuple(values)
    found = {}
    for customer, records in told.items():
        moments = sorted(records)
        starts = [
            at for before, at in zip([None, *moments], moments, strict=False) if records.get(before) != records[at]
        ]
        found[customer] = [(at, to, records[at]) for at, to in zip(starts, [*starts[1:], None], strict=True)]
    return found


def test_the_history_of_customers_is_right_although_changes_came_late_and_twice(home, versions):
    names = ("name", "email", "country", "segment", "status")
    found = defaultdict(list)
    for row in rows(home, "silver.customers.customer_dim"):
        found[row["customer_id"]].append((row["effective_from"], row["effective_to"], tuple(row[n] for n in names)))
        assert row["is_current"] == (row["effective_to"] is None)
    assert {customer: sorted(records, key=lambda record: record[0]) for customer, records in found.items()} == versions


def test_people_are_those_of_both_systems_and_the_customer_system_wins(home, versions):
    expected = {}
    with (home / "inbox/customers/subscribers.ndjson").open() as file:
        for person in map(json.loads, file):
            expected[person["mail"].lower()] = ("newsletter", person["full_name"], person["land"])
    for records in versions.values():
        name, email, country, *_ = records[-1][2]
        expected[email.lower()] = ("crm", name, country)
    found = rows(home, "silver.customers.people")
    assert {row["email"]: (row["source_system"], row["name"], row["country"]) for row in found} == expected
    assert len(found) == len(expected)


def test_the_snapshot_of_each_day_is_what_was_true_when_it_ended(home, versions):
    found = defaultdict(dict)
    for row in rows(home, "gold.customers.customer_status_daily"):
        found[row["snapshot_date"]][row["customer_id"]] = row["status"]
    assert len(found) == 14
    for day, statuses in found.items():
        end = datetime.combine(day, time()) + timedelta(days=1)
        expected = {
            customer: values[4]
            for customer, records in versions.items()
            for start, to, values in records
            if start < end and (to is None or to >= end)
        }
        assert statuses == expected


def test_the_churn_training_set_knows_what_was_known_and_is_labelled_by_what_came(home, orders, versions):
    ordered = defaultdict(list)
    for order in orders.values():
        if order["status"] != "cancelled":
            ordered[int(order["customer_id"])].append(datetime.fromisoformat(order["ordered_at"]))
    found = [row for row in rows(home, "gold.customers.churn_training_set") if row["customer_id"] % 50 == 0]
    assert len(found) > 1000
    for row in found:
        as_of = datetime.combine(row["as_of"], time())
        moments = ordered[row["customer_id"]]
        past = [moment for moment in moments if moment <= as_of]
        is_fresh = past and as_of - max(past) <= timedelta(days=180)
        status = next((v[4] for at, to, v in reversed(versions[row["customer_id"]]) if at <= as_of), None)
        assert row["label"] == (not any(as_of < moment <= as_of + timedelta(days=60) for moment in moments))
        assert row["orders_so_far"] == (len(past) if is_fresh else None)
        assert row["status"] == status


def test_the_feed_holds_the_people_and_its_manifest_their_checksum(home):
    (manifest,) = (home / "lake/feeds/customers").glob("*.manifest.json")
    (told,) = json.loads(manifest.read_text())["files"]
    content = (manifest.parent / told["name"]).read_bytes()
    assert hashlib.sha256(content).hexdigest() == told["sha256"]
    delivered = {row["email"] for row in csv.DictReader(io.StringIO(content.decode()))}
    assert delivered == {row["email"] for row in rows(home, "silver.customers.people")}


def test_every_article_of_the_help_centre_is_in_the_index(home):
    texts = {
        a["id"]: a["text"] for a in json.loads((home / "inbox/customers/help_articles.json").read_text())["articles"]
    }
    found = defaultdict(list)
    for row in rows(home, "gold.customers.help_search"):
        found[row["document_id"]].append(row["text"])
        assert row["text"] in texts[row["document_id"]]
    assert found.keys() == texts.keys()
    assert max(map(len, found.values())) > 1


# --- the command ---------------------------------------------------------------------


def test_a_second_demo_works_on_what_the_first_left(home):
    login, gold = (home / "demo-login").read_text(), rows(home, "gold.shop.daily_revenue_by_country")
    version = DeltaTable(home / "lake/gold/shop/daily_revenue_by_country").version()
    done = run_demo(home)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (home / "demo-login").read_text() == login
    by_key = lambda row: (row["order_date"], row["country"])  # noqa: E731
    again = rows(home, "gold.shop.daily_revenue_by_country")
    assert sorted(again, key=by_key) == sorted(gold, key=by_key)
    assert DeltaTable(home / "lake/gold/shop/daily_revenue_by_country").version() > version


def test_the_log_in_is_its_owners_alone(home):
    assert (home / "demo-login").stat().st_mode & 0o777 == 0o600


@pytest.mark.django_db
def test_the_log_in_lets_one_in_and_stays(client, settings):
    from assay.demo.login import ensure_login, read_login

    assert read_login(settings.ASSAY_HOME) is None
    login = ensure_login(settings.ASSAY_HOME)
    assert ensure_login(settings.ASSAY_HOME) == login == read_login(settings.ASSAY_HOME)
    assert client.login(username=login.username, password=login.password)
    assert login.password in str(login)
