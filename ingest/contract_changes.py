"""Differences between source and table that wait for a person, and what each decision does (docs/schema.md)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db import transaction
from django.utils import timezone

from catalog import services as catalog
from catalog.models import Dataset
from workers.errors import AssayError
from workers.results import ContractChange as Found

from .models import ContractChange, IngestJob, IngestRun, SchemaMode, WriteMode

Change, Status = ContractChange.Change, ContractChange.Status
OPEN = (Status.PENDING, Status.REFUSED)  # may still be decided; what was refused, otherwise
REQUIRED = ", required"  # behind the type of a column that must have a value


class NotPossible(AssayError):
    """A decision that cannot be taken, or no longer."""

    code = "not_possible"


# --- what runs find --------------------------------------------------------------------


def record(run: IngestRun, found: Iterable[Found]) -> None:
    """Keep what a run has found: one pending row for a column and kind of change.

    What was decided is not asked again until it changes again, or a decision
    that should have ended it was undone.
    """
    for one in found:
        before = run.job.contract_changes.filter(column=one.column, change=one.change).first()
        facts = {"run": run, "old": one.old, "new": one.new, "examples": list(one.examples), "rows": one.rows}
        if before is None or not (before.status == Status.PENDING or _is_settled(before, one, run)):
            ContractChange.objects.create(job=run.job, column=one.column, change=one.change, **facts)
        else:
            ContractChange.objects.filter(pk=before.pk).update(**facts)


def record_failure(run: IngestRun, error: dict[str, Any]) -> None:
    """Keep what a failed run has found, which its error carries."""
    told = (error.get("facts") or {}).get("contract_changes") or ()
    record(run, [Found(**{**one, "examples": tuple(one["examples"])}) for one in told])


def _is_settled(before: ContractChange, found: Found, run: IngestRun) -> bool:
    if (before.old, before.new) != (found.old, found.new):
        return False
    has_begun_earlier = before.decided_at is not None and run.created_at < before.decided_at
    stays = before.status == Status.REFUSED or (before.status == Status.ACCEPTED and before.change == Change.MISSING)
    return stays or has_begun_earlier


# --- what a decision means ---------------------------------------------------------------


def becomes(change: ContractChange) -> str | None:
    """The type that a column of another type gets when the change is accepted; None where no type holds both."""
    from workers.lake.lattice import least_holding

    if (change.old, change.new) == ("int64", "float64") and _is_exact(change):
        return "float64"
    return least_holding(change.old, change.new)


def _is_exact(change: ContractChange) -> bool:
    """Whether no whole number that the table keeps would be rounded."""
    from workers.lake.evolve import is_exact_in_float64
    from workers.lake.store import open_store, reaching
    from workers.lake.table import open_delta

    if change.job.write_mode == WriteMode.OVERWRITE:
        return True
    store = open_store(catalog.lake_uri(change.job.bronze_name))
    with reaching(store.uri):
        delta = open_delta(store)
        return delta is None or is_exact_in_float64(delta, change.column)


def consequence(change: ContractChange) -> str:
    """What happens if the change is accepted, in words, before anybody does."""
    name = change.column
    keeps_rows = change.job.write_mode != WriteMode.OVERWRITE
    if change.change == Change.TYPE:
        kind = becomes(change)
        if kind is None:
            return f"{change.old} and {change.new} have no type in common. Map the column to a new one instead."
        rows = " The rows that the table has are rewritten with it." if keeps_rows else ""
        return f"{name} becomes {_as_what(kind)} with the next run.{rows}"
    if change.change == Change.ADDED:
        rows = "; it is null in the rows that the table has" if keeps_rows else ""
        return f"The table gets the column {name} ({change.new}) with the next run{rows}."
    if change.change == Change.REQUIRED:
        return f"{name} may be null from the next run on."
    if change.job.schema_mode == SchemaMode.USER and not keeps_rows:
        return f"The job no longer declares {name}, and the table loses it with the next run."
    return f"The source may do without {name}. The table keeps the column; it is null in new rows."


def _as_what(kind: str) -> str:
    return {"json": "json: each value as its JSON text", "string": "string: each value as text"}.get(kind, kind)


def downstream(change: ContractChange, user) -> list[dict[str, str]]:
    """The datasets that are made from the job's, at any distance, as far as the person may see: `{dataset, job}`."""
    visible = Dataset.objects.visible_to(user)
    dataset = visible.filter(name=change.job.bronze_name).first()
    if dataset is None:
        return []
    edges = catalog.lineage(dataset, "downstream", catalog.MAX_DEPTH, visible)["edges"]
    return [{"dataset": edge["target"], "job": edge["job"]} for edge in edges]


# --- deciding --------------------------------------------------------------------------


@transaction.atomic
def accept(change: ContractChange, user) -> ContractChange:
    """Let the job follow its source: its schema gets what was found; the table, with its next run.

    Raises `NotPossible`.
    """
    change = _undecided(change)
    job = change.job
    if change.change == Change.TYPE:
        if (kind := becomes(change)) is None:
            raise NotPossible(consequence(change))
        _settle(job, change.column, type=kind)
    elif change.change == Change.ADDED:
        _settle(job, change.column, type=change.new)
    elif change.change == Change.REQUIRED:
        _settle(job, change.column, type=change.old.removesuffix(REQUIRED), nullable=True)
    else:
        _do_without(change)
    _save(job, user, f"{change.column}: accepted")
    return _decided(change, Status.ACCEPTED, user)


@transaction.atomic
def map_to(change: ContractChange, column: str, user) -> ContractChange:
    """Say which columns are one: the source's new column is the table's `column`, or, of a column that the
    source no longer has, the source's `column` is it. Raises `NotPossible`.
    """
    change = _undecided(change)
    job, column = change.job, column.strip()
    if not column or column.lower() == change.column.lower():
        raise NotPossible("Name the other column of the two.", attr="column", http_status=400)
    is_gone = change.change in (Change.MISSING, Change.REQUIRED)
    source, target = (column, change.column) if is_gone else (_at_source(job, change.column), column)
    others = {old: new for old, new in job.column_mapping.items() if old.lower() != source.lower()}
    if taken := next((old for old, new in others.items() if new.lower() == target.lower()), None):
        raise NotPossible(
            f"{target} already gets the source's {taken}.", hint="Change the job's column_mapping.", attr="column"
        )
    job.column_mapping = others | {source: target}
    _save(job, user, f"{source}: mapped to {target}")
    if is_gone:  # that the other one is new is the same question
        twins = job.contract_changes.filter(status=Status.PENDING, change=Change.ADDED, column__iexact=source)
        twins.update(status=Status.MAPPED, mapped_to=target, decided_by=user, decided_at=timezone.now())
    return _decided(change, Status.MAPPED, user, mapped_to=column)


@transaction.atomic
def refuse(change: ContractChange, user) -> ContractChange:
    """Leave everything as it is. Raises `NotPossible`."""
    return _decided(_undecided(change), Status.REFUSED, user)


def _undecided(change: ContractChange) -> ContractChange:
    """The change with its job, both locked: of two people who decide at once the second is told."""
    fresh = ContractChange.objects.select_for_update().get(pk=change.pk)
    if fresh.status not in OPEN:
        raise NotPossible(
            f"{fresh.column} was decided already: {fresh.get_status_display()}.", hint="Look at the job's page again."
        )
    fresh.job = IngestJob.objects.select_for_update().select_related("workflow").get(pk=fresh.job_id)
    return fresh


def _decided(change: ContractChange, status: str, user, mapped_to: str = "") -> ContractChange:
    change.status, change.mapped_to = status, mapped_to
    change.decided_by, change.decided_at = user, timezone.now()
    change.save(update_fields=["status", "mapped_to", "decided_by", "decided_at"])
    return change


def _settle(job: IngestJob, name: str, **facts: Any) -> None:
    """Say in the job's schema what a column is: also one that is not declared is honoured by every run."""
    columns = [dict(column) for column in job.user_schema]
    mine = next((column for column in columns if column["name"].lower() == name.lower()), None)
    if mine is None:
        columns.append({"name": name, "nullable": _may_be_null(job, name), **facts})
    else:
        mine |= facts
    job.user_schema = columns


def _may_be_null(job: IngestJob, name: str) -> bool:
    dataset = Dataset.objects.filter(name=job.bronze_name).first()
    held = {column["name"].lower(): column["nullable"] for column in (dataset.columns if dataset else ())}
    return held.get(name.lower(), True)


def _do_without(change: ContractChange) -> None:
    job = change.job
    if job.schema_mode != SchemaMode.USER:
        _settle(job, change.column, type=change.old, nullable=True)
        return
    rest = [column for column in job.user_schema if column["name"].lower() != change.column.lower()]
    if not rest:
        raise NotPossible("The job would have no column left.", hint="Declare its columns anew.")
    job.user_schema = rest


def _at_source(job: IngestJob, column: str) -> str:
    """What the source calls a column of the table."""
    return next((old for old, new in job.column_mapping.items() if new.lower() == column.lower()), column)


def _save(job: IngestJob, user, reason: str) -> None:
    job._history_user, job._change_reason = user, reason[:100]
    job.save()
