"""`manage.py up`, started for real: what it serves, what it survives, how it ends."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
import redis

from assay.common import home as homes
from workers.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = ["broker", "worker", "scheduler", "web"]
# Generous: the machine may be busy with other tests.
READY_SECONDS = 150
END_SECONDS = 120
PATIENT = {"ASSAY_STOP_SECONDS": str(END_SECONDS)}

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are looked up in /proc")


class Platform:
    """A running `manage.py up`."""

    def __init__(self, home: Path) -> None:
        self.home, self.port, self.log = home, free_port(), home.parent / f"{home.name}.log"
        self.address = f"http://127.0.0.1:{self.port}"
        with self.log.open("w") as log:
            self.process = start_up(home, self.port, stdout=log, stderr=subprocess.STDOUT)
        wait_for(lambda: "Assay is ready" in self.log.read_text(), READY_SECONDS, self.log)

    def events(self, event: str) -> list[dict]:
        lines = [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]
        return [line for line in lines if line["logger"] == "assay.supervisor" and line["event"] == event]

    def pid(self, program: str) -> int:
        """Of the process that runs the program just now. It leads a session, which bears its number."""
        return [line["pid"] for line in self.events("started") if line["program"] == program][-1]

    def processes(self) -> set[int]:
        """All children and their children."""
        return {pid for line in self.events("started") for pid in session(line["pid"])}

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


def start_up(home: Path, port: int, **options) -> subprocess.Popen:
    environment = {**os.environ, "ASSAY_HOME": str(home), "ASSAY_BROKER_URL": "", "DATABASE_URL": "", **PATIENT}
    command = [sys.executable, "manage.py", "up", "--port", str(port)]
    return subprocess.Popen(command, cwd=ROOT, env=environment, start_new_session=True, **options)


def wait_for(what, seconds: float, log: Path) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, f"It did not happen within {seconds} s:\n{log.read_text()[-3000:]}"
        time.sleep(0.1)


def session(leader: int) -> set[int]:
    """Living processes of one session."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, number = path.read_text().rpartition(")")[2].split()[:4]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(number) == leader and state != "Z":
            found.add(int(path.parent.name))
    return found


def get(url: str) -> int:
    # A server that has just been started answers its first request when it has imported everything.
    with urllib.request.urlopen(url, timeout=60) as answer:
        return answer.status


@pytest.fixture
def platform(tmp_path):
    running = Platform(tmp_path / "platform")
    yield running
    running.kill()


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """One platform for the tests that leave it running."""
    running = Platform(tmp_path_factory.mktemp("shared") / "platform")
    yield running
    running.kill()


def test_it_migrates_the_embedded_database_and_serves_pages_and_assets(shared):
    assert get(f"{shared.address}/admin/login/") == 200
    assert get(f"{shared.address}/static/unfold/css/styles.css") == 200


def test_everything_is_started_in_order(shared):
    assert [line["program"] for line in shared.events("started")][:4] == PROGRAMS


def test_a_second_one_on_the_same_home_is_refused_and_told_where_the_first_is(shared):
    second = start_up(shared.home, free_port(), stderr=subprocess.PIPE, text=True)
    _, message = second.communicate(timeout=READY_SECONDS)
    assert second.returncode == 1
    assert shared.address in message
    assert str(shared.process.pid) in message


def test_a_taken_port_is_refused_with_what_to_do(shared, tmp_path):
    second = start_up(tmp_path / "other", shared.port, stderr=subprocess.PIPE, text=True)
    _, message = second.communicate(timeout=READY_SECONDS)
    assert second.returncode == 1
    assert "in use" in message
    assert "--port" in message


def test_other_commands_find_the_running_broker(shared):
    url = homes.broker_url(shared.home)
    assert redis.Redis.from_url(url).ping()
    asked = "from django.conf import settings; print(settings.CELERY_BROKER_URL)"
    environment = {**os.environ, "ASSAY_HOME": str(shared.home), "ASSAY_BROKER_URL": ""}
    command = [sys.executable, "manage.py", "shell", "--no-imports", "-c", asked]
    assert subprocess.check_output(command, cwd=ROOT, env=environment, text=True).strip() == url


def test_the_broker_is_closed_to_other_users_of_the_machine(shared):
    with_password = redis.Redis.from_url(homes.broker_url(shared.home)).connection_pool.connection_kwargs
    with pytest.raises(redis.exceptions.AuthenticationError):
        redis.Redis(port=with_password["port"]).ping()
    secrets = [shared.home / "up.lock", shared.home / "broker" / "valkey.conf"]
    assert [path.stat().st_mode & 0o077 for path in secrets] == [0, 0]
    assert with_password["password"] not in Path(f"/proc/{shared.pid('broker')}/cmdline").read_text()


def test_killed_children_are_restarted_and_the_site_answers_again(shared):
    old = {program: shared.pid(program) for program in PROGRAMS}
    for program in ("web", "broker", "scheduler"):
        os.kill(old[program], signal.SIGKILL)
    for program in ("web", "broker", "scheduler"):
        wait_for(lambda name=program: shared.pid(name) != old[name], READY_SECONDS, shared.log)
    assert get(f"{shared.address}/admin/login/") == 200
    wait_for(lambda: answers(homes.broker_url(shared.home)), READY_SECONDS, shared.log)
    assert shared.pid("worker") == old["worker"]


def answers(url: str) -> bool:
    try:
        return redis.Redis.from_url(url).ping()
    except redis.exceptions.RedisError:
        return False


def test_a_killed_worker_takes_its_processes_along_and_is_replaced(shared):
    old = shared.pid("worker")
    wait_for(lambda: len(session(old)) == 3, READY_SECONDS, shared.log)
    # Stopped, they notice nothing by themselves: just like processes deep in a step.
    for pid in session(old) - {old}:
        os.kill(pid, signal.SIGSTOP)
    os.kill(old, signal.SIGKILL)
    wait_for(lambda: not session(old), END_SECONDS, shared.log)
    wait_for(lambda: len(session(shared.pid("worker"))) == 3, READY_SECONDS, shared.log)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_everything_in_order_within_seconds(platform, number):
    # As a terminal does: Ctrl-C goes to the whole foreground group.
    os.killpg(platform.process.pid, number)
    assert platform.process.wait(END_SECONDS) == 0
    ended = platform.events("ended")
    assert [line["program"] for line in ended] == PROGRAMS[::-1]
    assert not any(line["killed"] for line in ended)
    assert not platform.processes()
    assert homes.running(platform.home) is None


@pytest.mark.chaos
def test_killing_the_parent_leaves_no_orphan_and_the_home_free(platform):
    wait_for(lambda: len(session(platform.pid("worker"))) == 3, READY_SECONDS, platform.log)
    assert len(platform.processes()) == len(PROGRAMS) + 2
    platform.kill()
    wait_for(lambda: not platform.processes(), END_SECONDS, platform.log)
    assert homes.broker_url(platform.home) == homes.NO_BROKER


def test_log_lines_of_every_program_are_json(shared):
    lines = [line for line in shared.log.read_text().splitlines() if line and "Assay is ready" not in line]
    assert lines
    assert all(json.loads(line)["time"] for line in lines)
