"""What is wrong with a Silver or Gold job: one list for API, admin, pages and `apply`."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from assay.common.columns import column_problems
from assay.common.options import read_options
from assay.common.problems import Problem
from ops.job_rules import name_problems
from workers.errors import AssayError
from workers.specs import to_json

from .checking import check, is_about_the_target, where_and_what
from .inputs import columns_by_alias, input_problems, with_aliases
from .transforms import TRANSFORMS

if TYPE_CHECKING:
    from .models import DatasetJob
    from .transforms import Transform

SQL_FIELDS = ("inputs", "transform_type", "sql_text", "config", "engine", "target_schema", "partition_by", "merge_keys")
DATASET_TYPES = {
    "silver": ("fact", "dim", "reference", "snapshot", "event_log"),
    "gold": (
        "fact_aggregate",
        "metric_table",
        "mart",
        "snapshot",
        "ml_training_set",
        "feature_set",
        "vector_index",
        "export_feed",
    ),
}


def problems_of(job: DatasetJob) -> list[Problem]:
    """Every fault, each at the path of its field. A value that is not among a field's choices is Django's to refuse.

    The SQL is looked at last, when what it stands on is sound.
    """
    return _problems_before_sql(job) or list(_sql_problems(job))


def _problems_before_sql(job: DatasetJob) -> list[Problem]:
    return [
        *name_problems(job),
        *_layer_problems(job),
        *input_problems(job),
        *_transform_problems(job),
        *column_problems(job.target_schema, "target_schema"),
        *_refresh_problems(job),
        *_rule_problems(job),
    ]


def fill_in(job: DatasetJob) -> None:
    """Set what was left out and follows from the rest.

    That is aliases, what the template settles, and a target schema proposed
    from the checked query. Where something is wrong with the job nothing is
    proposed: `problems_of` says what.
    """
    job.inputs = with_aliases(job.inputs)
    if transform := TRANSFORMS.get(job.transform_type):
        transform.fill_in(job)
    if job.target_schema or _problems_before_sql(job):
        return
    with suppress(AssayError):
        job.proposed = check(job).columns
        job.target_schema = [to_json(column) for column in job.proposed]


# --- field by field -----------------------------------------------------------------


def _layer_problems(job: DatasetJob) -> Iterator[Problem]:
    types = DATASET_TYPES.get(job.layer, ())
    if job.dataset_type and job.dataset_type not in types:
        yield Problem("dataset_type", _not_in_layer(job.layer, job.dataset_type, types), "not_allowed")
    transform = TRANSFORMS.get(job.transform_type)
    if transform and job.layer not in transform.layers:
        known = [name for name, each in TRANSFORMS.items() if job.layer in each.layers]
        yield Problem("transform_type", _not_in_layer(job.layer, job.transform_type, known), "not_allowed")


def _not_in_layer(layer: str, name: str, known: Collection[str]) -> str:
    return f"The {layer} layer has no {name}, but {', '.join(known)}."


def _transform_problems(job: DatasetJob) -> Iterator[Problem]:
    transform = TRANSFORMS.get(job.transform_type)
    if transform is None:
        return
    has_sql = bool((job.sql_text or "").strip())
    if transform.name == "sql" and not has_sql:
        yield Problem("sql_text", "A job of the transform type sql needs its SELECT.", "required")
    if transform.name != "sql" and has_sql:
        yield Problem("sql_text", f"{transform.name} makes its SQL from config; leave sql_text empty.", "not_allowed")
    yield from _claim_problems(job, transform)
    options, faults = read_options(transform.options, job.config, "config")
    yield from faults
    if options is not None and not input_problems(job):
        yield from transform.problems(options, columns_by_alias(job), "config")
        yield from transform.unknown_references(options, job, "config")


def _claim_problems(job: DatasetJob, transform: Transform) -> Iterator[Problem]:
    """What the template does not claim to do: an engine, a refresh mode, a number of inputs."""
    if job.engine not in ("default", *transform.engines):
        detail = f"{transform.name} does not run on {job.engine}. Choose {_either(transform.engines)}, or default."
        yield Problem("engine", detail, "not_allowed")
    if job.refresh_mode not in transform.refresh_modes:
        detail = f"{transform.name} cannot be refreshed by {job.refresh_mode}. Use {_either(transform.refresh_modes)}."
        yield Problem("refresh_mode", detail, "not_allowed")
    if transform.one_input and isinstance(job.inputs, list) and len(job.inputs) > 1:
        yield Problem("inputs", f"{transform.name} reads one input; there are {len(job.inputs)}.", "too_many")


def _either(names: Collection[str]) -> str:
    return " or ".join(names)


def _refresh_problems(job: DatasetJob) -> Iterator[Problem]:
    target = {column["name"] for column in _named(job.target_schema)}
    for field in ("partition_by", "merge_keys"):
        yield from _column_list_problems(getattr(job, field), field, target)
    if job.refresh_mode == "overwrite_partition" and job.partition_by == []:
        yield Problem(
            "partition_by", "refresh_mode overwrite_partition needs the columns of the partitions.", "required"
        )
    if job.refresh_mode == "merge" and job.merge_keys == []:
        yield Problem(
            "merge_keys", "refresh_mode merge needs the columns that say which rows are the same.", "required"
        )
    if target and isinstance(job.partition_by, list) and set(job.partition_by) >= target:
        yield Problem("partition_by", "At least one column must be left that is no partition.", "not_allowed")


def _column_list_problems(names: Any, field: str, target: Collection[str]) -> Iterator[Problem]:
    if not isinstance(names, list):
        yield Problem(field, "This must be a list of column names.", "wrong_type")
        return
    for position, name in enumerate(names):
        path = f"{field}.{position}"
        if not isinstance(name, str):
            yield Problem(path, "This must be the name of a column.", "wrong_type")
        elif name in names[:position]:
            yield Problem(path, f"“{name}” is named twice.", "duplicate")
        elif target and name not in target:
            yield Problem(path, f"The target schema has no column “{name}”.", "unknown_column")


def _named(columns: Any) -> list[dict[str, Any]]:
    columns = columns if isinstance(columns, list) else []
    return [column for column in columns if isinstance(column, dict) and isinstance(column.get("name"), str)]


def _rule_problems(job: DatasetJob) -> Iterator[Problem]:
    if not isinstance(job.data_quality, list):
        yield Problem("data_quality", "This must be a list of rules.", "wrong_type")
        return
    for position, rule in enumerate(job.data_quality):
        if not isinstance(rule, dict) or not isinstance(rule.get("check_type"), str):
            yield Problem(f"data_quality.{position}", "A rule is an object with a check_type.", "invalid")


def _is_as_stored(job: DatasetJob) -> bool:
    """Whether what the query stands on is what was checked when the job was last saved."""
    stored = type(job).objects.filter(pk=job.pk).values(*SQL_FIELDS).first() if job.pk else None
    return stored == {name: getattr(job, name) for name in SQL_FIELDS}


def _refusals(error: AssayError, field: str) -> Iterator[Problem]:
    """Why a query is not run: at the fields of a template's config, at the target schema, or at `field`."""
    if faults := error.facts.get("problems"):
        for fault in faults:
            yield Problem(fault["field"], f"{fault['message']} {fault['hint']}".strip(), error.code)
    elif is_about_the_target(error):
        hint = "Or leave target_schema empty: it is then filled in from the query."
        yield Problem("target_schema", f"{where_and_what(error)} {hint}", error.code)
    else:
        yield Problem(field, where_and_what(error), error.code)


def _sql_problems(job: DatasetJob) -> Iterator[Problem]:
    """The query; partitions and keys once more, against the columns that it would give the table."""
    if not job.enabled and _is_as_stored(job):
        return  # a job can be switched off although its inputs have changed under it
    field = TRANSFORMS[job.transform_type].sql_field if job.transform_type in TRANSFORMS else "transform_type"
    try:
        columns = check(job).columns
    except AssayError as error:
        yield from _refusals(error, field)
        return
    names = {column.name for column in columns}
    for field in ("partition_by", "merge_keys"):
        yield from _column_list_problems(getattr(job, field), field, names)
