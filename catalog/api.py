"""The catalog: what datasets there are, what they hold, where they come from."""

from __future__ import annotations

from django.db.models import Count, QuerySet
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from assay.common.api import ReadOnlyModelViewSet, SearchFilter, Serializer
from assay.common.fields import ColumnSerializer

from . import services
from .models import Dataset, DatasetVersion
from .search.api import SearchAction
from .statistics.views import StatisticsAction


class DatasetListSerializer(serializers.ModelSerializer):
    class Meta:
        model = Dataset
        fields = read_only_fields = (
            "name",
            "layer",
            "workflow",
            "type",
            "description",
            "grain",
            "path",
            "is_declared",
            "version",
            "rows",
            "size_bytes",
            "files",
            "published_at",
            "updated_at",
        )


class DatasetSerializer(DatasetListSerializer):
    columns = ColumnSerializer(many=True, read_only=True)
    upstream = serializers.SerializerMethodField()
    downstream = serializers.SerializerMethodField()
    version_count = serializers.IntegerField(read_only=True)

    class Meta(DatasetListSerializer.Meta):
        fields = read_only_fields = (
            *DatasetListSerializer.Meta.fields,
            "columns",
            "upstream",
            "downstream",
            "version_count",
            "created_at",
        )

    def get_upstream(self, dataset: Dataset) -> list[str]:
        return self._names(dataset.upstream)

    def get_downstream(self, dataset: Dataset) -> list[str]:
        return self._names(dataset.downstream)

    def _names(self, datasets) -> list[str]:
        return list(datasets.all().visible_to(self.context["request"].user).values_list("name", flat=True))


class DatasetVersionSerializer(serializers.ModelSerializer):
    columns = ColumnSerializer(many=True, read_only=True)

    class Meta:
        model = DatasetVersion
        fields = read_only_fields = (
            "version",
            "run_id",
            "rows",
            "rows_written",
            "size_bytes",
            "columns",
            "published_at",
        )


class SampleSerializer(serializers.Serializer):
    columns = ColumnSerializer(many=True)
    rows = serializers.ListField(child=serializers.DictField())
    version = serializers.IntegerField(allow_null=True)


class SampleQuery(Serializer):
    limit = serializers.IntegerField(min_value=1, max_value=services.MAX_SAMPLE_ROWS, default=50)


class LineageQuery(Serializer):
    direction = serializers.ChoiceField(choices=["upstream", "downstream", "both"], default="both")
    depth = serializers.IntegerField(min_value=1, max_value=services.MAX_DEPTH, default=3)
    level = serializers.ChoiceField(choices=["table"], default="table")


class NodeSerializer(serializers.Serializer):
    id = serializers.CharField()
    layer = serializers.CharField()
    name = serializers.CharField()
    type = serializers.CharField()


class EdgeSerializer(serializers.Serializer):
    source = serializers.CharField()
    target = serializers.CharField()
    job = serializers.CharField()


class LineageSerializer(serializers.Serializer):
    nodes = NodeSerializer(many=True)
    edges = EdgeSerializer(many=True)


class RollbackSerializer(Serializer):
    version = serializers.IntegerField(min_value=0)


class DatasetFilters(filters.FilterSet):
    layer = filters.MultipleChoiceFilter(choices=Dataset._meta.get_field("layer").choices)

    class Meta:
        model = Dataset
        fields = ("layer", "type", "workflow")


class DatasetViewSet(SearchAction, StatisticsAction, ReadOnlyModelViewSet):
    """Every dataset that a job declares or has written."""

    queryset = Dataset.objects.all()
    serializer_class = DatasetSerializer
    filter_backends = [filters.DjangoFilterBackend, SearchFilter]
    filterset_class = DatasetFilters
    search_fields = ("name", "description", "grain")
    lookup_field = "name"
    lookup_value_regex = "[^/]+"

    def get_queryset(self) -> QuerySet[Dataset]:
        datasets = super().get_queryset()
        return datasets.annotate(version_count=Count("versions")) if self.action == "retrieve" else datasets

    def get_serializer_class(self) -> type[serializers.Serializer]:
        return DatasetListSerializer if self.action == "list" else DatasetSerializer

    @extend_schema(parameters=[SampleQuery], responses=SampleSerializer, filters=False)
    @action(detail=True)
    def sample(self, request: Request, name: str) -> Response:
        """The first rows of the newest version."""
        dataset = self.get_object()
        rows = services.sample(dataset, _query(SampleQuery, request)["limit"])
        return Response({"columns": dataset.columns, "rows": rows, "version": dataset.version})

    @extend_schema(parameters=[LineageQuery], responses=LineageSerializer, filters=False)
    @action(detail=True)
    def lineage(self, request: Request, name: str) -> Response:
        """What it is made from and what is made from it."""
        query = _query(LineageQuery, request)
        visible = Dataset.objects.visible_to(request.user)
        return Response(services.lineage(self.get_object(), query["direction"], query["depth"], visible))

    @extend_schema(responses=DatasetVersionSerializer(many=True), filters=False)
    @action(detail=True)
    def versions(self, request: Request, name: str) -> Response:
        """What each run published, the newest first."""
        page = self.paginate_queryset(self.get_object().versions.all())
        return self.get_paginated_response(DatasetVersionSerializer(page, many=True).data)

    @extend_schema(request=RollbackSerializer, responses=DatasetVersionSerializer)
    @action(detail=True, methods=["post"])
    def rollback(self, request: Request, name: str) -> Response:
        """Make an earlier version the newest, by a commit on top of the others."""
        body = RollbackSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        version = services.rollback(self.get_object(), body.validated_data["version"])
        return Response(DatasetVersionSerializer(version).data)


def _query(kind: type[Serializer], request: Request) -> dict:
    """The query's parameters, validated; what is not declared is refused like anywhere else."""
    query = kind(data=request.query_params.dict())
    query.is_valid(raise_exception=True)
    return query.validated_data
