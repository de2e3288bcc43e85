"""The form of a metric definition: a measure by an expression, or a ratio of two others."""

from __future__ import annotations

from typing import Any

from django import forms

from catalog.models import Dataset, Layer

from .models import Additivity, MetricDefinition
from .validation import fill_in

DATASETS_OFFERED = 1000


class MetricForm(forms.ModelForm):
    kind = forms.ChoiceField(
        choices=[("measure", "A measure"), ("ratio", "A ratio of two measures")], initial="measure", label="It is"
    )

    class Meta:
        model = MetricDefinition
        fields = (
            *("name", "title", "description", "owner", "unit", "dataset", "expression", "filter"),
            *("numerator", "denominator", "additivity"),
        )
        labels = {"dataset": "Measured in", "filter": "Only where", "additivity": "Its values"}
        help_texts = {
            "name": "Lower-case letters, digits and _. Jobs use it; it never changes.",
            "title": "What charts call it.",
            "dataset": "layer.workflow.name of the table whose rows are counted.",
            "expression": "An aggregate, such as sum(amount) or count(distinct customer_id).",
            "filter": "A condition on the rows it counts, such as status = 'paid'.",
            "unit": "EUR, %, orders.",
            "additivity": "Whether charts and totals may sum them.",
        }
        widgets = {
            "description": forms.TextInput,
            "dataset": forms.TextInput(attrs={"list": "as-datasets", "autocomplete": "off", "spellcheck": "false"}),
            "expression": forms.TextInput(attrs={"class": "as-mono", "autocomplete": "off", "spellcheck": "false"}),
            "filter": forms.TextInput(attrs={"class": "as-mono", "autocomplete": "off", "spellcheck": "false"}),
        }

    def __init__(self, *args, user, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.instance.author = user
        visible = MetricDefinition.objects.visible_to(user)
        for side in ("numerator", "denominator"):
            self.fields[side].queryset = visible.filter(numerator=None).exclude(pk=self.instance.pk)
        self.fields["additivity"].required = False
        self.fields["owner"].empty_label = "nobody"
        self.offered = list(
            Dataset.objects.visible_to(user).exclude(layer=Layer.LANDING).values_list("name", flat=True)
        )[:DATASETS_OFFERED]
        if self.instance.pk:
            self.fields["name"].disabled = True
        if self.instance.is_ratio:
            self.initial["kind"] = "ratio"

    def clean(self) -> dict[str, Any]:
        """What belongs to the other kind was hidden: it is not meant."""
        data = super().clean()
        if data.get("kind") == "ratio":
            data |= {"expression": "", "filter": "", "additivity": Additivity.NON_ADDITIVE}
            parts = [data.get("numerator"), data.get("denominator")]
            data["dataset"] = parts[0].dataset if parts[0] else data.get("dataset", "")
        else:
            data |= {"numerator": None, "denominator": None}
            data["additivity"] = data.get("additivity") or Additivity.ADDITIVE
        return data

    def _post_clean(self) -> None:
        fill_in(self.instance)
        super()._post_clean()
