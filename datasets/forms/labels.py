"""What the fields of templates are called, where the option's own name and description do not say it best.

An option that is not here has a field all the same: its name is the label, its description the help.
"""

from __future__ import annotations

from assay.common.option_nodes import Words

_SCD2, _CONFORM, _METRICS, _SNAPSHOT = "scd2_dimension", "conform_sources", "metrics_aggregate", "snapshot"
_TRAINING, _FEATURES, _VECTORS, _FEED = "ml_training_set", "feature_set", "vector_index", "export_feed"

_POINT_IN_TIME = {
    "entity": "Examples",
    "entity.alias": "Input",
    "entity.key_columns": "Key columns",
    "entity.as_of_column": "Time of the example",
    "label": "Label",
    "label.key_columns": "Its key columns",
    "label.on_missing": "An example without label",
    "label.name": "Name in the result",
    "label.alias": "Input",
    "label.column": "Column",
    "label.expression": "… or expression",
    "label.window": "Looks ahead",
    "features": "Features",
    "features.alias": "Input",
    "features.columns": "Columns",
    "features.key_columns": "Its key columns",
    "features.knowledge_column": "Time of knowledge",
    "features.valid_to_column": "Holds until",
    "entity.columns": "Carried along",
    "features.time_column": "Time column",
    "features.ttl": "No older than",
    "split": "Split",
    "split.train": "To learn",
    "split.validation": "To tune",
    "split.test": "To test",
    "split.seed": "Seed",
    "split.purge": "Leave out examples whose label looks into the next part",
    "split.gap": "Gap before each part",
}
_POINT_IN_TIME_HELP = {
    "entity": "A row for each example: who, and at what time.",
    "entity.key_columns": "What the features are found by.",
    "entity.as_of_column": "Nothing that was known later is used.",
    "label": "What is to be predicted.",
    "label.expression": "An aggregate over the window: `count(*) = 0`.".replace("`", ""),
    "features": "Values as they were known at the time of each example.",
    "features.time_column": "From when on a value holds. Empty: the row is as it is, at any time.",
    "split": "The share of the examples; the same example is always on the same side.",
    "split.purge": "When the split goes by time.",
    "split.gap": "When the split goes by time: so much more is left out.",
}


_POINT_IN_TIME_CHOICES = {
    "label.on_missing": {"drop": "is left out", "keep": "stays, its label null", "zero": "has the label 0"},
    "split.method": {"hash": "by the hash of the key", "time": "by time: the latest are the test"},
}


def _below(beginning: str, words: dict[str, str]) -> dict[str, str]:
    return {f"{beginning}.{path}": text for path, text in words.items()}


LABELS = {
    "inputs": "Inputs",
    "inputs.dataset": "Dataset",
    f"{_SCD2}.business_key_columns": "Key columns",
    f"{_SCD2}.change_detection_columns": "Columns whose changes count",
    f"{_SCD2}.effective_time_column": "Time of a change",
    f"{_SCD2}.delete_mode": "A key that is gone",
    f"{_CONFORM}.sources.alias": "Input",
    f"{_CONFORM}.sources.source_system": "System",
    f"{_CONFORM}.sources.mappings": "Columns",
    f"{_CONFORM}.sources.mappings.key": "Column",
    f"{_CONFORM}.sources.mappings.value": "Expression",
    f"{_CONFORM}.conflict_resolution": "Where sources differ",
    f"{_CONFORM}.updated_at_column": "Time of the last change",
    f"{_CONFORM}.source_system_column": "Column with the system",
    f"{_METRICS}.base": "Input",
    f"{_METRICS}.time_grain": "By",
    f"{_METRICS}.metrics.filter": "Only where",
    f"{_METRICS}.fill_gaps": "A row also for a period in which nothing happened",
    f"{_SNAPSHOT}.base": "Input",
    f"{_SNAPSHOT}.as_of": "Of which day",
    f"{_SNAPSHOT}.grain": "At the end of each",
    f"{_SNAPSHOT}.snapshot_column": "Column with the day",
    f"{_SNAPSHOT}.rebuild_previous": "Periods to build again",
    f"{_SNAPSHOT}.retention.keep": "Periods that stay",
    f"{_SNAPSHOT}.retention.keep_month_ends": "Month ends that stay (months)",
    f"{_SCD2}.deleted_column": "Column that says it is gone",
    f"{_CONFORM}.column_rules": "Columns that are chosen one by one",
    f"{_CONFORM}.column_rules.key": "Column",
    f"{_CONFORM}.column_rules.resolution": "Whose value",
    f"{_CONFORM}.column_rules.order": "Systems in order",
    f"{_CONFORM}.null_keys": "Rows without a key",
    f"{_CONFORM}.fill_nulls": "Fill what the winner lacks from the next best source",
    f"{_VECTORS}.id_column": "Column with the document’s key",
    f"{_VECTORS}.text_column": "Column with the text",
    f"{_VECTORS}.metadata_columns": "Columns to filter by",
    f"{_VECTORS}.chunk_overlap": "Overlap",
    f"{_FEED}.file_name": "File name",
    f"{_FEED}.max_rows_per_file": "Rows of a file at most",
    f"{_FEED}.order_by": "Sorted by",
    f"{_FEED}.csv": "CSV",
    f"{_FEED}.csv.null_value": "Written for null",
    f"{_FEED}.csv.quote": "Quotes",
    f"{_FEED}.csv.escape_formulas": "Guard against formulas in spreadsheets",
    f"{_FEED}.csv.line_end": "End of a line",
    f"{_FEED}.csv.byte_order_mark": "Mark of UTF-8 for spreadsheets",
    f"{_METRICS}.metrics.metric": "Metric",
    **_below(_TRAINING, _POINT_IN_TIME),
    **_below(_FEATURES, _POINT_IN_TIME),
}
HELP = {
    f"{_SCD2}.business_key_columns": "What tells one record from another.",
    f"{_SCD2}.change_detection_columns": "Empty: all other columns.",
    f"{_SCD2}.effective_time_column": "From when on the row is true.",
    f"{_CONFORM}.sources.mappings": "Each column of the result, and what this source has for it.",
    f"{_CONFORM}.sources.source_system": "A name for the result: shop, crm.",
    f"{_CONFORM}.sources.priority": "The smallest wins.",
    f"{_CONFORM}.fill_nulls": "",
    f"{_CONFORM}.null_keys": "",
    f"{_CONFORM}.source_system_column": "It names the winner’s system.",
    f"{_CONFORM}.key_columns": "Columns of the result that say which rows are the same record.",
    f"{_CONFORM}.updated_at_column": "A column of the result. The latest value wins by it.",
    f"{_METRICS}.base": "What is counted.",
    f"{_METRICS}.fill_gaps": "",
    **_below(_TRAINING, _POINT_IN_TIME_HELP),
    **_below(_FEATURES, _POINT_IN_TIME_HELP),
}
PLACEHOLDERS = {
    f"{_CONFORM}.sources.mappings.key": "email",
    f"{_CONFORM}.sources.mappings.value": "lower(mail)",
    f"{_METRICS}.metrics.name": "revenue",
    f"{_METRICS}.metrics.expression": "sum(amount)",
    f"{_METRICS}.metrics.filter": "status = 'paid'",
    f"{_TRAINING}.label.window": "30 days",
    f"{_TRAINING}.features.ttl": "90 days",
    f"{_TRAINING}.split.gap": "7 days",
    f"{_FEATURES}.features.ttl": "90 days",
    f"{_FEED}.destination": "exports/crm",
    f"{_FEED}.file_name": "customers.csv",
}
CHOICES = {
    f"{_SCD2}.delete_mode": {"ignore": "stays as it was", "close": "is closed at that time"},
    f"{_CONFORM}.conflict_resolution": {
        "source_priority": "the first source wins",
        "latest": "the latest change wins",
    },
    f"{_METRICS}.metrics": {
        "measure": "an expression of its own",
        "use": "a metric that is defined for all jobs",
        "ratio": "one measure divided by another",
    },
    f"{_SNAPSHOT}.as_of": {"Run date": "the date of the run", "as of range": "each period of a range"},
    f"{_CONFORM}.null_keys": {"leave_out": "are left out and counted", "fail": "fail the run"},
    f"{_CONFORM}.column_rules.resolution": {
        "source_priority": "the first source’s",
        "latest": "the latest",
    },
    **{f"{_TRAINING}.{path}": words for path, words in _POINT_IN_TIME_CHOICES.items()},
}
ITEMS = {
    "inputs": "input",
    f"{_CONFORM}.sources.mappings": "column",
    f"{_CONFORM}.column_rules": "column",
}
FIRST = (
    f"{_CONFORM}.key_columns",
    f"{_CONFORM}.sources",
    f"{_TRAINING}.entity",
    f"{_TRAINING}.label",
    f"{_TRAINING}.features",
    f"{_TRAINING}.split",
)
_RARE_POINT_IN_TIME = (
    *("entity.columns", "label.key_columns", "label.time_column", "label.on_missing", "label.name"),
    *("features.key_columns", "features.knowledge_column", "features.valid_to_column", "features.prefix"),
    *("split.seed", "split.method", "split.key", "split.validation_from", "split.test_from"),
    *("split.purge", "split.gap"),
)
RARE = frozenset(
    {
        f"{_SCD2}.deleted_column",
        *(f"{_CONFORM}.{name}" for name in ("source_system_column", "column_rules", "fill_nulls", "null_keys")),
        *(f"{_METRICS}.{name}" for name in ("time_zone", "week_start")),
        *(f"{_SNAPSHOT}.{name}" for name in ("snapshot_column", "time_zone", "week_start", "rebuild_previous")),
        *(f"{_FEED}.{name}" for name in ("order_by", "max_rows_per_file", "csv")),
        *(f"{_TRAINING}.{name}" for name in _RARE_POINT_IN_TIME),
        *(f"{_FEATURES}.{name}" for name in _RARE_POINT_IN_TIME),
    }
)
SQL_NAMES = frozenset({"expression", "filter", "where", "condition", "mappings"})
WORDS = Words(
    labels=LABELS,
    help=HELP,
    placeholders=PLACEHOLDERS,
    choices=CHOICES,
    items=ITEMS,
    first=FIRST,
    rare=RARE,
    sql_names=SQL_NAMES,
)
