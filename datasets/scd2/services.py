"""Dimensions that keep their history: the timeline of one key, and taking observations anew."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from django.contrib.auth.models import AbstractBaseUser
from django.http import Http404

from assay.common.api import InvalidInput
from assay.common.policy import visible_rows
from assay.common.problems import Problem
from catalog.models import Dataset
from ops.models import PipelineRun
from ops.services import start_job_run
from workers.errors import InvalidSpec, TableMissing
from workers.ids import new_run_id

from .. import services
from ..models import DatasetJob
from ..transforms import TRANSFORMS

if TYPE_CHECKING:
    from workers.executors.scd2.timeline import Shape

TRANSFORM = "scd2_dimension"
ADDED = ("effective_from", "effective_to", "is_current")
MOST_VERSIONS = 1000


def dimension_or_404(job: DatasetJob, user: AbstractBaseUser) -> Dataset:
    """The dataset of a job that is a dimension, for those who may see its rows."""
    dataset = Dataset.objects.visible_to(user).filter(name=job.dataset_name).first()
    if job.transform_type != TRANSFORM or dataset is None:
        raise Http404
    return dataset


# --- the timeline ----------------------------------------------------------------------


def key_columns(job: DatasetJob) -> list[str]:
    return TRANSFORMS[TRANSFORM].read(job).business_key_columns


def key_of(job: DatasetJob, given: Mapping[str, str]) -> dict[str, str]:
    """The key that an address names: each column by its name, or `key`, where there is only one.

    Raises `InvalidInput`.
    """
    names = key_columns(job)
    if len(names) == 1 and "key" in given and names[0] not in given:
        given = {**{name: value for name, value in given.items() if name != "key"}, names[0]: given["key"]}
    missing = [name for name in names if not given.get(name)]
    unknown = [name for name in given if name not in (*names, "format")]
    problems = [Problem(name, "This part of the key is needed.", "required") for name in missing]
    known = ", ".join(names)
    problems += [Problem(name, f"The key has no “{name}”. It is {known}.", "unknown_field") for name in unknown]
    if problems:
        raise InvalidInput(problems)
    return {name: given[name] for name in names}


def timeline(dataset: Dataset, job: DatasetJob, key: Mapping[str, str], user: AbstractBaseUser) -> dict[str, Any]:
    """`{key, version, versions}`: the key's versions, the oldest first, each with what changed since the one before.

    As this person may see them: what is masked in both of two versions did not change for them.

    `changed` lists `{column, before, after}`; `after_gap` says that the key
    was gone before. No versions for a key that the dimension does not know.
    Raises `TableMissing`, `LakeUnavailable`, and `InvalidInput` for a value that is none of the column's.
    """
    from workers.engines.preview import json_rows
    from workers.lake.store import reaching
    from workers.lake.table import open_table

    if dataset.version is None:
        raise TableMissing(f"{dataset.name} was never published.", hint="Run the job first.")
    from catalog.services import lake_uri

    uri = lake_uri(dataset.name)
    with reaching(uri):
        table = open_table(uri, dataset.version)
        wanted = _key_frame(job, key, _shape(job, table.columns))
        rows = table.scan()
        for name, value in wanted.row(0, named=True).items():
            rows = rows.filter(_equals(name, value, wanted.schema[name]))
        found = json_rows(rows.sort("effective_from").head(MOST_VERSIONS).collect(engine="streaming"))
    found = list(visible_rows(user, dataset.name, found))
    return {
        "key": json_rows(wanted)[0],
        "version": table.version,
        "versions": [_version(row, before, job) for before, row in zip([None, *found], found, strict=False)],
    }


def _equals(name: str, value: Any, dtype: Any) -> Any:
    import polars as pl

    return pl.col(name) == pl.lit(value, dtype=dtype)


def _shape(job: DatasetJob, columns: tuple[Any, ...]) -> Shape:
    from workers.executors.scd2.timeline import Shape

    return Shape(columns=columns, keys=tuple(key_columns(job)), tracked=())


def _key_frame(job: DatasetJob, key: Mapping[str, str], shape: Shape) -> Any:
    from workers.executors.scd2.restate import key_frame

    try:
        return key_frame([key], shape)
    except InvalidSpec as error:
        raise InvalidInput([Problem(name, error.message, "invalid") for name in list(key)[:1]]) from error


def _version(row: dict[str, Any], before: dict[str, Any] | None, job: DatasetJob) -> dict[str, Any]:
    names = [name for name in row if name not in (*ADDED, *key_columns(job))]
    changed = [
        {"column": name, "before": before[name], "after": row[name]}
        for name in names
        if before is not None and before[name] != row[name]
    ]
    return {
        **{name: row[name] for name in ADDED},
        "values": {name: row[name] for name in names},
        "changed": changed,
        "after_gap": before is not None and before["effective_to"] != row["effective_from"],
    }


# --- restating -------------------------------------------------------------------------


def preview_restatement(job: DatasetJob, given: Mapping[str, Any], user: AbstractBaseUser) -> dict[str, Any]:
    """What a run with this restatement would change, with nothing written: see workers/executors/scd2/preview.py."""
    from workers.executors.scd2.preview import preview_restatement as preview

    found = preview(_restating(job, given))
    examples = [
        {**example, **{side: _seen(user, job, example[side]) for side in ("before", "after")}}
        for example in found["examples"]
    ]
    return {**found, "examples": examples}


def _seen(user: AbstractBaseUser, job: DatasetJob, row: dict[str, Any] | None) -> dict[str, Any] | None:
    return next(visible_rows(user, job.dataset_name, [row]), None) if row else None


def restate(job: DatasetJob, given: Mapping[str, Any], user: AbstractBaseUser, trigger: str) -> PipelineRun:
    """Start a run that takes keys and days anew. Raises `InvalidSpec`, `JobIsRunning`."""
    _restating(job, given)  # what is wrong with it is told now, not by the run
    return start_job_run(job.layer, job, user=user, trigger=trigger, options={"restate": dict(given)})


def _restating(job: DatasetJob, given: Mapping[str, Any]) -> Any:
    spec = services.spec_of(job, str(new_run_id()))
    return TRANSFORMS[TRANSFORM].with_options(spec, {"restate": dict(given)})
