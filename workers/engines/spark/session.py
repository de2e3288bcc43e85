"""The one Spark session of a process: started by the first query that needs it, kept, and ended with the process.

It starts a JVM, which takes seconds and has threads: never before a fork.
Nothing here imports pyspark before it is needed; it is an optional part.
"""

from __future__ import annotations

import atexit
import logging
import os
import re
import shutil
import socket
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from workers.errors import EngineMissing, EngineUnavailable, InvalidSpec

from . import failures

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

INSTALL_PYSPARK = "Install what requirements/spark.txt pins (pip install 'assay[spark]'), or choose the engine duckdb."
INSTALL_JAVA = (
    "Install Java 17 or later (on Debian: apt install openjdk-17-jre-headless), or point JAVA_HOME to it; "
    "or choose the engine duckdb."
)
LEAST_JAVA = 17
LEAST_MEMORY_MB = 512  # Spark keeps 300 MB for itself and refuses less than half as much again
CONNECT_SECONDS = 5
_LOG = Path(__file__).with_name("log4j2.properties")


@dataclass(frozen=True, slots=True, kw_only=True)
class SparkSettings:
    """Where Spark runs. `options` are Spark's own, and win over what is set here."""

    master: str = "local[*]"
    memory_mb: int = 2048  # the JVM's heap; of each executor too, on a cluster
    options: tuple[tuple[str, str], ...] = field(default_factory=tuple)

    @classmethod
    def of(cls, settings: Mapping[str, Any], memory_mb: int) -> SparkSettings:
        told = settings.get("spark") or {}
        return cls(
            master=told.get("master") or "local[*]",
            memory_mb=int(told.get("memory_mb") or memory_mb),
            options=tuple(sorted((told.get("options") or {}).items())),
        )

    def __post_init__(self) -> None:
        if self.memory_mb < LEAST_MEMORY_MB:
            raise InvalidSpec(
                f"Spark needs at least {LEAST_MEMORY_MB} MB of memory, and was given {self.memory_mb} MB.",
                hint=f"Set ASSAY_SPARK_MEMORY_MB to {LEAST_MEMORY_MB} or more.",
            )

    @property
    def is_local(self) -> bool:
        return self.master.startswith("local")


@dataclass(slots=True)
class Running:
    """A session, and what it was started with."""

    session: SparkSession
    settings: SparkSettings
    pid: int  # of the process that started it
    folder: str  # for what spills

    @property
    def exit_code(self) -> int | None:
        """Of the JVM; None while it lives."""
        return self.session.sparkContext._gateway.proc.poll()

    def kill(self) -> None:
        """End the JVM whatever it does; the next query starts another."""
        process = self.session.sparkContext._gateway.proc
        process.kill()
        process.wait()

    @property
    def is_alive(self) -> bool:
        if self.pid != os.getpid() or self.exit_code is not None:
            return False
        try:
            return not self.session.sparkContext._jsc.sc().isStopped()
        except Exception:  # noqa: BLE001 - whatever a broken connection says, there is no session behind it
            return False


_lock = Lock()
_running: Running | None = None


def missing_part() -> str:
    """What Spark lacks to run here, and what to do, in one sentence; empty when it can."""
    if find_spec("pyspark") is None:
        return f"pyspark is not installed. {INSTALL_PYSPARK}"
    java = _java()
    if not java:
        return f"There is no Java. {INSTALL_JAVA}"
    if (version := _java_version(java)) and version < LEAST_JAVA:
        return f"Its Java is of version {version}. {INSTALL_JAVA}"
    return ""


def running(settings: SparkSettings) -> Running:
    """The session of this process; started, or started anew where it died or was set otherwise.

    Raises `EngineMissing` (no pyspark, no Java), `EngineUnavailable` (no master answers).
    """
    global _running
    with _lock:
        _reach(settings.master)
        if _running is not None and not (_running.is_alive and _running.settings == settings):
            _end(_running)
            _running = None
        if _running is None:
            _running = _start(settings)
        return _running


def stop() -> None:
    """End the session and its JVM, if there is one."""
    global _running
    with _lock:
        if _running is not None:
            _end(_running)
            _running = None


atexit.register(stop)


def _start(settings: SparkSettings) -> Running:
    if lacking := missing_part():
        what, _, hint = lacking.partition(". ")
        raise EngineMissing(f"Spark cannot run here: {what}.", hint=hint)
    from pyspark.sql import SparkSession

    logging.getLogger("py4j").setLevel(logging.WARNING)  # else it tells of every connection
    folder = tempfile.mkdtemp(prefix="assay-spark-")
    try:
        builder = SparkSession.builder.master(settings.master).appName("assay")
        for name, value in _configuration(settings, folder).items():
            builder = builder.config(name, value)
        return Running(builder.getOrCreate(), settings, os.getpid(), folder)
    except Exception as error:
        told = failures.not_started(error, settings.master, settings.memory_mb)  # asks the JVM for its words
        _forget()
        shutil.rmtree(folder, ignore_errors=True)
        raise told from error


def _configuration(settings: SparkSettings, folder: str) -> dict[str, str]:
    memory = f"{settings.memory_mb}m"
    told = {
        "spark.driver.memory": memory,
        "spark.executor.memory": memory,
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.local.dir": folder,
        "spark.sql.warehouse.dir": f"{folder}/warehouse",
        # As the other engines: errors instead of nulls, exact decimals, UTC, microseconds.
        "spark.sql.ansi.enabled": "true",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.timeType.enabled": "true",
        "spark.sql.decimalOperations.allowPrecisionLoss": "false",
        "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
        "spark.sql.parquet.datetimeRebaseModeInRead": "CORRECTED",
        "spark.sql.parquet.datetimeRebaseModeInWrite": "CORRECTED",
        "spark.hadoop.mapreduce.fileoutputcommitter.marksuccessfuljobs": "false",
        **({"spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1"} if settings.is_local else {}),
        **dict(settings.options),
    }
    # A JVM that is out of memory ends at once, instead of going on half dead.
    java = f"-XX:+ExitOnOutOfMemoryError -Dlog4j2.configurationFile=file://{_LOG}"
    told["spark.driver.extraJavaOptions"] = f"{java} {told.get('spark.driver.extraJavaOptions', '')}".strip()
    return told


def _java() -> str | None:
    home = os.environ.get("JAVA_HOME")
    return shutil.which("java", path=f"{home}/bin") if home else shutil.which("java")


def _java_version(java: str) -> int | None:
    """The first number of its version, as the file beside it says; None where there is no such file."""
    release = Path(java).resolve().parents[1] / "release"
    told = re.search(r'^JAVA_VERSION="(?:1\.)?(\d+)', release.read_text(), re.MULTILINE) if release.is_file() else None
    return int(told[1]) if told else None


def _reach(master: str) -> None:
    """Ask a standalone master's port: Spark itself would try for a minute, and say nothing clear."""
    if not master.startswith("spark://"):
        return
    for address in master.removeprefix("spark://").split(","):
        host, _, port = address.rpartition(":")
        with suppress(OSError, ValueError), socket.create_connection((host, int(port)), CONNECT_SECONDS):
            return
    raise EngineUnavailable(
        f"The Spark master {master} does not answer.",
        hint="Check ASSAY_SPARK_MASTER, and that the master is up; the step is tried again.",
    )


def _end(ended: Running) -> None:
    if ended.pid != os.getpid():
        return  # another process's; its JVM is none of ours
    process = ended.session.sparkContext._gateway.proc
    if process.poll() is None:
        with suppress(Exception):
            ended.session.stop()
        with suppress(Exception):
            ended.session.sparkContext._gateway.shutdown()
        with suppress(OSError):
            process.stdin.close()  # on which it ends
        try:
            process.wait(timeout=10)
        except Exception:  # noqa: BLE001 - the standard library's TimeoutExpired, or what a closed pipe says
            process.kill()
            process.wait()
    _forget()
    shutil.rmtree(ended.folder, ignore_errors=True)


def _forget() -> None:
    """pyspark keeps its JVM in class attributes, and would go on talking to one that is gone or could not be used."""
    from pyspark import SparkContext
    from pyspark.sql import SparkSession

    if SparkContext._gateway is not None and SparkContext._gateway.proc.poll() is None:
        SparkContext._gateway.proc.kill()
        SparkContext._gateway.proc.wait()
    SparkContext._gateway = SparkContext._jvm = SparkContext._active_spark_context = None
    SparkSession._instantiatedSession = None
    SparkSession._activeSession = None
