"""Rows in quarantine, by the API: pages of them, and all of them as a file."""

from __future__ import annotations

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.request import Request
from rest_framework.response import Response

from assay.common.api import LIST_PARAMETERS, InvalidInput, refuse_unknown_parameters
from assay.common.problems import Problem

from . import quarantine
from .quarantine_file import FORMATS, as_download

RUN = OpenApiParameter("run", OpenApiTypes.UUID, description="of this run only")
REASON = OpenApiParameter("reason", OpenApiTypes.STR, description="as a run's `quality.reasons` has it: `amount: type`")
FORMAT = OpenApiParameter("format", OpenApiTypes.STR, enum=FORMATS, description="of the file, by default csv")


class QuarantinedRowSerializer(serializers.Serializer):
    """One row that was set aside, and why."""

    _line = serializers.IntegerField(allow_null=True, help_text="number of the record, the header counted")
    _column = serializers.CharField(allow_null=True)
    _reason = serializers.CharField()
    _value = serializers.CharField(allow_null=True, help_text="what stood in the column")
    _wanted_type = serializers.CharField(allow_null=True, help_text="what the column holds")
    _raw = serializers.CharField(allow_null=True, help_text="the row as it came: text, or JSON")
    _source_file = serializers.CharField(allow_null=True)
    _rule = serializers.CharField()
    _offset = serializers.IntegerField(allow_null=True, help_text="byte in the unpacked file")
    _run_id = serializers.CharField()


class _NoNegotiation(BaseContentNegotiation):
    """`format` says what the file is, not how an answer is written."""

    def select_parser(self, request, parsers):
        return parsers[0]

    def select_renderer(self, request, renderers, format_suffix=None):
        return renderers[0], renderers[0].media_type


class _Lazy:
    """What a paginator needs of a list: only the rows of one page are read."""

    def __init__(self, rows: quarantine.Quarantined, user) -> None:
        self._rows, self._user = rows, user

    def count(self) -> int:
        return self._rows.count()

    def __getitem__(self, part: slice) -> list[dict[str, Any]]:
        return self._rows.rows(self._user, offset=part.start, limit=part.stop - part.start)


class QuarantineActions:
    """Mixin of the ingest jobs' viewset."""

    @extend_schema(parameters=[RUN, REASON], responses=QuarantinedRowSerializer(many=True), filters=False)
    @action(detail=True, methods=["get"])
    def quarantine(self, request: Request, **kwargs: str) -> Response:
        """Rows that runs set aside, those of the newest run first."""
        wanted = _wanted(request, LIST_PARAMETERS)
        rows = quarantine.select(self.get_object(), wanted)
        return self.get_paginated_response(self.paginate_queryset(_Lazy(rows, request.user)))

    @extend_schema(
        parameters=[RUN, REASON, FORMAT],
        responses={(200, "text/csv"): OpenApiTypes.STR, (200, "application/vnd.apache.parquet"): OpenApiTypes.BINARY},
        filters=False,
    )
    @action(
        detail=True,
        methods=["get"],
        url_path="quarantine/download",
        url_name="quarantine-download",
        pagination_class=None,
        content_negotiation_class=_NoNegotiation,
    )
    def quarantine_download(self, request: Request, **kwargs: str):
        """The same rows, all of them, as a CSV or Parquet file."""
        wanted, kind = _wanted(request, {"format"}), request.query_params.get("format", "csv")
        if kind not in FORMATS:
            raise InvalidInput([Problem("format", f"There is no format “{kind}”, but csv and parquet.", "invalid")])
        return as_download(self.get_object(), wanted, request.user, kind)


def _wanted(request: Request, others: set[str] | frozenset[str]) -> quarantine.Wanted:
    refuse_unknown_parameters(request, {"run", "reason", *others})
    try:
        return quarantine.Wanted.asked(request.query_params.get("run", ""), request.query_params.get("reason", ""))
    except ValueError:
        raise InvalidInput([Problem("run", "This is no id of a run.", "invalid")]) from None
