"""What Silver and Gold jobs are to the orchestrator."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.urls import reverse

from ops.kinds import ModelKind
from ops.models import PipelineRun, Workflow
from workers.progress import Progress
from workers.results import StepResult
from workers.specs import to_json

from . import services
from .models import DatasetJob, DatasetRun


class DatasetKind(ModelKind):
    """A job that makes one table of a layer out of other tables."""

    name: str
    layer: str
    run_model = DatasetRun

    def jobs(self, workflow: Workflow) -> QuerySet[DatasetJob]:
        return DatasetJob.objects.filter(workflow=workflow, layer=self.layer)

    def inputs(self, job: DatasetJob) -> list[str]:
        return [given["dataset"] for given in job.inputs]

    def outputs(self, job: DatasetJob) -> list[str]:
        return [job.dataset_name]

    def type_label(self, job: DatasetJob) -> str:
        return job.dataset_type

    def run_facts(self, job_id: int, pipeline_run: PipelineRun) -> dict[str, Any]:
        options = dict(pipeline_run.options)
        return {"repeat_of_id": options.pop("repeat_of", None), "options": options}

    def to_spec(self, run: DatasetRun) -> dict[str, Any]:
        return to_json(services.spec_of_run(run))

    def execute(self, spec: dict[str, Any], progress: Progress) -> StepResult:
        from workers.executors import run_dataset

        return run_dataset(spec, progress, services.access_for(spec))

    def record(self, run: DatasetRun, result: StepResult) -> None:
        services.record_run(run, result)

    def page_url(self, job: DatasetJob) -> str:
        return reverse("datasets:job-detail", args=[job.workflow.slug, job.layer, job.name])


class SilverKind(DatasetKind):
    name = layer = "silver"


class GoldKind(DatasetKind):
    name = layer = "gold"
