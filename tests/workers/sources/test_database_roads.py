"""What a run over a database does: which rows, in how much memory, and when something breaks."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from tests.workers.sources.database_jobs import AT, LOCAL, types_of
from workers import errors
from workers.lake.landing import Landing
from workers.progress import silent
from workers.sources import database
from workers.specs import Column, Watermark, Window, to_json

ROOT = Path(__file__).parents[3]


def landed(job, spec, progress=silent) -> tuple[dict[str, list[dict]], dict]:
    """The landed rows by role, and the facts."""
    landing = database.land(spec, Landing(spec.landing_uri, spec.run_id, AT), job.access, progress)
    roles: dict[str, list[dict]] = {}
    for file in landing.files:
        roles.setdefault(file.role, []).extend(pl.read_parquet(file.uri).to_dicts())
    return roles, landing.facts


def test_odd_names_are_taken_letter_by_letter(postgres):
    job, execute = postgres
    execute('CREATE SCHEMA "Odd.Schema"; CREATE TABLE "Odd.Schema"."T ""x"" %s;--" ("a b" int, "A B" int, "Größe" int)')
    execute("""INSERT INTO "Odd.Schema"."T ""x"" %s;--" VALUES (1, 2, 3)""")
    job.run('"Odd.Schema"."T ""x"" %s;--"')
    assert job.rows().to_dicts() == [{"a b": 1, "A B_2": 2, "Größe": 3}]


def test_an_empty_table_becomes_an_empty_one_with_its_columns(postgres):
    job, execute = postgres
    execute("CREATE TABLE t (id int, amount numeric(10,2), any_number numeric)")
    result = job.run("t")
    assert result.rows_read == 0
    assert types_of(result) == {"id": "int32", "amount": "decimal(10,2)", "any_number": "decimal(18,0)"}


def test_a_query_may_end_in_a_comment_and_have_two_columns_of_one_name(postgres):
    job, _ = postgres
    job.run(query="WITH x AS (SELECT 1 AS id) SELECT id, id, 'a;b' AS t FROM x; -- done")
    assert job.rows().to_dicts() == [{"id": 1, "id_2": 1, "t": "a;b"}]


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("DELETE FROM t", "this is DELETE"),
        ("SELECT 1; DROP TABLE t", "2 statements"),
        ("WITH gone AS (DELETE FROM t RETURNING *) SELECT * FROM gone", "DELETE does not"),
        ("SELECT * INTO other FROM t", "INTO does not"),
        ("SELECT * FROM t FOR UPDATE", "LOCK does not"),
        ("SELECT FROM WHERE", "Line 1"),
    ],
)
def test_what_is_no_plain_select_is_refused_before_the_server_sees_it(postgres, query, told):
    job, _ = postgres
    with pytest.raises(errors.SqlRejected, match=told):
        job.run(query=query)


def test_a_select_that_writes_behind_our_back_is_stopped_by_the_server(postgres):
    job, execute = postgres
    execute("CREATE TABLE t (id int)")
    execute("CREATE FUNCTION sneaky() RETURNS int LANGUAGE sql AS 'INSERT INTO t VALUES (1) RETURNING id'")
    with pytest.raises(errors.SqlRejected, match="read-only transaction"):
        job.run(query="SELECT sneaky() AS id")
    assert execute("SELECT count(*) FROM t").fetchone() == (0,)


BOUNDS = [
    # the column's type, its values, the watermark, a lag, which ids are read
    ("int", "1 2 3", 2, "", [2, 3]),
    ("bigint", "1 2 3", 3, "1", [2, 3]),
    ("numeric(10,2)", "1.10 2.20 3.30", "2.20", "", [2, 3]),
    ("text", "a b' c", "b'", "", [2, 3]),
    ("date", "2026-01-01 2026-01-02 2026-01-03", "2026-01-03", "1d", [2, 3]),
    (
        "timestamp", "2026-01-01T00:00 2026-01-01T00:00:00.000001 2026-01-02T00:00",
        "2026-01-01T00:00:00.000001", "", [2, 3],
    ),
    (
        "timestamptz", "2026-01-01T00:00Z 2026-01-01T02:00+01:00 2026-01-02T00:00Z",
        "2026-01-01T01:30:00+00:00", "30m", [2, 3],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "values", "last", "lag", "read"), BOUNDS)
def test_an_incremental_run_reads_from_the_lower_bound_on_itself_included(postgres, kind, values, last, lag, read):
    job, execute = postgres
    execute(f"CREATE TABLE t (id int, v {kind})")
    for number, value in enumerate(values.split(), 1):
        execute(f"INSERT INTO t VALUES ({number}, %s)", (value,))
    execute("INSERT INTO t VALUES (9, NULL)")
    spec = job.spec("t", watermark=Watermark(column="V", last=last, lag=lag), write_mode="append")
    roles, facts = landed(job, spec)
    assert [row["id"] for row in roles["rows"]] == read
    assert (facts["rows"], facts["null_watermarks"]) == (2, 1)
    roles, _ = landed(job, replace(spec, run_id="first", watermark=Watermark(column="v")))
    assert [row["id"] for row in roles["rows"]] == [1, 2, 3, 9]


def test_incremental_runs_on_mariadb_and_sqlite_bind_the_same_bounds(mariadb, tmp_path):
    job, execute = mariadb
    execute("CREATE TABLE `t%s` (id int, v datetime(6), w timestamp(6) NULL)")
    execute("INSERT INTO `t%s` VALUES (1, '2026-01-01', '2026-01-01 10:00'), (2, '2026-01-01 00:00:00.000001', NULL)")
    spec = job.spec('"t%s"', watermark=Watermark(column="v", last="2026-01-01T00:00:00.000001"), write_mode="append")
    assert [row["id"] for row in landed(job, spec)[0]["rows"]] == [2]


def test_a_window_reads_its_days_to_the_end_of_the_last(postgres):
    job, execute = postgres
    execute("CREATE TABLE t (id int, at timestamptz)")
    execute(
        "INSERT INTO t VALUES (1, '2025-12-31 23:59:59.999999Z'), (2, '2026-01-01Z'), "
        "(3, '2026-01-02 23:59:59.999999Z'), (4, '2026-01-03Z'), (5, NULL)"
    )
    watermark = Watermark(column="at", last="2026-06-01T00:00:00+00:00")
    spec = job.spec("t", watermark=watermark, window=Window(start_date="2026-01-01", end_date="2026-01-02"))
    assert [row["id"] for row in landed(job, spec)[0]["rows"]] == [2, 3]


def test_keys_and_what_came_late_are_landed_beside_the_rows_from_the_same_moment(postgres):
    job, execute = postgres
    execute("CREATE TABLE t (id int, part text, at timestamptz)")
    execute(
        "INSERT INTO t SELECT n, 'p', timestamptz '2026-01-02 00:00Z' - n * interval '1 hour' "
        "FROM generate_series(0, 20) n"
    )
    spec = job.spec(
        "t",
        watermark=Watermark(column="at", last="2026-01-02T00:00:00+00:00", lag="90m"),
        write_mode="merge",
        key_columns=("number", "part"),
        renames={"id": "number"},
        delete_detection="soft",
    )
    execute("CREATE FUNCTION add_rows() RETURNS void LANGUAGE sql AS 'INSERT INTO t VALUES (99, ''p'', now())'")

    def meanwhile(phase, **_):
        execute("SELECT add_rows()")

    roles, facts = landed(job, spec, meanwhile)
    assert [row["id"] for row in roles["rows"]] == [0, 1]
    assert sorted(row["id"] for row in roles["keys"]) == list(range(21))
    assert set(roles["keys"][0]) == {"id", "part"}
    assert sorted(row["id"] for row in roles["late"]) == list(range(2, 16))
    assert set(roles["late"][0]) == {"id", "part", "at"}
    assert facts["late_window"] == {"from": "2026-01-01T09:00:00+00:00", "to": "2026-01-01T22:30:00+00:00"}
    assert facts["source"].endswith(" · t")


def test_a_table_that_keeps_the_watermark_less_exactly_is_told(postgres):
    job, execute = postgres
    execute("CREATE TABLE t (at timestamptz)")
    declared = (Column(name="at", type="date"),)
    spec = job.spec("t", watermark=Watermark(column="at"), schema_mode="user", columns=declared, write_mode="append")
    assert "each run reads a day again" in landed(job, spec)[1]["watermark_precision"]


def land_in_child(job, spec) -> tuple[int, int]:
    """Land the source in a process of its own: its rows, and the most memory (RssAnon, MB) that took."""
    script = (
        "import json, sys, threading, time\n"
        "from workers.access import Access, Connection\n"
        "from workers.lake.landing import Landing\n"
        "from workers.network import NetworkPolicy\n"
        "from workers.progress import silent\n"
        "from workers.sources import database\n"
        "from workers.specs import IngestSpec, from_json\n"
        "told = json.loads(sys.argv[1]); spec = from_json(IngestSpec, told['spec']); peak = 0\n"
        "def used(): return int(next(l for l in open('/proc/self/status') if l.startswith('RssAnon')).split()[1])\n"
        "def watch():\n"
        "    global peak\n"
        "    while True: peak = max(peak, used()); time.sleep(0.005)\n"
        "threading.Thread(target=watch, daemon=True).start()\n"
        "access = Access(connections={'db': Connection(**told['db'])}, services=NetworkPolicy(allow=('*',)))\n"
        "landed = database.land(spec, Landing(spec.landing_uri, spec.run_id, spec.ingested_at), access, silent)\n"
        "print(landed.facts['rows'], peak // 1024)\n"
    )
    names = ("name", "kind", "host", "port", "database", "username", "password")
    told = json.dumps({"spec": to_json(spec), "db": {name: getattr(job.connection, name) for name in names}})
    out = subprocess.run([sys.executable, "-c", script, told], cwd=ROOT, capture_output=True, text=True, check=True)
    rows, peak = map(int, out.stdout.split())
    return rows, peak


def test_three_hundred_thousand_wide_rows_stream_through_less_memory_than_they_are(postgres):
    job, execute = postgres
    execute(
        "CREATE TABLE t AS SELECT n AS id, n / 7.0::numeric AS x, repeat(md5(n::text), 40) AS note "
        "FROM generate_series(1, 300000) n"
    )
    size = execute("SELECT sum(octet_length(note)) FROM t").fetchone()[0] / 2**20
    rows, peak = land_in_child(job, job.spec("t"))
    assert rows == 300_000
    assert peak < 330 < size


def test_the_first_rows_are_sampled_with_their_types(postgres, tmp_path):
    job, execute = postgres
    execute("CREATE TABLE t AS SELECT n AS id, '{}'::jsonb AS doc FROM generate_series(1, 5000) n")
    folder = tmp_path / "sample"
    folder.mkdir()
    (file,) = database.sample(job.spec("t"), folder, job.access)
    assert (pl.read_parquet(file.uri).height, file.name) == (2_000, "t.parquet")


def test_tables_are_listed_with_their_columns_and_about_how_many_rows(postgres, mariadb):
    for job, execute in (postgres, mariadb):
        execute("CREATE TABLE orders (id int NOT NULL, amount decimal(10,2))")
        execute("INSERT INTO orders VALUES (1, 2), (2, 3)")
        execute("ANALYZE orders" if job.connection.kind == "postgresql" else "ANALYZE TABLE orders")
        execute("CREATE VIEW recent AS SELECT id FROM orders")
        orders, recent = database.list_tables(job.connection, LOCAL)
        assert (orders["name"], orders["kind"], orders["rows"]) == ("orders", "table", 2)
        assert [(column["name"], column["nullable"]) for column in orders["columns"]] == [
            ("id", False),
            ("amount", True),
        ]
        assert (recent["name"], recent["kind"]) == ("recent", "view")
        assert [table["name"] for table in database.list_tables(job.connection, LOCAL, "ORD")] == ["orders"]
        assert database.check_connection(job.connection, LOCAL)
