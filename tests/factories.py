"""Records for tests: the least that is valid, what matters is given by the test."""

from datetime import timedelta

from django.utils import timezone

from assay.common.runs import RunStatus
from datasets.models import DatasetJob
from ingest.models import IngestJob
from ops.models import Connection, PipelineRun, Step, Workflow


def make_workflow(slug="shop", **more) -> Workflow:
    return Workflow.objects.create(slug=slug, **{"name": slug.title(), **more})


def make_connection(name="erp", kind="postgresql", **more) -> Connection:
    server = {"host": "db.example.org", "database": "erp", "username": "reader"}
    place = {"sqlite": {}, "s3": {}, "http": {"options": {"base_url": "https://api.example.org/v1"}}}.get(kind, server)
    return Connection.objects.create(name=name, kind=kind, **{**place, **more})


def make_ingest_job(workflow, name="orders", **more) -> IngestJob:
    config = {"file": {"path": f"{name}-*.csv"}}
    return IngestJob.objects.create(
        workflow=workflow, name=name, **{"source_type": "file_local", "config": config, **more}
    )


def make_dataset_job(workflow, name="orders_fact", layer="silver", reads=("orders",), **more) -> DatasetJob:
    inputs = [{"dataset": f"bronze.{workflow.slug}.{one}", "alias": one} for one in reads]
    fields = {"dataset_type": "fact" if layer == "silver" else "mart", "sql_text": f"select * from {reads[0]}"}
    return DatasetJob.objects.create(workflow=workflow, name=name, layer=layer, inputs=inputs, **{**fields, **more})


def make_run(workflow, status=RunStatus.SUCCESS, **more) -> PipelineRun:
    now = timezone.now()
    times = {"start_time": now - timedelta(seconds=30), "end_time": now if status != RunStatus.RUNNING else None}
    return PipelineRun.objects.create(workflow=workflow, status=status, **{**times, **more})


def make_step(run, job, status=RunStatus.SUCCESS, kind="ingest", layer="bronze", **more) -> Step:
    now = timezone.now()
    times = {"queued_at": now - timedelta(seconds=28), "start_time": now - timedelta(seconds=25)}
    if status not in (RunStatus.RUNNING, RunStatus.QUEUED):
        times["end_time"] = now - timedelta(seconds=5)
    facts = {"kind": kind, "job_id": job.pk, "job_name": job.name, "layer": layer, "attempt": 1, **times}
    return Step.objects.create(pipeline_run=run, status=status, **{**facts, **more})
