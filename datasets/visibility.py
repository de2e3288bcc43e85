"""Who may see a job and its runs, which follows from the policy of datasets (assay/common/policy.py)."""

from __future__ import annotations

from typing import Self

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.db.models import Exists, OuterRef, QuerySet, Value
from django.db.models.functions import Concat

from assay.common.policy import VisibleQuerySet
from assay.common.runs import RunQuerySet
from catalog.models import Dataset, Edge

Person = AbstractBaseUser | AnonymousUser


def hidden_datasets(user: Person) -> QuerySet[Dataset]:
    """Those that are there, but not for this person. Not read yet: a part of another query."""
    seen = Dataset.objects.visible_to(user).values("pk")
    return Dataset.objects.exclude(pk__in=seen).order_by()


def datasets_for(author: Person | None) -> QuerySet[Dataset]:
    """Those that may be named by who writes a job or a metric; all of them where nobody does: a run, `apply`."""
    return Dataset.objects.all() if author is None else Dataset.objects.visible_to(author)


class DatasetJobQuerySet(VisibleQuerySet):
    def visible_to(self, user: Person) -> Self:
        """Jobs of which the person may see all that they read and make: SQL, previews and facts tell of both."""
        hidden, name = hidden_datasets(user), OuterRef("makes")
        jobs = super().visible_to(user).alias(makes=Concat("layer", Value("."), "workflow__slug", Value("."), "name"))
        return jobs.exclude(
            Exists(hidden.filter(name=name)) | Exists(Edge.objects.filter(downstream__name=name, upstream__in=hidden))
        )


class DatasetRunQuerySet(RunQuerySet):
    def visible_to(self, user: Person) -> Self:
        """Runs of the jobs that the person may see."""
        from .models import DatasetJob

        return super().visible_to(user).filter(job__in=DatasetJob.objects.visible_to(user).order_by().values("pk"))
