"""What the shop knows of its customers beside their orders: changes to their records, subscribers, help articles.

Plain Python with a seeded generator; the customers are those of the shop's files.
"""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from importlib import resources
from pathlib import Path

import yaml

from assay import demo

from .shop_files import COUNTRIES, DAYS, FIRST_DAY, SEED, SEGMENTS

CHANGES, SUBSCRIBERS_SHARE = 9_000, 0.4
LATE_SHARE, REPEATED_SHARE = 0.02, 0.01
COLUMNS = ["customer_id", "name", "email", "country", "segment", "status", "updated_at"]
STATUSES = {"active": 80, "paused": 13, "closed": 7}


def write_crm_files(folder: Path, shop: Path, seed: int = SEED) -> None:
    """Write the files below `folder`; `shop` is where the shop's files are. Existing ones are replaced."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = random.Random(seed)  # noqa: S311  (data to look at, no secrets)
    with (shop / "customers.csv").open(newline="") as file:
        customers = list(csv.DictReader(file))
    _write_changes(folder / "customer_changes.csv", customers, rng)
    _write_subscribers(folder / "subscribers.ndjson", customers, rng)
    _write_articles(folder / "help_articles.json")


def _write_changes(path: Path, customers: list[dict[str, str]], rng: random.Random) -> None:
    """The log that the customer system exports: in the order in which it heard of things, so some come late."""
    rows = [*_first_records(customers), *_changed_records(customers, rng)]
    rows.sort(key=lambda row: row["updated_at"])
    for position in rng.sample(range(len(rows)), int(len(rows) * LATE_SHARE)):
        later = min(position + rng.randrange(50, 2000), len(rows) - 1)
        rows.insert(later, rows.pop(position))
    rows += rng.sample(rows, int(len(rows) * REPEATED_SHARE))
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)


def _first_records(customers: list[dict[str, str]]) -> Iterator[dict[str, str]]:
    for customer in customers:
        told = {name: customer[name] for name in ("customer_id", "name", "email", "country", "segment")}
        yield {**told, "status": "active", "updated_at": f"{customer['signed_up_on']} 09:00:00"}


def _changed_records(customers: list[dict[str, str]], rng: random.Random) -> Iterator[dict[str, str]]:
    now = {customer["customer_id"]: next(_first_records([customer])) for customer in customers}
    moments = sorted(rng.random() * DAYS for _ in range(CHANGES))
    for moment in moments:
        record = now[rng.choice(customers)["customer_id"]]
        field, weights = rng.choice([("country", COUNTRIES), ("segment", SEGMENTS), ("status", STATUSES)])
        at = datetime.combine(FIRST_DAY, time()) + timedelta(days=moment)
        record = {**record, field: rng.choices(list(weights), list(weights.values()))[0]}
        record["updated_at"] = at.strftime("%Y-%m-%d %H:%M:%S")
        now[record["customer_id"]] = record
        yield record


def _write_subscribers(path: Path, customers: list[dict[str, str]], rng: random.Random) -> None:
    """The newsletter's list: it knows people by their mail, spells their names in its own way, and some by mistake."""
    chosen = rng.sample(customers, int(len(customers) * SUBSCRIBERS_SHARE))
    with path.open("w") as file:
        for number, customer in enumerate(chosen, start=1):
            moved = rng.random() < 0.06
            told = {
                "subscriber": number,
                "mail": customer["email"].upper() if number % 9 == 0 else customer["email"].lower(),
                "full_name": customer["name"].upper() if number % 11 == 0 else customer["name"],
                "land": rng.choice(list(COUNTRIES)) if moved else customer["country"],
                "seen_on": _some_day(rng).isoformat(),
            }
            file.write(json.dumps(told, ensure_ascii=False) + "\n")
        for number in range(1, 1500):
            told = {
                "subscriber": len(chosen) + number,
                "mail": f"reader{number}@example.net",
                "full_name": None,
                "land": rng.choices(list(COUNTRIES), list(COUNTRIES.values()))[0],
                "seen_on": _some_day(rng).isoformat(),
            }
            file.write(json.dumps(told, ensure_ascii=False) + "\n")


def _some_day(rng: random.Random) -> date:
    return FIRST_DAY + timedelta(days=rng.randrange(DAYS))


def _write_articles(path: Path) -> None:
    articles = yaml.safe_load(resources.files(demo).joinpath("help_articles.yaml").read_text())
    path.write_text(json.dumps({"articles": articles}, ensure_ascii=False, indent=1))
