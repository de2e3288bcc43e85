"""Home, and what is shown instead of a page that is not there or not allowed."""

from django.contrib.auth.decorators import login_required
from django.http import HttpResponse, JsonResponse
from django.shortcuts import render

from assay.common.pages import page

from .overview import overview


@login_required
def home(request):
    context = overview(request.user)
    if request.htmx:
        return render(request, "assay/partials/home.html", context)
    return page(request, "assay/home.html", "Home", **context)


def not_found(request, exception=None):
    return _error(
        request,
        404,
        "There is nothing here",
        "travel_explore",
        "The address is wrong, or what it names is not for you to see.",
    )


def forbidden(request, exception=None):
    return _error(
        request, 403, "You may not do that", "lock", "Ask an administrator for the permission that this needs."
    )


def stale_form(request, reason=""):
    """What is shown for a form without a good CSRF token: mostly one from before a log-in in another tab."""
    return _error(
        request,
        403,
        "This form is out of date",
        "history",
        "You have logged in again since it was opened, or cookies are off. Go back, reload the page and send it again.",
    )


def _error(request, status: int, title: str, icon: str, explanation: str) -> HttpResponse:
    user = getattr(request, "user", None)
    if request.path.startswith("/api/"):
        error = {"code": "not_found" if status == 404 else "permission_denied", "detail": f"{title}.", "attr": None}
        return JsonResponse({"type": "client_error", "errors": [error]}, status=status)
    if user is None or not user.is_authenticated:  # the shell's navigation needs somebody
        return render(request, "assay/plain.html", {"title": title, "explanation": explanation}, status=status)
    return page(request, "assay/error_page.html", title, http_status=status, icon=icon, explanation=explanation)
