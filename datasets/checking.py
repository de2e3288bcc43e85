"""The SQL of a job, checked against its inputs' columns before anything runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.conf import settings

from assay.common.columns import as_columns
from workers.errors import AssayError, SqlRejected
from workers.specs import Column

from .inputs import columns_by_alias
from .transforms import TRANSFORMS

if TYPE_CHECKING:
    from workers.engines.sql.check import CheckedSql

    from .models import DatasetJob


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """What is known of a job's SQL. Where an input has no schema yet, only its structure could be looked at."""

    sql: str  # canonical; empty where a template cannot make it yet
    checked: CheckedSql | None
    columns: tuple[Column, ...]  # of the result; none while they cannot be known
    warnings: tuple[str, ...] = ()


def engine_of(job: DatasetJob) -> str:
    return settings.ASSAY_DEFAULT_ENGINE if job.engine == "default" else job.engine


def check(job: DatasetJob, engine: str | None = None) -> Check:
    """Check the job's SQL for its engine (or another one), and against its target schema where it has one.

    Raises `SqlRejected` with line and column, `NotAvailableYet`, `InvalidSpec`.
    """
    from workers.engines.sql.check import canonical_text, check_sql
    from workers.engines.sql.guard import parse

    inputs, transform = columns_by_alias(job), TRANSFORMS[job.transform_type]
    target = as_columns(job.target_schema)
    if unknown := _unknown(job, inputs):
        warning = (
            f"The columns of {', '.join(unknown)} are not known before their first run. "
            "The query's form was checked; names and types are checked when it runs."
        )
        sql = "" if transform.needs_columns else canonical_text(parse(transform.sql(job, inputs), inputs))
        return Check(sql=sql, checked=None, columns=target, warnings=(warning,))
    sql = transform.sql(job, inputs)
    checked = check_sql(sql, inputs, engine or engine_of(job), target or None)
    return Check(sql=checked.sql, checked=checked, columns=checked.columns)


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
