"""Declared options: one pydantic model each, from which validation, forms and OpenAPI come."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from .problems import Problem
from .secrets import is_reference, reference_problem

NAME_PATTERN = "^[A-Za-z_][A-Za-z0-9_]*$"
NAME_WORDS = "Give a name of letters, digits and _, which does not begin with a digit."
Declared = TypeVar("Declared", bound="Options")


class Options(BaseModel):
    """The base of all declared options: what is not declared is refused, and "5" is no number."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class FieldError(ValueError):
    """What a validator of a whole model finds wrong with one of its fields."""

    def __init__(self, field: str, text: str):
        self.field = field
        super().__init__(text)


class IsSecret:
    """Marks the texts of an options model that are sealed before the options are stored (sealing.py)."""


class HasSecretsByName:
    """Marks a dict of texts of which some are secrets: those whose name says so (workers/secret_names.py)."""


def _checked_reference(text: str) -> str:
    if is_reference(text) and (problem := reference_problem(text)):
        raise ValueError(problem)
    return text


Secret = Annotated[
    str,
    IsSecret(),
    AfterValidator(_checked_reference),
    Field(
        min_length=1,
        max_length=20_000,
        description="a secret, or a reference to one: `env:NAME`, `file:/path`",
        json_schema_extra={"format": "password", "writeOnly": True},
    ),
]


def read_options(kind: type[Declared], data: Any, path: str) -> tuple[Declared | None, list[Problem]]:
    """The options, or None and what is wrong with them, each at its dotted path below `path`."""
    if not isinstance(data, dict):
        return None, [Problem(path, "This must be an object.", "wrong_type")]
    try:
        # JSON mode: strict about types, and yet a list may become a tuple.
        return kind.model_validate_json(json.dumps(data), strict=True), []
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False)
        return None, [_problem(fault, kind, data, path) for fault in faults if not _asks_for_a_word(fault, data)]


def _asks_for_a_word(fault: dict[str, Any], data: Any) -> bool:
    """Whether an object was given where a word or an object may stand: it hears what is wrong with the object."""
    *written, last = fault["loc"] or ("",)
    if not str(last).startswith("literal["):
        return False
    for part in _written_path(written, data, is_there=True):
        data = data[part]
    return isinstance(data, dict)


def _problem(fault: dict[str, Any], kind: type[Options], data: dict, path: str) -> Problem:
    place = list(_written_path(fault["loc"], data, is_there=fault["type"] != "missing"))
    if fault["type"] in ("union_tag_not_found", "union_tag_invalid"):
        place.append("type")
    if isinstance(error := fault.get("ctx", {}).get("error"), FieldError):
        place.append(error.field)
    attr = ".".join([path, *map(str, place)])
    if fault["type"] == "missing":
        return Problem(attr, "This is needed.", "required")
    if fault["type"] == "extra_forbidden":
        names = ", ".join(sorted(kind.model_fields))
        known = f" Known are {names}." if names and len(place) == 1 else ""
        return Problem(attr, f"There is no option “{place[-1]}”.{known}", "unknown_field")
    return Problem(attr, _plain(fault), fault["type"])


def _written_path(location: Iterable[Any], data: Any, *, is_there: bool) -> Iterable[Any]:
    """The path as it stands in the data: pydantic also names the member of a union, which nobody wrote.

    Only what is missing ends in a name that is not there.
    """
    location = list(location)
    for position, part in enumerate(location):
        if not isinstance(data, dict | list):
            return
        is_last = position == len(location) - 1
        if isinstance(data, dict) and part not in data and (is_there or not is_last):
            continue
        yield part
        if isinstance(data, dict):
            data = data.get(part)
        elif isinstance(data, list) and isinstance(part, int) and part < len(data):
            data = data[part]


def _plain(fault: dict[str, Any]) -> str:
    """Pydantic's words where a person would understand them, ours where they speak of patterns and items."""
    limits = fault.get("ctx", {})
    if fault["type"] == "union_tag_invalid":
        return f"There is no “{limits['tag']}”. Choose one of {limits['expected_tags']}."
    if fault["type"] in ("string_too_short", "too_short") and limits["min_length"] == 1:
        return "This is needed." if fault["type"] == "string_too_short" else "At least one is needed."
    if fault["type"] == "string_pattern_mismatch":
        # The one pattern in use; another shows itself, which is better than a wrong sentence.
        is_name = limits["pattern"] == NAME_PATTERN
        return NAME_WORDS if is_name else _sentence(fault["msg"])
    return _sentence(fault["msg"])


def _sentence(text: str) -> str:
    text = text.removeprefix("Value error, ").removeprefix("Assertion failed, ").replace("Input should be", "Must be")
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "?", "!")) else ".")
