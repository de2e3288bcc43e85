"""How far a job has read. The table's commits say so; the job's row and `WatermarkChange` mirror it for people."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from django.db import transaction

from catalog import services as catalog
from ops.models import PipelineRun, Step
from ops.services import JobIsRunning
from workers.errors import AssayError, InvalidSpec
from workers.ids import new_run_id
from workers.results import StepResult
from workers.specs import TableTarget, Watermark, Window
from workers.watermark import Value, is_orderly, json_value, moment_of, python_value

from .models import IngestJob, IngestRun, WatermarkChange

if TYPE_CHECKING:
    from workers.lake.state import State

logger = logging.getLogger(__name__)

MOMENTS = ("date", "timestamp", "timestamptz")
Cause = WatermarkChange.Cause


class NoWatermark(AssayError):
    """The job reads its source in full each time."""

    code = "no_watermark"


class InvalidWatermark(AssayError):
    code = "invalid_watermark"


# --- what it is ------------------------------------------------------------------------


def for_run(job: IngestJob) -> Watermark | None:
    """From where a run of the job goes on; None for one that loads in full."""
    if not is_incremental(job):
        return None
    return Watermark(column=job.watermark_column, last=last_value(job), lag=job.watermark_lag)


def is_incremental(job: IngestJob) -> bool:
    return job.incremental_mode == "incremental"


def last_value(job: IngestJob) -> Value:
    """The table's word, and where there is no table the job's initial value."""
    return _state(job).value_of(job.watermark_column, _initial(job))


def _initial(job: IngestJob) -> Value:
    """What a person set before the first run. A value that a run left is none: its table is gone."""
    changes = job.watermarks.all() if job.pk else WatermarkChange.objects.none()
    if told := changes.filter(cause=Cause.INITIAL).first():
        return told.value
    return None if changes.exists() else job.last_watermark_value


def _state(job: IngestJob) -> State:
    from workers.lake.state import state_of  # brings Polars, which nobody needs who only imports us

    return state_of(catalog.lake_uri(job.bronze_name))


def column_type(job: IngestJob) -> str | None:
    """The type of the watermark's column, from the table or the declared columns, if they tell."""
    from workers.lake.table import open_table, table_exists  # reads the table's log only, yet needs Polars

    name = job.column_mapping.get(job.watermark_column, job.watermark_column).lower()
    uri = catalog.lake_uri(job.bronze_name)
    held = {column.name.lower(): column.type for column in open_table(uri).columns} if table_exists(uri) else {}
    declared = {column["name"].lower(): column["type"] for column in job.user_schema}
    return held.get(name) or declared.get(name)


def _has_days(job: IngestJob) -> bool | None:
    """Whether the watermark's column holds dates or times; None: nobody knows before it runs."""
    kind = column_type(job)
    if kind is None:
        return True if moment_of(job.last_watermark_value) else None
    return kind in MOMENTS


# --- what runs do to it --------------------------------------------------------------------


def record(run: IngestRun, result: StepResult) -> None:
    """Mirror what the run's commit says. Called in the transaction that ends the run."""
    run.last_watermark_value = result.watermark
    if is_incremental(run.job) and result.published:
        _mirror(run.job, result.watermark, Cause.RUN, run=run, table_version=result.published.version)


def reconcile(job: IngestJob) -> WatermarkChange | None:
    """Correct the mirror from the table, if there is one; None when it was right. Raises `LakeUnavailable`."""
    if not is_incremental(job):
        return None
    state = _state(job)
    if state.version is None:
        return None
    cause = Cause.ROLLBACK if state.is_restored else Cause.RECONCILED
    return _mirror(job, state.value_of(job.watermark_column, None), cause, table_version=state.version)


def reconcile_all() -> Iterator[WatermarkChange]:
    """What had to be corrected, of all jobs. A table that cannot be read now waits for the next time."""
    for job in IngestJob.objects.filter(incremental_mode="incremental").select_related("workflow").iterator():
        try:
            # While a run ends, table and mirror differ for a moment.
            change = None if job.runs.active().exists() else reconcile(job)
        except AssayError:
            logger.warning("a watermark could not be looked up", extra={"job": str(job)}, exc_info=True)
            continue
        if change:
            yield change


def _mirror(job: IngestJob, value: Value, cause: str, **facts: Any) -> WatermarkChange | None:
    with transaction.atomic():
        previous = IngestJob.objects.select_for_update().values_list("last_watermark_value", flat=True).get(pk=job.pk)
        job.last_watermark_value = value
        if previous == value:
            return None
        # Updated, not saved: what a run does is no change of the job's definition.
        IngestJob.objects.filter(pk=job.pk).update(last_watermark_value=value)
        return WatermarkChange.objects.create(job=job, value=value, previous=previous, cause=cause, **facts)


# --- what people do to it ----------------------------------------------------------------------


def rewind(job: IngestJob, value: Value, *, user=None, reason: str = "") -> WatermarkChange | None:
    """Read again from this value on; null: from the beginning. None when it is there already.

    Rows that the table has are recognised and not loaded again. Before the
    first run it is the initial value; after it a commit of the table carries
    it, which a run that began earlier cannot undo. Raises `NoWatermark`,
    `InvalidWatermark` and `JobIsRunning`, with nothing changed, and whatever
    the lake raises.
    """
    if not is_incremental(job):
        raise NoWatermark(
            f"{job.name} loads its source in full: there is nothing to set back.",
            hint="Set incremental_mode to incremental and choose a watermark_column.",
            http_status=400,
        )
    value = _checked(job, value)
    if job.runs.open().exists():
        raise JobIsRunning(
            f"{job.name} is running: its watermark cannot be changed now.",
            hint="Wait for the run to end, or cancel it.",
        )
    told = {"changed_by": user, "reason": reason}
    state = _state(job)
    if state.version is None:
        return _mirror(job, value, Cause.INITIAL, **told)
    if state.value_of(job.watermark_column, None) != value or state.watermark is None:
        _commit(job, value, reason)
    return _mirror(job, value, Cause.REWIND, table_version=_state(job).version, **told)


def adopt(job: IngestJob, user=None) -> WatermarkChange | None:
    """Give a value that was written to the job's field the same effect as a rewind. Raises as `rewind` does."""
    known = job.watermarks.values_list("value", flat=True).first()
    if not is_incremental(job) or job.last_watermark_value == known:
        return None
    wanted = job.last_watermark_value
    IngestJob.objects.filter(pk=job.pk).update(last_watermark_value=known)
    return rewind(job, wanted, user=user, reason="written to the job")


def _checked(job: IngestJob, value: Any) -> Value:
    """The value in the one spelling that its column has. Raises `InvalidWatermark`."""
    if isinstance(value, dict | list | bool):
        raise InvalidWatermark(
            "A watermark is one text or number, or null to start over.", attr="value", http_status=400
        )
    kind = column_type(job)
    if value is None or kind is None or not is_orderly(kind):
        return value
    try:
        return json_value(python_value(value, kind, job.watermark_column))
    except InvalidSpec as error:
        raise InvalidWatermark(
            f"{value!r} is no {kind}, which {job.watermark_column} is.", hint=error.hint, attr="value", http_status=400
        ) from error


def _commit(job: IngestJob, value: Value, reason: str) -> None:
    from workers.lake.publish import note
    from workers.lake.table import open_table

    name = job.bronze_name
    last_run = job.runs.order_by("-pk").values_list("pk", flat=True).first()
    known = [run_id for run_id in (last_run, catalog.last_run_id(name)) if run_id]
    run_id = new_run_id(after=max(known, default=None))
    target = TableTarget(dataset=name, uri=catalog.lake_uri(name))
    watermark = {"column": job.watermark_column, "value": value}
    published = note(target, str(run_id), {"mode": "rewind", "watermark": watermark, "reason": reason})
    columns = open_table(target.uri).columns
    catalog.record_version(name, run_id=run_id, published=published, columns=columns)


# --- windows -------------------------------------------------------------------------------------


def asked_window(job: IngestJob, run: PipelineRun) -> dict[str, str]:
    """The days that a pipeline run is about, for a job whose rows may have days."""
    days = {"start_date": run.start_date, "end_date": run.end_date}
    return {name: str(day) for name, day in days.items() if day} if is_incremental(job) else {}


def window_for(run: IngestRun) -> Window:
    """The days that the run replaces.

    Asked for by the job's name, a window that cannot be is an error of the run.
    Of a run of the whole workflow it is for those whose rows have days; others
    load as always.
    """
    if run.window and not _is_alone(run) and not _has_days(run.job):
        run.window = {}
        IngestRun.objects.filter(pk=run.pk).update(window={})
    return Window(**run.window)


def _is_alone(run: IngestRun) -> bool:
    return not Step.objects.filter(pk=run.step_id, pipeline_run__single_job=False).exists()


def window_problem(job: IngestJob) -> str:
    """Why the job cannot replace the rows of some days; empty when it can, or nobody knows before it runs."""
    if not is_incremental(job):
        return "Only a job with a watermark_column of dates or times can replace some days; this one loads in full."
    if _has_days(job) is False:
        return f"Only dates and times have days; {job.watermark_column} is of the type {column_type(job)}."
    return ""
