"""Who names connections: apps with jobs tell here what they use, so that `ops` need not know them."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from django.contrib.auth.models import AbstractBaseUser


@dataclass(frozen=True, slots=True)
class Use:
    """One job that names a connection."""

    job: str  # workflow.name
    url: str


@dataclass(frozen=True, slots=True)
class _App:
    permissions: tuple[str, ...]  # each of them lets a person edit jobs
    uses_of: Callable[[Collection[str]], dict[str, list[Use]]]


_apps: dict[str, _App] = {}


def register(
    app: str, permissions: tuple[str, ...], uses_of: Callable[[Collection[str]], dict[str, list[Use]]]
) -> None:
    """`uses_of` takes names of connections; a name that nobody uses may be left out of its answer."""
    _apps[app] = _App(permissions, uses_of)


def uses_of(connections: Collection[str]) -> dict[str, list[Use]]:
    """Who uses each of these connections, by its name."""
    found: dict[str, list[Use]] = {name: [] for name in connections}
    for app in _apps.values():
        for name, uses in app.uses_of(connections).items():
            found[name] += uses
    return found


def may_edit_jobs(user: AbstractBaseUser) -> bool:
    return any(user.has_perm(permission) for app in _apps.values() for permission in app.permissions)
