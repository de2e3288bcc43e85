"""The SQL of a job, checked against its inputs' columns before anything runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from django.conf import settings

from assay.common.columns import as_columns
from workers.errors import AssayError, InvalidConfig, SqlRejected
from workers.specs import Column, TableInput

from .inputs import columns_by_alias
from .transforms import TRANSFORMS, Check, Inputs, Transform

if TYPE_CHECKING:
    from .models import DatasetJob


def engine_of(job: DatasetJob) -> str:
    """The engine that runs the job: its own, or the platform's default where the template can run on that."""
    engines = TRANSFORMS[job.transform_type].engines
    if job.engine != "default":
        return job.engine
    return settings.ASSAY_DEFAULT_ENGINE if settings.ASSAY_DEFAULT_ENGINE in engines else engines[0]


def chosen_engine(job: DatasetJob, found: Check, inputs: Sequence[TableInput]) -> tuple[str, str]:
    """The engine of a run over these versions, and why; no reason where nothing had to be chosen.

    The default keeps rows in memory. Where a query's inputs may outgrow what a
    step may use, DuckDB takes it, which works on disk. The sizes of pinned
    versions never change, so a repetition chooses the same.
    """
    from workers.engines.memory import needed_mb
    from workers.lake.table import open_table

    engine, memory_mb = engine_of(job), settings.ASSAY_STEP_MEMORY_MB
    if job.engine != "default" or engine != "polars" or found.checked is None or not found.checked.keeps_rows:
        return engine, ""
    if "duckdb" not in TRANSFORMS[job.transform_type].engines:
        return engine, ""
    used = [given for given in inputs if given.alias in found.checked.inputs_used]
    needed = needed_mb(found.checked, {given.alias: open_table(given.uri, given.version) for given in used})
    if needed <= memory_mb:
        return engine, f"its inputs fit into memory: about {needed:,} of {memory_mb:,} MB"
    return "duckdb", f"its inputs may need {needed:,} MB in memory, a step has {memory_mb:,}: DuckDB works on disk"


def check(job: DatasetJob, engine: str | None = None) -> Check:
    """Check what the job does for its engine (or another one), and against its target schema where it has one.

    Raises `SqlRejected` with line and column, `InvalidConfig`, `InvalidSpec`.
    """
    inputs, transform = columns_by_alias(job), TRANSFORMS[job.transform_type]
    target = as_columns(job.target_schema)
    if target == job.proposed:
        target = ()  # nothing to compare: this very query gave them, and its check is known
    if unknown := _unknown(job, inputs):
        return _as_far_as_known(job, inputs, unknown, target)
    _check_options(job, transform, inputs)
    return transform.check(job, inputs, engine or engine_of(job), target)


def _check_options(job: DatasetJob, transform: Transform, inputs: Inputs) -> None:
    """They fitted when the job was saved; an input may have lost a column since. Raises `InvalidConfig`."""
    if faults := list(transform.problems(transform.read(job), inputs, "config")):
        problems = [{"field": fault.attr, "message": fault.detail, "hint": ""} for fault in faults]
        raise InvalidConfig(faults[0].detail, field=faults[0].attr, problems=problems)


def _as_far_as_known(
    job: DatasetJob, inputs: Mapping[str, tuple[Column, ...]], unknown: list[str], target: tuple[Column, ...]
) -> Check:
    from workers.engines.sql.check import canonical_text
    from workers.engines.sql.guard import parse

    warning = (
        f"The columns of {', '.join(unknown)} are not known before their first run. "
        "The query's form was checked; names and types are checked when it runs."
    )
    transform = TRANSFORMS[job.transform_type]
    sql = "" if transform.needs_columns else canonical_text(parse(transform.sql(job, inputs), inputs))
    return Check(sql=sql, checked=None, columns=target, warnings=(warning,))


def _unknown(job: DatasetJob, inputs: Mapping[str, tuple[Column, ...]]) -> list[str]:
    return [given["dataset"] for given in job.inputs if not inputs[given["alias"]]]


def where_and_what(error: AssayError) -> str:
    """“Line 3, column 8: …” and what to do."""
    line, column = error.facts.get("line"), error.facts.get("column")
    place = f"Line {line}, column {column}: " if line and column else ""
    return f"{place}{error.message} {error.hint}".strip()


def is_about_the_target(error: AssayError) -> bool:
    """Whether the query is sound, but does not return what the target schema says."""
    return isinstance(error, SqlRejected) and any(error.facts.get(name) for name in ("missing", "extra", "types"))
