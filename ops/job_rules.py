"""What every kind of job must keep to, whatever it does."""

from __future__ import annotations

from collections.abc import Iterator

from assay.common.problems import Problem

from . import kinds
from .models import Job

# `…/ingest-jobs/new/`, `…/preview/` and `…/upload/` are pages of those that are not saved yet.
RESERVED_NAMES = frozenset({"new", "preview", "upload"})


def name_problems(job: Job) -> Iterator[Problem]:
    """A name never changes, is no word of an address, and belongs to one job of the workflow."""
    if job.name in RESERVED_NAMES:
        yield Problem("name", f"“{job.name}” is part of an address; choose another name.", "reserved_name")
    before = type(job).objects.filter(pk=job.pk).first() if job.pk else None
    if before and before.name != job.name:
        yield Problem(
            "name", f"The name never changes: tables and addresses carry it. It is “{before.name}”.", "immutable"
        )
    if before and before.workflow_id != job.workflow_id:
        yield Problem("workflow", "A job stays in its workflow.", "immutable")
    if job.workflow_id and (other := _namesake(job)):
        yield Problem("name", f"The workflow has a job “{job.name}” already ({other}).", "unique")


def _namesake(job: Job) -> str:
    """The kind of another job with this name in the workflow, or nothing."""
    for kind in kinds.all_kinds():
        others = kind.jobs(job.workflow).filter(name=job.name)
        if others.model is type(job):
            others = others.exclude(pk=job.pk)
        if others.exists():
            return kind.name
    return ""
