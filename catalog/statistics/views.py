"""The figures of a dataset's columns, as a part of a page and for the API."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.decorators import login_required
from django.shortcuts import get_object_or_404, render
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from workers.errors import AssayError

from ..models import Dataset
from .services import statistics

BAR_WIDTH, BAR_HEIGHT = 7, 26


class TopValueSerializer(serializers.Serializer):
    value = serializers.JSONField()
    count = serializers.IntegerField()


class ColumnStatisticsSerializer(serializers.Serializer):
    name = serializers.CharField()
    type = serializers.CharField()
    nulls = serializers.IntegerField()
    null_share = serializers.FloatField(help_text="0 to 1")
    distinct = serializers.IntegerField(allow_null=True, help_text="null for lists and structs")
    min = serializers.JSONField(allow_null=True)
    max = serializers.JSONField(allow_null=True)
    mean = serializers.JSONField(allow_null=True)
    top = TopValueSerializer(many=True, help_text="the most frequent, where there are few different ones")
    bars = serializers.ListField(child=serializers.IntegerField(), help_text="counts in equal intervals, min to max")


class StatisticsSerializer(serializers.Serializer):
    version = serializers.IntegerField()
    rows = serializers.IntegerField()
    rows_looked_at = serializers.IntegerField(help_text="distinct, mean, top and bars are those of these rows")
    columns = ColumnStatisticsSerializer(many=True)


class StatisticsAction:
    """Mixin for the viewset of datasets."""

    @extend_schema(responses=StatisticsSerializer, filters=False)
    @action(detail=True)
    def statistics(self, request: Request, name: str) -> Response:
        """What the columns of the newest version hold: nulls, distinct values, bounds, frequent values."""
        return Response(statistics(self.get_object(), request.user))


@login_required
def dataset_statistics(request, name):
    """The figures, as a part of a page: reading the lake must not hold up the rest."""
    dataset = get_object_or_404(Dataset.objects.visible_to(request.user), name=name)
    try:
        found = statistics(dataset, request.user)
        context = {"statistics": found, "columns": [_drawn(column, found) for column in found["columns"]]}
    except AssayError as error:
        context = {"error": error.as_dict()}
    return render(request, "catalog/partials/statistics.html", {"dataset": dataset, **context})


def _drawn(column: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    """With what the template draws: shares in per cent, bars as rectangles."""
    looked_at = found["rows_looked_at"] or 1
    highest = max(column["bars"], default=0) or 1
    heights = [round(count / highest * BAR_HEIGHT, 1) for count in column["bars"]]
    return {
        **column,
        "null_percent": _percent(column["null_share"]),
        "is_unique": bool(column["distinct"]) and column["distinct"] == found["rows"],
        "top": [{**top, "percent": _percent(top["count"] / looked_at)} for top in column["top"]],
        "rects": [
            {"x": place * (BAR_WIDTH + 1), "y": BAR_HEIGHT - height, "height": height, "count": count}
            for place, (height, count) in enumerate(zip(heights, column["bars"], strict=True))
        ],
        "width": len(heights) * (BAR_WIDTH + 1),
    }


def _percent(share: float) -> str:
    """0.0004 → <0.1, 0.5 → 50."""
    percent = share * 100
    if 0 < percent < 0.1:
        return "<0.1"
    return f"{percent:.1f}".removesuffix(".0") if percent < 99.95 or share == 1 else ">99.9"
