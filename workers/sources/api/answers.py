"""What an API says when it does not answer with a page, in words that help."""

from __future__ import annotations

import json
import re
from typing import Any

from ...errors import AssayError, SourceMissing, SourceRefused
from .scrub import short

_TAGS = re.compile(r"<(script|style)\b.*?</\1>|<[^>]+>", re.DOTALL | re.IGNORECASE)
_MESSAGE_KEYS = ("error_description", "message", "detail", "error", "title", "errors", "description", "reason")


def server_words(body: bytes) -> str:
    """The message in the body of an error, one short line; empty where there is none."""
    text = body[:20_000].decode("utf-8", "replace")
    try:
        words = short(_message(json.loads(text)))
    except (ValueError, RecursionError):
        words = short(_TAGS.sub(" ", text))
    return words.rstrip(". ")  # it stands in a sentence of ours


def _message(told: Any) -> str:
    if isinstance(told, dict):
        return next((found for key in _MESSAGE_KEYS if key in told and (found := _message(told[key]))), "")
    if isinstance(told, list):
        return "; ".join(filter(None, (_message(item) for item in told[:3])))
    return told if isinstance(told, str) else ""


def refusal(status: int, label: str, words: str, *, is_home: bool) -> AssayError:
    """The error for a status that trying again would not change."""
    said = f": {words}" if words else ""
    what = f"{label[:1].upper()}{label[1:]}"
    if status in (401, 403):
        return SourceRefused(f"{what} was refused with {status}{said}.", hint=_auth_hint(status, is_home))
    if status in (404, 410):
        return SourceMissing(f"{what} is not there: the API answered {status}{said}.", hint="Correct the job's URL.")
    if 300 <= status < 400:
        return SourceRefused(f"{what} was answered with {status}, which is no page.", hint="Correct the job's URL.")
    return SourceRefused(
        f"The API did not take the request for {label}: it answered {status}{said}.",
        hint="Check URL, parameters, headers and body against the API's documentation.",
    )


def _auth_hint(status: int, is_home: bool) -> str:
    if not is_home:
        return "It lies at another address than the job's URL, so it was asked for without the job's credentials."
    if status == 401:
        return "Check the job's auth: the credentials are missing, wrong or have run out."
    return "The credentials are known, but have no right to this: ask the API's owner for it."
