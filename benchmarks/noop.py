"""A job kind that does nothing: what is left is the orchestrator. Worker: `celery -A benchmarks.noop worker`."""

from __future__ import annotations

import redis

from ops import kinds
from workers.celery import app
from workers.results import Published, StepResult

DONE = "bare-tasks-done"


class NoopKind:
    name, layer = "noop", "silver"

    def jobs(self, workflow):
        from datasets.models import DatasetJob

        return DatasetJob.objects.filter(workflow=workflow, layer=self.name)

    def inputs(self, job):
        return [given["dataset"] for given in job.inputs]

    def outputs(self, job):
        return [job.dataset_name]

    def type_label(self, job):
        return self.name

    def create_run(self, step):
        from datasets.models import DatasetRun

        return DatasetRun.objects.create(job_id=step.job_id, step_id=step.pk, status="queued")

    def run_of(self, run_id):
        from datasets.models import DatasetRun

        return DatasetRun.objects.get(pk=run_id)

    def runs(self, run_ids):
        from datasets.models import DatasetRun

        return DatasetRun.objects.filter(pk__in=list(run_ids))

    def to_spec(self, run):
        return {"job": run.job_id}

    def execute(self, spec, progress):
        published = Published(version=0, rows=0, table_rows=0, table_bytes=0, table_files=0)
        return StepResult(rows_read=0, rows_written=0, published=published, columns=())

    def record(self, run, result):
        run.keep(result)
        run.save()

    def page_url(self, job):
        return "/"


kinds.register(NoopKind())


@app.task(name="benchmarks.nothing")
def nothing() -> None:
    """What a bare Celery task costs: it only counts itself."""
    redis.from_url(app.conf.broker_url).incr(DONE)


def web():
    """For `uvicorn --factory`."""
    from assay.asgi import application

    return application
