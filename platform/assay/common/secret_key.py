"""A secret key of its own for an installation that was given none."""

from pathlib import Path

from django.core.management.utils import get_random_secret_key

FILE_NAME = "secret_key"


def load_secret_key(home: Path) -> str:
    """Read the key below `home`; make one, readable by its owner only, the first time.

    Several processes on one machine share it. Machines do not: the check
    `assay.E001` asks for ASSAY_SECRET_KEY as soon as a server database is used.
    """
    path = home / FILE_NAME
    try:
        path.touch(mode=0o600, exist_ok=False)
        path.write_text(get_random_secret_key())
    except FileExistsError:
        pass
    return path.read_text()
