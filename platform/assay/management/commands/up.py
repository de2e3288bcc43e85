"""`manage.py up`: the whole platform on one machine, until Ctrl-C."""

from __future__ import annotations

import os

from django.conf import settings
from django.core import checks
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from assay import programs
from assay.common.home import HomeInUse, HomeLock, Running
from assay.demo.login import read_login
from assay.supervisor import Program, become

DEFAULT_WORKERS = 2


class Command(BaseCommand):
    help = "Runs web, worker, scheduler and, where ASSAY_BROKER_URL is not set, a broker. Ctrl-C ends them all."
    requires_system_checks = []  # warnings belong to `manage.py check`; errors are asked for below

    def add_arguments(self, parser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
        parser.add_argument("--port", type=int, default=8000, help="port of the site, 0: any (default: %(default)s)")
        parser.add_argument(
            "--workers", type=int, default=DEFAULT_WORKERS, help="steps at a time (default: %(default)s)"
        )

    def handle(self, *, host: str, port: int, workers: int, **options) -> None:
        if workers < 1:
            raise CommandError("--workers must be 1 or more.")
        refuse_misconfiguration()
        lock = self._take_home()
        listening = self._listen(host, port)
        prepare_database()
        address = f"http://{f'[{host}]' if ':' in host else host}:{listening.getsockname()[1]}"
        started, broker_url = platform(listening, address, workers)
        lock.tell(Running(pid=os.getpid(), address=address, broker_url=broker_url))
        os.environ.update(programs.environment())
        become(started, greeting=self._greeting(address), keep_fds=[lock.fileno()])

    def _take_home(self) -> HomeLock:
        try:
            return HomeLock(settings.ASSAY_HOME)
        except HomeInUse as error:
            where = f" at {error.running.address} (process {error.running.pid})" if error.running else ""
            raise CommandError(
                f"Assay runs on {settings.ASSAY_HOME} already{where}. End it, or set ASSAY_HOME to another folder."
            ) from error

    def _listen(self, host: str, port: int):
        try:
            return programs.listen(host, port)
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            raise CommandError(f"Cannot listen on {host}:{port}: {reason}. Choose another one with --port.") from error

    def _greeting(self, address: str) -> str:
        login = read_login(settings.ASSAY_HOME)
        greeting = self.style.SUCCESS(f"Assay is ready: {address}  (Ctrl-C ends it)")
        return f"{greeting}\n{login}" if login else greeting


def platform(listening, address: str, workers: int) -> tuple[list[Program], str]:
    """Everything that runs, in the order in which it starts, and the broker's URL."""
    started = []
    broker_url = settings.ASSAY_BROKER_URL
    if not broker_url:
        embedded, broker_url = programs.broker(settings.ASSAY_HOME / "broker")
        started.append(embedded)
    started += [
        programs.worker(broker_url, workers),
        programs.scheduler(broker_url),
        programs.web(listening, address, broker_url),
    ]
    return started, broker_url


def refuse_misconfiguration() -> None:
    """Raises CommandError that names every system check of level error, with its hint."""
    errors = [message for message in checks.run_checks() if message.level >= checks.ERROR]
    if errors:
        raise CommandError("\n".join(str(message) for message in errors))


def prepare_database() -> None:
    """Migrate the embedded database. One on a server is its operator's: raises CommandError if it is behind."""
    executor = MigrationExecutor(connection)
    behind = executor.migration_plan(executor.loader.graph.leaf_nodes())
    if behind and settings.DATABASE_URL:
        raise CommandError(f"{len(behind)} migrations are not applied. Run manage.py migrate first.")
    if behind:
        call_command("migrate", verbosity=0)
