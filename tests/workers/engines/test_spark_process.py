"""The JVM behind Spark: one for a process, started anew when it dies, ended with it; and a real cluster."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from tests.spark_cluster import LOCAL, OPTIONS, cluster, needs_spark
from workers import errors
from workers.engines.spark import session
from workers.executors.sql import run
from workers.ids import new_run_id
from workers.lake.table import open_table
from workers.specs import Column, SqlSpec, TableTarget

pytestmark = needs_spark
ROOT = Path(__file__).parents[3]
ONE_LARGE_TEXT = f"select length(string_agg(cast(k as text) || '{'x' * 9000}', ',')) as n from numbers"
SLOW = "select count(*) as n from numbers a, numbers b where a.k * b.k % 7 = 3 and sqrt(a.k * b.k) > 1000"


@pytest.fixture(scope="module")
def numbers(load):
    return load("numbers", pl.DataFrame({"k": range(100_000), "g": [n % 7 for n in range(100_000)]}))


@pytest.fixture
def spec(numbers, tmp_path):
    def make(sql="select g, count(*) as n from numbers group by g", settings=LOCAL) -> SqlSpec:
        columns = (Column(name="g", type="int64"), Column(name="n", type="int64"))
        return SqlSpec(
            run_id=str(new_run_id()), workflow="x", job="y", inputs=(numbers,), sql=sql, engine="spark",
            columns=columns if " g" in sql else columns[1:], run_time=datetime(2026, 1, 1, tzinfo=UTC),
            target=TableTarget(dataset="gold.x.y", uri=f"{tmp_path}/gold"), settings=settings,
        )  # fmt: skip

    return make


def running() -> session.Running:
    return session._running


EXPECTED = {(g, len(range(g, 100_000, 7))) for g in range(7)}


def rows_of(made: SqlSpec) -> set[tuple]:
    return set(open_table(made.target.uri).scan().collect().rows())


def files_of(made: SqlSpec) -> list[Path]:
    return [file for file in Path(made.target.uri).rglob("*") if file.is_file()]


def test_one_jvm_serves_one_step_after_another(spec):
    run(spec())
    first = running().session.sparkContext._gateway.proc.pid
    run(spec())
    assert running().session.sparkContext._gateway.proc.pid == first


def test_a_jvm_that_dies_in_the_middle_is_worth_a_retry_which_starts_another(spec):
    run(spec())
    killed = running().session.sparkContext._gateway.proc

    def progress(phase, **_):
        if phase == "read" and not _:
            killed.kill()

    with pytest.raises(errors.EngineUnavailable, match="driver ended") as failure:
        run(spec(SLOW), progress)
    assert failure.value.retryable
    made = spec()
    run(made)
    assert rows_of(made) == EXPECTED


def test_a_jvm_out_of_memory_is_told_and_the_next_query_has_another(spec):
    made = spec(ONE_LARGE_TEXT)
    with pytest.raises(errors.ResourceLimit, match="more memory than Spark has: 900 MB") as failure:
        run(made)
    assert "ASSAY_SPARK_MEMORY_MB" in failure.value.hint
    assert files_of(made) == []
    made = spec()
    run(made)
    assert rows_of(made) == EXPECTED


def test_a_cancelled_step_stops_in_the_middle_of_its_query(spec):
    begun = []

    def progress(phase, **told):
        if phase == "read" and not told:
            begun.append(time.monotonic())
            if begun[-1] - begun[0] > 1:
                raise errors.Cancelled("The run was cancelled.")

    made = spec(SLOW)
    with pytest.raises(errors.Cancelled):
        run(made, progress)
    assert files_of(made) == []
    made = spec()
    run(made)
    assert rows_of(made) == EXPECTED


def test_without_java_the_error_says_what_to_install(spec, monkeypatch, tmp_path):
    session.stop()
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(errors.EngineMissing, match="Java") as failure:
        run(spec())
    assert "openjdk-17-jre-headless" in failure.value.hint
    assert not failure.value.retryable


def test_a_java_that_is_too_old_is_told_before_it_is_started(spec, monkeypatch, tmp_path):
    session.stop()
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "java").touch(0o755)
    (tmp_path / "release").write_text('IMPLEMENTOR="x"\nJAVA_VERSION="11.0.25"\n')
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(errors.EngineMissing, match="Java is of version 11") as failure:
        run(spec())
    assert "Java 17 or later" in failure.value.hint


def test_a_jvm_that_does_not_start_is_told_with_all_that_may_be_wrong(spec, monkeypatch, tmp_path):
    session.stop()
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "java").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "bin" / "java").chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(errors.EngineMissing, match="JVM with 900 MB of memory did not start") as failure:
        run(spec())
    for what in ("ASSAY_SPARK_MEMORY_MB", "ASSAY_SPARK_OPTIONS", "Java 17"):
        assert what in failure.value.hint


def test_less_memory_than_spark_itself_needs_is_refused(spec):
    with pytest.raises(errors.InvalidSpec, match="at least 512 MB") as failure:
        run(spec(settings={"spark": {**LOCAL["spark"], "memory_mb": 300}}))
    assert "ASSAY_SPARK_MEMORY_MB" in failure.value.hint


def test_without_pyspark_the_error_says_what_to_install(spec, monkeypatch):
    session.stop()
    monkeypatch.setattr(session, "find_spec", lambda name: None)
    with pytest.raises(errors.EngineMissing, match="pyspark") as failure:
        run(spec())
    assert "assay[spark]" in failure.value.hint


def test_a_master_that_does_not_answer_is_told_at_once_and_tried_again(spec):
    settings = {"spark": {"master": "spark://127.0.0.1:9", "memory_mb": 600, "options": OPTIONS}}
    with pytest.raises(errors.EngineUnavailable, match=r"spark://127.0.0.1:9 does not answer") as failure:
        run(spec(settings=settings))
    assert failure.value.retryable


def test_a_master_that_is_none_is_told(spec):
    settings = {"spark": {"master": "sparkle://here", "memory_mb": 600, "options": OPTIONS}}
    with pytest.raises(errors.EngineUnavailable, match="sparkle"):
        run(spec(settings=settings))


def test_a_lake_on_s3_is_out_of_reach_for_a_cluster():
    from workers.engines.spark.engine import _check_reach

    with pytest.raises(errors.EngineMissing, match="hadoop-aws"):
        _check_reach(session.SparkSettings(master="spark://127.0.0.1:9"), ["s3://lake/bronze/x"])


def test_the_jvm_ends_with_a_worker_that_is_killed():
    code = (
        "import sys; sys.path.insert(0, '.')\n"
        "from workers.engines.spark.session import SparkSettings, running\n"
        f"made = running(SparkSettings.of({LOCAL!r}, 600))\n"
        "print(made.session.sparkContext._gateway.proc.pid, flush=True)\n"
        "import time; time.sleep(600)\n"
    )
    worker = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    jvm = int(worker.stdout.readline())
    os.kill(worker.pid, signal.SIGKILL)
    worker.wait()
    deadline = time.monotonic() + 60
    while lives(jvm):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def lives(pid: int) -> bool:
    try:
        return bool(Path(f"/proc/{pid}/cmdline").read_bytes())  # empty of one that nobody has waited for
    except OSError:
        return False


def test_a_cluster_goes_on_after_a_query_too_large_and_a_lost_worker_until_its_master_is_gone(spec, tmp_path):
    try:
        with cluster(tmp_path, workers=2) as made:
            job = spec(settings=made.settings)
            run(job)
            assert rows_of(job) == EXPECTED
            assert made.executors() == 2

            left = files_of(job)
            with pytest.raises(errors.ResourceLimit, match="more memory than Spark has"):
                run(spec(ONE_LARGE_TEXT, made.settings))
            assert files_of(job) == left

            job = spec(settings=made.settings)
            run(job, lambda phase, **_: made.stop(1) if phase == "read" else None)
            assert rows_of(job) == EXPECTED

            made.stop(0)
            with pytest.raises(errors.EngineUnavailable, match="does not answer") as failure:
                run(spec(settings=made.settings))
            assert failure.value.retryable
    finally:
        session.stop()
