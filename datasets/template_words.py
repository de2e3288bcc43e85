"""What each template makes of its inputs, in one sentence: “keeps the history of customers by customer_id, …”."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from .models import DatasetJob, TransformType


def made_by(job: DatasetJob) -> str:
    """For any job, also one whose config has faults: what is not there is left out."""
    words = _SENTENCES.get(job.transform_type)
    config = job.config if isinstance(job.config, dict) else {}
    return words(config, _inputs(job)) if words else job.get_transform_type_display()


def template_refresh(job: DatasetJob) -> str:
    """What a run does to the table, where the template has a way of its own; empty for the others."""
    return _REFRESH.get(job.transform_type, "")


_REFRESH = {
    TransformType.SCD2_DIMENSION: "looks at what the history does not know yet, and changes only the versions that "
    "it concerns; what comes late finds its place",
    TransformType.VECTOR_INDEX: "embeds only the chunks whose text is new, and lets go of those of documents that "
    "are gone",
    TransformType.EXPORT_FEED: "writes the files and their manifest, whole or not at all",
}


def _inputs(job: DatasetJob) -> list[str]:
    return [given.get("alias", "") for given in job.inputs if isinstance(given, dict)]


def _sql(config: dict[str, Any], inputs: list[str]) -> str:
    return f"a query over {_all(inputs)}"


def _scd2(config: dict[str, Any], inputs: list[str]) -> str:
    keys, time = _names(config.get("business_key_columns")), config.get("effective_time_column") or "its time"
    tracked = config.get("change_detection_columns")
    what = f", where {_all(tracked)} changed" if tracked else ""
    gone = "; a key that is gone is closed" if config.get("delete_mode") == "close" else ""
    return f"the history of {_all(inputs)} by {keys}, from {time} on{what}{gone}"


def _conform(config: dict[str, Any], inputs: list[str]) -> str:
    systems = [source.get("source_system") or source.get("alias") for source in _dicts(config.get("sources"))]
    is_latest = config.get("conflict_resolution") == "latest"
    wins = f"the latest by {config.get('updated_at_column') or 'time'} wins" if is_latest else "by priority"
    return f"one record for each {_names(config.get('key_columns'))} out of {_all(systems)}, {wins}"


def _metrics(config: dict[str, Any], inputs: list[str]) -> str:
    metrics = [metric.get("name") or metric.get("metric") for metric in _dicts(config.get("metrics"))]
    by = _all([config.get("time_grain", "day"), *(config.get("dimensions") or [])])
    return f"{_all(metrics)} of {config.get('base') or _all(inputs)} by {by}"


def _snapshot(config: dict[str, Any], inputs: list[str]) -> str:
    keys, base = config.get("key_columns"), config.get("base") or _all(inputs)
    of = f"the last state of each {_names(keys)} in {base}" if config.get("event_time_column") else f"what {base} held"
    kept = (config.get("retention") or {}).get("keep") if isinstance(config.get("retention"), dict) else None
    return f"{of} at the end of each {config.get('grain', 'day')}" + (f"; the last {kept} stay" if kept else "")


def _training(config: dict[str, Any], inputs: list[str]) -> str:
    label = config.get("label") if isinstance(config.get("label"), dict) else {}
    predicted = label.get("column") or label.get("expression") or "the label"
    window = f" within {label['window']}" if label.get("window") else ""
    return f"{_features(config, inputs)}, to learn {predicted}{window}"


def _features(config: dict[str, Any], inputs: list[str]) -> str:
    entity = config.get("entity") if isinstance(config.get("entity"), dict) else {}
    features = _dicts(config.get("features"))
    columns = sum(len(feature.get("columns") or ()) for feature in features)
    sources = _all([feature.get("alias") for feature in features])
    each = f"each {_names(entity.get('key_columns'))} of {entity.get('alias') or _all(inputs)}"
    count = f"{columns} feature{'' if columns == 1 else 's'}"
    return f"{count} of {sources} for {each}, as known at {entity.get('as_of_column') or 'its time'}"


def _vectors(config: dict[str, Any], inputs: list[str]) -> str:
    size, unit = config.get("chunk_size", 200), config.get("chunk_by", "tokens")
    model = config.get("embedding_model", "embedded:minilm")
    text = config.get("text_column") or "the text"
    return f"{text} of {_all(inputs)} in chunks of {size} {unit}, each with its meaning by {model}"


def _feed(config: dict[str, Any], inputs: list[str]) -> str:
    to = f"{str(config.get('destination') or '').rstrip('/')}/{config.get('file_name') or ''}".strip("/")
    return f"{config.get('format', 'csv')} files of {_all(inputs)}, delivered to {to or 'their destination'}"


_SENTENCES: dict[str, Callable[[dict[str, Any], list[str]], str]] = {
    TransformType.SQL: _sql,
    TransformType.SCD2_DIMENSION: _scd2,
    TransformType.CONFORM_SOURCES: _conform,
    TransformType.METRICS_AGGREGATE: _metrics,
    TransformType.SNAPSHOT: _snapshot,
    TransformType.ML_TRAINING_SET: _training,
    TransformType.FEATURE_SET: _features,
    TransformType.VECTOR_INDEX: _vectors,
    TransformType.EXPORT_FEED: _feed,
}


def _dicts(values: Any) -> list[dict[str, Any]]:
    return [value for value in values if isinstance(value, dict)] if isinstance(values, list) else []


def _names(names: Any) -> str:
    return _all(names if isinstance(names, list) else []) if names else "key"


def _all(names: Iterable[Any]) -> str:
    """`a`, `a and b`, `a, b and c`; an ellipsis for none yet."""
    texts = [str(name) for name in names if name]
    if len(texts) < 2:
        return texts[0] if texts else "…"
    return f"{', '.join(texts[:-1])} and {texts[-1]}"
