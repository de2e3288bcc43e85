"""The days that a run is about."""

from __future__ import annotations

from typing import Any

from django import forms

from ingest import watermarks
from ingest.models import IngestJob


class WindowForm(forms.Form):
    """Both days, both included, or neither: then the run is one as always."""

    start_date = forms.DateField(required=False, label="From")
    end_date = forms.DateField(required=False, label="To")

    def __init__(self, *args, job: IngestJob, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.job = job

    def clean(self) -> dict[str, Any]:
        data = super().clean()
        if any(data.values()):
            if problem := watermarks.window_problem(self.job):
                raise forms.ValidationError(problem)
            if not all(data.get(name) for name in self.fields):
                raise forms.ValidationError("Give both days, or none.")
        return data

    @property
    def told(self) -> str:
        """What is wrong, in one line."""
        return " ".join(error for errors in self.errors.values() for error in errors)
