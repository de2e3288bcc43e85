"""The form of a Silver or Gold job: fields that people know, made into the model's JSON and validated by the model."""

from __future__ import annotations

from typing import Any

from django import forms

from assay.common.column_fields import ColumnFields

from .models import DatasetJob, DatasetType, RefreshMode, TransformType
from .transforms import TRANSFORMS
from .validation import DATASET_TYPES, fill_in

# What this version can run; the rest may be kept through the API.
ENGINES = ("default", "polars", "duckdb")
REFRESH_MODES = ("full_refresh", "overwrite_partition", "append")
GRAINS = ("hour", "day", "week", "month", "quarter", "year")
_FIELD_OF = {
    "config.base": "base",
    "config.time_column": "time_column",
    "config.time_grain": "time_grain",
    "config.dimensions": "dimensions",
    "config.metrics": "metrics",
    "config.fill_gaps": "fill_gaps",
    "inputs": "inputs",
}


def split_names(text: str) -> list[str]:
    return [name.strip() for name in (text or "").split(",") if name.strip()]


class RowsField(forms.Field):
    """Stands for a list that the template draws by itself: it carries the list's errors."""

    widget = forms.MultipleHiddenInput

    def __init__(self, **kwargs) -> None:
        super().__init__(required=False, **kwargs)


class FillsIn:
    """Mixin for a ModelForm: aliases and the types that the query gives are filled in as the API does."""

    def _post_clean(self) -> None:
        """Django's hook for the model's own validation: filled in before that is asked."""
        self.instance = forms.models.construct_instance(self, self.instance, self._meta.fields, self._meta.exclude)
        fill_in(self.instance)
        super()._post_clean()


class DatasetJobForm(FillsIn, ColumnFields, forms.ModelForm):
    columns_field = "target_schema"
    field_of = _FIELD_OF

    inputs = RowsField(label="Inputs")
    metrics = RowsField(label="Metrics")
    types_from = forms.ChoiceField(
        choices=[("query", "As the query gives them"), ("person", "As set here")],
        initial="query",
        required=False,
        label="Types",
    )
    partition_by = forms.CharField(
        required=False, label="Partition by", help_text="Columns, separated by commas. Needed to overwrite partitions."
    )
    base = forms.CharField(required=False, label="Input", help_text="The alias of the input that is counted.")
    time_column = forms.CharField(required=False, label="Time column")
    time_grain = forms.ChoiceField(
        choices=[(grain, grain) for grain in GRAINS], initial="day", required=False, label="By"
    )
    dimensions = forms.CharField(required=False, help_text="Columns to group by, separated by commas.")
    fill_gaps = forms.BooleanField(required=False, label="A row also for a period in which nothing happened")

    class Meta:
        model = DatasetJob
        fields = (
            *("name", "description", "dataset_type", "grain", "transform_type", "sql_text"),
            *("engine", "refresh_mode", "compression", "enabled"),
        )
        labels = {"dataset_type": "Kind", "transform_type": "Made by", "sql_text": "SQL", "grain": "One row is"}
        help_texts = {
            "name": "Lower-case letters, digits, - and _. It names the table and never changes.",
            "grain": "Such as “one row per order”.",
        }
        widgets = {
            "description": forms.TextInput,
            "sql_text": forms.Textarea(attrs={"rows": 14, "spellcheck": "false"}),
        }

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.layer = self.instance.layer
        types = DATASET_TYPES[self.layer]
        self.fields["dataset_type"].choices = [(t.value, t.label) for t in DatasetType if t.value in types]
        self.fields["transform_type"].choices = [
            (t.value, t.label)
            for t in TransformType
            if TRANSFORMS[t.value].available and self.layer in TRANSFORMS[t.value].layers
        ]
        self.fields["refresh_mode"].choices = [(m.value, m.label) for m in RefreshMode if m.value in REFRESH_MODES]
        self.fields["engine"].choices = [(v, label) for v, label in self.fields["engine"].choices if v in ENGINES]
        self.initial |= self._from_json()
        if self.instance.pk:
            self.fields["name"].disabled = True

    def _from_json(self) -> dict[str, Any]:
        job, config = self.instance, self.instance.config or {}
        names = ("base", "time_column", "time_grain", "fill_gaps")
        return {
            **{name: config[name] for name in names if name in config},
            "dimensions": ", ".join(config.get("dimensions", [])),
            "partition_by": ", ".join(job.partition_by),
            "types_from": "person" if job.target_schema else "query",
        }

    @property
    def coming(self) -> list[str]:
        """Templates of this layer that can be kept, but not run yet."""
        kinds = (t for t in TransformType if self.layer in TRANSFORMS[t.value].layers)
        return [t.label for t in kinds if not TRANSFORMS[t.value].available]

    @property
    def input_rows(self) -> list[dict[str, str]]:
        if not self.is_bound:
            return self.instance.inputs
        return self._rows("input", ("dataset", "alias"))

    @property
    def metric_rows(self) -> list[dict[str, str]]:
        if not self.is_bound:
            return (self.instance.config or {}).get("metrics", [])
        return self._rows("metric", ("name", "expression", "filter"))

    def _rows(self, prefix: str, parts: tuple[str, ...]) -> list[dict[str, str]]:
        """Parallel posted lists as dicts; rows and values that were left empty are left out."""
        lists = (self.data.getlist(f"{prefix}_{part}") for part in parts)
        rows = (dict(zip(parts, values, strict=True)) for values in zip(*lists, strict=False))
        kept = ({part: value.strip() for part, value in row.items() if value.strip()} for row in rows)
        return [row for row in kept if row]

    def clean(self) -> dict:
        data = super().clean()
        job = self.instance
        job.inputs = [row for row in self.input_rows if row.get("dataset")]
        job.partition_by = split_names(data.get("partition_by", ""))
        job.target_schema = self.columns if data.get("types_from") == "person" else []
        is_template = data.get("transform_type") == TransformType.METRICS_AGGREGATE
        job.config = self._metrics_config(data) if is_template else {}
        if is_template:
            data["sql_text"] = ""
        return data

    def _metrics_config(self, data: dict) -> dict[str, Any]:
        return {
            "base": data.get("base") or "",
            "time_column": data.get("time_column") or "",
            "time_grain": data.get("time_grain") or "day",
            "dimensions": split_names(data.get("dimensions", "")),
            "metrics": self.metric_rows,
            "fill_gaps": data.get("fill_gaps", False),
        }
