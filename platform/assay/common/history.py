"""Who changed what and when, from the rows that simple_history keeps."""

from __future__ import annotations

from typing import Any

from django.db import models
from rest_framework import serializers

_CHANGE = {"+": "created", "~": "changed", "-": "deleted"}
_NOT_TOLD = frozenset({"id", "created_at", "updated_at"})


class FieldChangeSerializer(serializers.Serializer):
    field = serializers.CharField()
    old = serializers.JSONField()
    new = serializers.JSONField()


class HistorySerializer(serializers.Serializer):
    """One version of a record; what was made first is version 1."""

    version = serializers.IntegerField()
    at = serializers.DateTimeField()
    by = serializers.CharField(allow_null=True)
    change = serializers.ChoiceField(choices=sorted(_CHANGE.values()))
    changes = FieldChangeSerializer(many=True)


def history_of(record: models.Model) -> list[dict[str, Any]]:
    """Every version, the newest first, with the fields that differ from the one before.

    Where nothing differs, somebody only pressed “Save”: that is no version.
    """
    rows = list(record.history.select_related("history_user").order_by("history_date", "history_id"))
    versions, before = [], None
    for row in rows:
        changes = _changes(before, row)
        before = row
        if changes or row.history_type != "~":
            by = row.history_user.get_username() if row.history_user else None
            entry = {"at": row.history_date, "by": by, "change": _CHANGE[row.history_type], "changes": changes}
            versions.append({"version": len(versions) + 1, **entry})
    return versions[::-1]


def _changes(before: Any, after: Any) -> list[dict[str, Any]]:
    if before is None:
        return []
    fields = [field for field in after.tracked_fields if field.name not in _NOT_TOLD]
    pairs = ((field.name, getattr(before, field.attname), getattr(after, field.attname)) for field in fields)
    return [{"field": name, "old": _plain(old), "new": _plain(new)} for name, old, new in pairs if old != new]


def _plain(value: Any) -> Any:
    return value if isinstance(value, str | int | float | bool | list | dict | None) else str(value)
