from typing import Any

from django import forms

from .models import Workflow


class WorkflowForm(forms.ModelForm):
    class Meta:
        model = Workflow
        fields = (
            "name",
            "slug",
            "description",
            "schedule_enabled",
            "schedule_cron",
            "schedule_timezone",
            "on_overlap",
        )
        labels = {
            "slug": "Address",
            "schedule_enabled": "Run on a schedule",
            "schedule_cron": "When (cron)",
            "schedule_timezone": "Time zone",
            "on_overlap": "While one is running",
        }
        help_texts = {
            "slug": "Part of every address and table name, such as shop in bronze.shop.orders. It never changes.",
            "schedule_cron": "minute hour day month weekday: 0 6 * * * is every day at six.",
            "schedule_timezone": "Europe/Berlin, UTC, …",
        }
        widgets = {"description": forms.Textarea(attrs={"rows": 3}), "name": forms.TextInput(attrs={"autofocus": True})}

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.fields["slug"].widget.attrs["data-slug-of"] = "id_name"
        if self.instance.pk:
            self.fields["slug"].disabled = True


class RunForm(forms.Form):
    """What a run is to do. Nothing filled in means all enabled jobs.

    `jobs` are the names that may be chosen.
    """

    what = forms.ChoiceField(
        choices=[("all", "All jobs"), ("some", "Some jobs"), ("failed", "What failed")], required=False
    )
    only = forms.MultipleChoiceField(required=False, label="Jobs")
    start_date = forms.DateField(required=False, label="From")
    end_date = forms.DateField(required=False, label="To")

    def __init__(self, *args, jobs: list[str], **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.fields["only"].choices = [(name, name) for name in jobs]

    def clean(self) -> dict[str, Any]:
        data = super().clean()
        if data.get("what") == "some" and not data.get("only"):
            self.add_error("only", "Choose at least one.")
        return data

    def as_options(self) -> dict[str, Any]:
        """What `services.start_run` takes. A run that goes on from another has its jobs and its window from that."""
        data = self.cleaned_data
        if data["what"] == "failed":
            return {"from_failed": True}
        only = data["only"] if data["what"] == "some" else None
        return {"only": only, "start_date": data["start_date"], "end_date": data["end_date"]}
