"""Connections: databases, object stores and APIs that jobs read, with their secrets sealed."""

from __future__ import annotations

from typing import Any, Self

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser, Group
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from simple_history.models import HistoricalRecords

from assay.common.policy import VisibleQuerySet
from assay.common.problems import Problem, as_validation_error
from assay.common.sealing import seal, secrets_in
from assay.common.secrets import MASK, EncryptedJSONField, Unreadable

from . import users
from .kinds import KINDS

NAME = RegexValidator(
    r"^[a-z][a-z0-9_-]*\Z", "Use lower-case letters, digits, - and _, and begin with a letter.", code="invalid_slug"
)
# Connections that are looked after by name: whoever may change them may use and see every one.
MANAGE = "ops.change_connection"


class ConnectionKind(models.TextChoices):
    POSTGRESQL = "postgresql", "PostgreSQL"
    MYSQL = "mysql", "MySQL or MariaDB"
    SQLITE = "sqlite", "SQLite"
    MSSQL = "mssql", "SQL Server"
    ORACLE = "oracle", "Oracle"
    S3 = "s3", "S3"
    HTTP = "http", "HTTP API"


class ConnectionQuerySet(VisibleQuerySet):
    def usable_by(self, user: AbstractBaseUser | AnonymousUser) -> Self:
        """Those that this person may name in a job, test, and look into."""
        if not user.is_active or not user.is_authenticated:
            return self.none()
        if user.has_perm(MANAGE):
            return self
        if not users.may_edit_jobs(user):
            return self.none()
        open_to_all = models.Q(groups=None)
        return self.filter(pk__in=self.model.objects.filter(open_to_all | models.Q(groups__in=user.groups.all())))

    def visible_to(self, user: AbstractBaseUser | AnonymousUser) -> Self:
        """Those that may be used; all of them where the person may view connections as such."""
        found = super().visible_to(user)
        return found if user.has_perm("ops.view_connection") else found.usable_by(user)


class Connection(models.Model):
    """How a database, an object store or an API is reached.

    Secrets never stand in `password` and `options`: there is MASK, or a
    reference; `secrets` has them, encrypted, by path (`password`, `options.headers.x`).
    """

    name = models.CharField(max_length=80, unique=True, validators=[NAME], help_text="jobs name it; it never changes")
    kind = models.CharField(max_length=10, choices=ConnectionKind)
    description = models.TextField(blank=True)
    host = models.CharField(max_length=255, blank=True)
    port = models.PositiveIntegerField(
        null=True, blank=True, validators=[MinValueValidator(1), MaxValueValidator(65535)]
    )
    database = models.CharField(max_length=500, blank=True)
    username = models.CharField(max_length=255, blank=True)
    password = models.CharField(
        max_length=20_000, blank=True, help_text="kept encrypted; or a reference, env:NAME or file:/path"
    )
    options = models.JSONField(default=dict, blank=True)
    secrets = EncryptedJSONField(null=True, blank=True, editable=False)
    groups = models.ManyToManyField(
        Group,
        blank=True,
        related_name="connections",
        help_text="who may use it; none: everybody who may edit jobs",
    )
    tested_at = models.DateTimeField(null=True, blank=True, editable=False)
    test_ok = models.BooleanField(null=True, blank=True, editable=False)
    test_message = models.CharField(max_length=1000, blank=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = ConnectionQuerySet.as_manager()
    history = HistoricalRecords(excluded_fields=["secrets", "tested_at", "test_ok", "test_message"])

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    def save(self, *args, **kwargs) -> None:
        self.seal_secrets()
        if {"password", "options"} & set(kwargs.get("update_fields") or ()):
            kwargs["update_fields"] = {*kwargs["update_fields"], "secrets"}
        super().save(*args, **kwargs)

    def clean(self) -> None:
        from .validation import problems_of

        # In this order: what is wrong with a secret is seen while it stands in its place.
        if problems := [*problems_of(self), *self.seal_secrets()]:
            raise as_validation_error(problems)

    def seal_secrets(self) -> list[Problem]:
        """Move the secrets out of password and options; what is wrong with them. Doing it again changes nothing."""
        if self.kind not in KINDS:
            return []
        model, data = KINDS[self.kind].sealed_model, self._sealed_data()
        kept = self.secrets
        if kept is None and self.pk and any(value == MASK for _, value in secrets_in(model, data)):
            kept = type(self).objects.filter(pk=self.pk).values_list("secrets", flat=True).first()
        sealed = seal(model, data, kept)
        self.password, self.options = sealed.data["password"], sealed.data["options"]
        # What cannot be decrypted now may be when its key is back.
        self.secrets = kept if isinstance(kept, Unreadable) and not sealed.secrets else sealed.secrets or None
        return sealed.problems

    def _sealed_data(self) -> dict[str, Any]:
        return {"password": self.password, "options": self.options}
