"""Fields of the API that several apps show."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from .columns import ColumnOptions


class ColumnSerializer(serializers.Serializer):
    name = serializers.CharField()
    type = serializers.CharField()
    nullable = serializers.BooleanField()


@extend_schema_field({"type": "array", "items": ColumnOptions.model_json_schema()})
class ColumnsField(serializers.JSONField):
    """Declared columns, `[{name, type, nullable}]`; the model's validation looks at them."""
