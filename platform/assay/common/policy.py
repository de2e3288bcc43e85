"""Who may see what: every list and every object, on every surface, starts at `visible_to`."""

from __future__ import annotations

from typing import Self

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.db import models


class VisibleQuerySet(models.QuerySet):
    def visible_to(self, user: AbstractBaseUser | AnonymousUser) -> Self:
        """What this person may see. What is not in it does not exist for them: 404, not 403."""
        return self if user.is_authenticated and user.is_active else self.none()
