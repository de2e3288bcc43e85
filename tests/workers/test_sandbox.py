"""What runs in a child process may fail in every way there is; the caller is told, and lives on."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from workers import errors
from workers.sandbox import ROOT, run_in_child

DEEDS = "tests.workers.deeds"


def call(deed: str, **limits):
    facts = {"memory_mb": 300, "cpu_seconds": 10, "wall_seconds": 20} | limits
    return run_in_child(f"{DEEDS}:{deed}", {"value": 3}, **facts)


def test_the_answer_of_the_function_comes_back():
    assert call("double") == {"value": 6}


def test_what_a_library_prints_is_not_the_answer():
    assert call("chatter") == {"value": 3}


def test_an_expected_error_arrives_as_itself():
    with pytest.raises(errors.QueryFailed, match="a bad value") as failure:
        call("fail_clearly")
    assert (failure.value.hint, failure.value.facts) == ("Look.", {"line": 7})


def test_a_bug_is_not_mistaken_for_a_limit():
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        call("fail_badly")


def test_too_much_memory_ends_the_child():
    with pytest.raises(errors.ResourceLimit) as failure:
        call("take_memory")
    assert failure.value.facts["limit"] == "memory_mb"


def test_memory_taken_at_one_go_ends_the_child_too():
    with pytest.raises(errors.ResourceLimit) as failure:
        call("take_memory_at_once")
    assert failure.value.facts["limit"] == "memory_mb"


@pytest.mark.parametrize("deed", ["panic_for_memory", "complain_about_memory"])
def test_a_library_that_gets_no_memory_is_no_bug_of_ours(deed):
    with pytest.raises(errors.ResourceLimit) as failure:
        call(deed)
    assert failure.value.facts["limit"] == "memory_mb"


def test_too_much_work_ends_the_child():
    with pytest.raises(errors.ResourceLimit) as failure:
        call("work", cpu_seconds=1)
    assert failure.value.facts["limit"] == "cpu_seconds"


def test_the_clock_ends_a_child_that_only_waits_and_all_it_started(tmp_path):
    told = tmp_path / "pid"
    with pytest.raises(errors.ResourceLimit) as failure:
        run_in_child(f"{DEEDS}:start_a_sleeper", {"file": str(told)}, wall_seconds=10)
    assert failure.value.facts["limit"] == "wall_seconds"
    wait_until(lambda: is_gone(told.read_text()))


def test_a_crash_of_a_library_does_not_reach_the_caller():
    with pytest.raises(errors.ResourceLimit):
        call("crash")


def test_the_child_sees_no_secret(monkeypatch):
    monkeypatch.setenv("DATABASE_URL", "postgresql://user:secret@host/db")
    monkeypatch.setenv("ASSAY_SECRET_KEY", "secret")
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    seen = call("environment")["names"]
    assert "AWS_REGION" in seen
    assert not {"DATABASE_URL", "ASSAY_SECRET_KEY", "ASSAY_ENCRYPTION_KEYS"} & set(seen)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a child with its parent")
def test_a_child_does_not_outlive_a_killed_caller(tmp_path):
    told = tmp_path / "pid"
    code = (
        "from workers.sandbox import run_in_child\n"
        f"run_in_child('{DEEDS}:tell_and_wait', {{'file': {str(told)!r}}}, wall_seconds=60)"
    )
    caller = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)})
    wait_until(lambda: told.exists() and told.read_text())
    caller.kill()
    caller.wait()
    wait_until(lambda: is_gone(told.read_text()))


def is_gone(pid: str) -> bool:
    """Whether the process has ended; who has nobody to wait for it stays listed."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def wait_until(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)
