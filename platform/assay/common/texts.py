"""Text that no database keeps: a NUL, half a surrogate pair. It is refused at the door, so that nothing fails later."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest, JsonResponse
from rest_framework import parsers
from rest_framework.exceptions import ParseError

MAX_DEPTH = 100  # of JSON: options have a depth of ten at most
REFUSAL = "The address holds a NUL character. Take it out."


class JSONParser(parsers.JSONParser):
    """Refuses JSON that could be read and not be kept, or that is nested without end."""

    def parse(self, stream, media_type=None, parser_context=None) -> Any:
        try:
            data = super().parse(stream, media_type, parser_context)
        except RecursionError as error:
            raise ParseError(f"The body is nested more than {MAX_DEPTH} levels deep.") from error
        if fault := next(_faults(data), ""):
            raise ParseError(fault)
        return data


def _faults(data: Any) -> Iterator[str]:
    left = [(data, 0)]
    while left:
        value, depth = left.pop()
        if depth > MAX_DEPTH:
            yield f"The body is nested more than {MAX_DEPTH} levels deep."
        elif isinstance(value, dict):
            left += [(name, depth) for name in value]
            left += [(each, depth + 1) for each in value.values()]
        elif isinstance(value, list):
            left += [(each, depth + 1) for each in value]
        elif isinstance(value, str) and not is_storable(value):
            yield "The body holds a NUL character or half a surrogate pair, which is no text. Take it out."
        elif isinstance(value, float) and not math.isfinite(value):
            yield "The body holds a number that is too large."


def is_storable(text: str) -> bool:
    if "\x00" in text:
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


class AddressMiddleware:
    """Answers 400 to an address with a NUL: PostgreSQL would fail on it wherever it is looked for."""

    def __init__(self, get_response) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        asked = (text for name, values in request.GET.lists() for text in (name, *values))
        if all("\x00" not in text for text in (request.path, *asked)):
            return self.get_response(request)
        if request.path.startswith("/api/"):
            error = {"code": "invalid", "detail": REFUSAL, "attr": None}
            return JsonResponse({"type": "client_error", "errors": [error]}, status=400)
        return HttpResponseBadRequest(REFUSAL, content_type="text/plain; charset=utf-8")
