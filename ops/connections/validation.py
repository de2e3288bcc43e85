"""What is wrong with a connection: one list for API, admin and pages."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from django.conf import settings

from assay.common.options import read_options
from assay.common.problems import Problem
from assay.common.secrets import is_reference, reference_problem

from .kinds import FIELDS, KINDS, Kind

if TYPE_CHECKING:
    from .models import Connection

# `/connections/new/` is the form of one that is not saved yet.
RESERVED_NAMES = frozenset({"new", "test", "tables"})


def problems_of(connection: Connection) -> list[Problem]:
    kind = KINDS.get(connection.kind)
    if kind is None:
        return []  # Django refuses what is not among the choices
    return [
        *_name_problems(connection),
        *_field_problems(connection, kind),
        *_host_problems(connection),
        *_password_problems(connection),
        *read_options(kind.options, connection.options, "options")[1],
        *_place_problems(connection, kind),
    ]


def _name_problems(connection: Connection) -> Iterator[Problem]:
    if connection.name in RESERVED_NAMES:
        yield Problem("name", f"“{connection.name}” is part of an address; choose another name.", "reserved_name")
    same_name = type(connection).objects.filter(name=connection.name).exclude(pk=connection.pk)
    if same_name.exists():
        yield Problem("name", f"There is a connection “{connection.name}” already.", "unique")
    before = type(connection).objects.filter(pk=connection.pk).first() if connection.pk else None
    if before and before.name != connection.name:
        yield Problem("name", f"The name never changes: jobs use it. It is “{before.name}”.", "immutable")
    if before and before.kind != connection.kind:
        yield Problem(
            "kind", f"The kind never changes: jobs rely on it. It is {before.kind}. Make a new connection.", "immutable"
        )


def _field_problems(connection: Connection, kind: Kind) -> Iterator[Problem]:
    for name in FIELDS:
        value, label = getattr(connection, name), kind.labels.get(name, name).lower()
        if name in kind.needs and value in ("", None):
            yield Problem(name, f"A connection of the kind {kind.name} needs a {label}.", "required")
        elif name not in kind.fields and value not in ("", None):
            yield Problem(name, f"A connection of the kind {kind.name} has no {label}.", "not_allowed")


def _host_problems(connection: Connection) -> Iterator[Problem]:
    host = connection.host
    if "://" in host:
        yield Problem("host", "Write only the host's name; a whole address belongs into the options.", "invalid_host")
    elif host and not re.fullmatch(r"[A-Za-z0-9._-]+|\[?[0-9A-Fa-f:.]+\]?", host):
        yield Problem("host", "This is no host: a name such as db.example.org, or an address.", "invalid_host")


def _password_problems(connection: Connection) -> Iterator[Problem]:
    password = connection.password
    if is_reference(password) and (problem := reference_problem(password)):
        yield Problem("password", problem, "invalid_reference")
    if connection.kind == "s3" and bool(connection.username) != bool(password):
        missing = "password" if connection.username else "username"
        yield Problem(
            missing, "S3 takes an access key (username) with its secret key (password), or neither.", "required"
        )


def _place_problems(connection: Connection, kind: Kind) -> Iterator[Problem]:
    if not isinstance(connection.options, dict):
        return
    if kind.name == "sqlite" and connection.database and (problem := sqlite_problem(connection.database)):
        yield Problem("database", problem, "outside_source_roots")
    if kind.name == "http":
        if not connection.host and not connection.options.get("base_url"):
            yield Problem("options.base_url", "An API has an address: give its base_url, or a host.", "required")
        elif connection.host and connection.options.get("base_url"):
            yield Problem("host", "The base_url says the host already; leave one of them out.", "not_allowed")
        yield from _auth_problems(connection)
    if kind.name == "s3" and connection.host and connection.options.get("endpoint_url"):
        yield Problem("host", "The endpoint_url says the host already; leave one of them out.", "not_allowed")


def _auth_problems(connection: Connection) -> Iterator[Problem]:
    auth = connection.options.get("auth")
    kind = auth.get("type") if isinstance(auth, dict) else None
    if kind in ("basic", "bearer", "api_key", "oauth2_client_credentials") and not connection.password:
        yield Problem("password", f"The auth “{kind}” sends the password: enter it.", "required")
    if kind == "basic" and not connection.username:
        yield Problem("username", "The auth “basic” needs a username.", "required")


def sqlite_problem(database: str) -> str:
    """Why this file may not be read, or nothing. Links are followed first."""
    roots = [Path(root).resolve() for root in settings.ASSAY_LOCAL_SOURCE_ROOTS]
    where = " or ".join(map(str, roots)) or "no folder: ASSAY_LOCAL_SOURCE_ROOTS is empty"
    path = Path(database)
    if "\0" in database or "?" in database or not path.is_absolute() or ".." in path.parts:
        return f"Write the file's whole path, without “..”, below {where}."
    if not any(path.resolve().is_relative_to(root) for root in roots):
        return f"The file does not lie in a source folder. Readable are files below {where}."
    return ""
