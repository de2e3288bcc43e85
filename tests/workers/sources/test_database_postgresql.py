"""PostgreSQL: every type with its exact values."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from tests.workers.sources.database_jobs import types_of

TYPES = [
    # what PostgreSQL calls it, a value as SQL, our type, the value in Bronze
    ("smallint", "-32768", "int16", -32768),
    ("integer", "2147483647", "int32", 2147483647),
    ("bigint", "9223372036854775807", "int64", 9223372036854775807),
    ("oid", "4294967295", "int64", 4294967295),
    ("real", "1.1", "float32", pytest.approx(1.1, rel=1e-7)),
    ("double precision", "0.1", "float64", 0.1),
    ("numeric(10,2)", "-12345678.90", "decimal(10,2)", Decimal("-12345678.90")),
    ("numeric(38,0)", "9" * 38, "decimal(38,0)", Decimal("9" * 38)),
    ("numeric(60,10)", "1" * 45 + ".5", "string", "1" * 45 + ".5000000000"),
    ("numeric(3,-2)", "12345", "decimal(5,0)", Decimal(12300)),
    ("numeric", "12345678901234567890.125", "decimal(23,3)", Decimal("12345678901234567890.125")),
    ("money", "'$1,234.56'", "decimal(19,2)", Decimal("1234.56")),
    ("boolean", "true", "boolean", True),
    ("text", "'ä €'", "string", "ä €"),
    ("varchar(9)", "'x'", "string", "x"),
    ("char(3)", "'x'", "string", "x  "),
    ('"char"', "'c'", "string", "c"),
    ("name", "'n'", "string", "n"),
    ("bytea", r"'\x00ff'", "binary", b"\x00\xff"),
    ("date", "'2026-01-02'", "date", date(2026, 1, 2)),
    ("time", "'10:11:12.000013'", "time", "10:11:12.000013"),
    ("timetz", "'10:11:12+02'", "string", "10:11:12+02"),
    ("timestamp", "'2026-01-02 03:04:05.000006'", "timestamp", datetime(2026, 1, 2, 3, 4, 5, 6)),  # noqa: DTZ001
    ("timestamptz", "'2026-01-02 03:04:05+02'", "timestamptz", datetime(2026, 1, 2, 1, 4, 5, tzinfo=UTC)),
    ("interval", "'1 month 2 days 3 seconds'", "string", "P1M2DT3S"),
    ("json", """'{"a": 1}'""", "json", '{"a": 1}'),
    ("jsonb", """'{"a":1}'""", "json", '{"a": 1}'),
    ("uuid", "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'", "string", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
    ("inet", "'10.0.0.1/8'", "string", "10.0.0.1/8"),
    ("macaddr", "'08:00:2b:01:02:03'", "string", "08:00:2b:01:02:03"),
    ("int4range", "'[1,5)'", "string", "[1,5)"),
    ("xml", "'<a/>'", "string", "<a/>"),
    ("bit varying(8)", "B'101'", "string", "101"),
    ("point", "'(1,2)'", "string", "(1,2)"),
    ("tsvector", "'a b'", "string", "'a' 'b'"),
    ("mood", "'sad'", "string", "sad"),
    ("cents", "1.50", "decimal(6,2)", Decimal("1.50")),
    ("pair", "ROW(1,'x')", "string", "(1,x)"),
    ("integer[]", "'{1,NULL,3}'", "list<int32>", [1, None, 3]),
    ("text[]", "'{a,b}'", "list<string>", ["a", "b"]),
    ("numeric(10,2)[]", "'{1.50,NULL}'", "list<decimal(10,2)>", [Decimal("1.50"), None]),
    ("date[]", "'{2026-01-02}'", "list<date>", [date(2026, 1, 2)]),
    ("uuid[]", "'{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}'", "list<string>", ["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"]),
    ("integer[][]", "'{{1,2},{3,4}}'", "json", "[[1, 2], [3, 4]]"),
]


def test_every_type_comes_with_its_values_and_nulls(postgres):
    job, execute = postgres
    execute("CREATE TYPE mood AS ENUM ('sad', 'ok')")
    execute("CREATE DOMAIN cents AS numeric(6,2)")
    execute("CREATE TYPE pair AS (a int, b text)")
    execute(f"CREATE TABLE t (id int, {', '.join(f'c{n} {kind}' for n, (kind, *_) in enumerate(TYPES))})")
    execute(f"INSERT INTO t VALUES (1, {', '.join(value for _, value, *_ in TYPES)})")
    execute("INSERT INTO t (id) VALUES (2)")
    result = job.run("t")
    assert types_of(result) == {"id": "int32"} | {f"c{n}": type_ for n, (_, _, type_, _) in enumerate(TYPES)}
    one, two = job.rows().sort("id").rows()
    assert list(one[1:]) == [expected for *_, expected in TYPES]
    assert set(two[1:]) == {None}


ODD = [
    ("date", "infinity", "infinity"),
    ("date", "-infinity", "-infinity"),
    ("date", "0044-03-15 BC", "0044-03-15 BC"),
    ("date", "12026-01-02", "12026-01-02"),
    ("timestamp", "infinity", "infinity"),
    ("timestamp", "-infinity", "-infinity"),
    ("timestamp", "0044-03-15 10:00:00.5 BC", "0044-03-15 10:00:00.500000 BC"),
    ("timestamptz", "infinity", "infinity"),
    ("timestamptz", "12026-01-02 00:00:00+00", "12026-01-02 00:00:00+00:00"),
    ("time", "24:00:00", "24:00:00"),
    ("numeric(10,2)", "NaN", "NaN"),
    ("numeric", "Infinity", "Infinity"),
]


@pytest.mark.parametrize(("kind", "value", "told"), ODD)
def test_what_no_type_of_the_lake_holds_goes_to_quarantine_as_it_is(postgres, kind, value, told):
    job, execute = postgres
    usual = {"date": "2026-01-02", "time": "10:00:00"}.get(kind, "2026-01-02 10:00:00")
    usual = "1.5" if kind.startswith("numeric") else usual
    execute(f"CREATE TABLE t (id int, v {kind})")
    execute(f"INSERT INTO t VALUES (1, '{usual}'), (2, '{value}'), (3, NULL)")
    result = job.run("t", error_handling="quarantine", bad_row_threshold=1.0)
    assert (result.rows_read, result.rows_written, result.quarantined_rows) == (3, 2, 1)
    ((line, column, reason),) = job.quarantine()
    assert (line, column, reason.split(" is no ")[0]) == (2, "v", f"“{told}”")
    one, three = job.rows().sort("id")["v"]
    assert three is None
    assert str(one).startswith("1.5" if kind.startswith("numeric") else usual[:5])
