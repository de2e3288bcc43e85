"""Pages about connections."""

from __future__ import annotations

from collections.abc import Iterable

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.db.models import Q
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST

from assay.common.history import history_of
from assay.common.pages import action, needs, page, tell
from workers.errors import AssayError

from . import services, users
from .forms import ConnectionForm
from .kinds import KINDS
from .models import Connection

PER_PAGE = 25
CHANGES_SHOWN = 10
TABLES_SHOWN = 200
CONNECTIONS = ("Connections", "/connections/")


def _visible_or_404(user, name: str) -> Connection:
    return get_object_or_404(Connection.objects.visible_to(user), name=name)


def _usable_or_404(user, name: str) -> Connection:
    return get_object_or_404(Connection.objects.usable_by(user), name=name)


@login_required
def connection_list(request):
    term = request.GET.get("q", "").strip()
    rows = Connection.objects.visible_to(request.user)
    rows = rows.filter(Q(name__icontains=term) | Q(host__icontains=term) | Q(description__icontains=term))
    page_obj = Paginator(rows.order_by("name"), PER_PAGE).get_page(request.GET.get("page"))
    page_obj.object_list = _shown(page_obj.object_list)
    return page(request, "ops/connection_list.html", "Connections", page_obj=page_obj, term=term)


def _shown(rows: Iterable[Connection]) -> list[Connection]:
    """With what pages tell besides the fields: their kind, and the jobs that name them."""
    connections = list(rows)
    uses = users.uses_of([connection.name for connection in connections])
    for connection in connections:
        connection.of_kind, connection.uses = KINDS[connection.kind], uses[connection.name]
    return connections


@login_required
def connection_detail(request, name):
    [connection] = _shown([_visible_or_404(request.user, name)])
    context = {
        "connection": connection,
        "may_use": Connection.objects.usable_by(request.user).filter(pk=connection.pk).exists(),
        "groups": connection.groups.order_by("name"),
        "changes": history_of(connection)[:CHANGES_SHOWN],
    }
    return page(request, "ops/connection_detail.html", name, crumbs=[CONNECTIONS], **context)


@require_POST
@login_required
def connection_test(request, name):
    """Test it now; the answer is the part of the page that says how the last test went."""
    connection = _usable_or_404(request.user, name)
    services.test(connection)
    connection.refresh_from_db()
    return render(request, "ops/partials/connection_test.html", {"connection": connection, "may_use": True})


@login_required
def connection_tables(request, name):
    """The tables of a database, as a part of its page. `?search=` is a part of their names."""
    connection = _usable_or_404(request.user, name)
    term = request.GET.get("search", "").strip()[:200]
    context = {"connection": connection, "term": term}
    try:
        found = services.tables(connection, term)
        context |= {"tables": found[:TABLES_SHOWN], "hidden": len(found) - TABLES_SHOWN}
    except AssayError as error:
        context["error"] = error.as_dict()
    return render(request, "ops/partials/connection_tables.html", context)


# --- making and changing -------------------------------------------------------------------


@needs("ops.add_connection")
def connection_create(request):
    return _form(request, Connection(), "New connection", CONNECTIONS[1])


@needs("ops.change_connection")
def connection_edit(request, name):
    connection = _visible_or_404(request.user, name)
    return _form(request, connection, f"Edit {name}", reverse("ops:connection-detail", args=[name]))


def _form(request, connection: Connection, title: str, back: str):
    form = ConnectionForm(request.POST or None, instance=connection)
    if request.method == "POST" and form.is_valid():
        saved = form.save()
        messages.success(request, "Saved. Test it now.")
        return redirect("ops:connection-detail", saved.name)
    context = {"form": form, "back": back, "crumbs": [CONNECTIONS]}
    return page(request, "ops/connection_form.html", title, **context)


@action("ops.delete_connection")
def connection_delete(request, name):
    connection = _visible_or_404(request.user, name)
    try:
        services.delete_connection(connection)
    except AssayError as error:
        tell(request, error)
        return redirect("ops:connection-detail", name)
    messages.success(request, f"{name} is deleted.")
    return redirect("ops:connection-list")
