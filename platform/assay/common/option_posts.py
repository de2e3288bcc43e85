"""What was posted by the fields of declared options, as the JSON that they stand for.

A field is called by its path: `conform_sources.sources.0.mappings.1.value`. The
numbers of rows only tell them apart; their order is that of the fields.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from .option_kinds import MISSING, Kind, Part
from .option_texts import LEAVES, parsed, shown

IS_ON = "is-on"  # of an object that may be left out: whether it is there
VARIANT = "variant"  # of one of several kinds: which


class Pairs(dict):
    """A dict that was posted as rows; `rows` has all of them, also two with one name."""

    rows: list[tuple[str, Any]]


@dataclass(slots=True)
class Reader:
    """Reads what was posted; `before` is what is stored.

    What is not posted, or left at its default, is left out, but for what was
    written out before. A value whose field was not touched stays exactly what it was.
    """

    places: dict[str, str] = field(default_factory=dict)  # the path in the value → the name of the field that has it
    faults: list[tuple[str, str]] = field(default_factory=list)  # paths, and what is wrong

    def object(self, kind: Kind, posted: Any, name: str, path: str, before: Any) -> dict[str, Any]:
        self.places[path] = name
        fields, known, found = _branch(posted), _branch(before), {}
        for part in kind.fields:
            given = self.part(part, fields.get(part.name, MISSING), f"{name}.{part.name}", _at(path, part.name), known)
            if given is not MISSING:
                found[part.name] = given
        return found

    def part(self, part: Part, posted: Any, name: str, path: str, around: dict[str, Any]) -> Any:
        """The value of a field; MISSING where it is not to be stored."""
        before = around.get(part.name, MISSING)
        value = self.value(part.kind, posted, name, path, before, part.default)
        if value is MISSING or part.is_needed:
            return value
        is_default = value == part.default and isinstance(value, bool) == isinstance(part.default, bool)
        return MISSING if is_default and before is MISSING else value

    def value(self, kind: Kind, posted: Any, name: str, path: str, before: Any, default: Any = MISSING) -> Any:
        self.places[path] = name
        if kind.shape in LEAVES:
            return _leaf(kind, posted, before, default)
        if kind.shape == "rows":
            return self.rows(kind, posted, name, path, before, default)
        if kind.shape == "pairs":
            return self.pairs(kind, posted, name, path, before, default)
        if kind.shape == "either":
            return self.either(kind, posted, name, path, before, default)
        if kind.takes_null and IS_ON not in _branch(posted):
            return _nothing(kind, before, default)
        found = self.object(kind, posted, name, path, before)
        return MISSING if not found and before is MISSING and default is not MISSING and default is not None else found

    def rows(self, kind: Kind, posted: Any, name: str, path: str, before: Any, default: Any) -> Any:
        known = before if isinstance(before, list) else []
        found: list[Any] = []
        for index, given in _branch(posted).items():
            stood = known[int(index)] if index.isdecimal() and int(index) < len(known) else MISSING
            at = _at(path, len(found))
            value = self.value(kind.item, given, f"{name}.{index}", at, stood)
            if _is_blank(kind.item, value):
                self._forget(at)
            else:
                found.append(value)
        return _unless_nothing(found, before, default)

    def pairs(self, kind: Kind, posted: Any, name: str, path: str, before: Any, default: Any) -> Any:
        known = list(before.items()) if isinstance(before, dict) else []
        found = Pairs()
        found.rows = []
        for index, given in _branch(posted).items():
            stood = known[int(index)] if index.isdecimal() and int(index) < len(known) else ("", MISSING)
            key = _text(_branch(given).get("key"))
            key = stood[0] if key == stood[0] else key.strip()
            value = self._pair_value(kind.item, given, f"{name}.{index}", _at(path, key), stood[1])
            if not key and _is_blank(kind.item, value):
                self._forget(_at(path, key))
                continue
            self._look_at_key(key, found, path)
            found.rows.append((key, value))
            found[key] = value
        return _unless_nothing(found, before, default)

    def _pair_value(self, kind: Kind, given: Any, name: str, path: str, before: Any) -> Any:
        value = self.value(kind, _branch(given).get("value"), f"{name}.value", path, before)
        return "" if value is MISSING else value

    def _look_at_key(self, key: str, found: Pairs, path: str) -> None:
        if not key:
            self.faults.append((_at(path, key), "Give it a name."))
        elif key in found:
            self.faults.append((_at(path, key), f"“{key}” is given twice."))

    def either(self, kind: Kind, posted: Any, name: str, path: str, before: Any, default: Any) -> Any:
        number = _text(_branch(posted).get(VARIANT, "" if kind.takes_null else "0"))
        if not number.isdecimal() or int(number) >= len(kind.variants):
            return _nothing(kind, before, default)
        chosen = kind.variants[int(number)]
        if len(chosen.choices) == 1:
            return chosen.choices[0]
        stood = before if before is not MISSING and chosen.takes(before) else MISSING
        given = _branch(posted).get(f"v{number}")
        return self.value(chosen, given, f"{name}.v{number}", path, stood, MISSING if default is None else default)

    def _forget(self, path: str) -> None:
        self.places = {at: name for at, name in self.places.items() if at != path and not at.startswith(f"{path}.")}

    def place_of(self, path: str) -> str | None:
        """The field that shows a fault at this path: its own, or the nearest around it."""
        while path and path not in self.places:
            path = path.rpartition(".")[0]
        return self.places.get(path)


def _at(path: str, part: Any) -> str:
    return f"{path}.{part}"


def _leaf(kind: Kind, posted: Any, before: Any, default: Any) -> Any:
    if kind.shape == "flag" and not kind.takes_null:
        return posted not in (MISSING, None, "")
    if posted is MISSING:
        return before  # there was no such field
    text = _text(posted).replace("\r\n", "\n")
    if before is not MISSING and text == str(shown(kind, before)).replace("\r\n", "\n"):
        return before
    if text.strip() == "":
        return _nothing(kind, before, default)
    if kind.shape == "flag":
        return {"true": True, "false": False}.get(text.lower(), text)
    return parsed(kind, text.strip())


def _nothing(kind: Kind, before: Any, default: Any) -> Any:
    """What an empty field stands for: null where that is something else than the default, an empty list likewise."""
    if kind.takes_null and (before is None or default not in (None, MISSING)):
        return None
    if kind.shape == "names" and not kind.takes_null and default:
        return []
    return MISSING


def _unless_nothing(found: Any, before: Any, default: Any) -> Any:
    """Rows that were posted; where there are none, what that stands for."""
    if found or before == found or default is not None:
        return found
    return None if before is None else MISSING


def _is_blank(kind: Kind, value: Any) -> bool:
    """Whether a row was left empty: then it is none."""
    return value is MISSING or value == "" or (value == {} and (kind.needs_something or kind.shape == "pairs"))


def _text(posted: Any) -> str:
    return posted if isinstance(posted, str) else ""


def _branch(posted: Any) -> dict[str, Any]:
    return posted if isinstance(posted, dict) else {}


def as_tree(posted: Iterable[tuple[str, str]], beginning: str) -> dict[str, Any]:
    """Posted fields below `beginning` as nested dicts, in the order in which they came."""
    found: dict[str, Any] = {}
    for name, value in posted:
        first, *rest = name.split(".")
        if first == beginning and rest:
            _hang(found, rest, value)
    return found


def _hang(tree: dict[str, Any], path: list[str], value: str) -> None:
    *around, last = path
    for part in around:
        inner = tree.setdefault(part, {})
        if not isinstance(inner, dict):
            return  # a field that is also a branch: no form sends that
        tree = inner
    tree[last] = value
