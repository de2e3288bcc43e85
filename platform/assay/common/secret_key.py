"""Keys of its own for an installation that was given none."""

from pathlib import Path

from django.core.management.utils import get_random_secret_key


def load_key(home: Path, name: str) -> str:
    """Read the key `name` below `home`; make one, readable by its owner only, the first time.

    Several processes on one machine share it. Machines do not: the check
    `assay.E001` asks for ASSAY_SECRET_KEY as soon as a server database is used.
    """
    path = home / name
    try:
        path.touch(mode=0o600, exist_ok=False)
        path.write_text(get_random_secret_key().replace(",", "_"))  # commas part the keys of a list
    except FileExistsError:
        pass
    return path.read_text()
