"""SQLite: columns say what they should hold, values are what they are."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from tests.workers.sources.database_jobs import LOCAL, Job, types_of
from workers import errors
from workers.access import Connection
from workers.sources.database import check_connection, list_tables


@pytest.fixture
def sqlite(tmp_path):
    """A job on an empty file, and a way to run SQL there."""
    path = tmp_path / "shop #1?.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as server:
        server.execute("PRAGMA journal_mode = WAL")
        yield Job(tmp_path / "lake", Connection(name="db", kind="sqlite", database=str(path))), server.execute


TYPES = [
    # the declared type, a value as SQL, our type, the value in Bronze
    ("INTEGER", "-9223372036854775808", "int64", -9223372036854775808),
    ("BIGINT UNSIGNED", "7", "int64", 7),
    ("BOOLEAN", "1", "boolean", True),
    ("REAL", "0.1", "float64", 0.1),
    ("DOUBLE PRECISION", "7", "float64", 7.0),
    ("DECIMAL(10,2)", "1.5", "decimal(10,2)", Decimal("1.50")),
    ("DECIMAL(10,2)", "'1.50'", "decimal(10,2)", Decimal("1.50")),
    ("NUMERIC", "'12.25'", "decimal(20,2)", Decimal("12.25")),
    ("VARCHAR(3)", "'longer ä'", "string", "longer ä"),
    ("TEXT", "12", "string", "12"),
    ("DATE", "'2026-01-02'", "date", date(2026, 1, 2)),
    ("DATETIME", "'2026-01-02 03:04:05.5'", "timestamp", datetime(2026, 1, 2, 3, 4, 5, 500000)),  # noqa: DTZ001
    ("TIMESTAMP", "'2026-01-02T03:04:05'", "timestamp", datetime(2026, 1, 2, 3, 4, 5)),  # noqa: DTZ001
    ("TIMESTAMPTZ", "'2026-01-02T03:04:05+02:00'", "timestamptz", datetime(2026, 1, 2, 1, 4, 5, tzinfo=UTC)),
    ("TIME", "'03:04:05'", "string", "03:04:05"),
    ("JSON", """'{"a": 1}'""", "json", '{"a": 1}'),
    ("BLOB", "x'00ff'", "binary", b"\x00\xff"),
    ("", "x'00ff'", "binary", b"\x00\xff"),
    ("", "7", "int64", 7),
]


def test_every_declared_type_comes_with_its_values_and_nulls(sqlite):
    job, execute = sqlite
    execute(f"CREATE TABLE t (id INT, {', '.join(f'c{n} {kind}' for n, (kind, *_) in enumerate(TYPES))})")
    execute(f"INSERT INTO t VALUES (1, {', '.join(value for _, value, *_ in TYPES)})")
    execute("INSERT INTO t (id) VALUES (2)")
    result = job.run("t")
    assert types_of(result) == {"id": "int64"} | {f"c{n}": type_ for n, (_, _, type_, _) in enumerate(TYPES)}
    one, two = job.rows().sort("id").rows()
    assert list(one[1:]) == [expected for *_, expected in TYPES]
    assert set(two[1:]) == {None}


@pytest.mark.parametrize(
    ("kind", "usual", "odd", "told"),
    [
        ("INTEGER", "1", "'many'", "many"),
        ("INTEGER", "1", "1.5", "1.5"),
        ("INTEGER", "1", "''", "''"),
        ("INTEGER", "1", "x'ff'", "x'ff'"),
        ("BOOLEAN", "1", "2", "2"),
        ("DECIMAL(4,2)", "1.5", "1.555", "1.555"),
        ("DATE", "'2026-01-02'", "'soon'", "soon"),
        ("DATETIME", "'2026-01-02'", "1767312000", "1767312000"),
    ],
)
def test_values_of_another_type_than_the_declared_go_to_quarantine_as_they_are(sqlite, kind, usual, odd, told):
    job, execute = sqlite
    execute(f"CREATE TABLE t (id INT, v {kind})")
    execute(f"INSERT INTO t VALUES (1, {usual}), (2, {odd}), (3, NULL)")
    result = job.run("t", error_handling="quarantine", bad_row_threshold=1.0)
    assert (result.rows_written, result.quarantined_rows) == (2, 1)
    ((line, column, reason),) = job.quarantine()
    assert (line, column, reason.split(" is no ")[0]) == (2, "v", f"“{told}”")


def test_the_file_is_opened_for_reading_only_and_says_what_it_holds(sqlite):
    job, execute = sqlite
    execute('CREATE TABLE "odd ""name" (a INT NOT NULL, "b c" TEXT)')
    execute('INSERT INTO "odd ""name" VALUES (1, NULL)')
    execute("CREATE VIEW v AS SELECT 1 AS one")
    assert check_connection(job.connection, LOCAL) == f"SQLite {sqlite3.sqlite_version}"
    table, view = list_tables(job.connection, LOCAL)
    assert (table["name"], view["name"], view["kind"]) == ('odd "name', "v", "view")
    assert table["columns"] == [
        {"name": "a", "type": "INT", "nullable": False},
        {"name": "b c", "type": "TEXT", "nullable": True},
    ]
    assert [each["name"] for each in list_tables(job.connection, LOCAL, "odd")] == ['odd "name']
    job.run('"odd ""name"')
    assert job.rows().to_dicts() == [{"a": 1, "b c": None}]


def test_what_is_missing_is_named_with_what_is_near(sqlite, tmp_path):
    job, execute = sqlite
    execute("CREATE TABLE orders (id INT)")
    with pytest.raises(errors.SourceMissing, match=r"no such table: ordrs\. Near to it: orders"):
        job.run("ordrs")
    with pytest.raises(errors.SourceMissing, match="no such column: nam"):
        job.run(query="SELECT nam FROM orders")
    gone = Job(tmp_path, Connection(name="db", kind="sqlite", database=str(tmp_path / "gone.db")))
    with pytest.raises(errors.SourceMissing, match=r"no database file gone\.db"):
        gone.run("orders")
    assert not (tmp_path / "gone.db").exists()


def test_a_query_that_takes_too_long_is_ended(sqlite):
    job, _ = sqlite
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) AS i FROM n"
    with pytest.raises(errors.SourceUnavailable, match="longer than the job allows"):
        job.run(query=endless, timeout=1)
