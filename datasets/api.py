"""Silver and Gold jobs and their runs."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from assay.common.api import InvalidInput, ReadOnlyModelViewSet
from assay.common.fields import ColumnSerializer, ColumnsField
from ops.job_api import (
    JOB_FIELDS,
    RUN_FIELDS,
    JobRunSerializer,
    JobSerializer,
    JobViewSet,
    job_schema,
    with_pipeline_run,
)
from workers.results import Preview

from . import services
from .connection_rules import use_problems
from .metrics.series_api import SeriesAction
from .models import DatasetJob, DatasetRun
from .runs.api import RunActions
from .scd2.api import Scd2Actions
from .training.api import CardActions
from .transforms import TransformConfig
from .validation import fill_in
from .vectors.api import RebuildAction

NAMES_SCHEMA = {"type": "array", "items": {"type": "string"}}
INPUTS_SCHEMA = {
    "type": "array",
    "items": {
        "type": "object",
        "properties": {
            "dataset": {"type": "string", "description": "layer.workflow.name"},
            "alias": {"type": "string", "description": "what the SQL calls it; default: the dataset's own name"},
        },
        "required": ["dataset"],
    },
}


@extend_schema_field(INPUTS_SCHEMA)
class InputsField(serializers.JSONField):
    pass


@extend_schema_field(NAMES_SCHEMA)
class NamesField(serializers.JSONField):
    pass


@extend_schema_field(TransformConfig)
class ConfigField(serializers.JSONField):
    pass


@extend_schema_field({"type": "array", "items": {"type": "object", "additionalProperties": {}}})
class RulesField(serializers.JSONField):
    pass


class DatasetJobSerializer(JobSerializer):
    layer = serializers.CharField(read_only=True)
    inputs = InputsField()
    config = ConfigField(required=False, help_text="of the transform_type; empty for sql")
    target_schema = ColumnsField(required=False, help_text="left out or empty: proposed from the checked query")
    partition_by = NamesField(required=False)
    merge_keys = NamesField(required=False)
    data_quality = RulesField(required=False)

    class Meta:
        model = DatasetJob
        fields = (
            *JOB_FIELDS,
            "layer",
            "dataset_type",
            "grain",
            "change_pattern",
            "primary_use_case",
            "inputs",
            "transform_type",
            "sql_text",
            "config",
            "engine",
            "target_schema",
            "format",
            "compression",
            "refresh_mode",
            "partition_by",
            "merge_keys",
            "data_quality",
        )
        filled_in = ("inputs", "target_schema", "partition_by", "refresh_mode")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        before = self.instance.config if self.instance else {}
        attrs = super().validate(attrs)
        request = self.context.get("request")  # without one it is `apply`, whose caller may do everything
        if request and (problems := use_problems(self._candidate(attrs), before, request.user)):
            raise InvalidInput(problems)
        return attrs

    def _candidate(self, attrs: dict[str, Any]) -> DatasetJob:
        record = super()._candidate(attrs)
        record.author = getattr(self.context.get("request"), "user", None)  # nobody: it is `apply`
        fill_in(record)
        return record


class DatasetRunRowSerializer(JobRunSerializer):
    """A run in a list: without the facts that its template tells, which may be large."""

    layer = serializers.CharField(source="job.layer", read_only=True)

    class Meta:
        model = DatasetRun
        fields = read_only_fields = (*RUN_FIELDS, "layer", "input_versions", "repeat_of")


class DatasetRunSerializer(DatasetRunRowSerializer):
    class Meta(DatasetRunRowSerializer.Meta):
        fields = read_only_fields = (*DatasetRunRowSerializer.Meta.fields, "facts", "options")


class StatementSerializer(serializers.Serializer):
    engine = serializers.CharField()
    statement = serializers.CharField(allow_null=True, help_text="none while the inputs' columns are not known")
    error = serializers.CharField(allow_null=True, help_text="why this engine cannot run it")


class GeneratedSqlSerializer(serializers.Serializer):
    """The checked query, and what each engine would run."""

    sql = serializers.CharField()
    engines = StatementSerializer(many=True)
    columns = ColumnSerializer(many=True)
    warnings = serializers.ListField(child=serializers.CharField())


class DatasetJobViewSet(JobViewSet):
    queryset = DatasetJob.objects.all()
    serializer_class = DatasetJobSerializer
    run_serializer_class = DatasetRunSerializer
    run_row_serializer_class = DatasetRunRowSerializer
    filterset_fields = ("dataset_type", "transform_type", "engine", "enabled")

    def get_queryset(self):
        return super().get_queryset().filter(layer=self.kind_name)

    def fixed_fields(self) -> dict[str, Any]:
        return {**super().fixed_fields(), "layer": self.kind_name}

    def listed_runs_of(self, job: DatasetJob) -> QuerySet[DatasetRun]:
        return super().listed_runs_of(job).defer("facts", "options")

    def preview_of(self, job: DatasetJob) -> Preview:
        return services.preview(job, self.request.user)

    @extend_schema(responses=GeneratedSqlSerializer)
    @action(detail=True, methods=["get"])
    def sql(self, request: Request, **kwargs: str) -> Response:
        """The SQL that the job stands for, and what each engine would run."""
        return Response(services.generated_sql(self.get_object()))


@job_schema(DatasetRunSerializer, row=DatasetRunRowSerializer)
class SilverJobViewSet(Scd2Actions, DatasetJobViewSet):
    """What makes Silver tables out of Bronze."""

    kind_name = "silver"


@job_schema(DatasetRunSerializer, row=DatasetRunRowSerializer)
class GoldJobViewSet(SeriesAction, CardActions, RebuildAction, DatasetJobViewSet):
    """What makes Gold tables out of Silver."""

    kind_name = "gold"


class DatasetRunViewSet(RunActions, ReadOnlyModelViewSet):
    queryset = DatasetRun.objects.select_related("job__workflow")
    serializer_class = DatasetRunSerializer
    filterset_fields = ("status", "trigger")

    def get_serializer_class(self):
        return DatasetRunRowSerializer if self.action == "list" else DatasetRunSerializer

    def get_queryset(self):
        found = with_pipeline_run(super().get_queryset())
        return found.defer("spec", "facts", "options") if self.action == "list" else found
