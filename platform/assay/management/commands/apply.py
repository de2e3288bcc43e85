import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from assay.portable import Action, InvalidFile, apply

SIGNS = {"create": "+", "change": "~", "nothing": " "}
LONGEST_VALUE = 60


class Command(BaseCommand):
    help = "Makes the workflow of a YAML file what the file says: all of it, or nothing where any part is invalid."

    def add_arguments(self, parser) -> None:
        parser.add_argument("file", help="a file that export_workflow wrote, or a person; - reads standard input")
        parser.add_argument("--dry-run", action="store_true", help="print the plan and change nothing")

    def handle(self, *, file: str, dry_run: bool, **options) -> None:
        try:
            text = sys.stdin.read() if file == "-" else Path(file).read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise CommandError(f"{file} cannot be read: {error}") from error
        try:
            actions = apply(text, dry_run=dry_run)
        except InvalidFile as error:
            faults = "\n".join(f"  {fault.attr or 'the file'}: {fault.detail}" for fault in error.problems)
            raise CommandError(f"{file} is invalid, nothing was changed:\n{faults}") from error
        for action in actions:
            self._show(action)
        counts = Counter(action.what for action in actions)
        summary = f"{counts['create']} to create, {counts['change']} to change, {counts['nothing']} as they should be."
        self.stdout.write(f"{summary} {'Nothing was changed (dry run).' if dry_run else 'Done.'}")

    def _show(self, action: Action) -> None:
        style = {"create": self.style.SUCCESS, "change": self.style.WARNING}.get(action.what, str)
        kind = action.section.removesuffix("s").replace("_", " ")
        self.stdout.write(style(f"{SIGNS[action.what]} {action.what:<7} {kind} {action.name}"))
        for change in action.changes:
            self.stdout.write(f"      {change.field}: {_short(change.old)} → {_short(change.new)}")


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 1] + "…"
