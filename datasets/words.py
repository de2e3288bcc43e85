"""A job's configuration in words."""

from __future__ import annotations

from .checking import engine_of
from .models import DatasetJob, RefreshMode, TransformType

_REFRESH = {
    RefreshMode.FULL_REFRESH: "makes the whole table anew",
    RefreshMode.OVERWRITE_PARTITION: "replaces the partitions that it has rows for",
    RefreshMode.APPEND: "adds to the table",
    RefreshMode.MERGE: "merges into the table by its keys",
}


def in_words(job: DatasetJob) -> list[tuple[str, str]]:
    """What the job does, as pairs of a heading and a sentence."""
    words = [("Kind", job.get_dataset_type_display()), ("One row is", job.grain), ("Made by", _made_by(job))]
    words += [("Each run", _REFRESH[job.refresh_mode]), ("Engine", _engine(job))]
    words += [("Partitioned by", ", ".join(job.partition_by)), ("Files", f"Parquet, {job.compression}")]
    return [(heading, text) for heading, text in words if text]


def _engine(job: DatasetJob) -> str:
    return f"{engine_of(job)} (the default)" if job.engine == "default" else job.get_engine_display()


def _made_by(job: DatasetJob) -> str:
    config = job.config or {}
    if job.transform_type != TransformType.METRICS_AGGREGATE:
        return job.get_transform_type_display()
    metrics = ", ".join(metric.get("name", "") for metric in config.get("metrics", []))
    by = ", ".join([config.get("time_grain", ""), *config.get("dimensions", [])])
    return f"metrics {metrics} of {config.get('base')} by {by}"
