"""Job kinds: how `ops` runs steps without knowing what they do.

`ingest` and `datasets` register theirs in their AppConfig. A new kind of job
is one registration.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Protocol

from catalog import services as catalog
from workers.errors import AssayError, StaleRun
from workers.progress import Progress, silent
from workers.results import StepResult
from workers.specs import TableTarget, from_json

if TYPE_CHECKING:
    from django.db.models import QuerySet

    from assay.common.runs import JobRun

    from .models import Job, PipelineRun, Step, Workflow


class JobKind(Protocol):
    """What `ops` asks of a kind. `execute` is the only part that may take long; it sees no model.

    A run row's status, times, error and spec are `ops`' business; a kind
    creates the row and keeps what came of it.
    """

    name: str  # ingest | silver | gold
    layer: str  # of the table that its jobs write: bronze | silver | gold

    def jobs(self, workflow: Workflow) -> QuerySet[Job]:
        """Every job of this kind in the workflow, disabled ones too."""

    def inputs(self, job: Job) -> list[str]:
        """Names of the datasets that the job reads."""

    def outputs(self, job: Job) -> list[str]:
        """Names of the datasets that the job writes; the table comes last."""

    def type_label(self, job: Job) -> str:
        """What kind of thing it makes, for badges: `csv`, `fact`, `metric_table`."""

    def create_run(self, step: Step) -> JobRun:
        """A queued run row for the next try of the step."""

    def run_of(self, run_id: Any) -> JobRun:
        """The run row. Raises DoesNotExist."""

    def runs(self, run_ids: Iterable[Any]) -> QuerySet[JobRun]:
        """Several run rows at once, for lists."""

    def to_spec(self, run: JobRun) -> dict[str, Any]:
        """The complete, JSON-able description of what is to be done, versions of inputs pinned.

        Raises `AssayError` where it cannot be run: an input that was never published.
        """

    def execute(self, spec: dict[str, Any], progress: Progress) -> StepResult:
        """Do it: the data plane. Idempotent for a run id. Raises `AssayError`, else it is a bug."""

    def published(self, run: JobRun) -> StepResult | None:
        """What the run did, when its commit stands although nobody heard of it; else None. Raises `AssayError`."""

    def record(self, run: JobRun, result: StepResult) -> None:
        """Keep what was done: run row (`success` already), catalog. Called inside the transaction that ends the step.

        What it raises rolls the transaction back; the run is then taken over and executed again.
        """

    def record_failure(self, run: JobRun, error: dict[str, Any]) -> None:
        """Keep what else a failed try has shown, from the error as it is stored. Called as `record` is."""

    def page_url(self, job: Job) -> str:
        """Address of the job's page."""


class ModelKind:
    """What of a kind follows from its run model and the layer of its tables."""

    layer: str
    run_model: type[JobRun]

    def create_run(self, step: Step) -> JobRun:
        run = step.pipeline_run
        return self.run_model.objects.queue(
            job_id=step.job_id,
            last_published=catalog.last_run_id(f"{self.layer}.{run.workflow.slug}.{step.job_name}"),
            step_id=step.pk,
            trigger=run.trigger,
            started_by_id=run.started_by_id,
            **self.run_facts(step.job_id, run),
        )

    def run_facts(self, job_id: int, pipeline_run: PipelineRun) -> dict[str, Any]:
        """Further fields of a new run row."""
        return {}

    def run_of(self, run_id: Any) -> JobRun:
        return self.run_model.objects.select_related("job__workflow").get(pk=run_id)

    def runs(self, run_ids: Iterable[Any]) -> QuerySet[JobRun]:
        return self.run_model.objects.select_related("job__workflow").filter(pk__in=list(run_ids))

    def published(self, run: JobRun) -> StepResult | None:
        from workers.lake.publish import already_published  # a process that runs no steps does without Delta

        if not run.spec:
            return None
        target = from_json(TableTarget, run.spec["target"])
        try:
            stands = already_published(target, str(run.pk))
        except StaleRun:
            return None
        # It finds the commit before it does anything else, and tells what that says.
        return self.execute(run.spec, silent) if stands else None

    def record_failure(self, run: JobRun, error: dict[str, Any]) -> None:
        pass


_kinds: dict[str, JobKind] = {}


class UnknownKind(AssayError):
    code = "unknown_kind"


def register(kind: JobKind) -> None:
    _kinds[kind.name] = kind


def get(name: str) -> JobKind:
    if name not in _kinds:
        raise UnknownKind(f"There is no job kind “{name}”.", hint=f"Known are {', '.join(sorted(_kinds))}.")
    return _kinds[name]


def all_kinds() -> list[JobKind]:
    return list(_kinds.values())
