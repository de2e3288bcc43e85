"""What every ModelAdmin stands on: Unfold's look, the policy, readable JSON, and records that nobody edits."""

from __future__ import annotations

import json
from collections.abc import Callable

from django.contrib import messages
from django.contrib.admin.utils import unquote
from django.db import models
from django.http import Http404
from django.urls import reverse
from django_htmx.http import HttpResponseClientRedirect
from simple_history.admin import SimpleHistoryAdmin
from unfold.admin import ModelAdmin as UnfoldModelAdmin
from unfold.decorators import action
from unfold.enums import ActionVariant
from unfold.forms import BaseDialogForm
from unfold.widgets import UnfoldAdminTextareaWidget

from workers.errors import AssayError

STATUS_LABELS = {
    "success": "success",
    "failed": "danger",
    "running": "info",
    "queued": "info",
    "skipped": "warning",
    "cancelled": "warning",
}
LAYER_LABELS = {"bronze": "warning", "silver": "info", "gold": "success"}


class JsonWidget(UnfoldAdminTextareaWidget):
    """JSON with a line for each value."""

    def __init__(self, attrs=None) -> None:
        super().__init__({"rows": 8, "spellcheck": "false", "style": "font-family: var(--as-mono)", **(attrs or {})})

    def format_value(self, value):
        try:
            return json.dumps(json.loads(value), indent=2, ensure_ascii=False)
        except (TypeError, ValueError):
            return value  # what a person typed wrongly is shown as it was typed


class ModelAdmin(UnfoldModelAdmin):
    """Lists start at the policy; rights are Django's, although everybody may enter the shell."""

    formfield_overrides = {models.JSONField: {"widget": JsonWidget}}
    compressed_fields = True
    warn_unsaved_form = True
    list_filter_submit = True

    def get_queryset(self, request):
        found = super().get_queryset(request)
        return found.visible_to(request.user) if hasattr(found, "visible_to") else found

    def get_field_queryset(self, db, db_field, request):
        """Django's hook: what a field that names another record offers, and takes."""
        found = super().get_field_queryset(db, db_field, request)
        offered = db_field.remote_field.model._default_manager.all() if found is None else found
        return offered.visible_to(request.user) if hasattr(offered, "visible_to") else found

    def has_run_permission(self, request, obj=None) -> bool:
        # Asked by name in `run_now`, Unfold's system check would want the tables of a database that is still empty.
        return request.user.has_perm("ops.change_workflow")


class HistoryAdmin(SimpleHistoryAdmin, ModelAdmin):
    """Records that keep their history, which is shown to whoever may see the record itself."""

    def history_view(self, request, object_id, extra_context=None):
        self._refuse_hidden(request, object_id)
        return super().history_view(request, object_id, extra_context)

    def history_form_view(self, request, object_id, version_id, extra_context=None):
        self._refuse_hidden(request, object_id)
        return super().history_form_view(request, object_id, version_id, extra_context)

    def _refuse_hidden(self, request, object_id: str) -> None:
        # The package looks for past rows by their number alone, also where the record is not this person's to see.
        if self.get_object(request, unquote(object_id)) is None:
            raise Http404


class ReadOnlyAdmin(ModelAdmin):
    """Records that runs make: to look at, never to change by hand."""

    def has_add_permission(self, request) -> bool:
        return False

    def has_change_permission(self, request, obj=None) -> bool:
        return False

    def has_delete_permission(self, request, obj=None) -> bool:
        return False


def run_now(start: Callable, what: str):
    """An action “Run now” on one record: `start(record, user)` gives the pipeline run.

    With a dialog, because Unfold runs an action without one on a plain GET:
    any page could then start it with a link.
    """

    @action(
        description="Run now",
        icon="play_arrow",
        variant=ActionVariant.PRIMARY,
        permissions=["run"],
        dialog={
            "title": f"Run this {what} now?",
            "description": "It is the same run that the Run button of its page starts.",
            "form_class": BaseDialogForm,
            "form_submit_text": "Run",
        },
    )
    def run(self, request, form, object_id):
        record = self.get_object(request, object_id)
        try:
            pipeline_run = start(record, request.user)
        except AssayError as error:
            messages.error(request, f"{error.message} {error.hint}".strip())
            options = self.model._meta
            name = f"admin:{options.app_label}_{options.model_name}_change"
            return HttpResponseClientRedirect(reverse(name, args=[object_id]))
        # htmx sends the dialog: a plain redirect would end inside of it.
        return HttpResponseClientRedirect(reverse("ops:run-detail", args=[pipeline_run.pk]))

    return run
