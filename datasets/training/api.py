"""`…/gold-jobs/{name}/card/`: what is in a training or feature set, as JSON and as Markdown."""

from __future__ import annotations

from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from assay.common.api import refuse_unknown_parameters

from . import services


class EntityFactsSerializer(serializers.Serializer):
    alias = serializers.CharField()
    key_columns = serializers.ListField(child=serializers.CharField())
    as_of_column = serializers.CharField()

    def get_fields(self) -> dict[str, serializers.Field]:
        # `from` is a word of Python.
        bounds = {name: serializers.CharField(allow_null=True) for name in ("from", "to")}
        return {**super().get_fields(), **bounds}


class CardSerializer(serializers.Serializer):
    """What the last run tells of its set."""

    dataset = serializers.CharField()
    description = serializers.CharField()
    grain = serializers.CharField()
    run_id = serializers.UUIDField()
    table_version = serializers.IntegerField()
    created_at = serializers.DateTimeField()
    digest = serializers.CharField(help_text="SHA-256 over the SHA-256 of its files")
    repeat_of = serializers.UUIDField(allow_null=True)
    rebuilt_the_same = serializers.BooleanField(allow_null=True, help_text="whether a repetition has equal bytes")
    kind = serializers.ChoiceField(["training set", "feature set"])
    rows = serializers.IntegerField()
    entities = serializers.IntegerField(help_text="different keys")
    entity = EntityFactsSerializer()
    read = serializers.IntegerField(help_text="rows of the entity's input = rows + dropped")
    dropped = serializers.DictField(child=serializers.IntegerField(), help_text="rows by the rule that left them out")
    label = serializers.DictField(allow_null=True, help_text="definition; balance or quantiles, by part")
    split = serializers.DictField(allow_null=True, help_text="method, seed, key, shares; rows by part")
    features = serializers.ListField(child=serializers.DictField(), help_text="origin, nulls and why, values")
    inputs = serializers.ListField(child=serializers.DictField(), help_text="{dataset, alias, version}")
    engine = serializers.CharField()
    run_time = serializers.DateTimeField()
    leakage = serializers.DictField(help_text="{passed, entities, changed_rows, not_tested, detail}")
    warnings = serializers.ListField(child=serializers.DictField(), help_text="{code, text}")


class CardActions:
    """For the endpoint of the jobs."""

    @extend_schema(responses=CardSerializer)
    @action(detail=True, methods=["get"])
    def card(self, request: Request, **kwargs: str) -> Response:
        """The dataset card of a training or feature set; 404 before its first run."""
        refuse_unknown_parameters(request)
        return Response(self._card())

    @extend_schema(responses={(200, "text/markdown"): OpenApiTypes.STR})
    def card_markdown(self, request: Request, **kwargs: str) -> HttpResponse:
        """The card as a file in Markdown, at `card.md`."""
        refuse_unknown_parameters(request)
        card = self._card()
        name = f"{card['dataset']}-v{card['table_version']}.md"
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        return HttpResponse(services.as_markdown(card), content_type="text/markdown; charset=utf-8", headers=headers)

    def _card(self) -> dict:
        run = services.latest_run(self.get_object(), self.request.user)
        if run is None:
            raise NotFound(
                "No run of this job has told a card. Training and feature sets have one after their first run."
            )
        return services.card_of(run)
