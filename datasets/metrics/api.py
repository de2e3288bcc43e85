"""Metric definitions over HTTP: kept, reviewed before they change, and never deleted from under a job."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema, extend_schema_field, extend_schema_serializer
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from assay.common.api import (
    InvalidInput,
    ModelSerializer,
    ModelViewSet,
    SearchFilter,
    Serializer,
    made_once,
    refuse_unknown_parameters,
)
from assay.common.history import HistorySerializer, history_of
from assay.common.problems import Problem, problems_in

from . import services, uses
from .models import Additivity, MetricDefinition


class VisibleMetricField(serializers.SlugRelatedField):
    """Another definition by its name; one that the person may not see does not exist."""

    def __init__(self, **kwargs) -> None:
        super().__init__(slug_field="name", queryset=MetricDefinition.objects.all(), allow_null=True, **kwargs)

    def get_queryset(self):
        found, request = super().get_queryset(), self.context.get("request")
        return found.visible_to(request.user) if request else found


# A job's config has “metrics” too: in the document these are definitions.
@extend_schema_serializer(component_name="MetricDefinition")
class MetricSerializer(ModelSerializer):
    owner = serializers.SlugRelatedField(
        slug_field="username", queryset=get_user_model().objects.all(), allow_null=True, required=False
    )
    numerator = VisibleMetricField(required=False, help_text="of a ratio: the name of a measure")
    denominator = VisibleMetricField(required=False, help_text="of a ratio: the name of a measure")

    class Meta:
        model = MetricDefinition
        fields = (
            *("name", "title", "description", "owner", "dataset", "expression", "filter", "numerator", "denominator"),
            *("unit", "additivity", "created_at", "updated_at"),
        )
        read_only_fields = ("created_at", "updated_at")
        filled_in = ("dataset", "additivity")

    def _candidate(self, attrs: dict[str, Any]) -> MetricDefinition:
        record = super()._candidate(attrs)
        record.author = getattr(self.context.get("request"), "user", None)  # nobody: it is `apply`
        return record

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        found = super().validate(attrs)
        asked = attrs.get("additivity", found["additivity"])
        if asked != found["additivity"] or (attrs.get("numerator") and asked != Additivity.NON_ADDITIVE):
            detail = "The values of a ratio are never summed: leave it out, or say non_additive."
            raise InvalidInput([Problem("additivity", detail, "not_allowed")])
        return found


class UseSerializer(serializers.Serializer):
    job = serializers.CharField(help_text="workflow.name")
    dataset = serializers.CharField(help_text="what the job makes")
    column = serializers.CharField()
    through = serializers.CharField(help_text="the ratio that it is a part of; empty: the job names it itself")


@extend_schema_serializer(component_name="MetricDefinitionDetail")
class MetricDetailSerializer(MetricSerializer):
    used_by = serializers.SerializerMethodField()
    ratios = serializers.SerializerMethodField(help_text="definitions that are made of it")

    class Meta(MetricSerializer.Meta):
        fields = (*MetricSerializer.Meta.fields, "used_by", "ratios")

    @extend_schema_field(UseSerializer(many=True))
    def get_used_by(self, definition: MetricDefinition) -> list[dict[str, str]]:
        return _uses(definition, self.context["request"].user)

    def get_ratios(self, definition: MetricDefinition) -> list[str]:
        return uses.ratios_of([definition.name], self.context["request"].user)[definition.name]


class ReviewRequestSerializer(Serializer):
    """What would change; what is left out stays as it is."""

    expression = serializers.CharField(required=False, allow_blank=True)
    filter = serializers.CharField(required=False, allow_blank=True)
    numerator = VisibleMetricField(required=False)
    denominator = VisibleMetricField(required=False)
    additivity = serializers.ChoiceField(choices=Additivity.choices, required=False)
    grain = serializers.ChoiceField(choices=services.GRAINS, default="month")
    periods = serializers.IntegerField(min_value=1, max_value=services.MAX_PERIODS, default=12)
    time_column = serializers.CharField(required=False, help_text="default: the one that jobs measure it by")


class ReviewedPeriodSerializer(serializers.Serializer):
    period = serializers.CharField()
    old = serializers.JSONField()
    new = serializers.JSONField()
    changed = serializers.BooleanField()


class UseInReviewSerializer(UseSerializer):
    problem = serializers.CharField(help_text="why the job would be refused; empty: it would not")


class ReviewSerializer(serializers.Serializer):
    """Old and new values of the last periods, the newest first, and who uses the metric."""

    dataset = serializers.CharField()
    version = serializers.IntegerField()
    time_column = serializers.CharField()
    grain = serializers.CharField()
    changed = serializers.IntegerField(help_text="periods whose value would be another one")
    rows = ReviewedPeriodSerializer(many=True)
    used_by = UseInReviewSerializer(many=True)


class MetricFilters(filters.FilterSet):
    owner = filters.CharFilter(field_name="owner__username")

    class Meta:
        model = MetricDefinition
        fields = ("dataset", "owner", "additivity")


class MetricViewSet(ModelViewSet):
    """Metrics that are defined once, for every job, chart and answer that uses them."""

    queryset = MetricDefinition.objects.select_related("owner", "numerator", "denominator")
    serializer_class = MetricSerializer
    lookup_field = "name"
    lookup_value_regex = "[^/]+"
    filter_backends = [filters.DjangoFilterBackend, SearchFilter]
    filterset_class = MetricFilters
    search_fields = ("name", "title", "description")

    def get_serializer_class(self):
        return MetricDetailSerializer if self.action == "retrieve" else MetricSerializer

    def perform_create(self, serializer: serializers.ModelSerializer) -> None:
        with made_once("name", "There is a metric of this name already."):
            serializer.save()

    def perform_destroy(self, definition: MetricDefinition) -> None:
        services.delete_metric(definition, self.request.user)

    @extend_schema(request=ReviewRequestSerializer, responses=ReviewSerializer)
    @action(detail=True, methods=["post"])
    def preview(self, request: Request, name: str) -> Response:
        """What a change would do: old and new values of the last periods, and who uses the metric. Nothing is saved."""
        definition = self.get_object()
        body = ReviewRequestSerializer(data=request.data, context=self.get_serializer_context())
        body.is_valid(raise_exception=True)
        asked = dict(body.validated_data)
        options = {key: asked.pop(key) for key in ("grain", "periods", "time_column") if key in asked}
        try:
            changed = services.with_changes(definition, asked, request.user)
        except ValidationError as error:
            raise InvalidInput(problems_in(error)) from error
        review = services.review(definition, changed, request.user, **options)
        broken = services.jobs_that_break(changed, request.user)
        used_by = [{**use, "problem": broken.get(use["job"], "")} for use in _uses(definition, request.user)]
        return Response({**asdict(review), "changed": review.changed, "used_by": used_by})

    @extend_schema(responses=HistorySerializer(many=True), filters=False)
    @action(detail=True)
    def history(self, request: Request, name: str) -> Response:
        """Who changed what and when, the newest first."""
        refuse_unknown_parameters(request)
        page = self.paginate_queryset(history_of(self.get_object()))
        return self.get_paginated_response(HistorySerializer(page, many=True).data)


def _uses(definition: MetricDefinition, user) -> list[dict[str, str]]:
    found = [asdict(use) for use in uses.uses_of([definition.name], user)[definition.name]]
    return [{key: value for key, value in use.items() if key != "url"} for use in found]
