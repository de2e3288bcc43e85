"""Secrets at rest: a field that encrypts what it holds, and the one mark that stands for a secret everywhere else."""

from __future__ import annotations

import base64
import hashlib
import json
from functools import cache
from typing import Any

from cryptography.fernet import Fernet, MultiFernet
from django.conf import settings
from django.db import models

# What people see in a secret's place; sent back, it means "as it was".
MASK = "••••••••"


def cipher() -> MultiFernet:
    """The first key encrypts, every one decrypts."""
    return MultiFernet([_fernet(key) for key in settings.ASSAY_ENCRYPTION_KEYS])


@cache
def _fernet(key: str) -> Fernet:
    # Deriving takes 50 ms on purpose, so each key is derived once for a process.
    derived = hashlib.scrypt(key.encode(), salt=b"assay.field.v1", n=2**14, r=8, p=1, dklen=32)
    return Fernet(base64.urlsafe_b64encode(derived))


class EncryptedJSONField(models.TextField):
    """A JSON value, encrypted with ASSAY_ENCRYPTION_KEYS. It cannot be searched, only asked whether it is null."""

    def get_prep_value(self, value: Any) -> str | None:
        return None if value is None else cipher().encrypt(json.dumps(value).encode()).decode()

    def from_db_value(self, value: str | None, expression, connection) -> Any:
        return None if value is None else json.loads(cipher().decrypt(value.encode()))

    def get_lookup(self, name: str):
        return super().get_lookup(name) if name == "isnull" else None
