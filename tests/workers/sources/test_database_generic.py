"""The road over SQLAlchemy: what it asks in each dialect, and on a real server that it streams exact values."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from decimal import Decimal

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import mssql, oracle

from tests.workers.sources.database_jobs import LOCAL
from workers import errors
from workers.access import Connection
from workers.network import NetworkPolicy
from workers.sources.database import base, check_connection, generic
from workers.specs import DatabaseSource

WORDS = {"mssql": mssql.dialect(), "oracle": oracle.dialect()}


def asked(kind: str, *where: tuple, limit: int | None = None) -> tuple[str, dict]:
    """The text and the bound values of a question to a table with odd names."""
    columns = [generic.quoted_column(name) for name in ("Order Id", 'at"]x')]
    table = sa.table(sa.quoted_name("My Orders", True), *columns, schema=sa.quoted_name("dbo", True))
    bounds = [generic.condition_of(list(table.columns)[place], op, value) for place, op, value in where]
    compiled = generic.select(table, [0, 1], bounds, limit).compile(dialect=WORDS[kind])
    return " ".join(str(compiled).split()), dict(compiled.params)


def test_sql_server_is_asked_with_quoted_names_bound_values_and_top():
    sql, values = asked("mssql", (1, ">=", 5), (1, "<", 9))
    assert sql == (
        'SELECT [dbo].[My Orders].[Order Id], [dbo].[My Orders].[at"]]x] FROM [dbo].[My Orders] '
        'WHERE [dbo].[My Orders].[at"]]x] >= :param_1 AND [dbo].[My Orders].[at"]]x] < :param_2'
    )
    assert sorted(values.values()) == [5, 9]
    assert "SELECT TOP" in asked("mssql", limit=10)[0]


def test_oracle_is_asked_with_quoted_names_bound_values_and_fetch_first():
    sql, values = asked("oracle", (1, "is null", None), limit=10)
    assert '"dbo"."My Orders"."Order Id"' in sql
    assert 'WHERE "dbo"."My Orders"."at""]x" IS NULL' in sql
    assert "FETCH FIRST" in sql
    assert list(values.values()) == [10]


def test_addresses_hold_what_the_connection_says_and_hide_the_password():
    facts = {"name": "db", "username": "sa", "password": "p@ss/word", "database": "shop"}
    url = generic.url_of(Connection(kind="mssql", **facts), "10.0.0.1")
    assert str(url) == "mssql+pymssql://sa:***@10.0.0.1:1433/shop"
    url = generic.url_of(Connection(kind="oracle", **facts, port=1600), "10.0.0.1")
    assert str(url) == "oracle+oracledb://sa:***@10.0.0.1:1600?service_name=shop"


def test_a_missing_driver_is_named(monkeypatch):
    monkeypatch.setitem(generic.DRIVERS, "mssql", ("mssql+nothing", "no_such_driver", 1433))
    with pytest.raises(errors.NotAvailableYet, match="no_such_driver") as caught:
        generic.url_of(Connection(name="db", kind="mssql"), "10.0.0.1")
    assert "pip install no_such_driver" in caught.value.hint


@pytest.mark.parametrize("kind", ["mssql", "oracle"])
def test_a_server_that_does_not_answer_is_unavailable_and_a_private_one_refused(kind):
    nobody = Connection(name="db", kind=kind, host="127.0.0.1", port=1, database="x", username="u", password="secret")
    with pytest.raises(errors.SourceUnavailable) as caught:
        check_connection(nobody, LOCAL)
    assert "secret" not in str(caught.value.as_dict())
    with pytest.raises(errors.AddressRefused):
        check_connection(nobody, NetworkPolicy())


ROWS = [
    (1, 2, Decimal("1.50"), 0.1, True, "ä", b"\xff", date(2026, 1, 2), datetime(2026, 1, 2, 3, tzinfo=UTC), time(1, 2)),
    (2, *[None] * 9),
]


def test_rows_stream_with_exact_values_by_catalog_and_by_query(postgres):
    job, execute = postgres
    execute(
        'CREATE TABLE "T x" (id bigint, n int, d numeric(10,2), f double precision, b boolean, s text, y bytea, '
        "day date, at timestamptz, clock time)"
    )
    execute(
        """INSERT INTO "T x" VALUES (1, 2, 1.5, 0.1, true, 'ä', '\\xff', '2026-01-02', '2026-01-02 03:00+00', '01:02'),
        (2, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)"""
    )
    for source in ({"table_name": 'public."T x"'}, {"query": 'SELECT * FROM "T x" -- :all of it'}):
        told = DatabaseSource(connection="db", kind="postgresql", batch_rows=1, **source)
        with generic.reading(job.connection, LOCAL, told) as reader:
            batches = [
                list(
                    zip(
                        *(c.typed(values).to_pylist() for c, values in zip(reader.columns, batch, strict=True)),
                        strict=True,
                    )
                )
                for batch in reader.batches(reader.columns)
            ]
            at = base.column_named(reader.columns, "AT")
            assert reader.count([base.Condition(column=at, op="is null")]) == 1
            since = base.Condition(column=at, op=">=", value=datetime(2026, 1, 2, 3, tzinfo=UTC))
            assert reader.count([since]) == 1
        expected = [tuple(row) for row in ROWS]
        if "query" in source:  # nothing tells how many digits its numbers have
            expected[0] = (*expected[0][:2], "1.50", *expected[0][3:])
        assert [row for batch in batches for row in batch] == expected
        assert len(batches) == 2


def test_a_missing_table_is_told_with_what_is_near(postgres):
    job, execute = postgres
    execute("CREATE TABLE orders (id int)")
    told = DatabaseSource(connection="db", kind="postgresql", table_name="ordrs")
    with pytest.raises(errors.SourceMissing, match="Near to it: orders"), generic.reading(job.connection, LOCAL, told):
        pass
