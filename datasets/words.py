"""A job's configuration in words."""

from __future__ import annotations

from .checking import engine_of
from .models import DatasetJob, RefreshMode
from .template_words import made_by, template_refresh

_WINDOW = ":start_date", ":end_date"


def refresh_sentence(job: DatasetJob) -> str:
    """What a run does to the table, in one sentence."""
    if told := template_refresh(job):
        return told
    keys, parts = ", ".join(job.merge_keys or ()), ", ".join(job.partition_by or ())
    is_windowed = any(name in (job.sql_text or "") for name in _WINDOW)
    if job.refresh_mode == RefreshMode.FULL_REFRESH:
        return "replaces the whole table by the result, in one commit" + (
            ", which then holds the rows of the run's window only" if is_windowed else ""
        )
    if job.refresh_mode == RefreshMode.APPEND:
        return "adds the result's rows to the table, once for each run; rows that are there already stay"
    if job.refresh_mode == RefreshMode.MERGE:
        return (
            f"adds rows whose {keys or 'key'} is new, replaces those that have changed, and leaves every other row "
            "as it is; nothing is deleted"
        )
    if is_windowed:
        return (
            f"replaces the partitions ({parts}) of the run's window, those without rows too, and leaves the others "
            "as they are; without a window, the partitions that the result has rows for"
        )
    return f"replaces the partitions ({parts}) that the result has rows for, and leaves the others as they are"


def in_words(job: DatasetJob) -> list[tuple[str, str]]:
    """What the job does, as pairs of a heading and a sentence."""
    words = [("Kind", job.get_dataset_type_display()), ("One row is", job.grain), ("It makes", made_by(job))]
    words += [("Each run", refresh_sentence(job)), ("Engine", _engine(job))]
    words += [("Partitioned by", ", ".join(job.partition_by)), ("Files", f"Parquet, {job.compression}")]
    return [(heading, text) for heading, text in words if text]


def _engine(job: DatasetJob) -> str:
    """The engine; for the default what the last run took, and why."""
    if job.engine != "default":
        return job.get_engine_display()
    last = job.runs.exclude(spec={}).values_list("spec__engine", "spec__settings").first() if job.pk else None
    engine, settings = last or (engine_of(job), {})
    why = (settings or {}).get("engine_chosen")
    return f"{engine or engine_of(job)} (the default; {why})" if why else f"{engine_of(job)} (the default)"
