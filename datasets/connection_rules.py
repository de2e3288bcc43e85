"""Connections that jobs name: who may let a job use one, and which jobs do."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.urls import reverse

from assay.common.problems import Problem
from ops.connections import services as connections
from ops.connections.users import Use

from .models import DatasetJob
from .transforms import TRANSFORMS


def connection_of(transform_type: str, config: Any) -> tuple[str, str]:
    """The field of config that names a connection, and its name; both empty where there is none."""
    transform = TRANSFORMS.get(transform_type)
    found = transform.connection(config) if transform and isinstance(config, dict) else ("", "")
    return found if found[1] else ("", "")


def use_problems(job: DatasetJob, before: Any, user: AbstractBaseUser) -> list[Problem]:
    """The saver must be one who may use the job's connection, unless config is what it was `before`."""
    field, name = connection_of(job.transform_type, job.config)
    if not name or job.config == before or connections.may_use(user, name):
        return []
    detail = f"You may not use the connection “{name}”. Ask somebody who may change connections."
    return [Problem(f"config.{field}", detail, "not_allowed")]


def uses_of_connections(names: Collection[str]) -> dict[str, list[Use]]:
    """The jobs that name these connections."""
    types = [name for name, transform in TRANSFORMS.items() if transform.uses_connection]
    jobs = DatasetJob.objects.filter(transform_type__in=types).select_related("workflow")
    found: dict[str, list[Use]] = {}
    for job in jobs.order_by("workflow__slug", "name"):
        _, name = connection_of(job.transform_type, job.config)
        if name in names:
            url = reverse("datasets:job-detail", args=[job.workflow.slug, job.layer, job.name])
            found.setdefault(name, []).append(Use(str(job), url))
    return found
