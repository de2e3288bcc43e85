"""Nested values that a preview found, to choose for each what becomes of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from workers.specs import Column

DEPTH = 3


def nested_values(columns: Sequence[Column], chosen: list[dict[str, str]]) -> list[dict[str, str]]:
    """`[{path, keep_as, type}]` of what was chosen before and of every other nested value that the columns show.

    A value that is flattened shows its own columns; those that are nested
    again are known by their place in it and not told twice.
    """
    known = {value["path"]: value for value in chosen}
    flat = {path.replace(".", "_") for path in known}
    for column in columns:
        for path, kind in _paths(column.name, column.type):
            if path not in known and path.replace(".", "_") not in flat:
                known[path] = {"path": path, "keep_as": "", "type": kind}
    return [known[path] for path in sorted(known)]


def _paths(path: str, kind: str, depth: int = 1) -> Iterator[tuple[str, str]]:
    if not kind.startswith(("struct<", "list<", "json")):
        return
    yield path, kind
    if kind.startswith("struct<") and depth < DEPTH:
        for name, inner in _fields(kind.removeprefix("struct<")[:-1]):
            yield from _paths(f"{path}.{name}", inner, depth + 1)


def _fields(text: str) -> Iterator[tuple[str, str]]:
    """`a: int64, b: list<struct<c: string>>` → its fields."""
    start, depth = 0, 0
    for position, char in enumerate(f"{text},"):
        depth += (char in "<(") - (char in ">)")
        if char == "," and depth == 0:
            name, found, kind = text[start:position].strip().partition(":")
            if found:
                yield name.strip(), kind.strip()
            start = position + 1
