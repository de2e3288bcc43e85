"""Indexes of texts by meaning: making one anew."""

from __future__ import annotations

from django.contrib.auth.models import AbstractBaseUser
from django.http import Http404

from catalog.models import Dataset
from ops.models import PipelineRun
from ops.services import start_job_run

from ..models import DatasetJob

TRANSFORM = "vector_index"


def rebuild(job: DatasetJob, user: AbstractBaseUser, trigger: str) -> PipelineRun:
    """A run that embeds every document anew, whatever the index has; searches find the old one until it has ended.

    404 for a job of another template, and for who may not see its dataset. Raises what `start_job_run` raises.
    """
    if job.transform_type != TRANSFORM or not Dataset.objects.visible_to(user).filter(name=job.dataset_name).exists():
        raise Http404
    return start_job_run(job.layer, job, user=user, trigger=trigger, options={"rebuild": True})
