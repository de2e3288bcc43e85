"""Workflows and pipeline runs over HTTP."""

from __future__ import annotations

from typing import Any

import django_filters
from django.contrib.auth import get_user_model
from django.db.models import Prefetch, QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from assay.common.api import (
    InvalidInput,
    ModelSerializer,
    ModelViewSet,
    ReadOnlyModelViewSet,
    SearchFilter,
    Serializer,
    refuse_body,
)
from assay.common.history import HistorySerializer, history_of
from assay.common.problems import Problem
from assay.common.runs import RunStatus, Trigger

from . import services
from .graph import workflow_graph
from .models import PipelineRun, Step, Workflow


class ScheduleSerializer(Serializer):
    """When the workflow starts by itself. A cron line that comes without `enabled` is meant to be."""

    cron = serializers.CharField(source="schedule_cron", max_length=100, allow_blank=True, required=False)
    timezone = serializers.CharField(source="schedule_timezone", max_length=64, required=False)
    enabled = serializers.BooleanField(source="schedule_enabled", required=False)

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        attrs = super().to_internal_value(data)
        if attrs.get("schedule_cron"):
            attrs.setdefault("schedule_enabled", True)
        return attrs


class WorkflowSerializer(ModelSerializer):
    schedule = ScheduleSerializer(source="*", required=False)
    owner = serializers.SlugRelatedField(
        slug_field="username", queryset=get_user_model().objects.all(), allow_null=True, required=False
    )

    class Meta:
        model = Workflow
        fields = (
            "slug",
            "name",
            "description",
            "owner",
            "schedule",
            "on_overlap",
            "next_run_at",
            "created_at",
            "updated_at",
        )
        read_only_fields = ("next_run_at", "created_at", "updated_at")

    def validate_slug(self, slug: str) -> str:
        if self.instance is not None and slug != self.instance.slug:
            raise serializers.ValidationError(
                f"The slug never changes: tables and addresses carry it. It is “{self.instance.slug}”.", "immutable"
            )
        return slug

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        try:
            return super().validate(attrs)
        except InvalidInput as error:
            raise InvalidInput([_as_sent(problem) for problem in error.problems]) from error


def _as_sent(problem: Problem) -> Problem:
    """At the path that the request has: `schedule.cron` for `schedule_cron`."""
    return Problem(problem.attr.replace("schedule_", "schedule."), problem.detail, problem.code)


class RunRequestSerializer(Serializer):
    only = serializers.ListField(
        child=serializers.CharField(), required=False, allow_null=True, help_text="names of jobs; else all"
    )
    from_failed = serializers.BooleanField(default=False, help_text="go on from what failed in the last run")
    start_date = serializers.DateField(required=False, allow_null=True)
    end_date = serializers.DateField(required=False, allow_null=True)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        others = [name for name in ("only", "start_date", "end_date") if attrs.get(name)]
        if attrs["from_failed"] and others:
            detail = "A run that goes on from what failed takes its jobs and its window from that run."
            raise serializers.ValidationError({others[0]: detail})
        return attrs


class PlannedStepSerializer(serializers.Serializer):
    job = serializers.CharField()
    kind = serializers.CharField()
    after = serializers.ListField(child=serializers.CharField())


class StartedRunSerializer(serializers.Serializer):
    pipeline_run_id = serializers.IntegerField()
    status = serializers.CharField()
    plan = PlannedStepSerializer(many=True)


class GraphNodeSerializer(serializers.Serializer):
    id = serializers.CharField()
    kind = serializers.CharField()
    layer = serializers.CharField()
    name = serializers.CharField()
    type = serializers.CharField(allow_blank=True)
    status = serializers.CharField(allow_null=True)


class GraphEdgeSerializer(serializers.Serializer):
    source = serializers.CharField()
    target = serializers.CharField()


class GraphSerializer(serializers.Serializer):
    nodes = GraphNodeSerializer(many=True)
    edges = GraphEdgeSerializer(many=True)


class ErrorSerializer(serializers.Serializer):
    code = serializers.CharField()
    message = serializers.CharField()
    hint = serializers.CharField()


class StepSerializer(serializers.ModelSerializer):
    job = serializers.CharField(source="job_name")
    run_id = serializers.UUIDField(allow_null=True)
    progress = serializers.DictField()
    error = ErrorSerializer(allow_null=True)

    class Meta:
        model = Step
        fields = read_only_fields = (
            "job",
            "kind",
            "status",
            "run_id",
            "attempt",
            "start_time",
            "end_time",
            "rows_read",
            "rows_written",
            "quarantined_rows",
            "progress",
            "error",
        )


class PipelineRunSerializer(serializers.ModelSerializer):
    workflow = serializers.SlugRelatedField(slug_field="slug", read_only=True)
    started_by = serializers.SlugRelatedField(slug_field="username", read_only=True, allow_null=True)
    duration = serializers.FloatField(read_only=True, allow_null=True, help_text="seconds, so far or in all")
    error = ErrorSerializer(read_only=True, allow_null=True)
    jobs = StepSerializer(source="steps", many=True, read_only=True)

    class Meta:
        model = PipelineRun
        fields = read_only_fields = (
            "id",
            "workflow",
            "status",
            "trigger",
            "started_by",
            "retry_of",
            "start_date",
            "end_date",
            "created_at",
            "start_time",
            "end_time",
            "duration",
            "error",
            "jobs",
        )


def with_jobs(runs: QuerySet[PipelineRun]) -> QuerySet[PipelineRun]:
    """Everything that a page of runs shows, in two queries."""
    return runs.select_related("workflow", "started_by").prefetch_related(
        Prefetch("steps", Step.objects.order_by("pk"))
    )


STATUS = OpenApiParameter("status", OpenApiTypes.STR, enum=RunStatus.values, many=True)


class PipelineRunFilter(django_filters.FilterSet):
    workflow = django_filters.CharFilter(field_name="workflow__slug")
    status = django_filters.MultipleChoiceFilter(choices=RunStatus.choices)

    class Meta:
        model = PipelineRun
        fields = ("workflow", "status", "trigger")


@extend_schema_view(
    run=extend_schema(request=RunRequestSerializer, responses=StartedRunSerializer),
    graph=extend_schema(responses=GraphSerializer),
    pipeline_runs=extend_schema(responses=PipelineRunSerializer(many=True), filters=False, parameters=[STATUS]),
    history=extend_schema(responses=HistorySerializer(many=True), filters=False),
)
class WorkflowViewSet(ModelViewSet):
    """Jobs that run together, in the order of their inputs."""

    queryset = Workflow.objects.select_related("owner")
    serializer_class = WorkflowSerializer
    lookup_field = "slug"
    filter_backends = [*ModelViewSet.filter_backends, SearchFilter]
    filterset_fields = ("owner__username", "schedule_enabled")
    search_fields = ("slug", "name", "description")

    def perform_destroy(self, workflow: Workflow) -> None:
        services.delete_workflow(workflow)

    @action(detail=True, methods=["post"])
    def run(self, request: Request, slug: str) -> Response:
        """Start a run of all jobs, or of some. It is refused where the graph is not sound."""
        body = RunRequestSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        run = services.start_run(self.get_object(), **body.validated_data, user=request.user, trigger=Trigger.API)
        return Response({"pipeline_run_id": run.pk, "status": run.status, "plan": services.planned_steps(run)})

    @action(detail=True)
    def graph(self, request: Request, slug: str) -> Response:
        """Sources and datasets, and what is made from what."""
        return Response(workflow_graph(self.get_object()))

    @action(detail=True, url_path="pipeline-runs")
    def pipeline_runs(self, request: Request, slug: str) -> Response:
        """The workflow's runs, the newest first."""
        runs = PipelineRun.objects.visible_to(request.user).filter(workflow=self.get_object())
        filters = PipelineRunFilter(request.query_params, with_jobs(runs))
        page = self.paginate_queryset(filters.qs)
        return self.get_paginated_response(PipelineRunSerializer(page, many=True).data)

    @action(detail=True)
    def history(self, request: Request, slug: str) -> Response:
        """Who changed what and when, the newest first."""
        page = self.paginate_queryset(history_of(self.get_object()))
        return self.get_paginated_response(HistorySerializer(page, many=True).data)


@extend_schema_view(
    cancel=extend_schema(request=None, responses=PipelineRunSerializer),
    retry=extend_schema(request=None, responses=PipelineRunSerializer),
)
class PipelineRunViewSet(ReadOnlyModelViewSet):
    """Runs of workflows, and of single jobs."""

    queryset = with_jobs(PipelineRun.objects.all())
    serializer_class = PipelineRunSerializer
    filterset_class = PipelineRunFilter

    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, pk: str) -> Response:
        """Waiting steps end at once, running ones shortly after."""
        refuse_body(request)
        return self._answer(services.cancel_run(self.get_object()))

    @action(detail=True, methods=["post"])
    def retry(self, request: Request, pk: str) -> Response:
        """A new run that goes on from what failed."""
        refuse_body(request)
        return self._answer(services.retry_run(self.get_object(), request.user))

    def _answer(self, run: PipelineRun) -> Response:
        return Response(PipelineRunSerializer(self.get_queryset().get(pk=run.pk)).data)
