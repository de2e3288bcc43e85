"""What the endpoints of every kind of job share: a place below a workflow, `run/`, `runs/`, `preview/`, `history/`."""

from __future__ import annotations

import time
from functools import cached_property
from typing import Any

from django.db.models import OuterRef, QuerySet, Subquery
from django.shortcuts import get_object_or_404
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import exceptions, serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from assay.common.api import (
    ModelSerializer,
    ModelViewSet,
    SearchFilter,
    made_once,
    refuse_body,
    refuse_unknown_parameters,
)
from assay.common.fields import ColumnSerializer
from assay.common.history import HistorySerializer, history_of
from assay.common.runs import ENDED, Trigger
from workers.results import Preview
from workers.specs import to_json

from . import services
from .models import Job, PipelineRun, Step, Workflow

LONGEST_WAIT_SECONDS = 600
RUN_FIELDS = (
    "id",
    "job",
    "workflow",
    "pipeline_run_id",
    "status",
    "trigger",
    "created_at",
    "start_time",
    "end_time",
    "duration",
    "rows_read",
    "rows_written",
    "quarantined_rows",
    "table_version",
    "schema_changes",
    "quality",
    "phases",
    "error",
)


class JobSerializer(ModelSerializer):
    """The base of the jobs' representations: the workflow is said by the address."""

    workflow = serializers.SlugRelatedField(slug_field="slug", read_only=True)


class RunErrorSerializer(serializers.Serializer):
    code = serializers.CharField()
    message = serializers.CharField()
    hint = serializers.CharField()


class JobRunSerializer(serializers.ModelSerializer):
    """The base of the runs' representations: read only."""

    job = serializers.CharField(source="job.name", read_only=True)
    workflow = serializers.CharField(source="job.workflow.slug", read_only=True)
    pipeline_run_id = serializers.IntegerField(read_only=True, allow_null=True, help_text="the run of the workflow")
    duration = serializers.FloatField(read_only=True, allow_null=True, help_text="seconds, so far or in all")
    error = RunErrorSerializer(read_only=True, allow_null=True)


class PreviewSerializer(serializers.Serializer):
    """The first rows of something, with nothing written."""

    columns = ColumnSerializer(many=True)
    rows = serializers.ListField(child=serializers.DictField())
    profile = serializers.ListField(child=serializers.DictField())
    rejected = serializers.ListField(child=serializers.DictField())
    rows_sampled = serializers.IntegerField()
    children = serializers.ListField(child=serializers.DictField(), help_text="tables of lists in the records")
    sql = serializers.CharField()


JOB_FIELDS = ("name", "workflow", "description", "enabled", "created_at", "updated_at")
WAIT = OpenApiParameter("wait", OpenApiTypes.FLOAT, description="seconds to wait for the end of the run")


class JobViewSet(ModelViewSet):
    """Jobs of one kind in one workflow, found by their name.

    A subclass names its `kind_name`, its serializers, and how a job is previewed.
    """

    kind_name: str
    run_serializer_class: type[JobRunSerializer]
    run_row_serializer_class: type[JobRunSerializer] | None = None  # in a list, where that shows less
    lookup_field = lookup_url_kwarg = "name"
    lookup_value_regex = "[^/]+"
    filter_backends = [*ModelViewSet.filter_backends, SearchFilter]
    search_fields = ("name", "description")

    @cached_property
    def workflow(self) -> Workflow:
        return get_object_or_404(Workflow.objects.visible_to(self.request.user), slug=self.kwargs["slug"])

    def get_queryset(self) -> QuerySet[Job]:
        jobs = super().get_queryset()
        if getattr(self, "swagger_fake_view", False):
            return jobs
        return jobs.filter(workflow=self.workflow).select_related("workflow")

    def get_serializer_context(self) -> dict[str, Any]:
        context = super().get_serializer_context()
        if not getattr(self, "swagger_fake_view", False):
            context["fixed"] = self.fixed_fields()
        return context

    def fixed_fields(self) -> dict[str, Any]:
        """What the address says about a job, so that the body need not."""
        return {"workflow": self.workflow}

    def perform_create(self, serializer: serializers.ModelSerializer) -> None:
        with made_once("name", "The workflow has a job of this name already."):
            serializer.save(**self.fixed_fields())

    def perform_destroy(self, job: Job) -> None:
        services.delete_job(job)

    def preview_of(self, job: Job) -> Preview:
        raise NotImplementedError

    def run_options(self, request: Request, job: Job) -> dict[str, Any]:
        """What the body says about a run, as `start_job_run` takes it: nothing, for most kinds."""
        refuse_body(request)
        return {}

    def runs_of(self, job: Job) -> QuerySet:
        return with_pipeline_run(job.runs.visible_to(self.request.user).select_related("job__workflow"))

    def listed_runs_of(self, job: Job) -> QuerySet:
        """Without what no list shows and may be large."""
        return self.runs_of(job).defer("spec")

    @action(detail=True, methods=["post"])
    def run(self, request: Request, **kwargs: str) -> Response:
        """Start a run: 202 with the run; with `?wait=SECONDS` 200 as soon as it has ended in that time."""
        wait = seconds_to_wait(request)
        job = self.get_object()
        options = self.run_options(request, job)
        pipeline_run = services.start_job_run(self.kind_name, job, user=request.user, trigger=Trigger.API, **options)
        return self.answer_with(pipeline_run, job, wait)

    def answer_with(self, pipeline_run: PipelineRun, job: Job, wait: float) -> Response:
        """The run of the job that was started, as it is when it has ended or `wait` seconds are over."""
        code = code_after(pipeline_run, wait)
        run = self.runs_of(job).get(pk=pipeline_run.steps.get().run_id)
        return Response(self.run_serializer_class(run, context=self.get_serializer_context()).data, status=code)

    @action(detail=True, methods=["get"])
    def runs(self, request: Request, **kwargs: str) -> Response:
        """The job's runs, the newest first."""
        refuse_unknown_parameters(request)
        page = self.paginate_queryset(self.listed_runs_of(self.get_object()))
        row = self.run_row_serializer_class or self.run_serializer_class
        return self.get_paginated_response(row(page, many=True, context=self.get_serializer_context()).data)

    @extend_schema(request=None, responses=PreviewSerializer)
    @action(detail=True, methods=["post"])
    def preview(self, request: Request, **kwargs: str) -> Response:
        """The schema, a profile and the first rows of what a run would write; nothing is written."""
        refuse_body(request)
        return Response(to_json(self.preview_of(self.get_object())))

    @extend_schema(responses=HistorySerializer(many=True), filters=False)
    @action(detail=True, methods=["get"])
    def history(self, request: Request, **kwargs: str) -> Response:
        """Who changed what and when, the newest first."""
        refuse_unknown_parameters(request)
        page = self.paginate_queryset(history_of(self.get_object()))
        return self.get_paginated_response(HistorySerializer(page, many=True).data)


def job_schema(
    run_serializer: type[JobRunSerializer],
    request: type[serializers.Serializer] | None = None,
    row: type[JobRunSerializer] | None = None,
):
    """Tells OpenAPI what `run/` and `runs/` of this kind take and answer."""
    return extend_schema_view(
        run=extend_schema(request=request, parameters=[WAIT], responses={200: run_serializer, 202: run_serializer}),
        runs=extend_schema(responses=(row or run_serializer)(many=True), filters=False),
    )


def with_pipeline_run(runs: QuerySet) -> QuerySet:
    """Each run with the id of the pipeline run it is part of, in the same query."""
    step = Step.objects.filter(pk=OuterRef("step_id"))
    return runs.annotate(pipeline_run_id=Subquery(step.values("pipeline_run_id")[:1]))


def seconds_to_wait(request: Request) -> float:
    """`?wait=SECONDS`; read before the run is started, so that a bad one starts nothing."""
    try:
        seconds = float(request.query_params.get("wait", "0"))
    except ValueError:
        seconds = -1
    if not 0 <= seconds <= LONGEST_WAIT_SECONDS:
        raise exceptions.ValidationError(
            {"wait": f"This must be a number of seconds from 0 to {LONGEST_WAIT_SECONDS}."}
        )
    return seconds


def code_after(run: PipelineRun, wait: float) -> int:
    """200 where the run ended while it was waited for, else 202."""
    return status.HTTP_200_OK if _wait_for(run, wait) and wait else status.HTTP_202_ACCEPTED


def _wait_for(run: PipelineRun, seconds: float) -> bool:
    """Whether the run ended within the time. It asks again often at first, then less often."""
    deadline, pause = time.monotonic() + seconds, 0.02
    while not PipelineRun.objects.filter(pk=run.pk, status__in=ENDED).exists():
        left = deadline - time.monotonic()
        if left <= 0:
            return False
        time.sleep(min(pause, left))
        pause = min(pause * 1.5, 1.0)
    return True
