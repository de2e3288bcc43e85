"""Declared options as a tree of fields for templates: each knows its label, help, value, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from .option_kinds import MISSING, Kind, Part, choice_words, kind_of_model, sentence, words_of
from .option_posts import IS_ON, VARIANT, Pairs
from .option_texts import LEAVES, shown
from .options import Options

PART = "assay/partials/options/{}.html"


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """What people read, where the names of options do not say it best. All by path, without the numbers of rows."""

    labels: Mapping[str, str] = field(default_factory=dict)
    help: Mapping[str, str] = field(default_factory=dict)
    placeholders: Mapping[str, str] = field(default_factory=dict)
    choices: Mapping[str, Mapping[Any, str]] = field(default_factory=dict)
    items: Mapping[str, str] = field(default_factory=dict)  # what one row is
    first: tuple[str, ...] = ()  # shown in this order before the others
    rare: frozenset[str] = frozenset()  # stand behind “More”
    sql_names: frozenset[str] = frozenset()  # last names of options that are SQL


@dataclass(slots=True, kw_only=True)
class Node:
    """A field, or a group of fields."""

    shape: str
    name: str
    path: str  # in the value
    label: str = ""
    help: str = ""
    placeholder: str = ""
    value: Any = ""
    is_needed: bool = False
    marks: frozenset[str] = frozenset()
    choices: list[dict[str, Any]] = field(default_factory=list)
    least: Any = None
    most: Any = None
    step: str = ""
    is_rare: bool = False
    children: list[Node] = field(default_factory=list)
    key: Node | None = None  # of a pair
    blank: Node | None = None  # of rows and pairs: a row that can be added
    placemark: str = ""  # what stands in the blank row instead of its number
    item: str = ""
    is_fixed: bool = False  # a variant of which there is nothing to choose
    toggle: str = ""  # the name of the box that says whether an object is there at all
    is_on: bool = True
    errors: list[str] = field(default_factory=list)

    @property
    def id(self) -> str:
        return f"id_{self.name.replace('.', '-')}"

    @property
    def template(self) -> str:
        return PART.format("field" if self.shape in LEAVES else self.shape)

    @property
    def is_wide(self) -> bool:
        return self.shape not in LEAVES or self.shape == "json" or "sql" in self.marks

    @property
    def is_long(self) -> bool:
        return self.shape == "json" or "sql" in self.marks or "\n" in str(self.value)

    @property
    def common(self) -> list[Node]:
        return [child for child in self.children if not child.is_rare]

    @property
    def rare(self) -> list[Node]:
        return [child for child in self.children if child.is_rare]

    @property
    def has_rare_faults(self) -> bool:
        return any(node.errors for child in self.rare for node in child.walk())

    def walk(self) -> Iterator[Node]:
        yield self
        for child in self.children:
            yield from child.walk()


def nodes_of(model: type[Options], name: str, value: Any, words: Words) -> Node:
    """The tree of a model's options with `value` in it. `name` is what the names of its fields begin with."""
    kind = kind_of_model(model)
    return _Builder(words).node(kind, name, "config", name, value)


def rows_node(kind: Kind, name: str, value: Any, words: Words) -> Node:
    """A list that is a field of its own; its path is its name."""
    return _Builder(words).node(kind, name, name, name, value)


def place_errors(root: Node, problems: Mapping[str, list[str]]) -> list[tuple[Node, str, str]]:
    """Hang each problem on the node of its path or the nearest around it: `(node, path, text)` of each."""
    by_path = {node.path: node for node in root.walk()}
    placed = []
    for wanted, texts in problems.items():
        path = wanted
        while path not in by_path and path:
            path = path.rpartition(".")[0]
        node = by_path.get(path, root)
        fresh = [text for text in texts if text not in node.errors]
        node.errors += fresh
        placed += [(node, wanted, text) for text in fresh]
    return placed


@dataclass(frozen=True, slots=True)
class _Builder:
    words: Words

    def node(self, kind: Kind, name: str, path: str, plain: str, value: Any, part: Part | None = None, depth=0) -> Node:
        """`plain` is the name without numbers: the words are found by it."""
        last = plain.rpartition(".")[2]
        described = sentence(part.description) if part else ""
        node = Node(
            shape=kind.shape,
            name=name,
            path=path,
            label=self.words.labels.get(plain) or words_of(last),
            help=self.words.help.get(plain, described),
            placeholder=self.words.placeholders.get(plain, ""),
            is_needed=part is not None and part.is_needed,
            marks=kind.marks | ({"sql"} if last in self.words.sql_names else set()),
            is_rare=plain in self.words.rare,
        )
        default = part.default if part else MISSING
        if kind.shape in LEAVES:
            return self._leaf(node, kind, plain, default if value is MISSING else value)
        if kind.shape == "object":
            return self._object(node, kind, plain, value, default, depth)
        if kind.shape == "either":
            return self._either(node, kind, plain, default if value is MISSING else value, depth)
        return self._list(node, kind, plain, default if value is MISSING else value, depth)

    def _leaf(self, node: Node, kind: Kind, plain: str, value: Any) -> Node:
        node.value = shown(kind, value)
        if kind.shape == "number":
            node.least, node.most, node.step = kind.least, kind.most, "1" if kind.is_whole else "any"
        if kind.shape == "flag" and kind.takes_null:
            node.shape, node.value = "choice", "" if value in (None, MISSING) else str(value).lower()
            node.choices = _choices([("", "As it is by default"), ("true", "Yes"), ("false", "No")], node.value)
        elif kind.shape == "choice":
            named = self.words.choices.get(plain, {})
            offered = [(choice, named.get(choice) or choice_words(choice)) for choice in kind.choices]
            if kind.takes_null or value is MISSING:
                offered.insert(0, ("", "None" if kind.takes_null else "Choose one …"))
            if node.value and node.value not in {str(choice) for choice, _ in offered}:
                offered.append((node.value, node.value))  # a wrong one, shown as it is
            node.choices = _choices(offered, node.value)
        elif kind.shape == "names" and kind.item.choices:
            node.choices = _choices([(choice, choice_words(choice)) for choice in kind.item.choices], "")
        return node

    def _object(self, node: Node, kind: Kind, plain: str, value: Any, default: Any, depth: int) -> Node:
        given = value if isinstance(value, dict) else {}
        if kind.takes_null:
            node.toggle = f"{node.name}.{IS_ON}"
            node.is_on = isinstance(value if value is not MISSING else default, dict)
        for part in self._ordered(kind, plain):
            at, inner = given.get(part.name, MISSING), f"{node.name}.{part.name}"
            child = self.node(part.kind, inner, f"{node.path}.{part.name}", f"{plain}.{part.name}", at, part, depth)
            node.children.append(child)
        return node

    def _ordered(self, kind: Kind, plain: str) -> list[Part]:
        places = {name: place for place, name in enumerate(self.words.first)}
        return sorted(kind.fields, key=lambda part: places.get(f"{plain}.{part.name}", len(places)))

    def _list(self, node: Node, kind: Kind, plain: str, value: Any, depth: int) -> Node:
        """Rows or pairs. A list that must have something begins with an empty row."""
        node.item = self.words.items.get(plain) or node.label.removesuffix("s").lower()
        node.placemark = f"__{depth}__"
        make = self._row if kind.shape == "rows" else self._pair
        rows = list(value or []) if kind.shape == "rows" else _rows_of(value)
        if not rows and (node.is_needed or kind.least_items):
            rows = [MISSING]
        for number, row in enumerate(rows):
            node.children.append(make(kind, node, plain, str(number), row, depth + 1))
        node.blank = make(kind, node, plain, node.placemark, MISSING, depth + 1)
        return node

    def _row(self, kind: Kind, node: Node, plain: str, number: str, value: Any, depth: int) -> Node:
        row = self.node(kind.item, f"{node.name}.{number}", f"{node.path}.{number}", plain, value, depth=depth)
        row.label, row.help = "Kind" if row.shape == "either" else node.item, ""
        return row

    def _pair(self, kind: Kind, node: Node, plain: str, number: str, value: Any, depth: int) -> Node:
        key, held = ("", MISSING) if value is MISSING else value
        name, path = f"{node.name}.{number}", f"{node.path}.{key}"
        child = self.node(kind.item, f"{name}.value", path, plain, held, depth=depth)
        child.label = self.words.labels.get(f"{plain}.value", "Value")
        child.placeholder = self.words.placeholders.get(f"{plain}.value", "")
        child.marks, child.help = child.marks | node.marks, ""
        label = self.words.labels.get(f"{plain}.key", "Name")
        child.key = Node(shape="text", name=f"{name}.key", path="", label=label, value=key, marks=kind.key_marks)
        child.key.placeholder = self.words.placeholders.get(f"{plain}.key", "")
        return child

    def _either(self, node: Node, kind: Kind, plain: str, value: Any, depth: int) -> Node:
        is_given = value is not MISSING and value is not None
        fits = (n for n, variant in enumerate(kind.variants) if is_given and variant.takes(value))
        number = next(fits, 0 if is_given or not kind.takes_null else None)
        node.value = "" if number is None else str(number)
        named = self.words.choices.get(plain, {})
        offered = [(str(n), named.get(v.title) or choice_words(v.title)) for n, v in enumerate(kind.variants)]
        if kind.takes_null:
            offered.insert(0, ("", "None"))
        node.choices = _choices(offered, node.value)
        node.toggle = f"{node.name}.{VARIANT}"
        for n, variant in enumerate(kind.variants):
            held = value if n == number else MISSING
            at = node.path if n == number else f"{node.path}.~{n}"
            child = self.node(variant, f"{node.name}.v{n}", at, plain, held, depth=depth)
            child.label, child.help = offered[n + kind.takes_null][1], ""
            child.is_fixed = len(variant.choices) == 1
            node.children.append(child)
        return node


def trail(root: Node, wanted: Node) -> str:
    """Where a node is, for people: “Sources · source 2 · Mappings · email”."""

    def walk(node: Node, labels: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        if node is wanted:
            yield labels
        for number, child in enumerate(node.children, start=1):
            label = child.label if node.shape == "object" else f"{node.item} {number}"
            label = (child.key.value or label) if child.key else label
            yield from walk(child, (*labels, label) if node.shape != "either" else labels)

    return " · ".join(next(walk(root, ()), ()))


def _rows_of(value: Any) -> list[tuple[str, Any]]:
    if isinstance(value, Pairs):
        return value.rows
    return list(value.items()) if isinstance(value, dict) else []


def _choices(offered: list[tuple[Any, str]], chosen: Any) -> list[dict[str, Any]]:
    return [{"value": value, "label": label, "is_chosen": str(value) == str(chosen)} for value, label in offered]
