"""Metric definitions: what a number means, said once for every job, chart and answer that uses it."""

from __future__ import annotations

from typing import Self

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.core.validators import RegexValidator
from django.db import models
from simple_history.models import HistoricalRecords

from assay.common.policy import VisibleQuerySet
from assay.common.problems import as_validation_error
from datasets.visibility import hidden_datasets

NAME = RegexValidator(
    r"^[a-z][a-z0-9_]*\Z", "Use lower-case letters, digits and _, and begin with a letter.", code="invalid_name"
)


class Additivity(models.TextChoices):
    """Over which dimensions the values of a metric may be summed (Kimball)."""

    ADDITIVE = "additive", "Additive: may be summed over everything"
    SEMI_ADDITIVE = "semi_additive", "Semi-additive: not over time"
    NON_ADDITIVE = "non_additive", "Non-additive: may not be summed"


class MetricQuerySet(VisibleQuerySet):
    def visible_to(self, user: AbstractBaseUser | AnonymousUser) -> Self:
        """Those whose dataset the person may see."""
        return super().visible_to(user).exclude(dataset__in=hidden_datasets(user).values("name"))


class MetricDefinition(models.Model):
    """A measure by an expression, or a ratio of two other definitions."""

    name = models.CharField(max_length=63, unique=True, validators=[NAME], help_text="never changes")
    title = models.CharField(max_length=200, blank=True, help_text="what charts call it")
    description = models.TextField(blank=True)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+")
    dataset = models.CharField(max_length=255, blank=True, help_text="layer.workflow.name that it is measured in")
    expression = models.TextField(blank=True, help_text="an aggregate: `sum(amount)`; empty for a ratio")
    filter = models.TextField(blank=True, help_text="a condition on the rows it counts: `status = 'paid'`")
    numerator = models.ForeignKey("self", models.PROTECT, null=True, blank=True, related_name="+")
    denominator = models.ForeignKey("self", models.PROTECT, null=True, blank=True, related_name="+")
    unit = models.CharField(max_length=40, blank=True, help_text="EUR, %, orders")
    additivity = models.CharField(max_length=13, choices=Additivity, default=Additivity.ADDITIVE)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    # Who is writing it, and may name only what they see; nobody in `apply`. It is not stored.
    author: AbstractBaseUser | None = None

    objects = MetricQuerySet.as_manager()
    history = HistoricalRecords()

    class Meta:
        app_label = "datasets"
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(
                name="metric_is_measure_or_ratio",
                condition=(
                    models.Q(numerator=None, denominator=None) & ~models.Q(expression="")
                    | models.Q(expression="", numerator__isnull=False, denominator__isnull=False)
                ),
            )
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def is_ratio(self) -> bool:
        return self.numerator_id is not None

    def clean(self) -> None:
        from .validation import fill_in, problems_of

        fill_in(self)
        if problems := problems_of(self):
            raise as_validation_error(problems)
