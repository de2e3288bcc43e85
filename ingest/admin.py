from copy import deepcopy

from django import forms
from django.contrib import admin
from django.urls import reverse
from unfold.contrib.filters.admin import ChoicesDropdownFilter, RelatedDropdownFilter
from unfold.decorators import display

from assay.common.admin import STATUS_LABELS, HistoryAdmin, ReadOnlyAdmin, run_now
from assay.common.pages import tell
from ops import services
from workers.errors import AssayError

from . import watermarks
from .models import ContractChange, ErrorHandling, IngestJob, IngestRun, LoadedFile, Upload, WatermarkChange
from .validation import use_problems


class IngestJobForm(forms.ModelForm):
    def clean(self) -> dict:
        """Where no path for bad rows was given it is made from the names, as in the API."""
        data = super().clean()
        workflow, name = data.get("workflow", self.instance.workflow_id and self.instance.workflow), data.get("name")
        if data.get("error_handling") == ErrorHandling.QUARANTINE and not data.get("quarantine_path") and workflow:
            data["quarantine_path"] = f"quarantine/{workflow.slug}/{name or self.instance.name}"
        return data

    def _post_clean(self) -> None:
        """Django's hook after the record has what was filled in."""
        before = deepcopy(self.instance.config) if self.instance.pk else {}
        super()._post_clean()
        for problem in use_problems(self.instance, before, self.user):
            self.add_error("config", problem.detail)


@admin.register(IngestJob)
class IngestJobAdmin(HistoryAdmin):
    form = IngestJobForm
    list_display = ("name", "workflow", "source_type", "format", "error_handling", "enabled", "updated_at")
    list_filter = (("workflow", RelatedDropdownFilter), ("source_type", ChoicesDropdownFilter), "format", "enabled")
    list_select_related = ("workflow",)
    search_fields = ("name", "description", "workflow__slug")
    autocomplete_fields = ("workflow",)
    actions_detail = ("run",)
    run = run_now(lambda job, user: services.start_job_run("ingest", job, user=user), "job")
    fieldsets = (
        (None, {"fields": ("workflow", "name", "description", "enabled", "is_reference")}),
        ("Source", {"classes": ("tab",), "fields": ("source_type", "format", "config")}),
        ("Types", {"classes": ("tab",), "fields": ("schema_mode", "user_schema", "column_mapping")}),
        (
            "Loading",
            {
                "classes": ("tab",),
                "fields": (
                    *("incremental_mode", "watermark_column", "last_watermark_value", "watermark_lag"),
                    *("write_mode", "key_columns", "delete_detection", "skip_loaded_files"),
                ),
            },
        ),
        (
            "Bad rows",
            {"classes": ("tab",), "fields": ("error_handling", "quarantine_path", "bad_row_threshold")},
        ),
        (
            "Files",
            {"classes": ("tab",), "fields": ("partition_mode", "partition_pattern", "compression", "force_to_parquet")},
        ),
    )

    def get_form(self, request, *args, **kwargs):
        form = super().get_form(request, *args, **kwargs)  # a class of its own for each request
        form.user = request.user
        return form

    def get_readonly_fields(self, request, obj=None):
        return ("workflow", "name") if obj else ()

    def save_model(self, request, job, form, change):
        super().save_model(request, job, form, change)
        try:
            watermarks.adopt(job, request.user)
        except AssayError as error:
            tell(request, error)

    def view_on_site(self, job) -> str:
        return reverse("ingest:job-detail", args=[job.workflow.slug, job.name])


@admin.register(IngestRun)
class IngestRunAdmin(ReadOnlyAdmin):
    list_display = ("id", "job", "shown_status", "rows_read", "rows_written", "quarantined_rows", "start_time")
    list_filter = (("status", ChoicesDropdownFilter), "trigger", ("job", RelatedDropdownFilter))
    list_select_related = ("job__workflow",)
    search_fields = ("job__name",)

    @display(description="Status", ordering="status", label=STATUS_LABELS)
    def shown_status(self, run) -> str:
        return run.status


@admin.register(LoadedFile)
class LoadedFileAdmin(ReadOnlyAdmin):
    list_display = ("name", "job", "size", "is_current", "loaded_by", "run")
    list_filter = (("job", RelatedDropdownFilter), "is_current")
    list_select_related = ("job__workflow", "run__job")
    search_fields = ("name", "sha256", "job__name")


@admin.register(WatermarkChange)
class WatermarkChangeAdmin(ReadOnlyAdmin):
    list_display = ("job", "value", "previous", "cause", "changed_by", "created_at")
    list_filter = (("job", RelatedDropdownFilter), ("cause", ChoicesDropdownFilter))
    list_select_related = ("job__workflow", "changed_by")
    search_fields = ("job__name", "reason")


@admin.register(ContractChange)
class ContractChangeAdmin(ReadOnlyAdmin):
    """Decided on the job's page, where it shows what hangs on it."""

    list_display = ("job", "column", "change", "old", "new", "rows", "shown_status", "decided_by")
    list_filter = (("job", RelatedDropdownFilter), ("status", ChoicesDropdownFilter), "change")
    list_select_related = ("job__workflow", "decided_by")
    search_fields = ("job__name", "column")

    @display(
        description="Status",
        ordering="status",
        label={"pending": "warning", "accepted": "success", "mapped": "info", "refused": "danger"},
    )
    def shown_status(self, change) -> str:
        return change.status


@admin.register(Upload)
class UploadAdmin(ReadOnlyAdmin):
    list_display = ("name", "size", "sha256", "created_by", "created_at")
    list_select_related = ("created_by",)
    search_fields = ("name", "sha256")
