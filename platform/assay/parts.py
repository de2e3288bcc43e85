"""Parts of pages: what is asked for by htmx must never be taken for a page, nor a page for a part."""

from __future__ import annotations

from urllib.parse import urlencode

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import resolve_url
from django.urls import reverse
from django.utils.cache import patch_vary_headers

LOGGED_OUT = 401


class PartsMiddleware:
    """Page and part share an address. This keeps them apart, behind `HtmxMiddleware`.

    * The browser's cache is told that they differ; else its Back button shows a bare part.
    * A page that htmx restores from its history is asked for whole.
    * Where a part would be the log-in page, the browser goes there, and comes
      back afterwards. What was being written is not thrown away: a form's
      requests are only refused, with 401.
    """

    def __init__(self, get_response) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.htmx.history_restore_request:
            request.htmx = False
        response = self.get_response(request)
        if request.htmx and _leads_to_login(response):
            return _to_login(request)
        patch_vary_headers(response, ["HX-Request", "HX-History-Restore-Request"])
        return response


def _leads_to_login(response: HttpResponse) -> bool:
    login = resolve_url(settings.LOGIN_URL)
    return response.status_code == 302 and response["Location"].partition("?")[0] == login


def _to_login(request: HttpRequest) -> HttpResponse:
    response = HttpResponse(status=LOGGED_OUT)
    if request.method == "GET":
        here = request.htmx.current_url_abs_path or reverse("home")
        response["HX-Redirect"] = f"{resolve_url(settings.LOGIN_URL)}?{urlencode({'next': here})}"
    return response
