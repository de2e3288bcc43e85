"""Ingest jobs, their runs, uploads."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import transaction
from django_filters.rest_framework import DjangoFilterBackend
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import mixins, serializers, status, viewsets
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from assay.common.api import InvalidInput, PolicyMixin, ReadOnlyModelViewSet, SearchFilter, Serializer
from assay.common.fields import ColumnsField
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

from . import services, watermarks
from .api_contract import ContractActions
from .api_files import FileActions
from .api_quarantine import QuarantineActions
from .api_watermarks import RunWindowSerializer, WatermarkActions
from .models import IngestJob, IngestRun, Upload
from .sources import IngestConfig
from .validation import fill_in, use_problems

# A multipart body is a little larger than the file in it.
MULTIPART_OVERHEAD_BYTES = 1024 * 1024


@extend_schema_field(IngestConfig)
class ConfigField(serializers.JSONField):
    pass


class IngestJobSerializer(JobSerializer):
    config = ConfigField(help_text="exactly one part: `file`, `db` or `api`, as the source_type needs")
    user_schema = ColumnsField(required=False)

    class Meta:
        model = IngestJob
        fields = (
            *JOB_FIELDS,
            "source_type",
            "format",
            "config",
            "force_to_parquet",
            "schema_mode",
            "user_schema",
            "partition_mode",
            "partition_pattern",
            "compression",
            "incremental_mode",
            "watermark_column",
            "last_watermark_value",
            "watermark_lag",
            "write_mode",
            "key_columns",
            "delete_detection",
            "skip_loaded_files",
            "column_mapping",
            "error_handling",
            "quarantine_path",
            "bad_row_threshold",
            "is_reference",
        )
        # Secrets stand in config when they come, and are moved from there.
        filled_in = ("format", "write_mode", "quarantine_path", "secrets")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        before = self.instance.config if self.instance else {}
        attrs = super().validate(attrs)
        request = self.context.get("request")  # without one it is `apply`, whose caller may do everything
        if request and (problems := use_problems(self._candidate(attrs), before, request.user)):
            raise InvalidInput(problems)
        return attrs

    def create(self, attrs: dict[str, Any]) -> IngestJob:
        with transaction.atomic():
            job = super().create(attrs)
            watermarks.adopt(job, self._user)
        return job

    def update(self, job: IngestJob, attrs: dict[str, Any]) -> IngestJob:
        with transaction.atomic():
            job = super().update(job, attrs)
            if "last_watermark_value" in attrs:
                watermarks.adopt(job, self._user)
        return job

    @property
    def _user(self):
        request = self.context.get("request")
        return request.user if request else None

    def _candidate(self, attrs: dict[str, Any]) -> IngestJob:
        record = super()._candidate(attrs)
        # What a job has keeps its value; only a new one gets all the defaults.
        fill_in(record, given=attrs if self.instance is None else {*attrs, "format", "write_mode"})
        return record


class IngestRunSerializer(JobRunSerializer):
    class Meta:
        model = IngestRun
        fields = read_only_fields = (
            *RUN_FIELDS,
            "skipped",
            "deleted_rows",
            "last_watermark_value",
            "window",
            "facts",
            "landing_path",
            "quarantine_path",
        )


@job_schema(IngestRunSerializer, request=RunWindowSerializer)
class IngestJobViewSet(QuarantineActions, FileActions, ContractActions, WatermarkActions, JobViewSet):
    """Sources and how they become Bronze."""

    kind_name = "ingest"
    queryset = IngestJob.objects.all()
    serializer_class = IngestJobSerializer
    run_serializer_class = IngestRunSerializer
    filterset_fields = ("source_type", "format", "enabled", "is_reference")

    def preview_of(self, job: IngestJob) -> Preview:
        return services.preview(job)


class IngestRunViewSet(ReadOnlyModelViewSet):
    queryset = IngestRun.objects.select_related("job__workflow")
    serializer_class = IngestRunSerializer
    filterset_fields = ("status", "trigger")

    def get_queryset(self):
        return with_pipeline_run(super().get_queryset())


class UploadSerializer(serializers.ModelSerializer):
    class Meta:
        model = Upload
        fields = read_only_fields = ("id", "name", "size", "sha256", "created_at")


class UploadRequestSerializer(Serializer):
    file = serializers.FileField(max_length=1000)


class UploadViewSet(
    PolicyMixin, mixins.RetrieveModelMixin, mixins.ListModelMixin, mixins.CreateModelMixin, viewsets.GenericViewSet
):
    """Files that were sent for jobs of the source type file_upload."""

    queryset = Upload.objects.all()
    serializer_class = UploadSerializer
    parser_classes = [MultiPartParser]
    filter_backends = [DjangoFilterBackend, SearchFilter]
    filterset_fields = ("name", "sha256")
    search_fields = ("name",)

    @extend_schema(request={"multipart/form-data": UploadRequestSerializer}, responses={201: UploadSerializer})
    def create(self, request: Request) -> Response:
        """Send a file (multipart field `file`); it is kept byte for byte."""
        # Said before the body is read: nobody waits an hour to hear that the file is too large.
        if int(request.META.get("CONTENT_LENGTH") or 0) > settings.ASSAY_MAX_UPLOAD_BYTES + MULTIPART_OVERHEAD_BYTES:
            raise services.UploadTooLarge.for_file("The file")
        body = UploadRequestSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        upload = services.save_upload(body.validated_data["file"], request.user)
        return Response(UploadSerializer(upload).data, status=status.HTTP_201_CREATED)
