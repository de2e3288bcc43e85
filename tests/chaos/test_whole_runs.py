"""A workflow of 32 real jobs ends in success, with every table exactly right, whatever is killed or lost on the way."""

import random
import time
from collections import Counter
from dataclasses import dataclass

import polars as pl
import pytest
from deltalake import DeltaTable
from installation import Installation

pytestmark = pytest.mark.chaos

SOURCES = [f"source{number}" for number in range(12)]
FACTS = {f"fact{number}": [SOURCES[number], SOURCES[(number + 1) % 12]] for number in range(12)}
TOTALS = {f"total{number}": [f"fact{number}", f"fact{number + 4}"] for number in range(8)}
ROWS = 3000
END_SECONDS = 300


@dataclass
class Case:
    slug: str
    rows: dict[str, list[tuple[int, int, str]]]
    run: int


@pytest.fixture
def case(installation: Installation, request) -> Case:
    """A workflow that has just been started; no worker runs yet."""
    chance = random.Random(7)
    rows = {name: [(one, chance.randrange(10**6), chance.choice("abc")) for one in range(ROWS)] for name in SOURCES}
    for name, lines in rows.items():
        text = "".join(f"{one},{amount},{category}\n" for one, amount, category in lines)
        (installation.home / "inbox" / f"{name}.csv").write_text(f"id,amount,category\n{text}")
    slug = f"w{abs(hash(request.node.name)) % 10**8}"
    installation.ask("build", slug=slug, sources=SOURCES, facts=FACTS, totals=TOTALS)
    return Case(slug, rows, installation.ask("start", slug=slug))


@pytest.fixture
def worker(installation: Installation):
    installation.start_worker()
    yield
    installation.kill_worker()


def check_tables(installation: Installation, case: Case) -> None:
    """Each table holds what plain Python makes of the sources, and was published once."""
    facts = {
        name: [
            (one, a + b, category) for (one, a, category), (_, b, _) in zip(*(case.rows[r] for r in reads), strict=True)
        ]
        for name, reads in FACTS.items()
    }
    for name, expected in case.rows.items():
        assert table(installation, f"bronze/{case.slug}/{name}", "id", "amount", "category") == expected
    for name, expected in facts.items():
        assert table(installation, f"silver/{case.slug}/{name}", "id", "amount", "category") == expected
    for name, reads in TOTALS.items():
        amounts, counts = Counter(), Counter()
        for _, amount, category in (row for fact in reads for row in facts[fact]):
            amounts[category] += amount
            counts[category] += 1
        expected = [(category, amounts[category], counts[category]) for category in sorted(amounts)]
        assert table(installation, f"gold/{case.slug}/{name}", "category", "amount", "facts") == expected


def table(installation: Installation, path: str, *columns: str) -> list[tuple]:
    delta = DeltaTable(str(installation.home / "lake" / path))
    assert delta.version() == 0, f"{path} was published more than once"
    return pl.read_delta(delta, columns=list(columns)).select(columns).sort(columns[0]).rows()


def test_a_prefork_worker_runs_a_workflow_of_polars_and_duckdb_steps(installation, case, worker):
    ended = installation.wait_for_end(case.run, END_SECONDS)
    assert ended["status"] == "success", ended["errors"]
    check_tables(installation, case)


def test_killed_workers_and_doubled_messages_change_nothing(installation, case, worker):
    doubled = kills = 0
    while kills < 3 and not (now := installation.ask("status", run=case.run))["end_time"]:
        doubled += installation.ask("storm", run=case.run, times=2)
        if now["running"]:
            time.sleep(random.uniform(0, 0.3))
            installation.kill_worker()
            # Steps that nobody ends now; without one, all were between two steps.
            kills += bool(installation.ask("status", run=case.run)["running"])
            installation.start_worker()
        time.sleep(0.1)
    ended = installation.wait_for_end(case.run, END_SECONDS)
    assert ended["status"] == "success", ended["errors"]
    assert kills == 3
    assert doubled > 100
    assert ended["retried"] > 0
    check_tables(installation, case)


def test_a_broker_that_loses_every_message_only_costs_time(installation, case, worker):
    lost_on_the_way = 0
    for done in (6, 20):
        installation.wait_until(lambda now, done=done: now["done"] >= done, case.run, END_SECONDS)
        lost_on_the_way += not installation.ask("status", run=case.run)["end_time"]
        installation.broker.lose_everything()
    assert lost_on_the_way
    ended = installation.wait_for_end(case.run, END_SECONDS)
    assert ended["status"] == "success", ended["errors"]
    check_tables(installation, case)
