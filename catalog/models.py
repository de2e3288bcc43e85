"""What there is: datasets with their schema, their versions and what they are made from."""

from __future__ import annotations

from django.db import models
from simple_history.models import HistoricalRecords

from assay.common.policy import VisibleQuerySet


class Layer(models.TextChoices):
    LANDING = "landing"
    BRONZE = "bronze"
    SILVER = "silver"
    GOLD = "gold"


class Dataset(models.Model):
    """A table, or a folder of Landing, that a job declares or writes."""

    name = models.CharField(max_length=200, unique=True, help_text="layer.workflow.name")
    layer = models.CharField(max_length=8, choices=Layer, db_index=True)
    workflow = models.CharField(max_length=80, db_index=True, help_text="slug of the workflow whose job writes it")
    type = models.CharField(max_length=20, blank=True, help_text="fact, dim, mart, …")
    description = models.TextField(blank=True)
    grain = models.CharField(max_length=200, blank=True)
    path = models.CharField(max_length=500, help_text="relative to the lake")
    columns = models.JSONField(default=list, blank=True, help_text="[{name, type, nullable}]")
    is_declared = models.BooleanField(default=True, help_text="whether there is still a job that makes it")
    version = models.BigIntegerField(null=True, blank=True, help_text="the last one published")
    rows = models.BigIntegerField(null=True, blank=True)
    size_bytes = models.BigIntegerField(null=True, blank=True)
    files = models.IntegerField(null=True, blank=True)
    published_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    upstream = models.ManyToManyField(
        "self",
        symmetrical=False,
        related_name="downstream",
        through="Edge",
        through_fields=("downstream", "upstream"),
        blank=True,
    )

    objects = VisibleQuerySet.as_manager()
    history = HistoricalRecords(
        excluded_fields=["version", "rows", "size_bytes", "files", "published_at", "updated_at"]
    )

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    @property
    def short_name(self) -> str:
        return self.name.rsplit(".", 1)[-1]


class Edge(models.Model):
    """`downstream` is made from `upstream` by `job`."""

    upstream = models.ForeignKey(Dataset, models.CASCADE, related_name="edges_down")
    downstream = models.ForeignKey(Dataset, models.CASCADE, related_name="edges_up")
    job = models.CharField(max_length=80)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["upstream", "downstream"], name="catalog_edge_once")]

    def __str__(self) -> str:
        return f"{self.upstream} → {self.downstream}"


class DatasetVersion(models.Model):
    """One version that one run published."""

    dataset = models.ForeignKey(Dataset, models.CASCADE, related_name="versions")
    version = models.BigIntegerField()
    run_id = models.UUIDField()
    rows = models.BigIntegerField(help_text="in the table at this version")
    rows_written = models.BigIntegerField(help_text="by the run")
    size_bytes = models.BigIntegerField()
    columns = models.JSONField(default=list)
    published_at = models.DateTimeField()

    class Meta:
        ordering = ["-version"]
        constraints = [models.UniqueConstraint(fields=["dataset", "version"], name="catalog_version_once")]

    def __str__(self) -> str:
        return f"{self.dataset} v{self.version}"
