"""What a declared option takes, read from its pydantic model: the ground for forms that are made from declarations."""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt, MinLen
from pydantic import BaseModel, Tag, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from .options import Options

MISSING: Any = type("Missing", (), {"__repr__": lambda self: "MISSING", "__bool__": lambda self: False})()


class IsColumn:
    """Marks the name of a column of an input."""


class IsAlias:
    """Marks the alias of an input."""


class IsSql:
    """Marks a part of a query: an expression or a condition."""


MARKS = {IsColumn: "column", IsAlias: "alias", IsSql: "sql"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One type as forms see it.

    `shape` is `text`, `number`, `flag`, `choice`, `names` (a list of texts or
    numbers), `json` (whatever has no form of its own), `object`, `rows` (a list),
    `pairs` (a dict) or `either` (one of several kinds).
    """

    shape: str
    takes_null: bool = False
    marks: frozenset[str] = frozenset()
    choices: tuple[Any, ...] = ()
    is_whole: bool = False  # numbers: no fractions
    least: Any = None
    most: Any = None
    least_items: int = 0
    key_marks: frozenset[str] = frozenset()  # of pairs: of their names
    fields: tuple[Part, ...] = ()  # of an object
    item: Kind | None = None  # of names, rows and pairs
    variants: tuple[Kind, ...] = ()  # of either
    title: str = ""  # of a variant
    adapter: TypeAdapter | None = field(default=None, compare=False, repr=False)

    def takes(self, value: Any) -> bool:
        """Whether the value is one of this kind."""
        try:
            self.adapter.validate_python(value)
        except ValidationError:
            return False
        return True

    @property
    def needs_something(self) -> bool:
        """Whether it is an object that cannot be empty, or one of several such."""
        if self.shape == "either":
            return all(variant.needs_something for variant in self.variants)
        return any(part.is_needed for part in self.fields)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A field of an object: its name, what it takes, and its default in JSON's types (or MISSING)."""

    name: str
    kind: Kind
    default: Any = MISSING
    description: str = ""

    @property
    def is_needed(self) -> bool:
        return self.default is MISSING


@cache
def kind_of_model(model: type[Options]) -> Kind:
    parts = tuple(_part(name, info) for name, info in model.model_fields.items())
    return Kind(shape="object", fields=parts, adapter=TypeAdapter(model), title=_title(model))


def _part(name: str, info: FieldInfo) -> Part:
    default = MISSING if info.is_required() else _as_json(info.get_default(call_default_factory=True))
    return Part(
        name=name, kind=kind_of(info.annotation, info.metadata), default=default, description=info.description or ""
    )


def _as_json(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", exclude_unset=True)
    if isinstance(value, list | tuple | set | frozenset):
        return [_as_json(each) for each in value]
    if isinstance(value, Mapping):
        return {name: _as_json(each) for name, each in value.items()}
    return value


def kind_of(annotation: Any, rules: Sequence[Any] = ()) -> Kind:
    """What an annotation takes; `rules` are its metadata: bounds and marks."""
    while hasattr(annotation, "__metadata__"):
        rules = [*rules, *_flat(annotation.__metadata__)]
        annotation = annotation.__origin__
    marks = frozenset(MARKS[type(rule)] for rule in rules if type(rule) in MARKS)
    if members := union_members(annotation):
        return _of_union(members, rules, marks)
    found = replace(_of_plain(annotation, rules), adapter=TypeAdapter(_with(annotation, rules)))
    return replace(found, marks=found.marks | marks)


def _flat(metadata: Sequence[Any]) -> Iterator[Any]:
    """Rules and marks, also those that stand inside a `Field(…)`."""
    for rule in metadata:
        if isinstance(rule, FieldInfo):
            yield from rule.metadata
        else:
            yield rule


def _with(annotation: Any, rules: Sequence[Any]) -> Any:
    kept = tuple(rule for rule in rules if type(rule) not in MARKS)
    return Annotated[(annotation, *kept)] if kept else annotation


def _of_union(members: list[Any], rules: Sequence[Any], marks: frozenset[str]) -> Kind:
    rest = [member for member in members if member is not type(None)]
    takes_null = len(rest) < len(members)
    if len(rest) == 1:
        found = kind_of(rest[0], rules)
        return replace(found, takes_null=takes_null, marks=found.marks | marks)
    variants = tuple(_titled(kind_of(member), member) for member in rest)
    if all(variant.shape in ("text", "number") for variant in variants):
        return Kind(shape="json", takes_null=takes_null, marks=marks, adapter=TypeAdapter(Union[tuple(members)]))  # noqa: UP007
    return Kind(shape="either", takes_null=takes_null, marks=marks, variants=variants)


def _titled(kind: Kind, member: Any) -> Kind:
    tag = next((rule.tag for rule in getattr(member, "__metadata__", ()) if isinstance(rule, Tag)), "")
    return replace(kind, title=tag or kind.title or _title(member))


def _title(member: Any) -> str:
    """What a variant is called: by the tag that tells it from the others, or by its own name."""
    member = plain(member)
    if isinstance(member, type) and issubclass(member, BaseModel):
        tags = (get_args(info.annotation) for info in member.model_fields.values() if _is_tag(info))
        return str(next(tags, (_words(member.__name__),))[0])
    if get_origin(member) is Literal:
        return choice_words(get_args(member)[0])
    return {"str": "text", "int": "number", "float": "number", "dict": "values by name"}.get(
        getattr(member, "__name__", ""), "list" if get_origin(member) is list else "text"
    )


def _is_tag(info: FieldInfo) -> bool:
    return get_origin(info.annotation) is Literal and len(get_args(info.annotation)) == 1


def _words(name: str) -> str:
    """`MetricUse` → metric use."""
    return "".join(f" {char.lower()}" if char.isupper() else char for char in name).strip()


def _of_plain(annotation: Any, rules: Sequence[Any]) -> Kind:
    origin, inner = get_origin(annotation), get_args(annotation)
    if isinstance(annotation, type) and issubclass(annotation, Options):
        return kind_of_model(annotation)
    if origin is Literal:
        return Kind(shape="choice", choices=inner)
    if annotation is bool:
        return Kind(shape="flag")
    if annotation in (int, float):
        least, most = bound(rules, Ge, "ge"), bound(rules, Le, "le")
        least = bound(rules, Gt, "gt") if least is None else least
        most = bound(rules, Lt, "lt") if most is None else most
        return Kind(shape="number", is_whole=annotation is int, least=least, most=most)
    if annotation is date:
        return Kind(shape="text", marks=frozenset({"date"}))
    if annotation in (str, datetime):
        return Kind(shape="text")
    if origin in (list, tuple, set, frozenset) and inner:
        item = kind_of(inner[0])
        is_flat = item.shape in ("text", "number", "choice")
        shape = "names" if is_flat else "rows"
        return Kind(shape=shape, item=item, marks=item.marks, least_items=bound(rules, MinLen, "min_length") or 0)
    if origin is dict and len(inner) == 2:
        item, least = kind_of(inner[1]), bound(rules, MinLen, "min_length") or 0
        return Kind(shape="pairs", item=item, least_items=least, key_marks=kind_of(inner[0]).marks)
    return Kind(shape="json")


# --- single facts --------------------------------------------------------------------


def bound(rules: Sequence[Any], kind: type, name: str) -> Any:
    return next((getattr(rule, name) for rule in rules if isinstance(rule, kind)), None)


def plain(annotation: Any) -> Any:
    """Without Annotated."""
    return annotation.__origin__ if hasattr(annotation, "__metadata__") else annotation


def union_members(annotation: Any) -> list[Any]:
    """The members of a union; none for anything else."""
    is_union = get_origin(annotation) in (Union, types.UnionType)
    return list(get_args(annotation)) if is_union else []


def without_none(annotation: Any) -> Any:
    """The annotation without its `| None`, and without Annotated."""
    members = union_members(annotation)
    if not members:
        return plain(annotation)
    rest = [member for member in members if member is not type(None)]
    return plain(rest[0]) if len(rest) == 1 else Union[tuple(rest)]  # noqa: UP007  (made at run time)


# --- in words ------------------------------------------------------------------------


def sentence(text: str) -> str:
    """A description with a capital at its beginning, unless that is what somebody types."""
    begins = text[:1] if text.startswith("`") else text[:1].upper()
    text = (begins + text[1:]).replace("`", "")
    return text + ("" if not text or text.endswith((".", "…", "?")) else ".")


def choice_words(value: Any) -> str:
    """A choice as it is shown: GET stays GET, and `empty_page` becomes Empty page."""
    text = str(value)
    return text if text.isupper() else text.replace("_", " ").capitalize()


def words_of(name: str) -> str:
    """`key_columns` → Key columns."""
    return name.replace("_", " ").capitalize()
