"""Who may see what: every list and every object, on every surface, starts at `visible_to`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Self

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.db import models


class VisibleQuerySet(models.QuerySet):
    def visible_to(self, user: AbstractBaseUser | AnonymousUser) -> Self:
        """What this person may see. What is not in it does not exist for them: 404, not 403."""
        return self if user.is_authenticated and user.is_active else self.none()


def visible_rows(
    user: AbstractBaseUser | AnonymousUser, dataset: str, rows: Iterable[dict[str, Any]]
) -> Iterator[dict[str, Any]]:
    """Rows of a dataset as this person may see them, their values masked where the person may not.

    Every value that is shown or downloaded goes through here. Columns have no
    classification yet, so nothing is masked.
    """
    yield from rows
