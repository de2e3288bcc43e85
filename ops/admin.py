from django.contrib import admin
from django.urls import reverse
from guardian.admin import GuardedModelAdmin
from unfold.admin import TabularInline
from unfold.contrib.filters.admin import ChoicesDropdownFilter, RelatedDropdownFilter
from unfold.decorators import display

from assay.common.admin import LAYER_LABELS, STATUS_LABELS, HistoryAdmin, ReadOnlyAdmin, run_now

from . import services
from .connections import admin as connections  # noqa: F401  (registers itself)
from .models import PipelineRun, Step, StepLog, Workflow


@admin.register(Workflow)
class WorkflowAdmin(GuardedModelAdmin, HistoryAdmin):
    list_display = ("slug", "name", "schedule_cron", "schedule_enabled", "owner", "updated_at")
    list_filter = ("schedule_enabled", ("owner", RelatedDropdownFilter))
    list_select_related = ("owner",)
    search_fields = ("slug", "name", "description")
    readonly_fields = ("next_run_at", "created_at", "updated_at")
    autocomplete_fields = ("owner",)
    actions_detail = ("run",)
    fieldsets = (
        (None, {"fields": ("slug", "name", "description", "owner")}),
        (
            "Schedule",
            {
                "classes": ("tab",),
                "fields": ("schedule_enabled", "schedule_cron", "schedule_timezone", "on_overlap", "next_run_at"),
            },
        ),
        ("Dates", {"classes": ("tab",), "fields": ("created_at", "updated_at")}),
    )
    run = run_now(lambda workflow, user: services.start_run(workflow, user=user), "workflow")

    def get_readonly_fields(self, request, obj=None):
        # Addresses and tables carry the slug.
        return (*self.readonly_fields, "slug") if obj else self.readonly_fields

    def view_on_site(self, workflow) -> str:
        return reverse("ops:workflow-detail", args=[workflow.slug])


class StepInline(TabularInline):
    model = Step
    tab = True
    extra = 0
    can_delete = False
    fields = readonly_fields = (
        *("job_name", "layer", "status", "attempt", "start_time", "end_time"),
        *("rows_read", "rows_written", "quarantined_rows"),
    )

    def has_add_permission(self, request, obj=None) -> bool:
        return False

    def has_change_permission(self, request, obj=None) -> bool:
        return False


@admin.register(PipelineRun)
class PipelineRunAdmin(ReadOnlyAdmin):
    list_display = ("id", "workflow", "shown_status", "trigger", "start_time", "end_time", "started_by")
    list_filter = (("status", ChoicesDropdownFilter), ("workflow", RelatedDropdownFilter), "trigger")
    list_select_related = ("workflow", "started_by")
    search_fields = ("=id", "workflow__slug")
    inlines = (StepInline,)

    @display(description="Status", ordering="status", label=STATUS_LABELS)
    def shown_status(self, run) -> str:
        return run.status

    def view_on_site(self, run) -> str:
        return reverse("ops:run-detail", args=[run.pk])


@admin.register(Step)
class StepAdmin(ReadOnlyAdmin):
    list_display = ("id", "pipeline_run", "job_name", "shown_layer", "shown_status", "attempt", "start_time", "worker")
    list_filter = (("status", ChoicesDropdownFilter), "layer", "kind")
    list_select_related = ("pipeline_run__workflow",)
    search_fields = ("job_name",)
    exclude = ("token",)  # who holds it may end the step

    @display(description="Status", ordering="status", label=STATUS_LABELS)
    def shown_status(self, step) -> str:
        return step.status

    @display(description="Layer", ordering="layer", label=LAYER_LABELS)
    def shown_layer(self, step) -> str:
        return step.layer


@admin.register(StepLog)
class StepLogAdmin(ReadOnlyAdmin):
    list_display = ("at", "level", "message", "step")
    list_filter = ("level",)
    list_select_related = ("step",)
    search_fields = ("message",)
