"""The person who looks at the demo: made once, with a password that only the home's owner can read."""

from __future__ import annotations

import json
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path

from django.contrib.auth import get_user_model

FILE_NAME = "demo-login"


@dataclass(frozen=True)
class Login:
    username: str
    password: str

    def __str__(self) -> str:
        return f"Log in as {self.username} with the password {self.password}"


def read_login(home: Path) -> Login | None:
    """The demo's log-in, where there is one."""
    path = home / FILE_NAME
    return Login(**json.loads(path.read_text())) if path.exists() else None


def ensure_login(home: Path) -> Login:
    """The log-in that there is, or a new one. Its user may do everything; a password that was changed stays so."""
    login = read_login(home) or _write(home, Login("demo", secrets.token_urlsafe(9)))
    users = get_user_model().objects
    if not users.filter(username=login.username).exists():
        users.create_superuser(login.username, password=login.password)
    return login


def _write(home: Path, login: Login) -> Login:
    path = home / FILE_NAME
    path.touch(mode=0o600)
    path.write_text(json.dumps(asdict(login)))
    return login
