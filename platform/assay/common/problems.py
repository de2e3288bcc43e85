"""What is wrong with something a person wants to save: the same list for API, admin, pages and `apply`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from django.core.exceptions import ValidationError


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault. `attr` is the field's path with dots, as in `config.file.csv.delimiter`."""

    attr: str
    detail: str
    code: str = "invalid"

    def as_dict(self) -> dict[str, str]:
        return {"code": self.code, "detail": self.detail, "attr": self.attr}


def as_validation_error(problems: Iterable[Problem]) -> ValidationError:
    """The problems as Django's own error, each at its top field, so that any form can show them.

    The full path stays in the inner error's `params`, where the API finds it.
    """
    by_field: dict[str, list[ValidationError]] = {}
    for problem in problems:
        field, _, rest = problem.attr.partition(".")
        text = f"{rest}: {problem.detail}" if rest else problem.detail
        error = ValidationError(text, code=problem.code, params={"problem": problem})
        by_field.setdefault(field, []).append(error)
    return ValidationError(by_field)


def problems_in(error: ValidationError) -> list[Problem]:
    """The inverse of `as_validation_error`; errors that Django raised itself become problems too."""
    if not hasattr(error, "error_dict"):
        return [_problem("", item) for item in error.error_list]
    return [_problem(field, item) for field, items in error.error_dict.items() for item in items]


def _problem(field: str, error: ValidationError) -> Problem:
    known = (error.params or {}).get("problem") if isinstance(error.params, dict) else None
    if isinstance(known, Problem):
        return known
    name = "" if field == "__all__" else field
    return Problem(name, " ".join(error.messages), error.code or "invalid")
