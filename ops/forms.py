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
