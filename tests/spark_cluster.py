"""Spark for tests: one small local session for all of them, and a standalone cluster of child processes."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest

from workers.engines.base import Limits
from workers.engines.spark.session import missing_part
from workers.ports import free_port

# Code that runs once is quicker compiled lightly.
QUICK = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xshare:auto"
OPTIONS = {"spark.sql.shuffle.partitions": "2", "spark.driver.extraJavaOptions": QUICK}
LOCAL = {"spark": {"master": "local[2]", "memory_mb": 900, "options": OPTIONS}}
LIMITS = Limits(settings=LOCAL)

# On a test or a whole file: skipped, with the reason, where Spark cannot run.
needs_spark = [pytest.mark.spark, pytest.mark.skipif(bool(missing_part()), reason=missing_part() or "Spark is there")]


class Cluster:
    """One master and its workers, on loopback, as child processes."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.master = f"spark://127.0.0.1:{self.port}"
        self._processes: list[subprocess.Popen] = []

    @property
    def settings(self) -> dict:
        options = OPTIONS | {"spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1",
                             "spark.executor.extraJavaOptions": QUICK}  # fmt: skip
        return {"spark": {"master": self.master, "memory_mb": 600, "options": options}}

    def start(self, workers: int) -> None:
        ports = ["--host", "127.0.0.1", "--port", str(self.port), "--webui-port", "0"]
        self._start("master", "org.apache.spark.deploy.master.Master", *ports)
        for number in range(workers):
            self._start(f"worker-{number}", "org.apache.spark.deploy.worker.Worker", "--host", "127.0.0.1", "--cores",
                        "1", "--memory", "1g", "--webui-port", "0", "--work-dir", str(self.folder / f"work-{number}"),
                        self.master)  # fmt: skip
        self._wait_for(workers)

    def stop(self, number: int = -1) -> None:
        """End one process (0 is the master), or all."""
        for process in self._processes if number < 0 else [self._processes[number]]:
            process.kill()
            process.wait()

    def registered(self) -> int:
        return len(set(re.findall(r"Registering worker (\S+)", (self.folder / "master.log").read_text())))

    def executors(self) -> int:
        """How many executors the workers have started so far."""
        logs = (self.folder / f"worker-{number}.log" for number in range(len(self._processes) - 1))
        return sum(log.read_text().count("Launch command:") for log in logs)

    def _start(self, name: str, kind: str, *arguments: str) -> None:
        home = Path(find_spec("pyspark").origin).parent
        environment = os.environ | {
            "SPARK_HOME": str(home),
            "SPARK_DAEMON_MEMORY": "256m",
            "SPARK_DAEMON_JAVA_OPTS": QUICK,
            "SPARK_LOCAL_IP": "127.0.0.1",
        }
        with (self.folder / f"{name}.log").open("wb") as log:
            command = [str(home / "bin" / "spark-class"), kind, *arguments]
            self._processes.append(subprocess.Popen(command, stdout=log, stderr=log, env=environment))

    def _wait_for(self, workers: int) -> None:
        deadline = time.monotonic() + 120
        while self.registered() < workers:
            if time.monotonic() > deadline or any(each.poll() is not None for each in self._processes):
                raise RuntimeError((self.folder / "master.log").read_text()[-2000:])
            time.sleep(0.2)


@contextmanager
def cluster(folder: Path, workers: int = 2) -> Iterator[Cluster]:
    made = Cluster(folder)
    try:
        made.start(workers)
        yield made
    finally:
        made.stop()
