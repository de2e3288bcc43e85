"""What an ingest job is to the orchestrator."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.urls import reverse

from ops.kinds import ModelKind
from ops.models import PipelineRun, Workflow
from workers.progress import Progress
from workers.results import StepResult
from workers.specs import IngestSpec, from_json, to_json

from . import contract_changes, loaded_files, services, watermarks
from .models import IngestJob, IngestRun


class IngestKind(ModelKind):
    name = "ingest"
    layer = "bronze"
    run_model = IngestRun

    def jobs(self, workflow: Workflow) -> QuerySet[IngestJob]:
        return IngestJob.objects.filter(workflow=workflow)

    def inputs(self, job: IngestJob) -> list[str]:
        return []

    def outputs(self, job: IngestJob) -> list[str]:
        return [job.landing_name, *services.child_datasets(job), job.bronze_name]

    def type_label(self, job: IngestJob) -> str:
        return job.type_label

    def run_facts(self, job_id: int, pipeline_run: PipelineRun) -> dict[str, Any]:
        return {"window": watermarks.asked_window(IngestJob.objects.get(pk=job_id), pipeline_run)}

    def to_spec(self, run: IngestRun) -> dict[str, Any]:
        watermarks.reconcile(run.job)
        spec = services.spec_of(run.job, str(run.pk), watermarks.window_for(run))
        return to_json(loaded_files.without_known(spec, run.job))

    def execute(self, spec: dict[str, Any], progress: Progress) -> StepResult:
        from workers.executors.ingest.run import run_ingest

        ingest = from_json(IngestSpec, spec)
        return run_ingest(ingest, progress, services.access_for(ingest))

    def record(self, run: IngestRun, result: StepResult) -> None:
        services.record_run(run, result)

    def record_failure(self, run: IngestRun, error: dict[str, Any]) -> None:
        contract_changes.record_failure(run, error)

    def page_url(self, job: IngestJob) -> str:
        return reverse("ingest:job-detail", args=[job.workflow.slug, job.name])
