"""The templates to choose from: what each makes, and what it is good for."""

from __future__ import annotations

from dataclasses import dataclass

from datasets.models import DatasetType, TransformType


@dataclass(frozen=True, slots=True)
class Card:
    icon: str
    title: str
    makes: str
    good_for: str
    dataset_type: str  # proposed when it is chosen
    change_pattern: str = ""


CARDS: dict[str, Card] = {
    TransformType.SQL: Card(
        "code",
        "SQL",
        "Runs one SELECT over any number of inputs.",
        "Joins, filters, calculations: whatever a query says best.",
        "",
    ),
    TransformType.SCD2_DIMENSION: Card(
        "history",
        "History of a dimension",
        "Keeps every state of a record with the time from which and until which it was true (SCD2).",
        "Customers, products, prices: “what was it like at that time?”",
        DatasetType.DIM,
        "scd2",
    ),
    TransformType.CONFORM_SOURCES: Card(
        "merge",
        "One record from several systems",
        "Brings several sources to the same columns and settles by rule where they differ.",
        "Customers that live in a shop and in a CRM.",
        DatasetType.DIM,
        "upsert",
    ),
    TransformType.METRICS_AGGREGATE: Card(
        "monitoring",
        "Metrics",
        "Counts and sums by period and by dimension, one row for each.",
        "Revenue by day and country, for charts and targets.",
        DatasetType.METRIC_TABLE,
    ),
    TransformType.SNAPSHOT: Card(
        "photo_camera",
        "Snapshot",
        "Keeps what was true at the end of each day, week or month.",
        "Stock by day, open orders by month: trends of a state.",
        DatasetType.SNAPSHOT,
        "snapshot",
    ),
    TransformType.ML_TRAINING_SET: Card(
        "model_training",
        "Training set",
        "Joins each example with its label and with features as they were known at its time.",
        "Learning a model without looking into the future.",
        DatasetType.ML_TRAINING_SET,
    ),
    TransformType.FEATURE_SET: Card(
        "dataset",
        "Feature set",
        "Joins each entity with features as they were known at its time; no label.",
        "Feeding a model that was learned before.",
        DatasetType.FEATURE_SET,
    ),
    TransformType.VECTOR_INDEX: Card(
        "search",
        "Vector index",
        "Cuts texts into chunks and stores the meaning of each as numbers.",
        "Finding texts by what they mean; answers with sources.",
        DatasetType.VECTOR_INDEX,
    ),
    TransformType.EXPORT_FEED: Card(
        "outbox",
        "Feed",
        "Writes files for another system, whole or not at all, with a manifest.",
        "Deliveries: a folder of the lake or a bucket.",
        DatasetType.EXPORT_FEED,
    ),
}
