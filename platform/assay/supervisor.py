"""Child processes under one parent: started in order, restarted when they die, ended in reverse order.

A child leads a session of its own, so that Ctrl-C reaches the parent alone,
and dies with the parent even when that is killed. The parent knows no Django:
`become` turns a process that does into a supervisor of a few megabytes.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import NoReturn
from urllib.parse import urlsplit

from assay.common.logs import JsonLine
from workers.processes import bound_command

logger = logging.getLogger("assay.supervisor")

LOOK_SECONDS = 0.25
READY_SECONDS = 60
FIRST_WAIT_SECONDS = 0.5
LONGEST_WAIT_SECONDS = 30
# Whoever lived this long was well: its next restart does not wait.
WELL_AFTER_SECONDS = 30


class NotReady(Exception):
    """A program ended, or did not answer in time, before it was ready."""


@dataclass(frozen=True, kw_only=True)
class Program:
    name: str
    command: Sequence[str]  # an absolute path first
    environment: dict[str, str] = field(default_factory=dict)  # on top of ours
    pass_fds: Sequence[int] = ()
    stop_seconds: float  # how long it may take to end by itself
    ready_at: str = ""  # tcp://host:port or http://…: it must answer before the next one is started


def answers(url: str) -> bool:
    """Whether somebody listens there; for http:// whether there is any answer, also one that refuses."""
    address = urlsplit(url)
    try:
        if address.scheme == "tcp":
            socket.create_connection((address.hostname, address.port), timeout=0.5).close()
        else:
            urllib.request.urlopen(url, timeout=1).close()  # noqa: S310  (our own address)
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


class Child:
    """One program and the process that runs it just now."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.process: subprocess.Popen | None = None
        self.started = 0.0
        self.wait_seconds = 0.0
        self.start_at = 0.0

    def start(self) -> None:
        program = self.program
        self.process = subprocess.Popen(
            bound_command(program.command),
            env={**os.environ, **program.environment},
            stdin=subprocess.DEVNULL,
            pass_fds=program.pass_fds,
            start_new_session=True,
        )
        self.started = time.monotonic()
        logger.info("started", extra={"program": program.name, "pid": self.process.pid})

    @property
    def is_alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def restart_if_dead(self) -> None:
        if self.is_alive:
            return
        if self.process is not None:
            self._plan_restart()
        if time.monotonic() >= self.start_at:
            self.start()

    def _plan_restart(self) -> None:
        """Wait longer from one quick death to the next."""
        lived = time.monotonic() - self.started
        quick = lived < WELL_AFTER_SECONDS
        longer = max(FIRST_WAIT_SECONDS, min(self.wait_seconds * 2, LONGEST_WAIT_SECONDS))
        self.wait_seconds = longer if quick else 0.0
        self.start_at = time.monotonic() + self.wait_seconds
        logger.error(
            "died, will be restarted",
            extra={
                "program": self.program.name,
                "exit_code": self.process.returncode,
                "lived_seconds": round(lived, 1),
                "wait_seconds": self.wait_seconds,
            },
        )
        self.kill()

    def stop(self, *, patient: Callable[[], bool]) -> None:
        """Ask it to end; kill what is left of it when its time is over or patience ends."""
        if self.is_alive:
            asked = time.monotonic()
            self.process.terminate()
            while self.is_alive and patient() and time.monotonic() < asked + self.program.stop_seconds:
                time.sleep(0.02)
            facts = {"program": self.program.name, "killed": self.is_alive}
            logger.info("ended", extra={**facts, "seconds": round(time.monotonic() - asked, 1)})
        self.kill()

    def kill(self) -> None:
        """End the whole session: also the children of a child that died."""
        if self.process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.process = None


class Supervisor:
    """Runs until SIGINT or SIGTERM. A second one stops the waiting and kills."""

    def __init__(self, programs: Sequence[Program]) -> None:
        self.children = [Child(program) for program in programs]
        self._signals = 0

    def run(self, greeting: str) -> None:
        """Start all, print the greeting, keep them alive, end all. Raises `NotReady`."""
        before = {number: signal.signal(number, self._on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            self._start_all()
            if not self._signals:
                print(greeting, flush=True)  # noqa: T201  (for the person at the terminal)
            while not self._signals:
                for child in self.children:
                    child.restart_if_dead()
                time.sleep(LOOK_SECONDS)
        finally:
            self._stop_all()
            for number, handler in before.items():
                signal.signal(number, handler)

    def _on_signal(self, number: int, frame: object) -> None:
        self._signals += 1

    def _start_all(self) -> None:
        for child in self.children:
            if self._signals:
                return
            child.start()
            self._await(child)

    def _await(self, child: Child) -> None:
        deadline = time.monotonic() + READY_SECONDS
        url = child.program.ready_at
        while url and not self._signals and not answers(url):
            if not child.is_alive:
                raise NotReady(f"{child.program.name} ended at once, with exit code {child.process.returncode}.")
            if time.monotonic() > deadline:
                raise NotReady(f"{child.program.name} did not answer within {READY_SECONDS} seconds.")
            time.sleep(0.05)

    def _stop_all(self) -> None:
        for child in reversed(self.children):
            child.stop(patient=lambda: self._signals < 2)


def become(programs: Sequence[Program], *, greeting: str, keep_fds: Sequence[int]) -> NoReturn:
    """Replace this process by a supervisor of these programs; the kept descriptors stay open in it."""
    plan = tempfile.TemporaryFile("w+")  # noqa: SIM115  (the new program reads it)
    json.dump({"programs": [asdict(program) for program in programs], "greeting": greeting}, plan)
    plan.seek(0)
    for descriptor in {plan.fileno(), *keep_fds, *(fd for program in programs for fd in program.pass_fds)}:
        os.set_inheritable(descriptor, True)
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, "-m", "assay.supervisor", str(plan.fileno())])  # noqa: S606


def main(descriptor: int) -> int:
    """Run the plan that `become` left; the exit code."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLine())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    with os.fdopen(descriptor) as file:
        plan = json.load(file)
    try:
        Supervisor([Program(**program) for program in plan["programs"]]).run(plan["greeting"])
    except NotReady as error:
        print(f"{error} Its last lines above say why.", file=sys.stderr)  # noqa: T201
        return 1
    print("Assay has ended.")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
