"""Secrets: encrypted at rest, a mark everywhere else, and references to those that are kept elsewhere.

A secret may be written as a reference, `env:NAME` or `file:/path`: then only
the worker reads it, at use. Who may write one could send what it names to a
server of their own, so the platform's own secrets cannot be named.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.apps import apps
from django.conf import settings
from django.db import models
from django.db.models.functions import Cast

from workers.errors import AssayError

from .logs import keep_secret

# What people see in a secret's place; sent back, it means "as it was".
MASK = "••••••••"

LONGEST_FILE_BYTES = 64 * 1024
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# Settings of the platform and of what it stands on.
_OWN_VARIABLES = re.compile(
    r"(ASSAY|AWS|DJANGO|CELERY|KUBERNETES)_.*|PG[A-Z]+|SECRET_KEY|DATABASE_URL|REDIS_URL|.*BROKER_URL", re.IGNORECASE
)
# Folders below /run/secrets where a cluster puts the identity of the platform itself.
_OWN_FOLDERS = frozenset({"kubernetes.io", "eks.amazonaws.com", "serviceaccount", "azure"})
SHORTEST_OWN = 8


class SecretUnreadable(AssayError):
    """A stored secret that none of ASSAY_ENCRYPTION_KEYS decrypts."""

    code = "secret_unreadable"

    def __init__(self, where: str = "A stored secret") -> None:
        super().__init__(
            f"{where} cannot be decrypted.",
            hint="Put the key it was encrypted with back into ASSAY_ENCRYPTION_KEYS, or enter the secret again.",
        )


class SecretMissing(AssayError):
    """A reference that leads to no secret."""

    code = "secret_missing"


# --- at rest -------------------------------------------------------------------------------


def cipher() -> MultiFernet:
    """The first key encrypts, every one decrypts."""
    return MultiFernet([_fernet(key) for key in settings.ASSAY_ENCRYPTION_KEYS])


@cache
def _fernet(key: str) -> Fernet:
    # Deriving takes 50 ms on purpose, so each key is derived once for a process.
    derived = hashlib.scrypt(key.encode(), salt=b"assay.field.v1", n=2**14, r=8, p=1, dklen=32)
    return Fernet(base64.urlsafe_b64encode(derived))


@dataclass(frozen=True, slots=True, repr=False)
class Unreadable:
    """In a field whose content no key decrypts. It is saved again as it was; `readable` tells whoever needs it."""

    sealed: str


def readable(value: Any, where: str = "A stored secret") -> Any:
    """The field's value. Raises `SecretUnreadable`."""
    if isinstance(value, Unreadable):
        raise SecretUnreadable(where)
    return value


class EncryptedJSONField(models.TextField):
    """A JSON value, encrypted with ASSAY_ENCRYPTION_KEYS. It cannot be searched, only asked whether it is null.

    Reading a row never fails: what cannot be decrypted is an `Unreadable`.
    """

    def get_prep_value(self, value: Any) -> str | None:
        if isinstance(value, Unreadable):
            return value.sealed
        return None if value is None else cipher().encrypt(json.dumps(value).encode()).decode()

    def from_db_value(self, value: str | None, expression, connection) -> Any:
        if value is None:
            return None
        try:
            return json.loads(cipher().decrypt(value.encode()))
        except InvalidToken:
            return Unreadable(value)

    def to_python(self, value: Any) -> Any:
        return value  # any JSON, where a TextField would make it a text

    def get_lookup(self, name: str):
        return super().get_lookup(name) if name == "isnull" else None


# --- rotation ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Rotated:
    """What became of one field of one model."""

    field: str  # app.Model.field
    changed: int
    current: int  # had the first key already
    unreadable: tuple[Any, ...]  # primary keys


def rotate_keys(batch_rows: int = 200) -> Iterator[Rotated]:
    """Encrypt every stored secret with the first key. Safe while others write, and again after a break.

    What no key decrypts stays as it is.
    """
    for model in apps.get_models(include_auto_created=True):
        for field in model._meta.concrete_fields:
            if isinstance(field, EncryptedJSONField) and field.model is model:
                yield _rotate_field(model, field, batch_rows)


def _rotate_field(model: type[models.Model], field: models.Field, batch_rows: int) -> Rotated:
    # Cast to text, the value comes as it is stored.
    rows = model._base_manager.annotate(_sealed=Cast(field.name, models.TextField()))
    rows = rows.filter(**{f"{field.name}__isnull": False}).order_by("pk")
    changed = current = 0
    unreadable: list[Any] = []
    batch = list(rows.values_list("pk", "_sealed")[:batch_rows])
    while batch:
        for pk, sealed in batch:
            try:
                is_changed = _rotate_value(rows.filter(pk=pk), field.name, sealed)
            except InvalidToken:
                unreadable.append(pk)
            else:
                changed, current = changed + is_changed, current + (not is_changed)
        batch = list(rows.filter(pk__gt=batch[-1][0]).values_list("pk", "_sealed")[:batch_rows])
    return Rotated(f"{model._meta.label}.{field.name}", changed, current, tuple(unreadable))


def _rotate_value(row: models.QuerySet, name: str, sealed: str | None) -> bool:
    """Whether it was changed. The update hits only the value that was read: what another wrote meanwhile is new."""
    while sealed is not None:
        if _has_first_key(sealed):
            return False
        renewed = cipher().rotate(sealed.encode()).decode()
        if row.filter(_sealed=sealed).update(**{name: models.Value(renewed, models.TextField())}):
            return True
        sealed = row.values_list("_sealed", flat=True).first()
    return False


def _has_first_key(sealed: str) -> bool:
    try:
        _fernet(settings.ASSAY_ENCRYPTION_KEYS[0]).decrypt(sealed.encode())
    except InvalidToken:
        return False
    return True


# --- references ----------------------------------------------------------------------------


def is_reference(text: str) -> bool:
    return text.startswith(("env:", "file:"))


def reference_problem(text: str) -> str:
    """Why this reference may not be used, or nothing. Whether there is something behind it only the worker knows."""
    kind, _, name = text.partition(":")
    if kind == "env":
        if not _VARIABLE.fullmatch(name):
            return "Name one environment variable of the worker: env:ORDERS_PASSWORD."
        if _OWN_VARIABLES.fullmatch(name):
            return f"{name} belongs to the platform itself; keep the secret in a variable of its own."
        return ""
    return _file_problem(name)


def resolve(text: str) -> str:
    """The secret: what a reference leads to, or the text itself. From here on no log shows it.

    Raises `SecretMissing`.
    """
    found = _referred(text) if is_reference(text) else text
    keep_secret(found)
    return found


def _referred(text: str) -> str:
    if problem := reference_problem(text):
        raise SecretMissing(f"“{text}” may not be read. {problem}")
    kind, _, name = text.partition(":")
    found = os.environ.get(name) if kind == "env" else _file(Path(name))
    if not found:
        what = f"The environment variable {name}" if kind == "env" else f"The file {name}"
        raise SecretMissing(
            f"{what} holds no secret.",
            hint="Set it for every worker, or enter the secret in the place of the reference.",
        )
    if any(own in found for own in _own_secrets()):
        raise SecretMissing(f"“{text}” holds a secret of the platform itself.", hint="Name another one.")
    return found


def _file_problem(name: str) -> str:
    roots = [Path(root) for root in settings.ASSAY_SECRET_FILES_ROOTS]
    where = " or ".join(map(str, roots)) or "no folder: ASSAY_SECRET_FILES_ROOTS is empty"
    path = PurePosixPath(name)
    if "\0" in name or not path.is_absolute() or ".." in path.parts or not any(map(path.is_relative_to, roots)):
        return f"Secrets are read from files below {where}."
    if _OWN_FOLDERS & set(path.parts):
        return "That folder holds the identity of the platform itself."
    return ""


def _file(path: Path) -> str:
    """The file's text without the line end that editors add. Links must not lead out of the roots."""
    try:
        real = path.resolve(strict=True)
        roots = [Path(root).resolve() for root in settings.ASSAY_SECRET_FILES_ROOTS]
        is_inside = any(real.is_relative_to(root) for root in roots) and not _OWN_FOLDERS & set(real.parts)
        if not is_inside or not real.is_file() or real.stat().st_size > LONGEST_FILE_BYTES:
            return ""
        return real.read_text().rstrip("\r\n")
    except (OSError, UnicodeError):
        return ""


def _own_secrets() -> set[str]:
    """Values that no reference may read out, wherever they stand."""
    database = settings.DATABASES["default"].get("PASSWORD", "")
    broker = urlsplit(settings.ASSAY_BROKER_URL).password
    cloud = [os.environ.get(name, "") for name in ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")]
    own = {settings.SECRET_KEY, *settings.ASSAY_ENCRYPTION_KEYS, database, broker or "", *cloud}
    return {value for value in own if len(value) >= SHORTEST_OWN}
