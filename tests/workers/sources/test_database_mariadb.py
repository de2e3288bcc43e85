"""MariaDB: every type with its exact values."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from tests.workers.sources.database_jobs import types_of

TYPES = [
    # what MariaDB calls it, a value as SQL, our type, the value in Bronze
    ("tinyint", "-128", "int8", -128),
    ("tinyint(1)", "1", "int8", 1),
    ("tinyint unsigned", "255", "int16", 255),
    ("smallint unsigned", "65535", "int32", 65535),
    ("mediumint unsigned", "16777215", "int32", 16777215),
    ("int", "-2147483648", "int32", -2147483648),
    ("int unsigned", "4294967295", "int64", 4294967295),
    ("bigint", "-9223372036854775808", "int64", -9223372036854775808),
    ("bigint unsigned", "18446744073709551615", "decimal(20,0)", Decimal(18446744073709551615)),
    ("decimal(10,2)", "-12345678.90", "decimal(10,2)", Decimal("-12345678.90")),
    ("decimal(10,0) unsigned", "9999999999", "decimal(10,0)", Decimal(9999999999)),
    ("decimal(60,10)", "1" * 45 + ".5", "string", "1" * 45 + ".5000000000"),
    ("float", "16777217", "float32", 16777216.0),
    ("double", "0.1", "float64", 0.1),
    ("bit(1)", "b'1'", "boolean", True),
    ("bit(10)", "b'1000000001'", "int64", 513),
    ("bit(64)", "b'" + "1" * 64 + "'", "decimal(20,0)", Decimal(2**64 - 1)),
    ("boolean", "true", "int8", 1),
    ("year", "2026", "int16", 2026),
    ("date", "'2026-01-02'", "date", date(2026, 1, 2)),
    ("datetime(6)", "'2026-01-02 03:04:05.000006'", "timestamp", datetime(2026, 1, 2, 3, 4, 5, 6)),  # noqa: DTZ001
    ("datetime", "'2026-01-02 03:04:05'", "timestamp", datetime(2026, 1, 2, 3, 4, 5)),  # noqa: DTZ001
    ("timestamp(3) null", "'2026-01-02 03:04:05.6'", "timestamptz", datetime(2026, 1, 2, 1, 4, 5, 600000, UTC)),
    ("time(3)", "'-838:59:59'", "string", "-838:59:59.000"),
    ("char(3)", "'x'", "string", "x"),
    ("varchar(9) character set latin1", "'ä'", "string", "ä"),
    ("text", "'€ 🙂'", "string", "€ 🙂"),
    ("binary(3)", "x'01'", "binary", b"\x01\x00\x00"),
    ("varbinary(9)", "x'00ff'", "binary", b"\x00\xff"),
    ("blob", "x'00ff'", "binary", b"\x00\xff"),
    ("enum('x','y')", "'y'", "string", "y"),
    ("set('a','b')", "'a,b'", "string", "a,b"),
    ("json", """'{"a": 1}'""", "json", '{"a": 1}'),
    ("uuid", "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'", "string", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
    ("inet6", "'::1'", "string", "::1"),
    ("point", "POINT(1, 2)", "binary", bytes.fromhex("00000000" "0101000000" "000000000000f03f" "0000000000000040")),
]  # fmt: skip


def test_every_type_comes_with_its_values_and_nulls(mariadb):
    job, execute = mariadb
    execute("SET time_zone = '+02:00'")
    execute(f"CREATE TABLE t (id int, {', '.join(f'c{n} {kind}' for n, (kind, *_) in enumerate(TYPES))})")
    execute(f"INSERT INTO t VALUES (1, {', '.join(value for _, value, *_ in TYPES)})")
    execute("INSERT INTO t (id) VALUES (2)")
    result = job.run("t")
    assert types_of(result) == {"id": "int32"} | {f"c{n}": type_ for n, (_, _, type_, _) in enumerate(TYPES)}
    one, two = job.rows().sort("id").rows()
    assert list(one[1:]) == [expected for *_, expected in TYPES]
    assert set(two[1:]) == {None}


@pytest.mark.parametrize(
    ("kind", "value", "usual", "told"),
    [
        ("date", "0000-00-00", "2026-01-02", "0000-00-00"),
        ("date", "2026-00-10", "2026-01-02", "2026-00-10"),
        ("datetime", "0000-00-00 00:00:00", "2026-01-02 10:00:00", "0000-00-00T00:00:00"),
        ("timestamp", "0000-00-00 00:00:00", "2026-01-02 10:00:00", "0000-00-00T00:00:00+00:00"),
    ],
)
def test_dates_that_are_none_go_to_quarantine_as_they_are(mariadb, kind, value, usual, told):
    job, execute = mariadb
    execute("SET sql_mode = ''")
    execute(f"CREATE TABLE t (id int, v {kind} NULL)")
    execute(f"INSERT INTO t VALUES (1, '{usual}'), (2, '{value}'), (3, NULL)")
    result = job.run("t", error_handling="quarantine", bad_row_threshold=1.0)
    assert (result.rows_read, result.rows_written, result.quarantined_rows) == (3, 2, 1)
    ((line, column, reason),) = job.quarantine()
    assert (line, column, reason.split(" is no ")[0]) == (2, "v", f"“{told}”")
    one, three = job.rows().sort("id")["v"]
    assert (str(one)[:10], three) == ("2026-01-02", None)


def test_odd_names_and_percent_signs_are_taken_letter_by_letter(mariadb):
    job, execute = mariadb
    execute("CREATE TABLE `My ``odd`` table.%s` (`a b` int, `%d` int, `Größe` int)")
    execute("INSERT INTO `My ``odd`` table.%s` VALUES (1, 2, 3)")
    job.run('"My `odd` table.%s"')
    assert job.rows().to_dicts() == [{"a b": 1, "%d": 2, "Größe": 3}]
    job.lake = job.lake / "query"
    job.run(query="SELECT `%d` AS v, '100%%s' AS t FROM `My ``odd`` table.%s` -- all of them")
    assert job.rows().to_dicts() == [{"v": 2, "t": "100%%s"}]
