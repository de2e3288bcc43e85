"""Paths into a JSON document: `data.items`, `data.-1.id`; a dot inside of a key is written `\\.`."""

from __future__ import annotations

import re
from typing import Any

MISSING = object()  # what `find` answers where there is nothing; null is something
_PART = re.compile(r"(?:\\.|[^.\\])+")
_INDEX = re.compile(r"-?\d+")


def split_path(path: str) -> list[str]:
    """The keys that a path goes down; none for an empty path."""
    return [re.sub(r"\\(.)", r"\1", part) for part in _PART.findall(path)]


def find(document: Any, path: str) -> Any:
    """The value at the path, or `MISSING`. A number picks from a list: `0` its first item, `-1` its last."""
    for part in split_path(path):
        if isinstance(document, dict) and part in document:
            document = document[part]
        elif isinstance(document, list) and _INDEX.fullmatch(part) and -len(document) <= int(part) < len(document):
            document = document[int(part)]
        else:
            return MISSING
    return document
