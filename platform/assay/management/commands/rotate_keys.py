from django.core.management.base import BaseCommand, CommandError

from assay.common.secrets import rotate_keys


class Command(BaseCommand):
    help = "Encrypts every stored secret with the first of ASSAY_ENCRYPTION_KEYS, so that older keys can be taken away."

    def handle(self, *args, **options) -> None:
        lost = []
        for field in rotate_keys():
            told = f"{field.changed} encrypted anew, {field.current} were already"
            self.stdout.write(
                f"{field.field}: {told}" + (f", {len(field.unreadable)} unreadable" * bool(field.unreadable))
            )
            lost += [f"{field.field} of {key}" for key in field.unreadable]
        if lost:
            raise CommandError(
                f"No key in ASSAY_ENCRYPTION_KEYS decrypts {', '.join(lost)}. Nothing of these was changed. "
                "Put the key they were encrypted with back into the list, or enter these secrets again."
            )
        self.stdout.write(
            "Every stored secret has the first key. Older keys may be removed from ASSAY_ENCRYPTION_KEYS."
        )
