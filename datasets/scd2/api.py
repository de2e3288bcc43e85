"""What a Silver job that is a dimension offers beyond others: the timeline of a key, and restatement."""

from __future__ import annotations

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from assay.common.api import Serializer
from assay.common.runs import Trigger
from ops.job_api import WAIT, seconds_to_wait

from . import services

KEY = OpenApiParameter(
    "key",
    OpenApiTypes.STR,
    description="the value of the business key; one of several columns is named by parameters of the columns' names",
)


class ValueChangeSerializer(serializers.Serializer):
    column = serializers.CharField()
    before = serializers.JSONField(allow_null=True)
    after = serializers.JSONField(allow_null=True)


class DimensionVersionSerializer(serializers.Serializer):
    effective_from = serializers.CharField()
    effective_to = serializers.CharField(allow_null=True, help_text="none: the version is current")
    is_current = serializers.BooleanField()
    values = serializers.DictField()
    changed = ValueChangeSerializer(many=True, help_text="against the version before")
    after_gap = serializers.BooleanField(help_text="whether the key was gone before")


class TimelineSerializer(serializers.Serializer):
    """All versions of one key, the oldest first."""

    key = serializers.DictField()
    version = serializers.IntegerField(help_text="of the dataset")
    versions = DimensionVersionSerializer(many=True)


class RestateSerializer(Serializer):
    """Which observations are taken from the input anew: of these keys, of these days, or of both."""

    keys = serializers.ListField(child=serializers.DictField(), required=False, help_text="{column: value} each")
    start_date = serializers.DateField(required=False, allow_null=True, help_text="of the effective time, inclusive")
    end_date = serializers.DateField(required=False, allow_null=True, help_text="inclusive")
    preview = serializers.BooleanField(default=False, help_text="only tell what would change; nothing is written")

    def restatement(self) -> dict[str, Any]:
        """As a run's options have it: JSON."""
        given = self.validated_data
        days = {name: given[name].isoformat() for name in ("start_date", "end_date") if given.get(name)}
        return {"keys": given.get("keys", []), **days}


class ExampleSerializer(serializers.Serializer):
    change = serializers.ChoiceField(("changed", "removed", "added"))
    before = serializers.DictField(allow_null=True)
    after = serializers.DictField(allow_null=True)


class RestatementPreviewSerializer(serializers.Serializer):
    """How many versions a restatement would remove, add and change, with at most 50 of them."""

    removed = serializers.IntegerField()
    added = serializers.IntegerField()
    changed = serializers.IntegerField()
    keys = serializers.IntegerField(help_text="that were looked at")
    read = serializers.CharField(help_text="what of the input is read, and why")
    examples = ExampleSerializer(many=True)


class Scd2Actions:
    """For the viewset of Silver jobs; 404 for a job of another template, and for who may not see its dataset."""

    @extend_schema(parameters=[KEY], responses=TimelineSerializer, filters=False)
    @action(detail=True, methods=["get"])
    def timeline(self, request: Request, **kwargs: str) -> Response:
        """The versions of one key of a dimension, with what changed between them."""
        job = self.get_object()
        dataset = services.dimension_or_404(job, request.user)
        return Response(
            services.timeline(dataset, job, services.key_of(job, request.query_params.dict()), request.user)
        )

    @extend_schema(
        request=RestateSerializer,
        parameters=[WAIT],
        responses={200: RestatementPreviewSerializer, 202: OpenApiTypes.OBJECT},
    )
    @action(detail=True, methods=["post"])
    def restate(self, request: Request, **kwargs: str) -> Response:
        """Take keys and days of a dimension from its input anew; `preview` tells what that would do."""
        wait = seconds_to_wait(request)
        job = self.get_object()
        services.dimension_or_404(job, request.user)
        given = RestateSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        if given.validated_data["preview"]:
            return Response(services.preview_restatement(job, given.restatement(), request.user))
        pipeline_run = services.restate(job, given.restatement(), request.user, Trigger.API)
        return self.answer_with(pipeline_run, job, wait)
