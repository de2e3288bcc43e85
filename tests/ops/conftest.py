"""A job kind whose steps do what a test tells them to; its rows are those of Silver jobs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from datasets.models import DatasetJob, DatasetRun
from ops import kinds
from ops.models import Workflow
from workers.results import Published, StepResult


@dataclass
class ScriptedKind:
    """`script` says by job name what executing does: a function of (spec, progress), else one row."""

    name: str = "silver"
    layer: str = "silver"
    script: dict[str, Callable] = field(default_factory=dict)
    executed: list[str] = field(default_factory=list)
    recorded: list[str] = field(default_factory=list)
    on_record: Callable | None = None
    committed: set[str] = field(default_factory=set)  # jobs whose commit stands although nobody heard of it

    @staticmethod
    def result(rows: int = 1) -> StepResult:
        published = Published(version=0, rows=rows, table_rows=rows, table_bytes=1, table_files=1)
        return StepResult(rows_read=rows, rows_written=rows, published=published, columns=())

    def jobs(self, workflow):
        return DatasetJob.objects.filter(workflow=workflow)

    def inputs(self, job):
        return [one["dataset"] for one in job.inputs]

    def outputs(self, job):
        return [f"silver.{job.workflow.slug}.{job.name}"]

    def type_label(self, job):
        return job.dataset_type

    def create_run(self, step):
        return DatasetRun.objects.create(job_id=step.job_id, step_id=step.pk, status="queued")

    def run_of(self, run_id):
        return DatasetRun.objects.select_related("job").get(pk=run_id)

    def runs(self, run_ids):
        return DatasetRun.objects.filter(pk__in=list(run_ids))

    def to_spec(self, run):
        return {"job": run.job.name, "run_id": str(run.pk)}

    def execute(self, spec, progress):
        self.executed.append(spec["job"])
        do = self.script.get(spec["job"])
        return (do(spec, progress) if do else None) or self.result()

    def published(self, run):
        return self.result() if run.job.name in self.committed else None

    def record(self, run, outcome):
        if self.on_record:
            self.on_record(run)
        self.recorded.append(run.job.name)
        run.keep(outcome)
        run.save()

    def record_failure(self, run, error):
        self.recorded.append(f"{run.job.name}: {error['code']}")

    def page_url(self, job):
        return f"/{job.name}/"


@pytest.fixture
def kind(monkeypatch) -> ScriptedKind:
    scripted = ScriptedKind()
    monkeypatch.setattr(kinds, "_kinds", {"silver": scripted})
    return scripted


@pytest.fixture
def workflow(db, kind) -> Workflow:
    return Workflow.objects.create(slug="shop", name="Shop")


@pytest.fixture
def add_job(workflow):
    """`add_job("b", "a")`: a job b that reads what job a writes."""

    def add(name: str, *after: str, to: Workflow = workflow, **fields) -> DatasetJob:
        inputs = [{"dataset": f"silver.{to.slug}.{above}", "alias": above} for above in after]
        return DatasetJob.objects.create(
            workflow=to, name=name, layer="silver", dataset_type="fact", inputs=inputs, **fields
        )

    return add


@pytest.fixture
def diamond(add_job) -> None:
    """a → b, c → d"""
    add_job("a")
    add_job("b", "a")
    add_job("c", "a")
    add_job("d", "b", "c")
