"""`…/gold-jobs/{name}/series/`: a metric over time."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from assay.common.api import Serializer

from .series import Asked, series_of


class SeriesQuery(Serializer):
    metric = serializers.CharField(required=False, help_text="default: the first")
    dimension = serializers.CharField(
        required=False,
        allow_blank=True,
        help_text="one line for each of its values; several with commas; empty: summed over all, where that has a sum",
    )
    value = serializers.ListField(
        child=serializers.CharField(), required=False, help_text="labels of the lines that are wanted; repeated"
    )
    to = serializers.DateField(required=False, help_text="the last day, on the clocks of the metric's time zone")

    def get_fields(self) -> dict[str, serializers.Field]:
        # `from` is a word of Python.
        return {"from": serializers.DateField(required=False, help_text="the first day"), **super().get_fields()}

    def validate(self, attrs: dict) -> dict:
        if attrs.get("from") and attrs.get("to") and attrs["from"] > attrs["to"]:
            raise serializers.ValidationError({"to": "The range ends before it begins."})
        return attrs

    def asked(self) -> Asked:
        given = self.validated_data
        dimension = given.get("dimension")
        return Asked(
            metric=given.get("metric", ""),
            dimension=None if dimension is None else tuple(filter(None, dimension.split(","))),
            values=tuple(given.get("value") or ()),
            start=given.get("from"),
            end=given.get("to"),
        )


class LineSerializer(serializers.Serializer):
    label = serializers.CharField(help_text="the dimension's value; empty where all is summed")
    is_others = serializers.BooleanField()
    values = serializers.ListField(child=serializers.FloatField(allow_null=True), help_text="one for each period")


class SeriesSerializer(serializers.Serializer):
    """At most 2,000 points. What is left out is told."""

    metric = serializers.CharField()
    title = serializers.CharField()
    unit = serializers.CharField()
    additivity = serializers.CharField()
    definition = serializers.CharField(help_text="the metric definition it came from; empty: the job's own")
    version = serializers.IntegerField()
    time_column = serializers.CharField()
    time_zone = serializers.CharField()
    grain = serializers.CharField(help_text="of the periods shown: longer ones where there were too many")
    table_grain = serializers.CharField()
    dimension = serializers.ListField(child=serializers.CharField())
    labels = serializers.ListField(child=serializers.CharField(), help_text="of all lines there are, the largest first")
    periods = serializers.ListField(child=serializers.CharField())
    series = LineSerializer(many=True)
    more_series = serializers.IntegerField(help_text="lines that are not shown and in no sum")
    earlier_periods = serializers.IntegerField(help_text="periods that are not shown")


class SeriesAction:
    """For the viewset of jobs that may have metrics."""

    @extend_schema(parameters=[SeriesQuery], responses=SeriesSerializer, filters=False)
    @action(detail=True)
    def series(self, request: Request, **kwargs: str) -> Response:
        """A metric of the published table over time: the eight largest lines, and the others where they add up."""
        query = SeriesQuery(data=request.query_params)
        query.is_valid(raise_exception=True)
        return Response(series_of(self.get_object(), request.user, query.asked()))
