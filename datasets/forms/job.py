"""The form itself."""

from __future__ import annotations

from copy import deepcopy
from typing import Any, ClassVar

from django import forms
from django.contrib.auth.models import AbstractBaseUser

from assay.common.option_kinds import kind_of
from assay.common.option_nodes import Node, Words, rows_node
from assay.common.option_texts import join_names, split_names
from datasets.connection_rules import use_problems
from datasets.models import DatasetJob, DatasetType, Engine, RefreshMode, TransformType
from datasets.transforms import TRANSFORMS
from datasets.validation import DATASET_TYPES, fill_in

from .cards import CARDS
from .deep import DeepFields, TreeField

NAMES = kind_of(list[str])
LISTS = ("partition_by", "merge_keys")  # columns of the result
STORED = ("inputs", "config", "transform_type")
_NO_SPELLING = {"spellcheck": "false", "autocomplete": "off"}


class FillsIn:
    """Mixin for a ModelForm: aliases and the types that the query gives are filled in as the API does."""

    def _post_clean(self) -> None:
        """Django's hook for the model's own validation: filled in before that is asked."""
        self.instance = forms.models.construct_instance(self, self.instance, self._meta.fields, self._meta.exclude)
        fill_in(self.instance)
        super()._post_clean()


class DatasetJobForm(FillsIn, DeepFields, forms.ModelForm):
    """Fields of the model, and for each template the fields of its declared options."""

    columns_field = "target_schema"

    inputs = TreeField(label="Inputs")
    config = TreeField(label="Options")
    types_from = forms.ChoiceField(
        choices=[("query", "As the query gives them"), ("person", "As set here")],
        initial="query",
        required=False,
        label="Types",
    )
    partition_by = forms.CharField(required=False, label="Partition by", help_text="A folder for each value.")
    merge_keys = forms.CharField(required=False, label="Merge by", help_text="What says that two rows are the same.")

    class Meta:
        model = DatasetJob
        fields = (
            *("name", "description", "dataset_type", "grain", "change_pattern", "primary_use_case", "transform_type"),
            *("sql_text", "engine", "refresh_mode", "compression", "enabled"),
        )
        labels: ClassVar = {
            "dataset_type": "Kind",
            "transform_type": "Made by",
            "sql_text": "SQL",
            "grain": "One row is",
            "change_pattern": "How it changes",
            "primary_use_case": "What it is for",
            "refresh_mode": "Each run",
        }
        help_texts: ClassVar = {
            "name": "Lower-case letters, digits, - and _. It names the table and never changes.",
            "grain": "Such as “one row per order”.",
        }
        widgets: ClassVar = {
            "name": forms.TextInput(attrs=_NO_SPELLING),
            "description": forms.TextInput,
            "primary_use_case": forms.TextInput,
            "sql_text": forms.Textarea(attrs={"rows": 14, "spellcheck": "false"}),
            "transform_type": forms.RadioSelect,
        }

    def __init__(self, *args, user: AbstractBaseUser, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.user = user  # who saves it, and may let it use a connection or not
        self.instance.author = user
        self.layer = self.instance.layer
        self.stored = {name: deepcopy(getattr(self.instance, name)) for name in STORED}
        here = [transform for transform in TRANSFORMS.values() if self.layer in transform.layers]
        names, modes = {each.name for each in here}, {mode for each in here for mode in each.refresh_modes}
        engines = {"default", *(engine for each in here for engine in each.engines)}
        types = DATASET_TYPES[self.layer]
        self.fields["dataset_type"].choices = [(t.value, t.label) for t in DatasetType if t.value in types]
        self.fields["transform_type"].choices = [(t.value, t.label) for t in TransformType if t.value in names]
        self.fields["refresh_mode"].choices = [(m.value, m.label) for m in RefreshMode if m.value in modes]
        self.fields["engine"].choices = [(e.value, e.label) for e in Engine if e.value in engines]
        self.initial |= {name: join_names(getattr(self.instance, name)) for name in LISTS}
        self.initial["types_from"] = "person" if self.instance.target_schema else "query"
        if self.instance.pk:
            self.fields["name"].disabled = True

    @property
    def read_at(self) -> str:
        """Which state of the job the page shows: sent back with it, it tells whether somebody was quicker."""
        return self.instance.updated_at.isoformat() if self.instance.pk else ""

    @property
    def is_outdated(self) -> bool:
        return bool(self.read_at) and self.data.get("read_at", self.read_at) != self.read_at

    # --- for the template -------------------------------------------------------------

    @property
    def cards(self) -> list[dict[str, Any]]:
        """The choices of `transform_type`."""
        chosen = self["transform_type"].value()
        names = [name for name, transform in TRANSFORMS.items() if self.layer in transform.layers]
        return [{"value": name, "card": CARDS.get(name), "is_chosen": name == chosen} for name in names]

    @property
    def facts(self) -> dict[str, dict[str, Any]]:
        """What each template can, for the form's script."""
        return {name: _facts(name) for name, transform in TRANSFORMS.items() if self.layer in transform.layers}

    @property
    def lists(self) -> dict[str, Node]:
        """The fields of `LISTS` as lists of columns."""
        return {name: self._names_node(name) for name in LISTS}

    def _names_node(self, name: str) -> Node:
        field = self[name]
        node = rows_node(NAMES, name, split_names(field.value()), Words())
        node.label, node.help, node.errors = field.label, field.help_text, list(field.errors)
        node.marks = frozenset({"result"})
        return node

    # --- what was posted ----------------------------------------------------------------

    def clean(self) -> dict[str, Any]:
        data, job = super().clean(), self.instance
        job.transform_type = data.get("transform_type") or job.transform_type
        job.inputs = self.read_inputs()
        job.config = self.read_config(job.transform_type)
        for name in LISTS:
            self._clean_list(name, data)
        job.target_schema = self.columns if data.get("types_from") == "person" else []
        if job.transform_type != TransformType.SQL:
            data["sql_text"] = ""
        self.keep(use_problems(job, self.stored["config"], self.user))
        return data

    def _clean_list(self, name: str, data: dict[str, Any]) -> None:
        """A list that is hidden, because it does not go with the refresh mode, is not saved."""
        stored, text = getattr(self.instance, name), data.get(name) or ""
        is_meant = name != "merge_keys" or data.get("refresh_mode") == RefreshMode.MERGE
        if text != join_names(stored):
            setattr(self.instance, name, split_names(text) if is_meant else [])


def _facts(name: str) -> dict[str, Any]:
    transform, card = TRANSFORMS[name], CARDS.get(name)
    return {
        "engines": list(transform.engines),
        "modes": list(transform.refresh_modes),
        "one_input": transform.one_input,
        "dataset_type": card.dataset_type if card else "",
        "change_pattern": card.change_pattern if card else "",
    }
