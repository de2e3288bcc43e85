from datetime import date

from django.core.management.base import BaseCommand, CommandError
from rich.console import Console

from assay.common.runs import RunStatus
from ops import services
from ops.models import Workflow
from ops.terminal import run_and_show
from workers.errors import AssayError


class Command(BaseCommand):
    help = "Runs a workflow here and now, without broker or workers, and shows how it goes. Exit code 1 if it failed."

    def add_arguments(self, parser) -> None:
        parser.add_argument("slug")
        parser.add_argument("--only", nargs="+", metavar="JOB", help="run these jobs only")
        parser.add_argument("--from", dest="start_date", type=date.fromisoformat, metavar="YYYY-MM-DD")
        parser.add_argument("--to", dest="end_date", type=date.fromisoformat, metavar="YYYY-MM-DD")
        parser.add_argument("--threads", type=int, default=2, help="steps at a time (default: %(default)s)")

    def handle(self, *, slug: str, only, start_date, end_date, threads: int, **options) -> None:
        workflow = Workflow.objects.filter(slug=slug).first()
        if workflow is None:
            known = ", ".join(Workflow.objects.values_list("slug", flat=True)) or "none yet"
            raise CommandError(f"There is no workflow “{slug}”. Known are: {known}.")
        try:
            run = services.start_run(workflow, only=only, start_date=start_date, end_date=end_date, send=False)
        except AssayError as error:
            raise CommandError(f"{error.message} {error.hint}".strip()) from error
        console = Console(file=self.stdout._out, no_color=options["no_color"] or None)
        if run_and_show(run, console, threads=threads).status != RunStatus.SUCCESS:
            raise CommandError("The run did not succeed.", returncode=1)
