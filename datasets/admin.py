from copy import deepcopy

from django import forms
from django.contrib import admin
from django.urls import reverse
from unfold.contrib.filters.admin import ChoicesDropdownFilter, RelatedDropdownFilter
from unfold.decorators import display

from assay.common.admin import LAYER_LABELS, STATUS_LABELS, HistoryAdmin, ReadOnlyAdmin, run_now
from ops import services

from .authors import AuthoredAdmin, AuthoredForm
from .connection_rules import use_problems
from .forms import FillsIn
from .metrics import admin as metrics_admin  # noqa: F401  (registers)
from .models import DatasetJob, DatasetRun


class DatasetJobForm(AuthoredForm, FillsIn, forms.ModelForm):
    def _post_clean(self) -> None:
        """Django's hook after the record has what was filled in."""
        before = deepcopy(self.instance.config) if self.instance.pk else {}
        super()._post_clean()
        for problem in use_problems(self.instance, before, self.user):
            self.add_error("config", problem.detail)


@admin.register(DatasetJob)
class DatasetJobAdmin(AuthoredAdmin, HistoryAdmin):
    form = DatasetJobForm
    list_display = (
        "name",
        "workflow",
        "shown_layer",
        "dataset_type",
        "transform_type",
        "engine",
        "enabled",
        "updated_at",
    )
    list_filter = (
        ("workflow", RelatedDropdownFilter),
        "layer",
        ("dataset_type", ChoicesDropdownFilter),
        ("transform_type", ChoicesDropdownFilter),
        "enabled",
    )
    list_select_related = ("workflow",)
    search_fields = ("name", "description", "workflow__slug")
    autocomplete_fields = ("workflow",)
    actions_detail = ("run",)
    run = run_now(lambda job, user: services.start_job_run(job.layer, job, user=user), "job")
    fieldsets = (
        (None, {"fields": ("workflow", "layer", "name", "description", "dataset_type", "grain", "enabled")}),
        (
            "Made by",
            {"classes": ("tab",), "fields": ("inputs", "transform_type", "sql_text", "config", "engine")},
        ),
        ("Columns", {"classes": ("tab",), "fields": ("target_schema", "change_pattern", "merge_keys")}),
        ("Loading", {"classes": ("tab",), "fields": ("refresh_mode", "partition_by", "format", "compression")}),
        ("About", {"classes": ("tab",), "fields": ("primary_use_case", "data_quality")}),
    )

    @display(description="Layer", ordering="layer", label=LAYER_LABELS)
    def shown_layer(self, job) -> str:
        return job.layer

    def get_readonly_fields(self, request, obj=None):
        return ("workflow", "layer", "name") if obj else ()

    def view_on_site(self, job) -> str:
        return reverse("datasets:job-detail", args=[job.workflow.slug, job.layer, job.name])


@admin.register(DatasetRun)
class DatasetRunAdmin(ReadOnlyAdmin):
    list_display = ("id", "job", "shown_status", "rows_read", "rows_written", "table_version", "start_time")
    list_filter = (("status", ChoicesDropdownFilter), "trigger")
    list_select_related = ("job__workflow",)
    search_fields = ("job__name",)

    @display(description="Status", ordering="status", label=STATUS_LABELS)
    def shown_status(self, run) -> str:
        return run.status
