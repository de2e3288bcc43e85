"""One installation's home folder: who runs on it, and where its embedded broker is.

The running `manage.py up` holds a lock on `up.lock`. The kernel lets go of it
however that process ends, so what the file says is true as long as it is locked.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path

FILE_NAME = "up.lock"
# Nobody takes messages: the rows stay, and the reaper of the next `up` sends them again.
NO_BROKER = "memory://"
_LOOKS = 10


class HomeInUse(Exception):
    """Another process runs on this home; `running` is what it says about itself."""

    def __init__(self, running: Running | None) -> None:
        self.running = running
        super().__init__(str(running))


@dataclass(frozen=True)
class Running:
    pid: int
    address: str  # of the site
    broker_url: str  # holds the broker's password: the file is its owner's alone


class HomeLock:
    """Held as long as `up` runs. Raises `HomeInUse` where somebody else does."""

    def __init__(self, home: Path) -> None:
        self._file = os.fdopen(os.open(home / FILE_NAME, os.O_RDWR | os.O_CREAT, 0o600), "r+")
        # Whoever asks `running()` holds the lock for an instant: look more than once.
        for _ in range(_LOOKS):
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(0.02)
            else:
                self.tell(None)
                return
        raise HomeInUse(running(home))

    def fileno(self) -> int:
        return self._file.fileno()

    def tell(self, running: Running | None) -> None:
        """Write down what others may know."""
        self._file.seek(0)
        self._file.truncate()
        if running:
            json.dump(asdict(running), self._file)
        self._file.flush()


def running(home: Path) -> Running | None:
    """What runs on this home now; None where nothing does, or is only starting."""
    try:
        file = (home / FILE_NAME).open()
    except FileNotFoundError:
        return None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            text = file.read()
            return Running(**json.loads(text)) if text else None
    return None


def broker_url(home: Path) -> str:
    """Where the embedded broker of this home listens, or `NO_BROKER`."""
    found = running(home)
    return found.broker_url if found else NO_BROKER
