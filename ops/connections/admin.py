from django import forms
from django.contrib import admin
from django.urls import reverse
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.widgets import UnfoldAdminPasswordWidget

from assay.common.admin import HistoryAdmin

from . import users
from .models import Connection


class ConnectionAdminForm(forms.ModelForm):
    """As on the connection's page: an empty password stays what it was."""

    class Meta:
        widgets = {"password": UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"}, render_value=False)}

    def clean_password(self) -> str:
        return self.cleaned_data["password"] or self.initial.get("password") or ""


@admin.register(Connection)
class ConnectionAdmin(HistoryAdmin):
    form = ConnectionAdminForm
    list_display = ("name", "kind", "host", "database", "test_ok", "updated_at")
    list_filter = (("kind", ChoicesDropdownFilter), "test_ok")
    search_fields = ("name", "description", "host")
    filter_horizontal = ("groups",)
    readonly_fields = ("tested_at", "test_ok", "test_message", "created_at", "updated_at")
    fieldsets = (
        (None, {"fields": ("name", "kind", "description")}),
        ("Place", {"classes": ("tab",), "fields": ("host", "port", "database", "username", "password", "options")}),
        ("Who may use it", {"classes": ("tab",), "fields": ("groups",)}),
        ("Last test", {"classes": ("tab",), "fields": ("tested_at", "test_ok", "test_message")}),
    )

    def get_readonly_fields(self, request, obj=None):
        return (*self.readonly_fields, "name", "kind") if obj else self.readonly_fields

    def has_delete_permission(self, request, obj=None) -> bool:
        # What jobs name stays: its page says which they are.
        return super().has_delete_permission(request, obj) and not (obj and users.uses_of([obj.name])[obj.name])

    def get_actions(self, request):
        return {}  # deleting many at once would not look at who uses them

    def view_on_site(self, connection) -> str:
        return reverse("ops:connection-detail", args=[connection.name])
