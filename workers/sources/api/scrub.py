"""Keeps secrets out of what people, logs and files see."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, quote, quote_plus, urlencode, urlsplit, urlunsplit

from ...secret_names import is_secret_name

MASK = "***"


class Scrub:
    """Knows the secrets of a run, and takes them out of texts."""

    def __init__(self) -> None:
        self._secrets: set[str] = set()

    def add(self, secret: str) -> None:
        if len(secret) > 2:  # less would be found in any text
            self._secrets |= {secret, quote(secret, safe=""), quote_plus(secret)}

    def text(self, text: str) -> str:
        for secret in sorted(self._secrets, key=len, reverse=True):
            text = text.replace(secret, MASK)
        return text

    def holds_secret(self, text: str) -> bool:
        return any(secret in text for secret in self._secrets)

    def address(self, url: str) -> str:
        """The URL as it may be shown: no user, and no value of a parameter whose name speaks of a secret."""
        parts = urlsplit(url)
        pairs = parse_qsl(parts.query, keep_blank_values=True)
        shown = [(name, MASK if is_secret_name(name) else value) for name, value in pairs]
        host = parts.netloc.rpartition("@")[2]
        return self.text(urlunsplit((parts.scheme, host, parts.path, urlencode(shown, safe="*/:,"), "")))


def short(text: Any, length: int = 200) -> str:
    """One line of at most so many characters."""
    line = " ".join(str(text).split())
    return line if len(line) <= length else f"{line[: length - 1]}…"
