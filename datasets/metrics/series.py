"""The metrics of a job's published table, over time: for its page and the API."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

from django.http import Http404

from assay.common.api import InvalidInput
from assay.common.policy import visible_rows
from assay.common.problems import Problem
from assay.common.runs import RunStatus
from catalog import services as catalog
from catalog.models import Dataset
from datasets.models import DatasetJob, DatasetRun, TransformType
from workers.errors import TableMissing


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    metric: str = ""  # empty: the first
    dimension: tuple[str, ...] | None = None  # None: as few as the metric allows
    values: tuple[str, ...] = ()
    start: date | None = None
    end: date | None = None


def published_facts(job: DatasetJob) -> dict[str, Any] | None:
    """What the last run that told it said of the table: its metrics, their meaning, its time and dimensions."""
    runs = DatasetRun.objects.filter(job=job, status=RunStatus.SUCCESS).exclude(facts={}).order_by("-created_at")
    facts = runs.values_list("facts", flat=True).first()
    return facts if facts and facts.get("metrics") else None


def facts_now(job: DatasetJob) -> list[dict[str, Any]]:
    """What each metric of the job means as its definitions are now. Raises `InvalidConfig`."""
    from dataclasses import asdict

    from datasets.inputs import columns_by_alias
    from datasets.transforms import TRANSFORMS
    from workers.executors.metrics.run import plan_of

    resolved = TRANSFORMS[job.transform_type].resolved(job)
    return [asdict(facts) for facts in resolved.facts(plan_of(resolved.config, columns_by_alias(job)))]


def series_of(job: DatasetJob, user, asked: Asked) -> dict[str, Any]:
    """`{metric, title, unit, additivity, grain, …, periods, series: [{label, values, is_others}]}`, JSON-able.

    Raises Http404 for a job without metrics or a dataset that the person may
    not see, `TableMissing` before the first run, `InvalidInput`, `NotAdditive`.
    """
    from workers.executors.metrics.series import Question, read_lines
    from workers.lake.store import reaching
    from workers.lake.table import open_table

    dataset = Dataset.objects.visible_to(user).filter(name=job.dataset_name).first()
    if job.transform_type != TransformType.METRICS_AGGREGATE or dataset is None:
        raise Http404
    facts = published_facts(job)
    if facts is None or dataset.version is None:
        raise TableMissing(f"{job.dataset_name} has no metrics yet.", hint="Run the job first.")
    metric = _metric(facts, asked.metric)
    dimensions = tuple(facts["dimensions"])
    by = _dimensions(dimensions, asked.dimension, metric["additivity"])
    time = facts["time"]
    question = Question(
        metric=metric["name"],
        additivity=metric["additivity"],
        time_column=time["column"],
        grain=time["grain"],
        time_zone=time["time_zone"],
        week_start=time["week_start"],
        dimensions=dimensions,
        by=by,
        values=asked.values,
        start=asked.start,
        end=asked.end,
    )
    uri = catalog.lake_uri(dataset.name)
    with reaching(uri):
        lines = read_lines(open_table(uri, dataset.version), question)
    told = {name: metric[name] for name in ("title", "unit", "additivity")}
    return {
        "metric": metric["name"],
        **told,
        "definition": metric["metric"],
        "version": dataset.version,
        "time_column": time["column"],
        "time_zone": time["time_zone"],
        "grain": lines.grain,
        "table_grain": time["grain"],
        "dimension": list(by),
        "labels": list(lines.labels),
        "periods": list(lines.periods),
        "series": _visible(lines, dataset, user, metric["name"]),
        "more_series": lines.more_lines,
        "earlier_periods": lines.earlier_periods,
    }


def _visible(lines, dataset: Dataset, user, metric: str) -> list[dict[str, Any]]:
    """The lines with their values as this person may see them."""
    shown = []
    for line in lines.lines:
        rows = visible_rows(user, dataset.name, ({metric: value} for value in line.values))
        values = [row[metric] for row in rows]
        shown.append({"label": line.label, "is_others": line.is_others, "values": values})
    return shown


def _metric(facts: dict[str, Any], name: str) -> dict[str, Any]:
    found = next((each for each in facts["metrics"] if not name or each["name"] == name), None)
    if found is None:
        known = ", ".join(each["name"] for each in facts["metrics"])
        raise InvalidInput([Problem("metric", f"There is no metric “{name}” in this table, but {known}.", "unknown")])
    return found


def _dimensions(known: tuple[str, ...], asked: tuple[str, ...] | None, additivity: str) -> tuple[str, ...]:
    if asked is None:
        return known if additivity == "non_additive" else ()
    if wrong := [name for name in asked if name not in known]:
        told = ", ".join(known) or "none"
        raise InvalidInput([Problem("dimension", f"There is no dimension “{wrong[0]}”; there are {told}.", "unknown")])
    return tuple(name for name in known if name in asked)
