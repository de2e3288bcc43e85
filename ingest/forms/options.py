"""The options that sources declare, as fields of a form: one for each value in `config`, found by its path.

What a source declares is declared once: its description is the field's help,
its bounds are the field's, and an option that is added later has a field at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args, get_origin

from annotated_types import Ge, Le, MaxLen
from django import forms
from pydantic.fields import FieldInfo

from assay.common.option_kinds import bound, choice_words, plain, sentence, union_members, without_none, words_of
from assay.common.options import Options

from .labels import CHOICES, HELP, LABELS, WIDGETS
from .rows import PairsField

# Options of files have short names: `delimiter`, not `file_csv_delimiter`.
_PLAIN = ("file.csv.", "file.excel.", "file.")
# Their own fields show them: see `job.py`.
OWN = frozenset({"nested"})


@dataclass(frozen=True, slots=True)
class Option:
    """One value of `config`: its path below it, and where it has one, the choice that it belongs to."""

    path: str  # api.pagination.page_param
    info: FieldInfo
    kind: Any  # its type, without None
    choice: str = ""  # the path of the discriminator that it hangs on: api.pagination.type
    chosen: frozenset[str] = frozenset()  # with these values of it
    extra: str = ""  # the path of the model around it that may be left out as a whole
    is_twin: bool = False  # another choice declares the same path otherwise

    @property
    def name(self) -> str:
        """Of the form field."""
        path = next((self.path.removeprefix(start) for start in _PLAIN if self.path.startswith(start)), self.path)
        return "_".join([*path.split("."), *(sorted(self.chosen) if self.is_twin else ())])

    @property
    def choice_name(self) -> str:
        return self.choice.replace(".", "_")

    @property
    def is_secret(self) -> bool:
        extra = self.info.json_schema_extra
        return isinstance(extra, dict) and bool(extra.get("writeOnly"))

    @property
    def is_needed(self) -> bool:
        return self.info.is_required()

    @property
    def default(self) -> Any:
        value = self.info.get_default(call_default_factory=True)
        return list(value) if isinstance(value, tuple) else value

    def is_meant(self, choice: Any) -> bool:
        """Whether it counts while this is chosen."""
        return not self.choice or choice in self.chosen


def options_of(kind: type[Options], path: str) -> list[Option]:
    """Every value that the model takes; `path` is that of the model itself: `api`."""
    found: list[Option] = []
    for option in _walk(kind, path):
        same = next((at for at, known in enumerate(found) if _is_same(known, option)), None)
        if same is None:
            is_twin = any(known.path == option.path for known in found)
            found.append(replace(option, is_twin=is_twin))
        else:
            found[same] = replace(found[same], chosen=found[same].chosen | option.chosen)
    return found


def _is_same(one: Option, other: Option) -> bool:
    """Of one path, and declared alike by several choices: one field serves them all."""
    return one.path == other.path and one.is_needed == other.is_needed and one.default == other.default


def _walk(kind: type[Options], path: str, **facts: Any) -> Iterator[Option]:
    for name, info in kind.model_fields.items():
        inner, at = without_none(info.annotation), f"{path}.{name}"
        if name in OWN or at == facts.get("choice"):
            continue
        if isinstance(inner, type) and issubclass(inner, Options):
            yield from _walk(inner, at, **{**facts, "extra": at if info.default is None else ""})
        elif members := _members(inner):
            yield from _union(members, at, info)
        else:
            yield Option(at, info, inner, **facts)


def _union(members: list[type[Options]], path: str, info: FieldInfo) -> Iterator[Option]:
    """One of several models: which of them it is, then what each of them takes."""
    choice = f"{path}.{info.discriminator or 'type'}"
    values = [value for member in members for value in _tags(member, choice)]
    first = _tags(members[0], choice)[0]
    yield Option(choice, FieldInfo(annotation=str, default=first), Literal[tuple(values)])
    for member in members:
        yield from _walk(member, path, choice=choice, chosen=frozenset(_tags(member, choice)))


def _tags(member: type[Options], choice: str) -> tuple[str, ...]:
    return get_args(member.model_fields[choice.rpartition(".")[2]].annotation)


def _members(kind: Any) -> list[type[Options]]:
    members = [plain(member) for member in union_members(kind)]
    are_options = members and all(isinstance(member, type) and issubclass(member, Options) for member in members)
    return members if are_options else []


# --- as fields -----------------------------------------------------------------------


def field_for(option: Option) -> forms.Field:
    """None is required: only the part of the chosen source counts, and the model says what it lacks."""
    path = option.path
    common = {
        "required": False,
        "label": LABELS.get(path) or words_of(path.rpartition(".")[2]),
        "help_text": HELP.get(path, sentence(option.info.description or "")),
        "initial": as_shown(option, option.default) if not option.info.is_required() else None,
    }
    if widget := WIDGETS.get(path):
        common["widget"] = widget
    if option.is_secret:
        note = "Kept encrypted and never shown again. Or a reference: env:NAME, file:PATH."
        widget = forms.PasswordInput(attrs={"autocomplete": "new-password"}, render_value=False)
        return forms.CharField(**{**common, "widget": widget, "help_text": HELP.get(path, note), "strip": False})
    return _field(option, common)


def _field(option: Option, common: dict[str, Any]) -> forms.Field:
    kind = option.kind
    if choices := CHOICES.get(option.path):
        # A value that is none of the choices comes from the API, and is shown as it is.
        return forms.CharField(**{**common, "widget": forms.Select(choices=choices), "strip": False})
    if get_origin(kind) is Literal:
        return forms.ChoiceField(**common, choices=[(value, choice_words(value)) for value in get_args(kind)])
    if kind is bool:
        return forms.BooleanField(**common)
    if kind in (int, float):
        limits = {"min_value": _bound(option, Ge, "ge"), "max_value": _bound(option, Le, "le")}
        return (forms.IntegerField if kind is int else forms.FloatField)(**common, **limits)
    if get_origin(kind) is dict:
        takes_lists = "list" in str(get_args(kind)[1])
        return PairsField(**{**common, "widget": PairsField.widget}, takes_lists=takes_lists)
    if kind is Any:
        return forms.JSONField(**{"widget": forms.Textarea(attrs={"rows": 4, "spellcheck": "false"}), **common})
    return forms.CharField(**common, max_length=_bound(option, MaxLen, "max_length"), strip=option.path not in WIDGETS)


def _bound(option: Option, kind: type, name: str) -> Any:
    return bound(option.info.metadata, kind, name)


def _is_list(option: Option) -> bool:
    return get_origin(option.kind) in (list, tuple)


def as_shown(option: Option, value: Any) -> Any:
    """A value of `config` as its field shows it: lists as a text with commas, where empty texts are left out."""
    if _is_list(option):
        return ", ".join(str(text) for text in value or () if text)
    return "" if value is None and option.kind is str else value


# --- from config and back -----------------------------------------------------------


def initial_values(options: Iterable[Option], config: dict[str, Any]) -> dict[str, Any]:
    """What stands in config, by the names of the fields. Secrets stay away: their field says that there is one."""
    found = {}
    for option in options:
        value = look_up(config, option.path)
        if value is not None and not option.is_secret and option.is_meant(look_up(config, option.choice)):
            found[option.name] = as_shown(option, value)
    return found


def look_up(config: Any, path: str) -> Any:
    """The value at a dotted path, or None."""
    for part in path.split("."):
        if not isinstance(config, dict):
            return None
        config = config.get(part)
    return config


def part_of_config(
    options: Iterable[Option], part: str, data: Mapping[str, Any], before: dict[str, Any]
) -> dict[str, Any]:
    """The part of config that was filled in: what is needed, and what is not the default.

    A secret that was left empty stays what it was `before`.
    """
    config: dict[str, Any] = {part: {}}
    meant = [option for option in options if option.name in data and option.is_meant(data.get(option.choice_name))]
    values = {option.name: _given(option, data, before) for option in meant}
    for option in meant:
        value = values[option.name]
        # A model that may be left out is not there only because it would need something.
        if value != option.default if not option.is_needed else value != "" or not option.extra:
            _put(config, option.path, value)
    for option in meant:
        if option.is_needed and option.extra and look_up(config, option.extra):
            _put(config, option.path, values[option.name])
    return config[part]


def _given(option: Option, data: Mapping[str, Any], before: dict[str, Any]) -> Any:
    value = data[option.name]
    if option.is_secret:
        return value or look_up(before, option.path) or ""  # the mark that stands there, or a reference
    if _is_list(option):
        texts = [text.strip() for text in (value or "").split(",") if text.strip()]
        # An empty text in a default, as in null_values, is not shown, and always meant.
        return [*(text for text in option.default if text == ""), *texts] if option.default else texts
    if value in (None, "") and option.default is None:
        return None
    return option.default if value is None else value


def _put(config: dict[str, Any], path: str, value: Any) -> None:
    *parents, last = path.split(".")
    for name in parents:
        config = config.setdefault(name, {})
    config[last] = value
