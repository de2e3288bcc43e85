"""Secrets inside of declared options: taken out before the options are stored, put back at use.

Where a secret stood there is MASK; the secrets themselves go into an encrypted
field beside the options, by their paths (`api.auth.token`). References
(`env:NAME`, `file:/path`) stay visible: they are no secret.
"""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel

from workers.secret_names import is_secret_name

from .options import HasSecretsByName, IsSecret
from .problems import Problem
from .secrets import MASK, SecretMissing, Unreadable, is_reference, resolve

Step = str | int


@dataclass(frozen=True, slots=True)
class Sealed:
    """Options without their secrets, the secrets by path, and what is wrong with them."""

    data: Any
    secrets: dict[str, str] = field(repr=False)
    problems: list[Problem]


def seal(kind: type[BaseModel], data: Any, kept: Mapping[str, str] | Unreadable | None, path: str = "") -> Sealed:
    """Take the secrets out of the options. MASK in a secret's place keeps the one that is in `kept`.

    `data` itself is not changed, and need not be valid. `path` is where the options stand, for the problems.
    """
    stored = {} if kept is None or isinstance(kept, Unreadable) else kept
    secrets: dict[str, str] = {}
    problems: list[Problem] = []
    for steps, value in secrets_in(kind, data):
        name = dotted(steps)
        if value == MASK and name not in stored:
            problems.append(Problem(".".join(filter(None, (path, name))), _missing(kept), "secret_missing"))
        elif value == MASK:
            secrets[name] = stored[name]
        elif value and not is_reference(value):
            secrets[name] = value
            data = _replaced(data, steps, MASK)
    return Sealed(data, secrets, problems)


def _missing(kept: Any) -> str:
    if isinstance(kept, Unreadable):
        return "The stored secret cannot be decrypted any more. Enter it again."
    return f"No secret is stored that “{MASK}” could stand for. Enter it, or write a reference such as env:NAME."


def opened(kind: type[BaseModel], data: Any, secrets: Mapping[str, str]) -> dict[str, str]:
    """Every secret of the options by its path, references resolved. For the worker only.

    Raises `SecretMissing`, also where MASK stands and nothing is stored.
    """
    found = ((dotted(steps), value) for steps, value in secrets_in(kind, data))
    return {name: resolve(_stored(name, secrets) if value == MASK else value) for name, value in found}


def _stored(name: str, secrets: Mapping[str, str]) -> str:
    if name not in secrets:
        raise SecretMissing(f"No secret is stored for {name}.", hint="Enter it again.")
    return secrets[name]


def put_back(kind: type[BaseModel], data: Any, secrets: Mapping[str, str]) -> Any:
    """The options with their secrets in place, references resolved. For the worker only."""
    plain = opened(kind, data, secrets)
    for steps, _ in secrets_in(kind, data):
        data = _replaced(data, steps, plain[dotted(steps)])
    return data


def secrets_in(kind: Any, data: Any, steps: tuple[Step, ...] = ()) -> Iterator[tuple[tuple[Step, ...], str]]:
    """Every text in the data that the model declares a `Secret`, with the way to it.

    Of a union each member is looked at: a name that is secret in one of them is taken for secret.
    """
    yield from dict(_walk(kind, (), data, steps)).items()


def _walk(kind: Any, marks: Any, data: Any, steps: tuple[Step, ...]) -> Iterator[tuple[tuple[Step, ...], str]]:
    origin, inner = get_origin(kind), get_args(kind)
    if any(isinstance(mark, IsSecret) for mark in marks):
        if isinstance(data, str):
            yield steps, data
    elif origin is Annotated:
        yield from _walk(inner[0], inner[1:], data, steps)
    elif origin in (Union, types.UnionType):
        for member in inner:
            yield from _walk(member, (), data, steps)
    elif origin is dict and isinstance(data, dict):
        by_name = any(isinstance(mark, HasSecretsByName) for mark in marks)
        for name, value in data.items():
            own_marks = (IsSecret(),) if by_name and is_secret_name(name) else ()
            yield from _walk(inner[1], own_marks, value, (*steps, name))
    elif origin in (list, tuple) and isinstance(data, list | tuple):
        for position, value in enumerate(data):
            yield from _walk(inner[0], (), value, (*steps, position))
    elif isinstance(kind, type) and issubclass(kind, BaseModel) and isinstance(data, dict):
        for name, declared in kind.model_fields.items():
            if name in data:
                yield from _walk(declared.annotation, declared.metadata, data[name], (*steps, name))


def _replaced(data: Any, steps: tuple[Step, ...], value: str) -> Any:
    """A copy with the value at the end of the way."""
    if not steps:
        return value
    step, *rest = steps
    copy = dict(data) if isinstance(data, dict) else list(data)
    copy[step] = _replaced(copy[step], tuple(rest), value)
    return copy


def dotted(steps: tuple[Step, ...]) -> str:
    return ".".join(map(str, steps))
