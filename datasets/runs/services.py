"""Runs of Silver and Gold jobs once more, and two of them side by side."""

from __future__ import annotations

import difflib
from contextlib import suppress
from datetime import date
from typing import TYPE_CHECKING, Any

from assay.common.runs import Trigger
from ops import services as ops
from ops.models import PipelineRun
from workers.errors import AssayError, TableMissing

from ..models import DatasetRun, RefreshMode

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser

# Of a spec, what is told elsewhere in a comparison, or differs between any two runs.
APART = frozenset({"run_id", "inputs", "columns", "target", "run_time", "type", "workflow", "job", "settings"})
CONTEXT_LINES = 3


class NotRepeatable(AssayError):
    """A run that cannot be done again as it was."""

    code = "not_repeatable"


# --- once more -------------------------------------------------------------------------


def repeat(run: DatasetRun, user: AbstractBaseUser | None = None, trigger: str = Trigger.MANUAL) -> PipelineRun:
    """Start a run that does exactly what this one did: its configuration, input versions, window and time.

    What it publishes becomes the newest version. Raises `NotRepeatable` where
    that would double rows, or where what it read is gone; `JobIsRunning`.
    """
    check_repeatable(run)
    window = run.spec.get("window") or {}
    return ops.start_job_run(
        run.job.layer,
        run.job,
        start_date=_day(window.get("start_date")),
        end_date=_day(window.get("end_date")),
        options={"repeat_of": str(run.pk)},
        user=user,
        trigger=trigger,
    )


def check_repeatable(run: DatasetRun) -> None:
    """Raises `NotRepeatable` with the reason."""
    if not run.spec.get("inputs"):
        raise NotRepeatable("This run never began, so there is nothing to repeat.", hint="Run the job instead.")
    if run.spec.get("refresh_mode") == RefreshMode.APPEND:
        raise NotRepeatable(
            "This run appended its rows; a repetition would add them a second time.",
            hint="Roll the dataset back to the version before the run, and run the job again.",
        )
    for given in run.spec["inputs"]:
        _check_is_there(given)


def _check_is_there(given: dict[str, Any]) -> None:
    hint = "Run the job instead: it reads the newest version."
    from workers.lake.store import open_store  # a process that looks at no table does without Delta
    from workers.lake.table import open_table

    try:
        table = open_table(given["uri"], given["version"])
    except TableMissing as error:
        gone = f"The run read version {given['version']} of {given['dataset']}, which is gone."
        raise NotRepeatable(gone, hint=hint) from error
    sizes = open_store(given["uri"]).sizes(file.path for file in table.data_files)
    if any(size is None for size in sizes.values()):
        raise NotRepeatable(
            f"Files of version {given['version']} of {given['dataset']}, which the run read, were removed by "
            "maintenance.",
            hint=hint,
        )


def _day(text: str | None) -> date | None:
    return date.fromisoformat(text) if text else None


# --- side by side ------------------------------------------------------------------------


def compare(one: DatasetRun, other: DatasetRun) -> dict[str, Any]:
    """What differs between two runs of a job, the earlier one first whatever the order of the arguments.

    `{old, new, configuration, sql_diff, inputs, schema, phases, table}`, plain values;
    `table` compares the rows of the versions that both made, where they still exist.
    """
    old, new = sorted((one, other), key=lambda run: (run.created_at, run.pk))
    return {**compare_settings(old, new), "table": compare_tables(old, new)}


def compare_settings(old: DatasetRun, new: DatasetRun) -> dict[str, Any]:
    """What the runs themselves tell; no row is read."""
    return {
        "old": _summary(old),
        "new": _summary(new),
        "configuration": _configuration(old.spec, new.spec),
        "sql_diff": _sql_diff(old.spec.get("sql") or "", new.spec.get("sql") or ""),
        "inputs": _inputs(old, new),
        "schema": _schema(old.spec, new.spec),
        "phases": _phases(old, new),
    }


def _summary(run: DatasetRun) -> dict[str, Any]:
    window = run.spec.get("window") or {}
    return {
        "id": str(run.pk),
        "status": run.status,
        "created_at": run.created_at,
        "duration": run.duration,
        "rows_read": run.rows_read,
        "rows_written": run.rows_written,
        "table_version": run.table_version,
        "engine": run.spec.get("engine", ""),
        "run_time": run.spec.get("run_time"),
        "start_date": window.get("start_date"),
        "end_date": window.get("end_date"),
        "repeat_of": run.repeat_of_id and str(run.repeat_of_id),
        "facts": run.facts,
    }


def _configuration(old: dict[str, Any], new: dict[str, Any]) -> list[dict[str, Any]]:
    """`{field, old, new}` of every option that differs, by its path; the SQL has a diff of its own."""
    before, after = _flat(_own(old)), _flat(_own(new))
    return [
        {"field": name, "old": before.get(name), "new": after.get(name)}
        for name in dict.fromkeys([*before, *after])
        if before.get(name) != after.get(name)
    ]


def _own(spec: dict[str, Any]) -> dict[str, Any]:
    target = {name: value for name, value in (spec.get("target") or {}).items() if name not in ("dataset", "uri")}
    return {name: value for name, value in spec.items() if name not in APART and name != "sql"} | target


def _flat(value: Any, path: str = "") -> dict[str, Any]:
    """Objects by dotted paths; a list is one value, so that an order that changed is one difference."""
    if isinstance(value, dict) and value:
        inner = (_flat(each, f"{path}.{name}" if path else name) for name, each in value.items())
        return {name: each for found in inner for name, each in found.items()}
    return {path: value}


def _sql_diff(old: str, new: str) -> list[dict[str, str]]:
    """Lines of a unified diff, `{kind, text}`: ` `, `+`, `-`, or `@` between parts; none where nothing differs."""
    if old == new:
        return []
    lines = difflib.unified_diff(_lines(old), _lines(new), lineterm="", n=CONTEXT_LINES)
    return [{"kind": line[0], "text": line[1:] if line[0] != "@" else line} for line in list(lines)[2:]]


def _lines(sql: str) -> list[str]:
    from workers.engines.sql import laid_out  # slow to import

    with suppress(Exception):  # a text of an older version may not be readable any more: it is shown as it is
        sql = laid_out(sql)
    return sql.splitlines()


def _inputs(old: DatasetRun, new: DatasetRun) -> list[dict[str, Any]]:
    """Every input with the version that each run read; None: it was not read."""
    names = dict.fromkeys([*old.input_versions, *new.input_versions])
    return [
        {"dataset": name, "old": old.input_versions.get(name), "new": new.input_versions.get(name)} for name in names
    ]


def _schema(old: dict[str, Any], new: dict[str, Any]) -> list[dict[str, Any]]:
    """`{column, old, new}` of every column that differs, as `type` or `type not null`."""
    before, after = ({each["name"]: _told(each) for each in spec.get("columns") or ()} for spec in (old, new))
    return [
        {"column": name, "old": before.get(name), "new": after.get(name)}
        for name in dict.fromkeys([*before, *after])
        if before.get(name) != after.get(name)
    ]


def _told(column: dict[str, Any]) -> str:
    return column["type"] if column.get("nullable", True) else f"{column['type']} not null"


def _phases(old: DatasetRun, new: DatasetRun) -> list[dict[str, Any]]:
    names = dict.fromkeys([*old.phases, *new.phases])
    return [{"phase": name, "old": old.phases.get(name), "new": new.phases.get(name)} for name in names]


def compare_tables(old: DatasetRun, new: DatasetRun) -> dict[str, Any]:
    """`{compared, reason}` and, where the rows were compared, how many are the same, added, removed, changed."""
    if old.table_version is None or new.table_version is None:
        neither = old.table_version is new.table_version is None
        which = "Neither of the runs" if neither else "Only one of the runs"
        return {"compared": False, "reason": f"{which} has published a version."}
    from workers.engines.difference import Difference, compare_versions

    keys = new.spec.get("merge_keys") or new.spec.get("business_keys") or ()
    try:
        found = compare_versions(new.spec["target"]["uri"], old.table_version, new.table_version, keys)
    except AssayError as error:
        return {"compared": False, "reason": f"{error.message} {error.hint}".strip()}
    if not isinstance(found, Difference):
        return {"compared": False, "reason": found}
    return {
        "compared": True,
        "reason": "",
        "equal": found.is_equal,
        "same": found.same,
        "added": found.added,
        "removed": found.removed,
        "changed": found.changed,
        "old_digest": found.old_digest,
        "new_digest": found.new_digest,
        "columns": list(found.columns),
    }
