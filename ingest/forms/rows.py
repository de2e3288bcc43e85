"""Fields that are a list of rows, drawn with a button that adds one (forms.js)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django import forms
from django.template.loader import render_to_string


class PairsWidget(forms.Widget):
    """Names and values. They are posted as two lists, `NAME_key` and `NAME_value`."""

    def value_from_datadict(self, data, files, name) -> list[tuple[str, str]]:
        if not hasattr(data, "getlist"):
            return data.get(name) or []
        return list(zip(data.getlist(f"{name}_key"), data.getlist(f"{name}_value"), strict=False))

    def value_omitted_from_data(self, data, files, name) -> bool:
        return f"{name}_key" not in data

    def render(self, name, value, attrs=None, renderer=None):
        pairs = list(_pairs(value)) if isinstance(value, dict) else list(value or [])
        return render_to_string("ingest/partials/pairs.html", {"name": name, "pairs": [*pairs, ("", "")]})

    def id_for_label(self, id_: str) -> str:
        return f"{id_}_key"


def _pairs(value: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, one in value.items():
        yield from ((name, each) for each in (one if isinstance(one, list) else [one]))


class PairsField(forms.Field):
    """`{name: value}`; rows without a name are left out. A name that is given twice has a list, where that is taken."""

    widget = PairsWidget

    def __init__(self, *, takes_lists: bool = False, **kwargs) -> None:
        super().__init__(**kwargs)
        self.takes_lists = takes_lists

    def clean(self, value: list[tuple[str, str]]) -> dict[str, Any]:
        found: dict[str, list[str]] = {}
        for name, text in value:
            if name.strip():
                found.setdefault(name.strip(), []).append(text.strip())
        twice = next((name for name, texts in found.items() if len(texts) > 1), None)
        if twice and not self.takes_lists:
            raise forms.ValidationError(f"“{twice}” is given twice.")
        return {name: texts if len(texts) > 1 else texts[0] for name, texts in found.items()}
