"""How far a job has read, by the API: the values so far, setting it back, and runs of some days."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from assay.common.api import InvalidInput, Serializer, refuse_unknown_parameters
from assay.common.problems import Problem

from . import watermarks
from .models import IngestJob, WatermarkChange


class WatermarkChangeSerializer(serializers.ModelSerializer):
    """One value that the watermark had, and who or what set it."""

    value = serializers.JSONField(allow_null=True)
    previous = serializers.JSONField(allow_null=True)
    changed_by = serializers.CharField(source="changed_by.username", read_only=True, default=None)

    class Meta:
        model = WatermarkChange
        fields = read_only_fields = (
            "id",
            "value",
            "previous",
            "cause",
            "run",
            "table_version",
            "changed_by",
            "reason",
            "created_at",
        )


class RewindSerializer(Serializer):
    value = serializers.JSONField(allow_null=True, help_text="read again from here on; null: from the beginning")
    reason = serializers.CharField(max_length=300, allow_blank=True, default="")


class RunWindowSerializer(Serializer):
    """The days whose rows are read again and put in place of the table's; without them a run goes on as always."""

    to = serializers.DateField(required=False, allow_null=True, help_text="the last day, included")

    def get_fields(self) -> dict[str, Any]:
        first = serializers.DateField(required=False, allow_null=True, help_text="the first day, included")
        return {"from": first, **super().get_fields()}


class WatermarkActions:
    """Mixin of the ingest jobs' viewset."""

    def run_options(self, request: Request, job: IngestJob) -> dict[str, Any]:
        body = RunWindowSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        start, end = body.validated_data.get("from"), body.validated_data.get("to")
        if not (start or end):
            return {}
        if problem := watermarks.window_problem(job):
            raise InvalidInput([Problem("from" if start else "to", problem, "not_allowed")])
        if start and end and end < start:
            raise InvalidInput([Problem("to", f"The days end ({end}) before they start ({start}).", "invalid_window")])
        return {"start_date": start, "end_date": end}

    @extend_schema(responses=WatermarkChangeSerializer(many=True), filters=False)
    @action(detail=True, methods=["get"])
    def watermarks(self, request: Request, **kwargs: str) -> Response:
        """Every value that the watermark had, the newest first."""
        refuse_unknown_parameters(request)
        changes = self.get_object().watermarks.visible_to(request.user).select_related("changed_by")
        page = self.paginate_queryset(changes)
        return self.get_paginated_response(WatermarkChangeSerializer(page, many=True).data)

    @extend_schema(request=RewindSerializer, responses=WatermarkChangeSerializer)
    @action(detail=True, methods=["post"])
    def rewind(self, request: Request, **kwargs: str) -> Response:
        """Read again from a value on. Rows that the table has are recognised and not loaded twice."""
        job = self.get_object()
        # It changes the job, whatever the address of the action is.
        if not request.user.has_perm("ingest.change_ingestjob"):
            self.permission_denied(request)
        body = RewindSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        told = body.validated_data
        change = watermarks.rewind(job, told["value"], user=request.user, reason=told["reason"])
        return Response(WatermarkChangeSerializer(change or job.watermarks.first()).data)
