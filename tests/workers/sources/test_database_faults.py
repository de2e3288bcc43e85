"""What people are told when a database cannot be read, and what a broken run leaves."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from tests.workers.sources.database_jobs import LOCAL
from workers import errors
from workers.executors.ingest.run import run_ingest
from workers.network import NetworkPolicy
from workers.sources import database
from workers.specs import Watermark


def test_what_is_missing_is_named_with_what_is_near(postgres):
    job, execute = postgres
    execute("CREATE TABLE customer_orders (id int)")
    with pytest.raises(errors.SourceMissing, match=r"customer_order.*Near to it: public\.customer_orders"):
        job.run("public.customer_order")
    with pytest.raises(errors.SourceMissing, match=r"public\.customer_orders"):
        job.run("Customer_Orders")
    with pytest.raises(errors.SourceMissing, match='column "nam" does not exist'):
        job.run(query="SELECT nam FROM customer_orders")
    with pytest.raises(errors.SourceMissing, match=r"has no column changed_at, the watermark.*It has: id"):
        job.run("customer_orders", watermark=Watermark(column="changed_at"), write_mode="append")


def test_who_may_not_read_or_log_in_is_told_so_without_the_password(postgres):
    job, execute = postgres
    name = f"assay_{job.connection.database[-12:]}"
    execute("CREATE TABLE t (id int)")
    execute(f"CREATE ROLE {name} LOGIN PASSWORD 'hush-hush'")
    job.connection = replace(job.connection, username=name, password="hush-hush")
    try:
        with pytest.raises(errors.SourceUnavailable, match="permission denied for table t") as caught:
            job.run("t")
        assert not caught.value.retryable
        job.connection = replace(job.connection, username="nobody_here")
        with pytest.raises(errors.SourceUnavailable, match="nobody_here") as caught:
            job.run("t")
        assert "hush-hush" not in json.dumps(caught.value.as_dict())
    finally:
        execute(f"DROP ROLE {name}")


def test_a_wrong_password_for_mariadb_is_refused_and_not_told(mariadb):
    job, _ = mariadb
    job.connection = replace(job.connection, username="nobody_here", password="hush-hush")
    with pytest.raises(errors.SourceUnavailable, match="refuses the log-in") as caught:
        job.run("t")
    assert not caught.value.retryable
    assert "hush-hush" not in json.dumps(caught.value.as_dict())


def test_servers_that_are_not_there_or_not_allowed(postgres, mariadb):
    for job, _ in (postgres, mariadb):
        closed = replace(job.connection, port=1)
        with pytest.raises(errors.SourceUnavailable) as caught:
            database.check_connection(closed, LOCAL)
        assert caught.value.retryable
        unknown = replace(job.connection, host="no-such-host.invalid")
        with pytest.raises(errors.SourceUnavailable, match=r"no-such-host\.invalid"):
            database.check_connection(unknown, LOCAL)
        with pytest.raises(errors.AddressRefused):
            database.check_connection(job.connection, NetworkPolicy())
        missing = replace(job.connection, database="no_such_database")
        with pytest.raises(errors.SourceMissing, match="no_such_database"):
            database.check_connection(missing, LOCAL)


def test_a_statement_that_takes_too_long_is_ended_by_the_server(postgres, mariadb):
    for job, _ in (postgres, mariadb):
        sleep = "SELECT pg_sleep(20) IS NULL AS v" if job.connection.kind == "postgresql" else "SELECT sleep(20) AS v"
        with pytest.raises(errors.SourceUnavailable, match="longer than the job allows") as caught:
            job.run(query=sleep, timeout=1)
        assert caught.value.retryable


def test_a_connection_that_is_killed_in_the_middle_leaves_nothing_and_a_retry_loads_all(postgres, postgres_url):
    job, execute = postgres
    execute("CREATE TABLE t AS SELECT n AS id, repeat(md5(n::text), 20) AS note FROM generate_series(1, 60000) n")
    spec = job.spec("t")

    def kill(phase, *, done=None, **_):
        if phase == "land" and done:
            execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
                "AND application_name = 'assay'"
            )

    with pytest.raises(errors.SourceUnavailable, match="lost") as caught:
        run_ingest(spec, kill, job.access)
    assert caught.value.retryable
    assert not Path(spec.target.uri, "_delta_log").exists()
    assert not list(Path(job.lake, "landing").rglob("*.parquet"))
    assert run_ingest(spec, access=job.access).rows_written == 60_000
    assert job.rows().select(pl.col("id").n_unique().alias("ids"), pl.col("id").sum()).row(0) == (
        60_000,
        60_000 * 60_001 // 2,
    )


def test_a_connection_to_mariadb_that_is_killed_in_the_middle_is_lost_and_a_retry_may_help(mariadb):
    job, execute = mariadb
    execute("CREATE TABLE t AS SELECT seq AS id, repeat(md5(seq), 20) AS note FROM seq_1_to_60000")
    spec = job.spec("t")
    spec = replace(spec, source=replace(spec.source, batch_rows=1_000))

    def kill(phase, *, done=None, **_):
        if phase == "land" and done == 1_000:
            execute("SELECT group_concat('KILL ', id SEPARATOR ';') FROM information_schema.processlist "
                    "WHERE db = database() AND id <> connection_id()")  # fmt: skip
            threads = execute.__self__.fetchone()[0]
            execute(threads)

    with pytest.raises(errors.SourceUnavailable, match="lost") as caught:
        run_ingest(spec, kill, job.access)
    assert caught.value.retryable
    assert run_ingest(spec, access=job.access).rows_written == 60_000


def test_a_cancelled_run_stops_reading_and_closes_its_connection(postgres, mariadb):
    for job, execute in (postgres, mariadb):
        series = (
            "generate_series(1, 300000) n"
            if job.connection.kind == "postgresql"
            else "(SELECT seq n FROM seq_1_to_300000) s"
        )
        execute(f"CREATE TABLE t AS SELECT n AS id, 'some text that takes its room' AS note FROM {series}")

        def cancel(phase, *, done=None, **_):
            if done:
                raise errors.Cancelled("stop")

        with pytest.raises(errors.Cancelled):
            run_ingest(job.spec("t"), cancel, job.access)
