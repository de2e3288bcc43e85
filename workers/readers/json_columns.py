"""Which values of JSON records become columns, and which of them stay text: the job's choices for nested values.

A path is the keys from the record down to the value: `("customer", "address", "city")`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..nested import path_of
from ..specs import Nested
from .json_types import Shape
from .names import unique_names

Path = tuple[str, ...]
ANY = "*"  # every nested value at the top level for which there is no choice of its own
_BLANK = re.compile(r"[ \t\r\n]*")


def _no_constant(word: str) -> None:
    raise ValueError(f"{word} is no JSON")


_decode = json.JSONDecoder(parse_constant=_no_constant).raw_decode


def columns_of(record: Mapping[str, Shape], nested: Sequence[Nested]) -> dict[Path, Shape]:
    """What of records of this shape becomes a column, in their order.

    A nested value is one column, unless it is flattened: then it is a column
    for each value in it, at any depth. What has a choice of its own is taken
    out of the struct around it. The shape of a value that is kept as JSON is
    `json`. A list for a child table is a column here; one that never held
    anything is none.
    """
    choices = {path_of(each.path): each.keep_as for each in nested}
    found: dict[Path, Shape] = {}

    def visit(path: Path, shape: Shape, inherited: str) -> None:
        is_top, is_nested = len(path) == 1, isinstance(shape, dict | tuple)
        choice = choices.get(path) or (choices.get((ANY,), "") if is_top and is_nested else inherited)
        if choice == "json":
            found[path] = "json"
        elif choice == "child_table" and shape in (None, (None,)):
            return
        elif choice == "flatten" and isinstance(shape, dict) and shape:
            for key, inner in shape.items():
                visit((*path, key), inner, "flatten")
        elif isinstance(shape, dict):
            _keep(path, shape)
        else:
            found[path] = shape

    def _keep(path: Path, shape: dict[str, Shape]) -> None:
        lifted = _lifted(path, shape, choices)
        rest = _without(shape, [each[len(path) :] for each in lifted])
        if rest or not lifted:
            found[path] = rest
        for each in lifted:
            visit(each, shape_at(shape, each[len(path) :]), "")

    for key, shape in record.items():
        visit((key,), shape, "")
    return found


def _lifted(path: Path, shape: Shape, choices: Mapping[Path, str]) -> list[Path]:
    """The paths with a choice below a struct that is kept, outermost only."""
    if not isinstance(shape, dict):
        return []
    found: list[Path] = []
    for key, inner in shape.items():
        below = (*path, key)
        found += [below] if below in choices else _lifted(below, inner, choices)
    return found


def _without(shape: dict[str, Shape], paths: Sequence[Path]) -> dict[str, Shape]:
    rest: dict[str, Shape] = {}
    for key, inner in shape.items():
        below = [path[1:] for path in paths if path[0] == key]
        if () not in below:
            rest[key] = _without(inner, below) if below and isinstance(inner, dict) else inner
    return rest


def shape_at(shape: Shape, path: Path) -> Shape:
    for key in path:
        shape = shape.get(key) if isinstance(shape, dict) else None
    return shape


def value_at(record: Any, path: Path) -> Any:
    """The value there; None where an object on the way is missing."""
    for key in path:
        record = record.get(key) if isinstance(record, dict) else None
    return record


def column_names(files: Iterable[Iterable[Path]]) -> list[tuple[str, ...]]:
    """Each file's column names: a key is one itself, a value from further down is `customer_address_city`.

    Names from further down give way to keys, in whatever file these are.
    """
    paths = [tuple(file) for file in files]
    plain = [dict(zip(_keys(file), unique_names(path[0] for path in _keys(file)), strict=True)) for file in paths]
    taken = dict.fromkeys(name for names in plain for name in names.values())
    deeper = dict.fromkeys(path for file in paths for path in file if len(path) > 1)
    free = unique_names([*taken, *("_".join(path) for path in deeper)])[len(taken) :]
    common = dict(zip(deeper, free, strict=True))
    return [tuple((common | own)[path] for path in file) for file, own in zip(paths, plain, strict=True)]


def _keys(file: Iterable[Path]) -> list[Path]:
    return [path for path in file if len(path) == 1]


# --- values that stay the text that they are -----------------------------------------


class RawTexts:
    """Puts the values that are kept as JSON into quotes, sign by sign as they came, so that they are read as text."""

    def __init__(self, nested: Sequence[Nested]) -> None:
        self._wanted: dict[str, Any] = {}  # key -> the same of what is below, or None: this value
        for each in nested:
            if each.keep_as == "json":
                *above, last = path_of(each.path)
                level = self._wanted
                for key in above:
                    level = level.setdefault(key, {})
                level[last] = None
        # Without its key a line needs no second look.
        self._words = [json.dumps(key)[1:-1].encode() for key in self._wanted if key.isascii()]
        self._is_certain = len(self._words) == len(self._wanted) and ANY not in self._wanted
        self._named = {path_of(each.path) for each in nested}

    def __bool__(self) -> bool:
        return bool(self._wanted)

    def line(self, line: bytes) -> bytes:
        """The line with those values in quotes; a line that is no JSON object as it is."""
        if self._is_certain and b"\\u" not in line and not any(word in line for word in self._words):
            return line
        try:
            text = line.decode()
            start = _BLANK.match(text).end()
            if text[start : start + 1] != "{":
                return line
            parts: list[str] = []
            end = self._object(text, start, self._wanted, parts, is_top=True)
            return ("".join(parts) + text[end:]).encode() if not text[end:].strip() else line
        except (ValueError, IndexError, RecursionError):
            return line

    def _object(self, text: str, start: int, wanted: Mapping[str, Any], parts: list[str], *, is_top: bool) -> int:
        """Copy the object that begins at `start` to `parts`; where it ends. Raises ValueError and IndexError."""
        at = _BLANK.match(text, start + 1).end()
        parts.append(text[start:at])
        while text[at] != "}":
            if text[at] != '"':
                raise ValueError("no key")
            key, end = _decode(text, at)
            end = _BLANK.match(text, end).end()
            if text[end] != ":":
                raise ValueError("no colon")
            value = _BLANK.match(text, end + 1).end()
            parts.append(text[at:value])
            at = _BLANK.match(text, self._value(text, value, key, wanted, parts, is_top=is_top)).end()
            if text[at] == ",":
                at = _BLANK.match(text, at + 1).end()
                parts.append(",")
                if text[at] == "}":
                    raise ValueError("a comma too many")
            elif text[at] != "}":
                raise ValueError("no end")
        parts.append("}")
        return at + 1

    def _value(self, text: str, at: int, key: str, wanted: Mapping[str, Any], parts: list[str], *, is_top: bool) -> int:
        below = wanted.get(key, False)
        if is_top and ANY in wanted and (key,) not in self._named and text[at] in "{[":
            below = None
        if below:
            return self._below(text, at, below, parts)
        _, end = _decode(text, at)
        raw = text[at:end]
        parts.append(json.dumps(raw, ensure_ascii=False) if below is None and raw != "null" else raw)
        return end

    def _below(self, text: str, at: int, wanted: Mapping[str, Any], parts: list[str]) -> int:
        """An object, or each of a list's objects, that holds such values."""
        if text[at] == "{":
            return self._object(text, at, wanted, parts, is_top=False)
        if text[at] != "[":
            _, end = _decode(text, at)
            parts.append(text[at:end])
            return end
        parts.append("[")
        at = _BLANK.match(text, at + 1).end()
        while text[at] != "]":
            at = _BLANK.match(text, self._below(text, at, wanted, parts)).end()
            if text[at] == ",":
                at = _BLANK.match(text, at + 1).end()
                parts.append(",")
                if text[at] == "]":
                    raise ValueError("a comma too many")
            elif text[at] != "]":
                raise ValueError("no end")
        parts.append("]")
        return at + 1
