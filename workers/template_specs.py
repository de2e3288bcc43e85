"""What the templates that are more than one query need beside what every dataset's run has."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

from .specs import DatasetSpec, SqlSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Restatement:
    """Which observations of a dimension are taken from its input anew: of these keys, of these days, or of both."""

    keys: tuple[dict[str, Any], ...] = ()  # {business key column: value} each; none: all keys
    start_date: date | None = None  # of the effective time, inclusive
    end_date: date | None = None  # inclusive


@dataclass(frozen=True, slots=True, kw_only=True)
class Scd2Spec(DatasetSpec):
    """A dimension that keeps its history, from the one input."""

    business_keys: tuple[str, ...]
    tracked: tuple[str, ...]  # columns whose change makes a new version
    effective_time_column: str
    delete_mode: Literal["ignore", "close"] = "ignore"
    deleted_column: str = ""  # true, or a time, where the record is gone; empty: a key that the input lacks is gone
    restatement: Restatement | None = None
    type: Literal["scd2"] = "scd2"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConformedSource:
    alias: str
    source_system: str
    priority: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ConformSpec(SqlSpec):
    """One record for each key out of several inputs, and the queries that count where they came from.

    `sql` is all of it in one query, for people; a run asks the other ones, which are told in conform/sql.py.
    """

    sources: tuple[ConformedSource, ...]  # by priority; the queries know them by their position
    rows_sql: str
    ranked_sql: str
    winners_sql: str
    keys_sql: tuple[str, ...]
    compared: tuple[str, ...] = ()  # columns in which sources can disagree
    ruled: tuple[str, ...] = ()  # columns that are chosen one by one
    null_keys: Literal["leave_out", "fail"] = "leave_out"
    type: Literal["conform"] = "conform"


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotSpec(SqlSpec):
    """What was true at the end of each period; `sql` is the query of the first periods of the run, for people.

    A dimension has the two effective columns, an event fact its time and its keys.
    """

    base: str  # alias
    grain: Literal["day", "week", "month"] = "day"
    time_zone: str = "UTC"
    week_start: Literal["monday", "sunday"] = "monday"
    start_date: date | None = None  # the range to build; None: the run's date
    end_date: date | None = None  # inclusive
    rebuild_previous: int = 0  # periods before the run's own
    effective_from_column: str = ""
    effective_to_column: str = ""
    event_time_column: str = ""
    key_columns: tuple[str, ...] = ()
    snapshot_column: str = "snapshot_date"
    keep: int = 0  # periods; 0: all of them
    keep_month_ends: int = 0  # months
    type: Literal["snapshot"] = "snapshot"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entity:
    alias: str
    key_columns: tuple[str, ...]
    as_of_column: str
    columns: tuple[str, ...] = ()  # others of the same row that are carried along


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature:
    """Columns of one input, as they were known at the entity's time."""

    alias: str
    columns: tuple[str, ...]
    key_columns: tuple[str, ...]  # in the order of the entity's
    time_column: str = ""  # when it happened; empty: it never changes
    knowledge_column: str = ""  # when it became known, `_ingested_at`; empty: at once
    valid_to_column: str = ""  # until when it holds, of a dimension with history; empty: until the next one
    ttl: str = ""  # how old a value may be: `90d`
    prefix: str = ""  # in front of the columns' names


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """What is to be predicted: a column of the entity, or an aggregate over what happens in a window after its time."""

    alias: str
    name: str
    column: str = ""
    expression: str = ""
    key_columns: tuple[str, ...] = ()
    time_column: str = ""  # empty: all rows of the key, whenever they happened
    window: str = ""  # `30d`: as_of < time <= as_of + window
    on_missing: Literal["drop", "keep", "zero"] = "drop"


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """Shares of the rows. `hash` keeps all rows of one key together, `time` keeps the later ones for the test."""

    train: float = 0.8
    validation: float = 0.1
    test: float = 0.1
    seed: int = 0
    method: Literal["hash", "time"] = "hash"
    key: tuple[str, ...] = ()  # whose hash decides; empty: the entity's key
    validation_from: str = ""  # of `time`: ISO 8601; empty: as the shares say
    test_from: str = ""
    # Not what a job says by default: a run from before there was a purge is repeated without.
    purge: bool = False  # of `time`: leave out rows whose label looks into the next part
    gap: str = ""  # of `time`: and so much more before it


@dataclass(frozen=True, slots=True, kw_only=True)
class PointInTimeSpec(DatasetSpec):
    """Features as of each entity's time; with a label and a split it is a training set, without a feature set."""

    entity: Entity
    features: tuple[Feature, ...]
    label: Label | None = None
    split: Split | None = None
    type: Literal["point_in_time"] = "point_in_time"


@dataclass(frozen=True, slots=True, kw_only=True)
class VectorIndexSpec(DatasetSpec):
    """Texts of the one input in chunks, each with its embedding."""

    id_column: str
    text_column: str
    metadata_columns: tuple[str, ...] = ()
    chunk_size: int = 200
    chunk_overlap: int = 20
    chunk_by: Literal["tokens", "characters"] = "tokens"
    embedding_model: str = "embedded:minilm"
    connection: str = ""  # that the model is reached by
    rebuild: bool = False  # embed everything anew, whatever the table has
    type: Literal["vector_index"] = "vector_index"


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedOptions:
    """How rows become bytes."""

    compression: Literal["none", "gzip", "zstd"] = "none"
    delimiter: str = ","
    header: bool = True
    null_value: str = ""
    quote: Literal["minimal", "all"] = "minimal"
    escape_formulas: bool = False
    line_end: Literal["lf", "crlf"] = "lf"
    byte_order_mark: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportFeedSpec(DatasetSpec):
    """The one input's rows, of the columns in `columns`, as files for another system."""

    format: Literal["csv", "json", "ndjson", "parquet"]
    destination: str  # an absolute path inside the lake, or s3://bucket/prefix
    lake_uri: str
    file_name: str  # with {date}, {run_id} and {part}
    connection: str = ""  # of S3; empty: the worker's own credentials
    order_by: tuple[str, ...] = ()  # columns; with a minus in front the greatest first
    max_rows_per_file: int = 0  # 0: one file
    options: FeedOptions = FeedOptions()
    type: Literal["export_feed"] = "export_feed"


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricFacts:
    """What one column of a metric table means. For readers: the query says how it is computed."""

    name: str
    title: str = ""
    unit: str = ""
    additivity: Literal["additive", "semi_additive", "non_additive"] = "non_additive"
    metric: str = ""  # the definition it came from; empty: written in the job
    expression: str = ""  # as it was when the run was planned; of a ratio, both of its parts
    filter: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsSpec(SqlSpec):
    """The query of a metric table, with what its columns mean."""

    time_column: str
    time_grain: Literal["hour", "day", "week", "month", "quarter", "year"]
    time_zone: str = "UTC"
    week_start: Literal["monday", "sunday", "saturday"] = "monday"
    dimensions: tuple[str, ...] = ()
    metrics: tuple[MetricFacts, ...] = ()
    type: Literal["metrics"] = "metrics"
