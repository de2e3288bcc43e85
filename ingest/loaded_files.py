"""Which files are in a job's table: a mirror of its commits, asked before files are loaded again.

Every commit of a run names the files that it holds (`assay.files`). So what
the database missed, because a process died behind the commit, or because
somebody rolled the table back or rewound its watermark, is made good from the
table itself.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.db import transaction
from django.db.models import Q

from assay.common.runs import RunStatus
from catalog import services as catalog
from workers.results import FileRead, StepResult
from workers.specs import FilesSource, IngestSpec

from .models import IngestJob, IngestRun, LoadedFile

if TYPE_CHECKING:
    from workers.lake.table import Commit

ASKED_AT_ONCE = 500
REPLACING_MODES = ("overwrite",)
REWIND = "rewind"  # somebody wants what came before it read again


def lookup(job: IngestJob) -> Callable[[Collection[str]], Mapping[str, str]]:
    """For `Access.loaded`: of these contents those that are in the job's table, each with the run that loaded it."""

    def loaded(sha256s: Collection[str]) -> dict[str, str]:
        catch_up(job)
        current = LoadedFile.objects.filter(job=job, is_current=True, loaded_by=None)
        found: dict[str, str] = {}
        for some in _in_parts(sorted(sha256s)):
            rows = current.filter(sha256__in=some).order_by("pk").values_list("sha256", "run_id")
            found |= {sha256: str(run_id) for sha256, run_id in rows}
        return found

    return loaded


def without_known(spec: IngestSpec, job: IngestJob) -> IngestSpec:
    """For an incremental job: the spec without the files that the source has as they were when they were loaded.

    They are not even copied. What says nothing of its files' content has them copied, and told by that.
    """
    from workers.executors.ingest.files import skips_loaded_files

    if job.incremental_mode != "incremental" or not skips_loaded_files(spec):
        return spec
    catch_up(job)
    current = LoadedFile.objects.filter(job=job, is_current=True).exclude(mark="")
    known = set(current.values_list("name", "mark"))
    files = tuple(file for file in spec.source.files if (file.name, file.mark) not in known)
    return replace(spec, source=_narrowed(spec.source, files))


def _narrowed(source: FilesSource, files: tuple) -> FilesSource:
    return replace(source, files=files, known_files=len(source.files) - len(files))


@transaction.atomic
def record(run: IngestRun, result: StepResult) -> None:
    """Keep what the run says of its files. Recording a run again changes nothing."""
    if run.spec.get("write_mode", run.job.write_mode) in REPLACING_MODES:
        LoadedFile.objects.filter(job=run.job).exclude(run=run).update(is_current=False)
    _keep(run, result.files)


def _keep(run: IngestRun, files: Sequence[FileRead]) -> None:
    """A row for each file, but none for one that is skipped over and over: the row that it has says it all."""
    if run.files.exists():
        return
    known = {
        row
        for some in _in_parts([file.sha256 for file in files if file.loaded_by])
        for row in LoadedFile.objects.filter(job_id=run.job_id, is_current=True, sha256__in=some).values_list(
            "name", "sha256", "mark"
        )
    }
    rows = [
        LoadedFile(
            job_id=run.job_id,
            run=run,
            name=file.name[:1000],
            size=file.size,
            sha256=file.sha256,
            mark=file.mark,
            loaded_by=file.loaded_by or None,
        )
        for file in files
        if not file.loaded_by or (file.name[:1000], file.sha256, file.mark) not in known
    ]
    LoadedFile.objects.bulk_create(rows, batch_size=ASKED_AT_ONCE)


def _in_parts(values: Sequence[str]) -> Iterator[Sequence[str]]:
    return (values[start : start + ASKED_AT_ONCE] for start in range(0, len(values), ASKED_AT_ONCE))


# --- from the table ------------------------------------------------------------------


def catch_up(job: IngestJob) -> None:
    """Make good what the database missed; costs the reading of a commit or two where it missed nothing.

    Raises `LakeUnavailable`.
    """
    newest = _newest_version(job)
    if newest is None:
        LoadedFile.objects.filter(job=job, is_current=True).update(is_current=False)
        return
    for commit in _commits(job, newest):
        if commit.restored_version is not None or commit.metadata.get("mode") == REWIND:
            break
        if _names_files(commit):
            if _is_recorded(job, commit.run_id):
                return
            break
    rebuild(job)


def _is_recorded(job: IngestJob, run_id: str) -> bool:
    return IngestRun.objects.filter(job=job, pk=run_id, table_version__isnull=False).exists()


@transaction.atomic
def rebuild(job: IngestJob) -> None:
    """Make the mirror anew from the table's history, as far back as its log goes.

    A run that the database has lost comes back with what its commit says of it. Raises `LakeUnavailable`.
    """
    lineage = _lineage(job, _newest_version(job))
    for commit in reversed(lineage.commits):
        run, _ = IngestRun.objects.get_or_create(pk=UUID(commit.run_id), defaults=_run_of(job, commit))
        if run.table_version is None:  # it was taken for failed behind its commit
            IngestRun.objects.filter(pk=run.pk).update(table_version=commit.version)
        _keep(run, [FileRead(**file) for file in commit.metadata["files"]])
    _set_current(job, lineage)


def _run_of(job: IngestJob, commit: Commit) -> dict[str, Any]:
    told = {name: commit.metadata.get(name, 0) for name in ("rows_read", "rows_written", "quarantined_rows")}
    return {
        "job": job,
        "status": RunStatus.SUCCESS,
        "start_time": commit.at,
        "end_time": commit.at,
        "table_version": commit.version,
        **told,
    }


@dataclass(frozen=True, slots=True)
class _Lineage:
    """The commits of runs whose files are in the table at a version, the newest first."""

    commits: tuple[Commit, ...] = ()
    cut_off_at: int = 0  # the oldest version that the log still has, where more went before it; else 0


def _lineage(job: IngestJob, version: int | None) -> _Lineage:
    """A restore goes on where it led back to; nothing in front of an overwrite or a rewind counts."""
    found, walk, oldest = [], iter(()) if version is None else _commits(job, version), 0
    while commit := next(walk, None):
        oldest = commit.version
        if commit.restored_version is not None:
            walk = _commits(job, commit.restored_version)
        elif commit.run_id:
            if _names_files(commit):
                found.append(commit)
            if commit.metadata.get("mode") in (*REPLACING_MODES, REWIND):
                return _Lineage(tuple(found))
    return _Lineage(tuple(found), oldest)


def _names_files(commit: Commit) -> bool:
    return commit.run_id is not None and commit.metadata.get("files") is not None


def _set_current(job: IngestJob, lineage: _Lineage) -> None:
    runs = [UUID(commit.run_id) for commit in lineage.commits]
    files = LoadedFile.objects.filter(job=job)
    is_there = files.filter(Q(run__in=runs, loaded_by=None) | Q(loaded_by__in=runs))
    # Of runs older than the log nothing is known, so they stay as they are.
    gone = files.filter(run__table_version__gte=lineage.cut_off_at).exclude(pk__in=is_there.values("pk"))
    gone.update(is_current=False)
    is_there.update(is_current=True)


def _commits(job: IngestJob, version: int) -> Iterator[Commit]:
    from workers.lake.store import open_store, reaching
    from workers.lake.table import commits

    store = open_store(catalog.lake_uri(job.bronze_name))
    with reaching(store.uri):
        yield from commits(store, version)


def _newest_version(job: IngestJob) -> int | None:
    from workers.lake.store import open_store, reaching
    from workers.lake.table import open_delta

    store = open_store(catalog.lake_uri(job.bronze_name))
    with reaching(store.uri):
        delta = open_delta(store)
        return None if delta is None else delta.version()
