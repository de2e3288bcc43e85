from django.core.management.base import BaseCommand

from ingest import watermarks


class Command(BaseCommand):
    help = "Corrects the watermarks that the database shows from the commits of the tables, which decide."

    def handle(self, **options) -> None:
        count = 0
        for change in watermarks.reconcile_all():
            count += 1
            self.stdout.write(f"{change.job}: {change.previous!r} is {change.value!r} in the table.")
        self.stdout.write(f"{count} corrected." if count else "All as in the tables.")
