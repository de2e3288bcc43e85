"""What every page stands on: the shell's context, rights, and how an error is told."""

from __future__ import annotations

from functools import wraps

from django.contrib import admin, messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_POST

from workers.errors import AssayError


def page(request: HttpRequest, template: str, title: str, *, http_status: int = 200, **context) -> HttpResponse:
    """A whole page inside the shell. `crumbs`, if given, is a list of (title, address) above it."""
    shell = admin.site.each_context(request)
    return render(request, template, {**shell, "title": title, **context}, status=http_status)


def needs(*permissions: str):
    """The view asks for a log-in and one of these permissions: 403 without it."""

    def decorate(view):
        @login_required
        @wraps(view)
        def checked(request, *args, **kwargs):
            if not any(map(request.user.has_perm, permissions)):
                raise PermissionDenied
            return view(request, *args, **kwargs)

        return checked

    return decorate


def action(*permissions: str):
    """A view that changes something: POST only, and with one of these permissions."""

    def decorate(view):
        return require_POST(needs(*permissions)(view))

    return decorate


def tell(request: HttpRequest, error: AssayError) -> None:
    """Show an expected failure at the top of the next page, with what to do about it."""
    messages.error(request, f"{error.message} {error.hint}".strip())
