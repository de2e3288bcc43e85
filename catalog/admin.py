from django.contrib import admin
from django.urls import reverse
from guardian.admin import GuardedModelAdmin
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.decorators import display

from assay.common.admin import LAYER_LABELS, HistoryAdmin, ReadOnlyAdmin

from .models import Dataset, DatasetVersion


@admin.register(Dataset)
class DatasetAdmin(GuardedModelAdmin, HistoryAdmin):
    """What jobs declare is theirs: a person changes what it means, not what it is."""

    list_display = ("name", "shown_layer", "type", "rows", "version", "published_at")
    list_filter = (("layer", ChoicesDropdownFilter), "type")
    search_fields = ("name", "description")
    fields = (
        *("name", "layer", "workflow", "type", "description", "grain", "path", "columns"),
        *("version", "rows", "size_bytes", "files", "published_at"),
    )

    @display(description="Layer", ordering="layer", label=LAYER_LABELS)
    def shown_layer(self, dataset) -> str:
        return dataset.layer

    def get_readonly_fields(self, request, obj=None):
        return [name for name in self.fields if name not in ("description", "grain")]

    def has_add_permission(self, request) -> bool:
        return False

    def view_on_site(self, dataset) -> str:
        return reverse("catalog:dataset-detail", args=[dataset.name])


@admin.register(DatasetVersion)
class DatasetVersionAdmin(ReadOnlyAdmin):
    list_display = ("dataset", "version", "rows", "rows_written", "size_bytes", "published_at")
    list_select_related = ("dataset",)
    search_fields = ("dataset__name",)
