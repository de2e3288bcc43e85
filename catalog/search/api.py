"""`GET …/datasets/{name}/search/?q=`: an index by meaning."""

from __future__ import annotations

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from assay.common.api import Serializer

from . import services

PREFIX = "filter."
FILTERS = OpenApiParameter(
    "filter.COLUMN",
    str,
    description="only chunks whose metadata column is this; again: any of several; `10..20`, `10..`, `..20`: "
    "a range of numbers or times; empty: null",
    many=True,
)


class SearchQuery(Serializer):
    q = serializers.CharField(max_length=services.MAX_QUESTION, help_text="what is looked for, in words")
    k = serializers.IntegerField(min_value=1, max_value=services.MAX_RESULTS, default=10, help_text="how many chunks")


class SearchResultSerializer(serializers.Serializer):
    document_id = serializers.JSONField(allow_null=True, help_text="of the type that the input's id has")
    chunk_id = serializers.CharField(allow_null=True, help_text="none where the document's id is masked")
    text = serializers.CharField()
    score = serializers.FloatField(help_text="cosine, -1 to 1")
    metadata = serializers.DictField()


class SearchAnswerSerializer(serializers.Serializer):
    results = SearchResultSerializer(many=True)
    model = serializers.CharField(help_text="that made the index and read the question; empty for an empty index")
    version = serializers.IntegerField(help_text="of the dataset that was searched")
    took_ms = serializers.FloatField()


class SearchAction:
    """Mixed into the viewset of datasets."""

    @extend_schema(parameters=[SearchQuery, FILTERS], responses=SearchAnswerSerializer, filters=False)
    @action(detail=True)
    def search(self, request: Request, name: str) -> Response:
        """The chunks of a vector index closest in meaning to a question, of those that you may see."""
        dataset = self.get_object()
        asked = {key: value for key, value in request.query_params.dict().items() if not key.startswith(PREFIX)}
        query = SearchQuery(data=asked)
        query.is_valid(raise_exception=True)
        given = query.validated_data
        return Response(
            services.search(dataset, request.user, given["q"], given["k"], filters_in(request.query_params))
        )


def filters_in(params) -> dict[str, list[str]]:
    """`{column: [values]}` of a query's parameters `filter.COLUMN`."""
    return {key.removeprefix(PREFIX): params.getlist(key) for key in params if key.startswith(PREFIX)}
