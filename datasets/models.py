"""Silver and Gold jobs and their runs."""

from __future__ import annotations

from django.contrib.auth.models import AbstractBaseUser
from django.db import models
from simple_history.models import HistoricalRecords

from assay.common.problems import as_validation_error
from assay.common.runs import JobRun
from ops.models import Compression, Job
from workers.specs import Column

from .visibility import DatasetJobQuerySet, DatasetRunQuerySet


class DatasetLayer(models.TextChoices):
    SILVER = "silver", "Silver"
    GOLD = "gold", "Gold"


class DatasetType(models.TextChoices):
    FACT = "fact", "Fact"
    DIM = "dim", "Dimension"
    REFERENCE = "reference", "Reference"
    SNAPSHOT = "snapshot", "Snapshot"
    EVENT_LOG = "event_log", "Event log"
    FACT_AGGREGATE = "fact_aggregate", "Aggregate"
    METRIC_TABLE = "metric_table", "Metric table"
    MART = "mart", "Mart"
    ML_TRAINING_SET = "ml_training_set", "ML training set"
    FEATURE_SET = "feature_set", "Feature set"
    VECTOR_INDEX = "vector_index", "Vector index"
    EXPORT_FEED = "export_feed", "Export feed"


class ChangePattern(models.TextChoices):
    APPEND_ONLY = "append_only", "Append only"
    UPSERT = "upsert", "Upsert"
    SCD1 = "scd1", "SCD 1"
    SCD2 = "scd2", "SCD 2"
    SNAPSHOT = "snapshot", "Snapshot"


class TransformType(models.TextChoices):
    SQL = "sql", "SQL"
    SCD2_DIMENSION = "scd2_dimension", "SCD2 dimension"
    CONFORM_SOURCES = "conform_sources", "Conformed sources"
    METRICS_AGGREGATE = "metrics_aggregate", "Metrics"
    SNAPSHOT = "snapshot", "Snapshot"
    ML_TRAINING_SET = "ml_training_set", "ML training set"
    FEATURE_SET = "feature_set", "Feature set"
    VECTOR_INDEX = "vector_index", "Vector index"
    EXPORT_FEED = "export_feed", "Export feed"


class Engine(models.TextChoices):
    DEFAULT = "default", "Default"
    POLARS = "polars", "Polars"
    DUCKDB = "duckdb", "DuckDB"
    SPARK = "spark", "Spark"


class RefreshMode(models.TextChoices):
    FULL_REFRESH = "full_refresh", "Full refresh"
    OVERWRITE_PARTITION = "overwrite_partition", "Overwrite partitions"
    APPEND = "append", "Append"
    MERGE = "merge", "Merge by keys"


class DatasetJob(Job):
    """Inputs, a transformation, and the table `{layer}.{workflow}.{name}` that comes of them."""

    layer = models.CharField(max_length=6, choices=DatasetLayer)
    dataset_type = models.CharField(max_length=15, choices=DatasetType)
    grain = models.CharField(max_length=200, blank=True, help_text="what one row is: “one row per order”")
    change_pattern = models.CharField(max_length=11, choices=ChangePattern, blank=True, default="")
    primary_use_case = models.TextField(blank=True)
    inputs = models.JSONField(default=list, help_text="[{dataset, alias}]")
    transform_type = models.CharField(max_length=17, choices=TransformType, default=TransformType.SQL)
    sql_text = models.TextField(blank=True)
    config = models.JSONField(default=dict, blank=True)
    engine = models.CharField(max_length=7, choices=Engine, default=Engine.DEFAULT)
    target_schema = models.JSONField(default=list, blank=True, help_text="[{name, type, nullable}]")
    format = models.CharField(max_length=7, choices=[("parquet", "Parquet")], default="parquet")
    compression = models.CharField(max_length=6, choices=Compression, default=Compression.ZSTD)
    refresh_mode = models.CharField(max_length=19, choices=RefreshMode, default=RefreshMode.FULL_REFRESH)
    partition_by = models.JSONField(default=list, blank=True)
    merge_keys = models.JSONField(default=list, blank=True)
    data_quality = models.JSONField(default=list, blank=True)

    # Who is writing it, and may name only what they see; nobody in a run and in `apply`. It is not stored.
    author: AbstractBaseUser | None = None

    proposed: tuple[Column, ...] = ()  # the target schema, where it was just taken from the checked query

    objects = DatasetJobQuerySet.as_manager()
    history = HistoricalRecords()

    class Meta(Job.Meta):
        constraints = [models.UniqueConstraint(fields=["workflow", "name"], name="dataset_job_name")]

    @property
    def dataset_name(self) -> str:
        return f"{self.layer}.{self.workflow.slug}.{self.name}"

    def clean(self) -> None:
        from .validation import problems_of

        if problems := problems_of(self):
            raise as_validation_error(problems)


class DatasetRun(JobRun):
    job = models.ForeignKey(DatasetJob, models.CASCADE, related_name="runs")
    input_versions = models.JSONField(default=dict, blank=True, help_text="{dataset: version} that the run read")
    facts = models.JSONField(default=dict, blank=True, help_text="what the template tells of its result")
    options = models.JSONField(default=dict, blank=True, help_text="what was asked of this run alone")
    repeat_of = models.ForeignKey("self", models.SET_NULL, null=True, blank=True, related_name="repeats")

    objects = DatasetRunQuerySet.as_manager()


from .metrics.models import Additivity, MetricDefinition  # noqa: E402, F401  (Django looks for models here)
