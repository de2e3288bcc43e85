"""The files that the demo is made of."""

import csv
import itertools
import json
import re
from collections import Counter
from datetime import datetime
from decimal import Decimal, InvalidOperation

import pytest

from assay.demo.crm_files import COLUMNS, write_crm_files
from assay.demo.flights_files import FILES, copy_flights_files
from assay.demo.shop_files import FAULTS, FAULTS_OF_EACH_KIND, ORDER_COLUMNS, write_shop_files

ORDERS = 5_000


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    return write_shop_files(tmp_path_factory.mktemp("shop"), orders=ORDERS)


def test_the_same_seed_writes_the_same_bytes(shop, tmp_path):
    again = write_shop_files(tmp_path / "shop", orders=ORDERS)
    assert again.faulty == shop.faulty
    for path in shop.folder.iterdir():
        assert (again.folder / path.name).read_bytes() == path.read_bytes()


def test_another_seed_writes_other_orders(shop, tmp_path):
    write_shop_files(tmp_path / "shop", orders=ORDERS, seed=1)
    assert (tmp_path / "shop" / "orders.csv").read_bytes() != (shop.folder / "orders.csv").read_bytes()


def test_exactly_the_rows_that_are_said_to_be_faulty_are(shop):
    found = {number for number, row in records(shop) if not is_sound(row)}
    assert found == set(shop.faulty)
    assert Counter(shop.faulty.values()) == dict.fromkeys(FAULTS, FAULTS_OF_EACH_KIND)


def records(shop):
    """Rows with their record numbers; the header is record 1."""
    with (shop.folder / "orders.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert len(rows) == ORDERS + 1
    return list(enumerate(rows[1:], start=2))


def is_sound(row):
    """Judged by the job's declared schema, not by how the file was made."""
    if len(row) != len(ORDER_COLUMNS):
        return False
    order = dict(zip(ORDER_COLUMNS, row, strict=True))
    try:
        datetime.fromisoformat(order["ordered_at"])
        if order["discount"]:
            Decimal(order["discount"])
    except (ValueError, InvalidOperation):
        return False
    return all(re.fullmatch(r"\d{1,18}", order[name]) for name in ("order_id", "customer_id"))


def test_some_notes_hold_quotes_commas_and_line_ends(shop):
    notes = "".join(row[-1] for _, row in records(shop) if len(row) == len(ORDER_COLUMNS))
    assert all(character in notes for character in '",\n')


def test_every_order_has_its_lines_and_every_line_a_product(shop):
    products = {p["product_id"] for p in json.loads((shop.folder / "products.json").read_text())["products"]}
    with (shop.folder / "order_lines.ndjson").open() as file:
        documents = [json.loads(line) for line in file]
    assert [document["order_id"] for document in documents] == list(range(1, ORDERS + 1))
    for document in documents:
        assert [line["line"] for line in document["lines"]] == list(range(1, len(document["lines"]) + 1))
        assert {line["product_id"] for line in document["lines"]} <= products


def test_the_flights_are_copied_as_the_package_has_them(tmp_path):
    folder = tmp_path / "flights"
    copy_flights_files(folder)
    copy_flights_files(folder)
    assert {path.name for path in folder.iterdir()} == set(FILES)
    assert (folder / "airlines.csv").read_text().startswith("carrier,name\n9E,Endeavor Air Inc.")


@pytest.fixture(scope="module")
def crm(shop, tmp_path_factory):
    folder = tmp_path_factory.mktemp("customers")
    write_crm_files(folder, shop.folder)
    return folder


def test_the_customers_files_are_the_same_each_time(shop, crm, tmp_path):
    write_crm_files(tmp_path, shop.folder)
    for path in crm.iterdir():
        assert (tmp_path / path.name).read_bytes() == path.read_bytes()


def test_changes_of_customers_come_late_and_twice_and_each_begins_with_a_sign_up(crm):
    with (crm / "customer_changes.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    moments = [row["updated_at"] for row in rows]
    assert list(rows[0]) == COLUMNS
    assert sum(later < earlier for earlier, later in itertools.pairwise(moments)) > 100
    assert len({tuple(row.values()) for row in rows}) < len(rows)
    first = {}
    for row in sorted(rows, key=lambda row: row["updated_at"]):
        first.setdefault(row["customer_id"], row)
    assert {row["status"] for row in first.values()} == {"active"}


def test_every_help_article_has_a_text_of_its_own(crm):
    articles = json.loads((crm / "help_articles.json").read_text())["articles"]
    assert len(articles) >= 25
    assert (
        len({article["id"] for article in articles}) == len({article["text"] for article in articles}) == len(articles)
    )
