"""What pages, API, jobs and workers do with connections."""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, Queue
from secrets import token_hex
from typing import Any

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser
from django.utils import timezone

from assay.common.logs import hide_secrets
from assay.common.sealing import put_back
from assay.common.secrets import readable
from workers.access import Connection as PlainConnection
from workers.errors import AssayError, SourceUnavailable
from workers.network import NetworkPolicy

from . import users
from .kinds import DATABASES, KINDS
from .models import Connection
from .validation import sqlite_problem

logger = logging.getLogger(__name__)

TEST_SECONDS = 20.0


class ConnectionInUse(AssayError):
    code = "connection_in_use"


class NoTables(AssayError):
    """Connections of this kind have no tables to show."""

    code = "no_tables"


@dataclass(frozen=True, slots=True)
class Tested:
    ok: bool
    message: str


# --- for workers ---------------------------------------------------------------------------


def for_worker(name: str) -> PlainConnection | None:
    """The connection with its secrets in plain, references resolved; None where there is none of this name.

    Raises `SecretMissing`, `SecretUnreadable`.
    """
    found = Connection.objects.filter(name=name).first()
    return plain(found) if found else None


def plain(connection: Connection) -> PlainConnection:
    """Never stored, never shown. Raises `SecretMissing`, `SecretUnreadable`, and for a file that left its folder."""
    kind = KINDS[connection.kind]
    secrets = readable(connection.secrets, f"A secret of the connection {connection.name}") or {}
    if connection.kind == "sqlite" and (problem := sqlite_problem(connection.database)):
        raise SourceUnavailable(problem)
    data = put_back(kind.sealed_model, {"password": connection.password, "options": connection.options}, secrets)
    return PlainConnection(
        name=connection.name,
        kind=connection.kind,
        host=connection.host,
        port=connection.port or kind.port,
        database=connection.database,
        username=connection.username,
        password=data["password"],
        options=_with_certificate(data["options"]),
    )


def _with_certificate(options: dict[str, Any]) -> dict[str, Any]:
    """Drivers want certificates as a file, whose name says its content: it is written once and never changes."""
    if not (text := options.get("ssl_ca")):
        return options
    folder = Path(settings.ASSAY_HOME) / "certificates"
    file = folder / f"{hashlib.sha256(text.encode()).hexdigest()}.pem"
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        draft = file.with_name(f".{token_hex(8)}")
        draft.write_text(text)
        draft.replace(file)
    return {**options, "ssl_ca": str(file), "sslrootcert": str(file)}


def network_policy() -> NetworkPolicy:
    """For databases and object stores."""
    allow = tuple(settings.ASSAY_CONNECTIONS_ALLOW_PRIVATE)
    return NetworkPolicy(allow=allow, setting="ASSAY_CONNECTIONS_ALLOW_PRIVATE")


def http_policy() -> NetworkPolicy:
    """For APIs."""
    return NetworkPolicy(allow=tuple(settings.ASSAY_HTTP_ALLOW_PRIVATE), setting="ASSAY_HTTP_ALLOW_PRIVATE")


# --- for jobs ------------------------------------------------------------------------------


def problem_with(name: str, kinds: Collection[str]) -> str:
    """Why a job may not name this connection, or nothing."""
    kind = Connection.objects.filter(name=name).values_list("kind", flat=True).first()
    if kind is None:
        return f"There is no connection “{name}”."
    if kind not in kinds:
        return f"“{name}” is a connection of the kind {kind}; needed is one of {', '.join(kinds)}."
    return ""


def may_use(user: AbstractBaseUser, name: str) -> bool:
    """Whether this person may name the connection in a job. One that is not there is no matter of rights."""
    named = Connection.objects.filter(name=name)
    return named.usable_by(user).exists() or not named.exists()


def choices_for(user: AbstractBaseUser, kinds: Collection[str]) -> list[tuple[str, str]]:
    """`(name, label)` of those of these kinds that the person may use."""
    found = Connection.objects.usable_by(user).filter(kind__in=kinds).order_by("name")
    return [(each.name, f"{each.name} · {KINDS[each.kind].label}") for each in found]


# --- testing and looking ---------------------------------------------------------------------


def test(connection: Connection) -> Tested:
    """Whether the connection works now, in at most TEST_SECONDS. It is remembered, and never raises."""
    try:
        found = plain(connection)
        tested = Tested(True, _in_time(lambda: _check(found)))
    except AssayError as error:
        tested = Tested(False, f"{error.message} {error.hint}".strip())
    except Exception as error:
        logger.exception("the test of a connection failed", extra={"connection": connection.name})
        tested = Tested(False, f"The test failed ({type(error).__name__}); the log of the web process has the details.")
    tested = Tested(tested.ok, hide_secrets(tested.message)[:1000])
    Connection.objects.filter(pk=connection.pk).update(
        tested_at=timezone.now(), test_ok=tested.ok, test_message=tested.message
    )
    return tested


def _check(connection: PlainConnection) -> str:
    from workers.sources import checks, database

    if connection.kind in DATABASES:
        return database.check_connection(connection, network_policy())
    if connection.kind == "s3":
        return checks.check_s3(connection, network_policy())
    return checks.check_http(connection, http_policy())


def tables(connection: Connection, search: str = "") -> list[dict[str, Any]]:
    """`{name, kind, rows, columns: [{name, type, nullable}]}` of each table that has `search` in its name.

    The name has its schema in front, as jobs want it. Raises `NoTables`, or what keeps the database from answering.
    """
    from workers.sources import database

    if connection.kind not in DATABASES:
        raise NoTables(f"{connection.name} is no database.", hint="Only databases have tables to look at.")
    found = plain(connection)
    try:
        listed = _in_time(lambda: database.list_tables(found, network_policy(), search=search))
    except AssayError as error:
        raise type(error)(hide_secrets(error.message), hint=error.hint) from error
    schema = found.options.get("schema")
    return [_with_schema(table) for table in listed if not schema or table["schema"] == schema]


def _with_schema(table: dict[str, Any]) -> dict[str, Any]:
    schema = table["schema"]
    return {
        "name": f"{schema}.{table['name']}" if schema else table["name"],
        "kind": table["kind"],
        "rows": table["rows"],
        "columns": table["columns"],
    }


def _in_time(do: Callable[[], Any]) -> Any:
    """What `do` gives, or raises, within TEST_SECONDS. A driver that hangs is left to itself."""
    answers: Queue = Queue(1)

    def work() -> None:
        try:
            answers.put((do(), None))
        except Exception as error:  # noqa: BLE001  (raised again, in the thread that waits)
            answers.put((None, error))

    threading.Thread(target=work, daemon=True, name="connection-test").start()
    try:
        answer, error = answers.get(timeout=TEST_SECONDS)
    except Empty:
        raise SourceUnavailable(f"There was no answer within {TEST_SECONDS:.0f} s.") from None
    if error:
        raise error
    return answer


# --- deleting --------------------------------------------------------------------------------


def delete_connection(connection: Connection) -> None:
    """Raises `ConnectionInUse` where jobs name it."""
    if uses := users.uses_of([connection.name])[connection.name]:
        jobs = ", ".join(use.job for use in uses[:10]) + (" and others" if len(uses) > 10 else "")
        raise ConnectionInUse(
            f"{connection.name} is used by {jobs}.", hint="Let these jobs use another connection first, or delete them."
        )
    connection.delete()
