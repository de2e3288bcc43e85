"""Connections over HTTP: kept, tested, looked into. Secrets go in and never come out."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import Group
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_field
from pydantic import RootModel
from rest_framework import permissions, serializers
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

from . import services
from .kinds import (
    HttpOptions,
    MssqlOptions,
    MysqlOptions,
    OracleOptions,
    PostgresOptions,
    S3Options,
    SqliteOptions,
)
from .models import Connection

LONGEST_SEARCH = 200


class ConnectionOptions(
    RootModel[PostgresOptions | MysqlOptions | SqliteOptions | MssqlOptions | OracleOptions | S3Options | HttpOptions]
):
    """As the kind needs them."""


@extend_schema_field(ConnectionOptions)
class OptionsField(serializers.JSONField):
    pass


class ConnectionSerializer(ModelSerializer):
    password = serializers.CharField(
        required=False,
        allow_blank=True,
        trim_whitespace=False,
        max_length=20_000,
        style={"input_type": "password"},
        help_text="or a reference: env:NAME, file:/path. Shown as a mark that, sent back, means “as it was”",
    )
    options = OptionsField(required=False, help_text="what else the kind needs; secrets in it are shown as a mark")
    groups = serializers.SlugRelatedField(
        slug_field="name",
        queryset=Group.objects.all(),
        many=True,
        required=False,
        help_text="who may use it besides those who may change connections; none: everybody who may edit jobs",
    )

    class Meta:
        model = Connection
        fields = (
            *("name", "kind", "description", "host", "port", "database", "username", "password", "options", "groups"),
            *("tested_at", "test_ok", "test_message", "created_at", "updated_at"),
        )
        read_only_fields = ("tested_at", "test_ok", "test_message", "created_at", "updated_at")
        filled_in = ("secrets",)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        # Groups hang on the saved record; the model's rules do not look at them.
        groups = {name: attrs.pop(name) for name in ("groups",) if name in attrs}
        return {**super().validate(attrs), **groups}


class TestedSerializer(serializers.Serializer):
    """How a test went."""

    ok = serializers.BooleanField()
    message = serializers.CharField()


class TableSerializer(serializers.Serializer):
    name = serializers.CharField(help_text="with its schema: public.orders")
    kind = serializers.CharField(help_text="table or view")
    rows = serializers.IntegerField(allow_null=True, help_text="about how many, where the database knows")
    columns = ColumnSerializer(many=True)


class TablesSerializer(serializers.Serializer):
    tables = TableSerializer(many=True)


class ConnectionViewSet(ModelViewSet):
    """Databases, object stores and APIs that jobs read."""

    queryset = Connection.objects.prefetch_related("groups")
    serializer_class = ConnectionSerializer
    lookup_field = "name"
    lookup_value_regex = "[^/]+"
    filter_backends = [*ModelViewSet.filter_backends, SearchFilter]
    filterset_fields = ("kind",)
    search_fields = ("name", "description", "host")

    def get_permissions(self) -> list[permissions.BasePermission]:
        # Who may use a connection may test it, without the right to make one.
        return [permissions.IsAuthenticated()] if self.action == "test" else super().get_permissions()

    def get_queryset(self):
        found = super().get_queryset()
        return found.usable_by(self.request.user) if self.action in ("test", "tables") else found

    def filter_queryset(self, queryset):
        # `?search=` of a connection's tables is not about connections.
        return super().filter_queryset(queryset) if self.action == "list" else queryset

    def perform_create(self, serializer: serializers.ModelSerializer) -> None:
        with made_once("name", "There is a connection of this name already."):
            serializer.save()

    def perform_destroy(self, connection: Connection) -> None:
        services.delete_connection(connection)

    @extend_schema(request=None, responses=TestedSerializer)
    @action(detail=True, methods=["post"])
    def test(self, request: Request, name: str) -> Response:
        """Whether it can be reached now, with its credentials."""
        refuse_body(request)
        return Response(TestedSerializer(services.test(self.get_object())).data)

    @extend_schema(
        parameters=[OpenApiParameter("search", OpenApiTypes.STR, description="a part of the tables' names")],
        responses=TablesSerializer,
        filters=False,
    )
    @action(detail=True)
    def tables(self, request: Request, name: str) -> Response:
        """The tables of a database, with their columns."""
        refuse_unknown_parameters(request, {"search"})
        search = request.query_params.get("search", "").strip()[:LONGEST_SEARCH]
        return Response({"tables": services.tables(self.get_object(), search)})

    @extend_schema(responses=HistorySerializer(many=True), filters=False)
    @action(detail=True)
    def history(self, request: Request, name: str) -> Response:
        """Who changed what and when, the newest first. Secrets are not in it."""
        refuse_unknown_parameters(request)
        page = self.paginate_queryset(history_of(self.get_object()))
        return self.get_paginated_response(HistorySerializer(page, many=True).data)
