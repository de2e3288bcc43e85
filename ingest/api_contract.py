"""What has changed at a job's source and waits for a decision, by the API."""

from __future__ import annotations

from django.shortcuts import get_object_or_404
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from assay.common.api import LIST_PARAMETERS, InvalidInput, Serializer, refuse_body, refuse_unknown_parameters
from assay.common.policy import visible_rows
from assay.common.problems import Problem

from . import contract_changes
from .models import ContractChange

STATUS = OpenApiParameter("status", OpenApiTypes.STR, enum=ContractChange.Status.values)
_ONE = r"contract-changes/(?P<change_id>\d+)"


class DownstreamSerializer(serializers.Serializer):
    dataset = serializers.CharField()
    job = serializers.CharField(help_text="that makes it")


class ContractChangeSerializer(serializers.ModelSerializer):
    """A difference between source and table, what a decision means, and what hangs on it."""

    examples = serializers.SerializerMethodField(help_text="values that were refused, as text")
    decided_by = serializers.CharField(source="decided_by.username", read_only=True, default=None)
    if_accepted = serializers.SerializerMethodField(help_text="what happens then, in words")
    downstream = serializers.SerializerMethodField()

    class Meta:
        model = ContractChange
        fields = read_only_fields = (
            "id",
            "column",
            "change",
            "old",
            "new",
            "examples",
            "rows",
            "status",
            "mapped_to",
            "run",
            "if_accepted",
            "downstream",
            "decided_by",
            "decided_at",
            "created_at",
        )

    def get_examples(self, change: ContractChange) -> list[str]:
        return examples_for(self.context["request"].user, change)

    def get_if_accepted(self, change: ContractChange) -> str:
        return contract_changes.consequence(change) if change.status in contract_changes.OPEN else ""

    @extend_schema_field(DownstreamSerializer(many=True))
    def get_downstream(self, change: ContractChange) -> list[dict[str, str]]:
        if "downstream" not in self.context:  # the same for all changes of a job, so it is asked once
            self.context["downstream"] = contract_changes.downstream(change, self.context["request"].user)
        return self.context["downstream"]


def examples_for(user, change: ContractChange) -> list[str]:
    """The values as this person may see them."""
    rows = [{change.column: value} for value in change.examples]
    return [row[change.column] for row in visible_rows(user, change.job.bronze_name, rows)]


class MappingSerializer(Serializer):
    column = serializers.CharField(max_length=300, help_text="the other name of the column")


class ContractActions:
    """Mixin of the ingest jobs' viewset."""

    @extend_schema(parameters=[STATUS], responses=ContractChangeSerializer(many=True), filters=False)
    @action(detail=True, methods=["get"], url_path="contract-changes")
    def contract_changes(self, request: Request, **kwargs: str) -> Response:
        """Differences between source and table that need a person, the newest first."""
        refuse_unknown_parameters(request, {"status", *LIST_PARAMETERS})
        changes = self._changes()
        if wanted := request.query_params.get("status"):
            if wanted not in ContractChange.Status.values:
                raise InvalidInput([Problem("status", f"There is no status “{wanted}”.", "invalid_choice")])
            changes = changes.filter(status=wanted)
        page = self.paginate_queryset(changes)
        return self.get_paginated_response(self._told(page, many=True).data)

    @extend_schema(request=None, responses=ContractChangeSerializer)
    @action(detail=True, methods=["post"], url_path=f"{_ONE}/accept", url_name="contract-change-accept")
    def accept_contract_change(self, request: Request, change_id: str, **kwargs: str) -> Response:
        """Let the job follow: `if_accepted` says what happens."""
        refuse_body(request)
        return Response(self._told(contract_changes.accept(self._change(change_id), request.user)).data)

    @extend_schema(request=None, responses=ContractChangeSerializer)
    @action(detail=True, methods=["post"], url_path=f"{_ONE}/refuse", url_name="contract-change-refuse")
    def refuse_contract_change(self, request: Request, change_id: str, **kwargs: str) -> Response:
        """Leave it as it is, and do not ask again until it changes again."""
        refuse_body(request)
        return Response(self._told(contract_changes.refuse(self._change(change_id), request.user)).data)

    @extend_schema(request=MappingSerializer, responses=ContractChangeSerializer)
    @action(detail=True, methods=["post"], url_path=f"{_ONE}/map", url_name="contract-change-map")
    def map_contract_change(self, request: Request, change_id: str, **kwargs: str) -> Response:
        """Say that a column of the source and one of the table are the same."""
        body = MappingSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        change = contract_changes.map_to(self._change(change_id), body.validated_data["column"], request.user)
        return Response(self._told(change).data)

    def _changes(self):
        changes = self.get_object().contract_changes.visible_to(self.request.user)
        return changes.select_related("job__workflow", "decided_by")

    def _change(self, change_id: str) -> ContractChange:
        # A decision changes the job, whatever the address of the action is.
        if not self.request.user.has_perm("ingest.change_ingestjob"):
            self.permission_denied(self.request)
        return get_object_or_404(self._changes(), pk=change_id)

    def _told(self, changes, many: bool = False) -> ContractChangeSerializer:
        return ContractChangeSerializer(changes, many=many, context=self.get_serializer_context())
