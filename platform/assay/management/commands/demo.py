"""`manage.py demo`: the demo workflows from their files to Gold, then the site."""

from __future__ import annotations

import logging
from importlib import resources

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from rich.console import Console

from assay import demo, programs
from assay.common import home
from assay.common.runs import RunStatus
from assay.demo.connections import ensure_connections
from assay.demo.crm_files import write_crm_files
from assay.demo.flights_files import DataMissing, copy_flights_files
from assay.demo.login import ensure_login
from assay.demo.shop_files import write_shop_files
from assay.portable import apply
from catalog.models import Dataset
from ops import services
from ops.models import Workflow
from ops.terminal import run_and_show

from .up import prepare_database, refuse_misconfiguration

WORKFLOWS = ("shop", "flights", "customers")


class Command(BaseCommand):
    help = "Builds the demo workflows, runs them from source to Gold, and serves the site. Can be repeated."
    requires_system_checks = []  # errors are asked for below; warnings belong to `manage.py check`

    def add_arguments(self, parser) -> None:
        parser.add_argument("--port", type=int, default=8000, help="port of the site (default: %(default)s)")
        parser.add_argument("--no-serve", dest="serve", action="store_false", help="end after the runs")

    def handle(self, *, port: int, serve: bool, **options) -> None:
        refuse_misconfiguration()
        if serve and not home.running(settings.ASSAY_HOME):
            self._refuse_taken_port(port)
        prepare_database()
        # The table on the terminal says what the events would.
        logging.getLogger().setLevel(logging.WARNING)
        login = ensure_login(settings.ASSAY_HOME)
        self._write_files()
        self._run_all()
        self._show_gold()
        if not serve:
            self.stdout.write("To look at it: make demo")
        elif found := home.running(settings.ASSAY_HOME):
            self.stdout.write(f"Assay runs already: {found.address}\n{login}")
        else:
            call_command("up", port=port)

    def _refuse_taken_port(self, port: int) -> None:
        """Before the work, not after it."""
        try:
            programs.listen(programs.LOCALHOST, port).close()
        except (OSError, OverflowError) as error:
            message = f"Cannot listen on port {port}: {error}. Choose another one: make demo PORT=8010"
            raise CommandError(message) from error

    def _write_files(self) -> None:
        inbox = settings.ASSAY_LOCAL_SOURCE_ROOTS[0]
        self.stdout.write(f"Writing the shop's files and copying the flights to {inbox}")
        write_shop_files(inbox / "shop")
        write_crm_files(inbox / "customers", inbox / "shop")
        ensure_connections(inbox)
        try:
            copy_flights_files(inbox / "flights")
        except DataMissing as error:
            raise CommandError(str(error)) from error

    def _run_all(self) -> None:
        """Raises CommandError unless every run succeeded, but runs them all."""
        console = Console(file=self.stdout._out)
        failed = []
        for slug in WORKFLOWS:
            apply(resources.files(demo).joinpath(f"{slug}.yaml").read_text())
            run = services.start_run(Workflow.objects.get(slug=slug), send=False)
            if run_and_show(run, console).status != RunStatus.SUCCESS:
                failed.append(slug)
        if failed:
            raise CommandError(f"The run of {' and of '.join(failed)} did not succeed.")

    def _show_gold(self) -> None:
        for dataset in Dataset.objects.filter(layer="gold", workflow__in=WORKFLOWS).order_by("name"):
            self.stdout.write(f"  {dataset.name}: {dataset.rows:,} rows, version {dataset.version}")
