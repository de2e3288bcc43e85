from django.contrib import admin
from django.urls import reverse
from unfold.contrib.filters.admin import ChoicesDropdownFilter

from assay.common.admin import HistoryAdmin
from datasets.authors import AuthoredAdmin

from . import uses
from .models import MetricDefinition


@admin.register(MetricDefinition)
class MetricDefinitionAdmin(AuthoredAdmin, HistoryAdmin):
    list_display = ("name", "title", "dataset", "additivity", "unit", "owner", "updated_at")
    list_filter = (("additivity", ChoicesDropdownFilter),)
    list_select_related = ("owner",)
    search_fields = ("name", "title", "description", "dataset")
    readonly_fields = ("created_at", "updated_at")
    fieldsets = (
        (None, {"fields": ("name", "title", "description", "owner", "unit", "additivity")}),
        ("Formula", {"classes": ("tab",), "fields": ("dataset", "expression", "filter", "numerator", "denominator")}),
    )

    def get_readonly_fields(self, request, obj=None):
        return (*self.readonly_fields, "name") if obj else self.readonly_fields

    def has_delete_permission(self, request, obj=None) -> bool:
        # What jobs and ratios name stays: its page says which they are.
        return super().has_delete_permission(request, obj) and not (obj and uses.told(obj.name, request.user))

    def get_actions(self, request):
        return {}  # deleting many at once would not look at who uses them

    def view_on_site(self, definition) -> str:
        return reverse("datasets:metric-detail", args=[definition.name])
