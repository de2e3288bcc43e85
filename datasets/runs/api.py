"""What a run of a Silver or Gold job offers besides being read: to be repeated, and to be compared with another."""

from __future__ import annotations

from uuid import UUID

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from assay.common.api import InvalidInput, refuse_body, refuse_unknown_parameters
from assay.common.problems import Problem
from assay.common.runs import Trigger
from ops.job_api import WAIT, code_after, seconds_to_wait

from ..models import DatasetRun
from . import services

WITH = OpenApiParameter("with", OpenApiTypes.UUID, required=True, description="another run of the same job")


class ComparedRunSerializer(serializers.Serializer):
    id = serializers.UUIDField()
    status = serializers.CharField()
    created_at = serializers.DateTimeField()
    duration = serializers.FloatField(allow_null=True, help_text="seconds")
    rows_read = serializers.IntegerField()
    rows_written = serializers.IntegerField()
    table_version = serializers.IntegerField(allow_null=True)
    engine = serializers.CharField()
    run_time = serializers.DateTimeField(allow_null=True)
    start_date = serializers.DateField(allow_null=True)
    end_date = serializers.DateField(allow_null=True)
    repeat_of = serializers.UUIDField(allow_null=True)
    facts = serializers.DictField(help_text="what the template tells of its result")


class OptionDifferenceSerializer(serializers.Serializer):
    field = serializers.CharField(help_text="its path in what was run")
    old = serializers.JSONField(allow_null=True)
    new = serializers.JSONField(allow_null=True)


class DiffLineSerializer(serializers.Serializer):
    kind = serializers.CharField(help_text="“ ”, “+”, “-”, or “@” between parts", trim_whitespace=False)
    text = serializers.CharField(trim_whitespace=False)


class InputVersionsSerializer(serializers.Serializer):
    dataset = serializers.CharField()
    old = serializers.IntegerField(allow_null=True)
    new = serializers.IntegerField(allow_null=True)


class ColumnDifferenceSerializer(serializers.Serializer):
    column = serializers.CharField()
    old = serializers.CharField(allow_null=True)
    new = serializers.CharField(allow_null=True)


class PhaseSecondsSerializer(serializers.Serializer):
    phase = serializers.CharField()
    old = serializers.FloatField(allow_null=True)
    new = serializers.FloatField(allow_null=True)


class TableDifferenceSerializer(serializers.Serializer):
    """The rows of both versions, counted as often as they come."""

    compared = serializers.BooleanField()
    reason = serializers.CharField(help_text="why they were not compared")
    equal = serializers.BooleanField(required=False, help_text="whether both versions have the same rows")
    same = serializers.IntegerField(required=False)
    added = serializers.IntegerField(required=False)
    removed = serializers.IntegerField(required=False)
    changed = serializers.IntegerField(
        required=False, allow_null=True, help_text="rows of one key that differ; null where the job has no keys"
    )
    old_digest = serializers.CharField(required=False, help_text="the same for the same rows, in whatever order")
    new_digest = serializers.CharField(required=False)
    columns = serializers.ListField(child=serializers.CharField(), required=False, help_text="that were compared")


class RunComparisonSerializer(serializers.Serializer):
    """Two runs of a job, the earlier one first."""

    old = ComparedRunSerializer()
    new = ComparedRunSerializer()
    configuration = OptionDifferenceSerializer(many=True)
    sql_diff = DiffLineSerializer(many=True)
    inputs = InputVersionsSerializer(many=True)
    schema = ColumnDifferenceSerializer(many=True)
    phases = PhaseSecondsSerializer(many=True)
    table = TableDifferenceSerializer()


class RunActions:
    """For the viewset of the runs."""

    @extend_schema(parameters=[WAIT])
    @action(detail=True, methods=["post"])
    def repeat(self, request: Request, pk: str) -> Response:
        """Do exactly what this run did: same configuration, same versions of the inputs, same window and time.

        Answers as `run/` of a job does; 409 where the run appended its rows, or where what it read is gone.
        """
        refuse_body(request)
        wait = seconds_to_wait(request)
        started = services.repeat(self.get_object(), request.user, Trigger.API)
        code = code_after(started, wait)
        run = self.get_queryset().get(pk=started.steps.get().run_id)
        return Response(self.get_serializer(run).data, status=code)

    @extend_schema(parameters=[WITH], responses=RunComparisonSerializer, filters=False)
    @action(detail=True, methods=["get"])
    def compare(self, request: Request, pk: str) -> Response:
        """What differs from another run of the job: configuration, inputs, schema, durations, rows."""
        refuse_unknown_parameters(request, {"with", "format"})
        run = self.get_object()
        other = self._other(run, request.query_params.get("with", ""))
        return Response(RunComparisonSerializer(services.compare(run, other)).data)

    def _other(self, run: DatasetRun, given: str) -> DatasetRun:
        try:
            wanted = UUID(given)
        except ValueError as error:
            raise InvalidInput([Problem("with", "Name the id of another run of the job.", "invalid")]) from error
        other = self.get_queryset().filter(pk=wanted, job=run.job).first()
        if other is None:
            raise InvalidInput([Problem("with", f"{run.job.name} has no run {wanted}.", "unknown_run")])
        return other
