from pathlib import Path

from django.core.management.base import BaseCommand, CommandError

from assay.portable import export_workflow
from ops.models import Workflow


class Command(BaseCommand):
    help = "Writes a workflow, its jobs and its schedule as one YAML file, which `apply` takes."

    def add_arguments(self, parser) -> None:
        parser.add_argument("slug")
        parser.add_argument("--output", type=Path, metavar="FILE", help="default: standard output")

    def handle(self, *, slug: str, output: Path | None, **options) -> None:
        workflow = Workflow.objects.filter(slug=slug).first()
        if workflow is None:
            known = ", ".join(Workflow.objects.values_list("slug", flat=True)) or "none yet"
            raise CommandError(f"There is no workflow “{slug}”. Known are: {known}.")
        text = export_workflow(workflow)
        if output is None:
            self.stdout.write(text, ending="")
            return
        output.write_text(text)
        self.stdout.write(f"{output} holds the workflow {slug}.")
