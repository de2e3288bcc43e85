"""Structured logs: one line of JSON an event, with the run it belongs to, and no secret."""

from __future__ import annotations

import json
import logging
import re
from base64 import b64encode
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, quote_plus

# What the current task or request is about: {"run": …, "job": …}.
_context: ContextVar[dict[str, str] | None] = ContextVar("log_context", default=None)

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}
_SECRET_NAME = re.compile(r"password|passwd|secret|token|authorization|api[-_]?key|credential", re.IGNORECASE)
_SECRET_TEXT = [
    (re.compile(r"(\w+://[^:/@\s]*):[^@/\s]+@"), r"\1:•••@"),
    (re.compile(r"(?i)\b(bearer|basic|token)\s+[\w.~+/=-]{8,}"), r"\1 •••"),
    (
        re.compile(r"(?i)((?:password|passwd|secret|api[-_]?key|token)[\"']?\s*[=:]\s*[\"']?)[^\s\"'&,}]+"),
        r"\1•••",
    ),
]

# Secrets that this process has used, in every spelling in which a driver or a server may repeat them.
_known: set[str] = set()
SHORTEST_KNOWN = 4  # a shorter one would take half of every line with it


def keep_secret(secret: str) -> None:
    """From now on this value appears in no log, no step's line and no run's error of this process."""
    spellings = {secret, quote(secret, safe=""), quote_plus(secret), json.dumps(secret)[1:-1], repr(secret)[1:-1]}
    spellings.add(b64encode(secret.encode()).decode())
    _known.update(spelling for spelling in spellings if len(spelling) >= SHORTEST_KNOWN)


def hide_secrets(value: Any) -> Any:
    """The value without any secret that this process has used: text, or JSON with text in it."""
    if isinstance(value, dict):
        return {key: hide_secrets(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [hide_secrets(item) for item in value]
    if isinstance(value, str):
        for secret in sorted(_known, key=len, reverse=True):
            value = value.replace(secret, "•••")
    return value


@contextmanager
def log_context(**facts: object):
    """Every event logged inside carries these facts."""
    token = _context.set({**(_context.get() or {}), **{key: str(value) for key, value in facts.items()}})
    try:
        yield
    finally:
        _context.reset(token)


def current_context() -> dict[str, str]:
    return dict(_context.get() or {})


def redact(value: object, name: str = "") -> object:
    """The value without what looks like a secret, by its name or by its form."""
    if name and _SECRET_NAME.search(name):
        return "•••"
    if isinstance(value, dict):
        return {key: redact(item, str(key)) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [redact(item) for item in value]
    if isinstance(value, str):
        value = hide_secrets(value)
        for pattern, replacement in _SECRET_TEXT:
            value = pattern.sub(replacement, value)
    return value


class JsonLine(logging.Formatter):
    """A record as one line: time, level, logger, event, the context, the record's own extras."""

    def format(self, record: logging.LogRecord) -> str:
        extras = {key: value for key, value in vars(record).items() if key not in _STANDARD and not key.startswith("_")}
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
            **current_context(),
            **extras,
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(redact(line), default=str, ensure_ascii=False)
