"""kill -9 at random moments of incremental runs, while another process changes the source: is a row lost or doubled?

    python -m benchmarks.random_kills [--runs 200] [--seed 7] [--postgres postgresql://postgres@127.0.0.1/test]

Every way of loading begins with an empty table. A run is killed more often
than not, at any moment between its start and a little after its usual end;
then either its try is repeated, as when a worker takes over, or a new run
follows. Now and then the table is rolled back or its watermark rewound. At
last the writer stops, one run goes undisturbed, and the table must hold
exactly what the source holds.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit
from uuid import UUID, uuid4

from workers.ids import new_run_id
from workers.specs import DatabaseSource, FilesSource, IngestSpec, Source, SourceFile, TableTarget, Watermark, to_json

LAG = 1_000  # so far back a late row may come
LATE = 40
# What a run may say instead of ending well: all of it before anything is published.
EXPECTED = {"publish_conflict", "stale_run", "source_unavailable"}
Row = tuple[int, int, str]


# --- sources that change -----------------------------------------------------------------


@dataclass
class Table:
    """A table of events in SQLite or PostgreSQL: `id, at, note`."""

    address: str  # a file, or a URL
    name: str = "events"

    @property
    def is_postgres(self) -> bool:
        return self.address.startswith("postgresql://")

    @contextmanager
    def link(self) -> Iterator:
        if self.is_postgres:
            import psycopg

            with psycopg.connect(self.address) as link:
                yield link
        else:
            with closing(sqlite3.connect(self.address, timeout=30)) as link, link:
                yield link

    def run(self, link, statement: str, *values: object) -> list[tuple]:
        cursor = link.execute(statement.replace("?", "%s") if self.is_postgres else statement, values)
        return cursor.fetchall() if cursor.description else []

    def create(self) -> None:
        with self.link() as link:
            if not self.is_postgres:
                link.execute("PRAGMA journal_mode = wal")
            self.run(link, f"CREATE TABLE {self.name} (id bigint PRIMARY KEY, at bigint, note text)")

    def drop(self) -> None:
        if self.is_postgres:
            with self.link() as link:
                self.run(link, f"DROP TABLE {self.name}")

    def rows(self) -> list[Row]:
        with self.link() as link:
            return self.run(link, f"SELECT id, at, note FROM {self.name}")

    def spec_source(self) -> Source:
        kind = "postgresql" if self.is_postgres else "sqlite"
        return DatabaseSource(connection="source", kind=kind, table_name=self.name, batch_rows=1_000)

    def access(self) -> dict:
        parts = urlsplit(self.address)
        facts = {"name": "source", "kind": "sqlite", "database": self.address}
        if self.is_postgres:
            facts = {
                "name": "source",
                "kind": "postgresql",
                "host": parts.hostname,
                "port": parts.port or 5432,
                "database": parts.path.lstrip("/"),
                "username": parts.username or "",
                "password": parts.password or "",
            }
        return facts

    def before_run(self) -> None:
        """The writer process sees to it."""


@dataclass
class CsvFile:
    """A file that grows between the runs, and is sent whole each time."""

    path: Path
    held: list[Row] = field(default_factory=list)
    dice: random.Random = field(default_factory=lambda: random.Random(3))

    def before_run(self) -> None:
        self.grow(self.dice.randrange(6))

    def grow(self, rows: int) -> None:
        for _ in range(rows):
            late = self.dice.randrange(LATE) if self.dice.random() < 0.2 else 0
            number = len(self.held)
            self.held.append((number, max(number - late, 0), f"note {number}"))
        part = self.path.with_suffix(".part")
        part.write_text("id,at,note\n" + "".join(f"{i},{at},{note}\n" for i, at, note in self.held))
        part.replace(self.path)

    def create(self) -> None:
        self.grow(5)

    def drop(self) -> None:
        self.path.unlink()

    def rows(self) -> list[Row]:
        return self.held

    def spec_source(self) -> Source:
        return FilesSource(files=(SourceFile(uri=str(self.path), name="events.csv"),))

    def access(self) -> dict:
        return {"name": "none", "kind": "sqlite"}


def write_for_ever(table: Table, changes: bool, seed: int) -> None:
    """Insert rows, some of them late; with `changes` update and delete others too. In the order of its commits."""
    dice = random.Random(seed)
    clock = number = 0
    while True:
        with table.link() as link:
            for _ in range(dice.randrange(1, 6)):
                clock, number = clock + 1, number + 1
                late = dice.randrange(LATE) if dice.random() < 0.2 else 0
                table.run(link, f"INSERT INTO {table.name} VALUES (?, ?, ?)", number, max(clock - late, 0), "new")
            if changes:
                clock += 1
                update = f"UPDATE {table.name} SET at = ?, note = ? WHERE id = ?"
                table.run(link, update, clock, f"changed at {clock}", dice.randrange(1, number + 1))
                if dice.random() < 0.3:
                    table.run(link, f"DELETE FROM {table.name} WHERE id = ?", dice.randrange(1, number + 1))
        time.sleep(dice.uniform(0, 0.02))


# --- runs in processes that may die ----------------------------------------------------------


def work_for_ever() -> None:
    """Carry out one run for each line of standard input."""
    from workers.access import Access, Connection
    from workers.errors import AssayError
    from workers.executors.ingest.run import run_ingest
    from workers.network import NetworkPolicy
    from workers.specs import from_json

    print("ready", flush=True)
    for line in sys.stdin:
        job = json.loads(line)
        connection = Connection(**job["connection"])
        access = Access(connections={connection.name: connection}, services=NetworkPolicy(allow=("127.0.0.1",)))
        try:
            answer = {"version": run_ingest(from_json(IngestSpec, job["spec"]), access=access).published.version}
        except AssayError as error:
            answer = {"error": error.code, "message": error.message}
        print(json.dumps(answer), flush=True)


class Worker:
    """A process that carries out runs, its successor warm beside it."""

    def __init__(self) -> None:
        self._now, self._next = self._start(), self._start()

    def _start(self) -> subprocess.Popen:
        command = [sys.executable, "-m", "benchmarks.random_kills", "--work"]
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def run(self, job: dict, kill_after: float | None) -> dict | None:
        """How the run ended, or None when it was killed before."""
        if self._now.poll() is not None:
            self._now, self._next = self._next, self._start()
        worker = self._now
        if not getattr(worker, "is_ready", False):
            worker.stdout.readline()
            worker.is_ready = True
        worker.stdin.write(json.dumps(job) + "\n")
        worker.stdin.flush()
        timer = threading.Timer(kill_after, worker.kill) if kill_after is not None else None
        if timer:
            timer.start()
        line = worker.stdout.readline()
        if timer:
            timer.cancel()
            timer.join()
        if not line and worker.wait() != -signal.SIGKILL:
            raise AssertionError("A worker ended by itself.")
        return json.loads(line) if line else None

    def end(self) -> None:
        for worker in (self._now, self._next):
            worker.kill()
            worker.communicate()


# --- the storm -----------------------------------------------------------------------------


@dataclass
class Outcome:
    way: str
    runs: int = 0
    kills: int = 0
    rollbacks: int = 0
    rewinds: int = 0
    rows: int = 0
    lost: int = 0
    doubled: int = 0
    is_watermark_right: bool = False

    def __str__(self) -> str:
        right = "right" if self.is_watermark_right else "WRONG"
        return (
            f"{self.way}: {self.runs} runs, {self.kills} killed, {self.rollbacks} rollbacks, {self.rewinds} rewinds, "
            f"{self.rows} rows; lost {self.lost}, doubled {self.doubled}, watermark {right}"
        )


@dataclass
class Storm:
    way: str
    source: Table | CsvFile
    folder: Path
    is_merge: bool
    dice: random.Random
    usual_seconds: float = 0.3
    last_id: UUID | None = None

    @property
    def target(self) -> TableTarget:
        return TableTarget(dataset="bronze.storm.events", uri=f"{self.folder}/lake/bronze/storm/events")

    def next_id(self) -> str:
        self.last_id = new_run_id(after=self.last_id)
        return str(self.last_id)

    def job(self) -> dict:
        from workers.lake.state import state_of

        is_database = isinstance(self.source, Table)
        merge = {
            "write_mode": "merge",
            "key_columns": ("id",),
            "delete_detection": "hard" if is_database else "off",
        }
        spec = IngestSpec(
            run_id=self.next_id(),
            workflow="storm",
            job="events",
            source=self.source.spec_source(),
            format="parquet" if is_database else "csv",
            landing_uri=f"{self.folder}/lake/landing/storm/events",
            target=self.target,
            watermark=Watermark(column="at", last=state_of(self.target.uri).value_of("at", None), lag=str(LAG)),
            ingested_at=datetime.now(UTC),
            **(merge if self.is_merge else {"write_mode": "append"}),
        )
        return {"spec": to_json(spec), "connection": self.source.access()}

    def rage(self, runs: int, kills: int, worker: Worker) -> Outcome:
        told, job = Outcome(self.way), None
        while told.runs < runs or told.kills < kills:
            self._meddle(told)
            self.source.before_run()
            job = job or self.job()
            wait = self.dice.uniform(0, 1.3 * self.usual_seconds) if self.dice.random() < 0.7 else None
            begun = time.monotonic()
            answer = worker.run(job, wait)
            told.runs += 1
            if answer is None:
                told.kills += 1
                job = job if self.dice.random() < 0.5 else None  # taken over, or given up for a new one
                continue
            self._check(answer)
            self.usual_seconds = 0.8 * self.usual_seconds + 0.2 * (time.monotonic() - begun)
            job = None
        return told

    def _meddle(self, told: Outcome) -> None:
        from workers.lake.publish import note, restore
        from workers.lake.table import open_table, table_exists

        if self.dice.random() > 0.1 or not table_exists(self.target.uri):
            return
        table = open_table(self.target.uri)
        if self.dice.random() < 0.5:
            restore(self.target, self.dice.randrange(table.version + 1), self.next_id())
            told.rollbacks += 1
        else:
            top = table.scan().select("at").collect()["at"].max() or 0
            value = self.dice.choice([None, self.dice.randrange(top + 1)])
            note(self.target, self.next_id(), {"mode": "rewind", "watermark": {"column": "at", "value": value}})
            told.rewinds += 1

    def _check(self, answer: dict) -> None:
        if "error" in answer and answer["error"] not in EXPECTED:
            raise AssertionError(f"{self.way}: {answer}")

    def settle(self, told: Outcome, worker: Worker) -> None:
        """The last, undisturbed run, and what the table holds then."""
        from workers.lake.state import state_of
        from workers.lake.table import open_table

        # A lag cannot see changes behind it; after rewinds and rollbacks everything is looked at once.
        answer = worker.run(self.job(), None)
        told.runs += 1
        if "error" in answer:
            raise AssertionError(f"{self.way}: {answer}")
        there = Counter(map(tuple, self.source.rows()))
        here = Counter(open_table(self.target.uri).scan().select("id", "at", "note").collect().rows())
        told.rows, told.lost, told.doubled = here.total(), (there - here).total(), (here - there).total()
        top = max(at for _, at, _ in there)
        told.is_watermark_right = state_of(self.target.uri).watermark["value"] == top


@contextmanager
def _writer(source: Table | CsvFile, changes: bool, seed: int) -> Iterator[None]:
    if isinstance(source, CsvFile):
        yield
        return
    facts = json.dumps({"address": source.address, "name": source.name, "changes": changes, "seed": seed})
    writer = subprocess.Popen([sys.executable, "-m", "benchmarks.random_kills", "--write", facts])
    try:
        yield
        if writer.poll() is not None:
            raise AssertionError("the writer died")
    finally:
        writer.kill()
        writer.wait()


def storm(way: str, source: Table | CsvFile, *, is_merge: bool, runs: int, seed: int, kills: int = 0) -> Outcome:
    """One way of loading through a storm of so many runs and kills at least."""
    worker = Worker()
    source.create()
    try:
        with TemporaryDirectory(prefix="assay-storm-") as folder:
            raging = Storm(way, source, Path(folder), is_merge, random.Random(seed))
            with _writer(source, is_merge, seed):
                told = raging.rage(runs, kills, worker)
            raging.settle(told, worker)
            return told
    finally:
        worker.end()
        source.drop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=200, help="of each way of loading")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--postgres", default="", help="a database where a table may be made")
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--write", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work_for_ever()
    elif options.write:
        facts = json.loads(options.write)
        write_for_ever(Table(facts["address"], facts["name"]), facts["changes"], facts["seed"])
    else:
        storm_all(options)


def storm_all(options: argparse.Namespace) -> None:
    with TemporaryDirectory(prefix="assay-storm-source-") as folder:
        sources = [("CSV", lambda: CsvFile(Path(folder, "events.csv")))]
        sources.append(("SQLite", lambda: Table(f"{folder}/{uuid4().hex}.db")))
        if options.postgres:
            sources.append(("PostgreSQL", lambda: Table(options.postgres, f"storm_{uuid4().hex[:8]}")))
        for name, source in sources:
            for is_merge in (False, True):
                way = f"{name}, {'merge' if is_merge else 'append'}"
                print(storm(way, source(), is_merge=is_merge, runs=options.runs, seed=options.seed), flush=True)


if __name__ == "__main__":
    main()
