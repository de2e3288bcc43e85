"""The files that a job loaded, by the API."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from assay.common.api import refuse_unknown_parameters

from .models import LoadedFile


class LoadedFileSerializer(serializers.ModelSerializer):
    loaded_at = serializers.DateTimeField(source="run.end_time", read_only=True, allow_null=True)

    class Meta:
        model = LoadedFile
        fields = read_only_fields = (
            "id",
            "name",
            "size",
            "sha256",
            "run",
            "loaded_at",
            "loaded_by",
            "is_current",
        )


class FileActions:
    """Mixin of the ingest jobs' viewset."""

    @extend_schema(responses=LoadedFileSerializer(many=True), filters=False)
    @action(detail=True, methods=["get"])
    def files(self, request: Request, **kwargs: str) -> Response:
        """The files that runs loaded, or skipped because an earlier run had loaded their content; the newest first."""
        refuse_unknown_parameters(request)
        files = self.get_object().loaded_files.visible_to(request.user).select_related("run")
        page = self.paginate_queryset(files)
        return self.get_paginated_response(LoadedFileSerializer(page, many=True).data)
