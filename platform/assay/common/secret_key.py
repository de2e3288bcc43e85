"""Keys of its own for an installation that was given none."""

import os
from pathlib import Path
from secrets import token_hex

from django.core.exceptions import ImproperlyConfigured
from django.core.management.utils import get_random_secret_key


def load_key(home: Path, name: str) -> str:
    """Read the key `name` below `home`; make one, readable by its owner only, the first time.

    Several processes on one machine share it. Machines do not: the check
    `assay.E001` asks for ASSAY_SECRET_KEY as soon as a server database is used.
    """
    path = home / name
    if not path.exists():
        _make(path, get_random_secret_key().replace(",", "_"))  # commas part the keys of a list
    key = path.read_text().strip()
    if not key:
        raise ImproperlyConfigured(f"The key file {path} is empty. Restore it, or remove it to have a new key made.")
    return key


def _make(path: Path, key: str) -> None:
    """The file appears whole: of processes that start together one wins, and all read the winner's key."""
    draft = path.with_name(f".{path.name}.{token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(key)
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)  # unlike a rename it fails where a file is already
    except FileExistsError:
        pass
    finally:
        draft.unlink()
