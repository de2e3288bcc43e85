"""What a step may reach, and with what credentials: resolved when it begins, handed over beside the spec.

Never stored.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from .errors import SourceMissing
from .network import NetworkPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """A database, an object store or an API. Its secrets are plain here, and in no repr."""

    name: str
    kind: str  # postgresql | mysql | sqlite | mssql | oracle | s3 | http
    host: str = ""
    port: int | None = None
    database: str = ""  # for SQLite the file's path
    username: str = ""
    password: str = field(default="", repr=False)
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)


def nothing_loaded(sha256s: Collection[str]) -> Mapping[str, str]:
    return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    connections: Mapping[str, Connection] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)  # of the job, by path: `api.auth.token`
    http: NetworkPolicy = field(default_factory=NetworkPolicy)  # for API jobs
    services: NetworkPolicy = field(default_factory=NetworkPolicy)  # for databases and object stores
    # Of these contents those that the job has loaded: sha256 -> the run that did.
    loaded: Callable[[Collection[str]], Mapping[str, str]] = nothing_loaded

    def connection(self, name: str) -> Connection:
        """Raises `SourceMissing` for one that is gone."""
        if name not in self.connections:
            raise SourceMissing(
                f"There is no connection “{name}”.", hint="Make it again, or name another one in the job."
            )
        return self.connections[name]


NOTHING = Access()
