"""A shop's files, the same each time: orders with faulty rows, nested order lines, customers, products, payments.

Plain Python with a seeded generator; about four seconds for 200,000 orders.
Money is counted in cents.
"""

from __future__ import annotations

import csv
import io
import json
import random
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

SEED = 20261122
ORDERS, CUSTOMERS, PRODUCTS = 200_000, 20_000, 400
FIRST_DAY, DAYS = date(2025, 11, 1), 365
FAULTS_OF_EACH_KIND = 6

COUNTRIES = {"DE": 24, "FR": 17, "US": 16, "GB": 11, "IT": 9, "ES": 8, "NL": 6, "PL": 5, "SE": 3, "CH": 1}
SEGMENTS = {"consumer": 80, "business": 17, "education": 3}
STATUSES = {"delivered": 88, "shipped": 6, "cancelled": 4, "returned": 2}
METHODS = {"card": 61, "paypal": 24, "invoice": 12, "gift card": 3}
CHANNELS = {"web": 55, "app": 38, "phone": 7}
SHIPPING = {"standard": 70, "express": 22, "pickup": 8}
CATEGORIES = ["Books", "Garden", "Kitchen", "Music", "Office", "Sports", "Toys"]
ADJECTIVES = ["Quiet", "Bright", "Folding", "Solid", "Little", "Classic", "Nordic", "Handy"]
THINGS = ["Lamp", "Kettle", "Notebook", "Racket", "Chair", "Puzzle", "Speaker", "Planter", "Pan", "Atlas"]
FIRST_NAMES = ["Ada", "Ben", "Chiara", "Dmitri", "Elif", "Fatou", "Greta", "Hugo", "Inès", "Jonas", "Kaito", "Lucía"]
LAST_NAMES = ["Nowak", "Müller", "Rossi", "Dubois", "Smith", "García", "de Vries", "Lindqvist", "Okafor", "O’Brien"]
NOTES = [
    'Please ring at "Dubois, 2nd floor"',
    "Gift wrap,\nblue paper",
    "Leave it with the neighbour; thank you!",
]
ORDER_COLUMNS = ["order_id", "customer_id", "ordered_at", "status", "channel", "discount", "note"]


def _without(column: str) -> Callable[[list[str]], list[str]]:
    return lambda row: ["" if name == column else value for name, value in zip(ORDER_COLUMNS, row, strict=True)]


def _with(column: str, faulty: str) -> Callable[[list[str]], list[str]]:
    return lambda row: [faulty if name == column else value for name, value in zip(ORDER_COLUMNS, row, strict=True)]


# What goes wrong in real files, and what it makes of a row that was sound.
FAULTS: dict[str, Callable[[list[str]], list[str]]] = {
    "a day that no calendar has": _with("ordered_at", "2026-02-30 10:00:00"),
    "a date that is words": _with("ordered_at", "yesterday"),
    "letters in a number": _with("customer_id", "C-1042"),
    "a number that no column holds": _with("customer_id", "99999999999999999999"),
    "an amount in words": _with("discount", "ten percent"),
    "no customer": _without("customer_id"),
    "a field too many": lambda row: [*row, "??"],
    "fields that are missing": lambda row: row[:3],
}


@dataclass(frozen=True)
class ShopFiles:
    """What was written."""

    folder: Path
    orders: int  # rows of orders.csv, faulty ones included
    faulty: dict[int, str]  # record number (the header is 1) → what is wrong with the row


def write_shop_files(folder: Path, orders: int = ORDERS, seed: int = SEED) -> ShopFiles:
    """Write the files below `folder`; existing ones are replaced."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = random.Random(seed)  # noqa: S311  (data to look at, no secrets)
    prices = _write_products(folder / "products.json", rng)
    _write_customers(folder / "customers.csv", rng)
    faulty = _write_orders(folder / "orders.csv", orders, rng)
    _write_lines(folder / "order_lines.ndjson", orders, prices, rng)
    _write_payments(folder / "payments.sqlite", orders, rng)
    return ShopFiles(folder=folder, orders=orders, faulty=faulty)


def _pick(rng: random.Random, weights: dict[str, int], count: int) -> list[str]:
    return rng.choices(list(weights), weights=list(weights.values()), k=count)


def _money(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02d}"


def _write_products(path: Path, rng: random.Random) -> list[int]:
    """Returns each product's price in cents."""
    products, prices = [], []
    for number in range(1, PRODUCTS + 1):
        price = int(min(rng.lognormvariate(7.6, 0.8), 90_000)) + 99
        prices.append(price)
        products.append(
            {
                "product_id": number,
                "name": f"{rng.choice(ADJECTIVES)} {rng.choice(THINGS)} {number}",
                "category": rng.choice(CATEGORIES),
                "price": price / 100,
                "tags": sorted(rng.sample(["new", "sale", "eco", "import", "bestseller"], rng.randint(0, 2))),
            }
        )
    path.write_text(json.dumps({"generated_by": "the demo", "products": products}, indent=1))
    return prices


def _write_customers(path: Path, rng: random.Random) -> None:
    countries, segments = _pick(rng, COUNTRIES, CUSTOMERS), _pick(rng, SEGMENTS, CUSTOMERS)
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["customer_id", "name", "email", "country", "segment", "signed_up_on"])
        for number, (country, segment) in enumerate(zip(countries, segments, strict=True), start=1):
            name = f"{rng.choice(FIRST_NAMES)} {rng.choice(LAST_NAMES)}"
            signed_up = FIRST_DAY - timedelta(days=rng.randrange(1500))
            # As people type it: validated nowhere, in any case.
            email = f"{'Customer' if number % 7 == 0 else 'customer'}{number}@example.org"
            rows.writerow([number, name, email, country, segment, signed_up])


def _write_orders(path: Path, count: int, rng: random.Random) -> dict[int, str]:
    """Returns which records are faulty, and how."""
    kinds = [kind for kind in FAULTS for _ in range(FAULTS_OF_EACH_KIND)]
    # Never the first rows: whoever opens the file sees sound ones.
    spoilt = dict(zip(sorted(rng.sample(range(100, count), len(kinds))), rng.sample(kinds, len(kinds)), strict=True))
    text = io.StringIO(newline="")
    rows = csv.writer(text)
    rows.writerow(ORDER_COLUMNS)
    for position, row in enumerate(_orders(count, rng)):
        rows.writerow(FAULTS[spoilt[position]](row) if position in spoilt else row)
    path.write_text(text.getvalue(), newline="")
    return {position + 2: kind for position, kind in spoilt.items()}


def _orders(count: int, rng: random.Random) -> Iterator[list[str]]:
    """Day by day; more at weekends, in December, and from week to week."""
    days = [FIRST_DAY + timedelta(days=number) for number in range(DAYS)]
    weights = [
        (1 + number / DAYS) * (1.35 if day.weekday() >= 5 else 1) * (1.6 if day.month == 12 else 1)
        for number, day in enumerate(days)
    ]
    statuses, channels = _pick(rng, STATUSES, count), _pick(rng, CHANNELS, count)
    for position, number in enumerate(sorted(rng.choices(range(DAYS), weights=weights, k=count))):
        seconds = int(rng.random() * 86_400)
        time = f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
        chance = rng.random()
        discount = _money(int(chance * 10_000)) if chance < 0.15 else ""
        note = rng.choice(NOTES) if chance > 0.98 else ""
        customer = int(rng.random() ** 1.5 * CUSTOMERS) + 1
        ordered_at = f"{days[number].isoformat()} {time}"
        yield [str(position + 1), str(customer), ordered_at, statuses[position], channels[position], discount, note]


def _write_lines(path: Path, count: int, prices: list[int], rng: random.Random) -> None:
    """One document for each order, its lines nested in it."""
    numbers = rng.choices([1, 2, 3, 4], weights=[45, 30, 17, 8], k=count)
    products = iter(rng.choices(range(len(prices)), k=sum(numbers)))
    quantities = iter(rng.choices([1, 2, 3, 5], weights=[70, 20, 7, 3], k=sum(numbers)))
    shipping = _pick(rng, SHIPPING, count)
    text = [_money(price) for price in prices]
    with path.open("w") as file:
        for order, (lines, method) in enumerate(zip(numbers, shipping, strict=True), start=1):
            bought = ", ".join(
                f'{{"line": {line}, "product_id": {product + 1}, "quantity": {next(quantities)}, '
                f'"unit_price": {text[product]}}}'
                for line, product in enumerate((next(products) for _ in range(lines)), start=1)
            )
            file.write(f'{{"order_id": {order}, "shipping": {{"method": "{method}"}}, "lines": [{bought}]}}\n')


def _write_payments(path: Path, count: int, rng: random.Random) -> None:
    """A database as a payment service would keep it: one payment for each order, with the moment it last changed."""
    path.unlink(missing_ok=True)
    paid = zip(_pick(rng, METHODS, count), rng.choices(range(500, 90_000), k=count), strict=True)
    rows = (
        (number, number, method, _money(cents), f"{FIRST_DAY + timedelta(days=number * DAYS // (count + 1))} 12:00:00")
        for number, (method, cents) in enumerate(paid, 1)
    )
    with sqlite3.connect(path) as database:
        database.execute(
            "CREATE TABLE payments (payment_id INTEGER PRIMARY KEY, order_id INTEGER NOT NULL, method TEXT NOT NULL,"
            " amount DECIMAL(10, 2) NOT NULL, updated_at TIMESTAMP NOT NULL)"
        )
        database.executemany("INSERT INTO payments VALUES (?, ?, ?, ?, ?)", rows)
    database.close()
