"""What a training or feature set comes to: its names and types, settled against the inputs' columns.

The same plan is made when a job is saved, when its SQL is shown and when it
runs, so that all three speak of the same columns.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from workers.errors import InvalidConfig, SqlRejected
from workers.specs import Column
from workers.template_specs import Entity, Feature, Label, PointInTimeSpec, Split

Inputs = Mapping[str, tuple[Column, ...]]  # columns by alias
TIMES = ("date", "timestamp", "timestamptz")
INTEGERS = ("int8", "int16", "int32", "int64")
NO_KEYS = ("float32", "float64", "binary", "json", "time")  # nothing should be found again by these
SPLIT = "split"
SPLITS = ("train", "validation", "test")
_DURATION = re.compile(r"\s*(\d{1,6})\s*(s|sec|seconds?|m|min|minutes?|h|hours?|d|days?|w|weeks?)\s*", re.IGNORECASE)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The columns that come from one feature input."""

    number: int
    feature: Feature
    outputs: tuple[tuple[str, Column], ...]  # (the input's column, what it becomes)
    ttl: timedelta | None

    @property
    def alias(self) -> str:
        return self.feature.alias

    @property
    def is_timed(self) -> bool:
        return bool(self.feature.time_column)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    entity: Entity
    groups: tuple[Group, ...]
    label: Label | None
    label_type: str  # empty: there is no label
    label_sql: str  # the checked expression; empty: the label is a column
    window: timedelta | None
    split: Split | None
    columns: tuple[Column, ...]  # of the result
    inputs: Inputs

    def type_of(self, alias: str, name: str) -> str:
        return next(column.type for column in self.inputs[alias] if column.name == name)

    @property
    def split_key(self) -> tuple[str, ...]:
        return (self.split and self.split.key) or self.entity.key_columns

    @property
    def carried(self) -> tuple[str, ...]:
        """Columns of the entity's own row, its label among them, in the order of the result."""
        label = self.label.column if self.label and self.label.column else ""
        own = (*self.entity.key_columns, self.entity.as_of_column)
        return tuple(dict.fromkeys(name for name in (*self.entity.columns, label) if name and name not in own))

    @property
    def reach(self) -> timedelta:
        """How far before the next part an example of a split by time is left out; zero: none is."""
        if not (self.split and self.split.method == "time"):
            return timedelta()
        window = self.window if self.split.purge and self.window else timedelta()
        return window + (duration(self.split.gap) if self.split.gap else timedelta())

    @property
    def feature_names(self) -> tuple[str, ...]:
        return tuple(column.name for group in self.groups for _, column in group.outputs)


def duration(text: str) -> timedelta:
    """`90d`, `30 days`, `12 hours`, `2w`. Raises `ValueError`: months and years have no fixed length."""
    match = _DURATION.fullmatch(text)
    if not match or not int(match[1]):
        raise ValueError("Write a length of time such as 90d, 12 hours or 2 weeks; months have no fixed length.")
    return timedelta(**{_UNITS[match[2][0].lower()]: int(match[1])})


def moment(text: str) -> datetime:
    """An ISO date or time as UTC without a zone. Raises `ValueError`."""
    given = datetime.fromisoformat(text)
    return given.astimezone(UTC).replace(tzinfo=None) if given.tzinfo else given


def plan_of_spec(spec: PointInTimeSpec, inputs: Inputs) -> Plan:
    return plan_of(spec.entity, spec.features, spec.label, spec.split, inputs)


def plan_of(
    entity: Entity, features: Iterable[Feature], label: Label | None, split: Split | None, inputs: Inputs
) -> Plan:
    """Settle names and types. Raises `InvalidConfig` with every problem, at its field below `config`."""
    reader = _Reader(inputs)
    _read_entity(reader, entity)
    groups = _read_groups(reader, entity, tuple(features), _taken(entity, label, split))
    label_type, label_sql = _read_label(reader, entity, label) if label else ("", "")
    if split:
        _read_split(reader, entity, split)
    reader.end()
    made = Plan(
        entity=entity,
        groups=groups,
        label=label,
        label_type=label_type,
        label_sql=label_sql,
        window=duration(label.window) if label and label.window else None,
        split=split,
        columns=(),
        inputs=inputs,
    )
    return replace(made, columns=tuple(_columns(made)))


def _columns(plan: Plan) -> Iterator[Column]:
    entity, own = plan.entity, {column.name: column for column in plan.inputs[plan.entity.alias]}
    for name in (*entity.key_columns, entity.as_of_column):
        yield Column(name=name, type=own[name].type, nullable=False)
    for name in entity.columns:
        yield own[name]
    for group in plan.groups:
        for _, column in group.outputs:
            yield column
    if plan.label:
        yield Column(name=plan.label.name, type=plan.label_type, nullable=plan.label.on_missing == "keep")
    if plan.split:
        yield Column(name=SPLIT, type="string", nullable=False)


# --- reading ----------------------------------------------------------------------


@dataclass(slots=True)
class _Reader:
    """Collects every problem, so that a form shows them all at once."""

    inputs: Inputs
    problems: list[dict[str, str]] = field(default_factory=list)

    def no(self, where: str, message: str, hint: str = "") -> None:
        self.problems.append({"field": f"config.{where}", "message": message, "hint": hint})

    def end(self) -> None:
        if self.problems:
            message = "; ".join(f"{each['field']}: {each['message']}" for each in self.problems)
            first = self.problems[0]
            raise InvalidConfig(message, hint=first["hint"], field=first["field"], problems=self.problems)

    def alias(self, where: str, alias: str) -> bool:
        if alias not in self.inputs:
            self.no(where, f"There is no input “{alias}”.", f"Inputs are {', '.join(self.inputs)}.")
        return alias in self.inputs

    def column(self, where: str, alias: str, name: str) -> str:
        """The column's type; empty, with a problem told, when there is no such column."""
        from workers.engines.sql.guard import near

        for column in self.inputs[alias]:
            if column.name == name:
                return column.type
        known = [column.name for column in self.inputs[alias]]
        self.no(where, f"{alias} has no column “{name}”.", near(name, known))
        return ""

    def time(self, where: str, alias: str, name: str) -> None:
        kind = self.column(where, alias, name)
        if kind and kind not in TIMES:
            self.no(where, f"{name} is {kind}, not a date or a timestamp.", "CAST it in a Silver job.")

    def duration(self, where: str, text: str) -> timedelta | None:
        try:
            return duration(text) if text else None
        except ValueError as error:
            self.no(where, f"“{text}” is no length of time.", str(error))
            return None


def _read_entity(reader: _Reader, entity: Entity) -> None:
    if not reader.alias("entity.alias", entity.alias):
        reader.end()
    for place, name in enumerate(entity.key_columns):
        where = f"entity.key_columns.{place}"
        kind = reader.column(where, entity.alias, name)
        if kind and not _is_key(kind):
            reader.no(where, f"{name} is {kind}, which is no key.", "Use text, whole numbers, dates or decimals.")
        if name in entity.key_columns[:place] or name == entity.as_of_column:
            reader.no(where, f"{name} is there already.")
    reader.time("entity.as_of_column", entity.alias, entity.as_of_column)
    own = {*entity.key_columns, entity.as_of_column}
    for place, name in enumerate(entity.columns):
        reader.column(f"entity.columns.{place}", entity.alias, name)
        if name in own or name in entity.columns[:place]:
            reader.no(f"entity.columns.{place}", f"{name} is there already.")


def _taken(entity: Entity, label: Label | None, split: Split | None) -> set[str]:
    names = {*entity.key_columns, entity.as_of_column, *entity.columns}
    names |= {label.name} if label else set()
    return {name.lower() for name in names} | ({SPLIT} if split else set())


def _read_groups(reader: _Reader, entity: Entity, features: tuple[Feature, ...], taken: set[str]) -> tuple[Group, ...]:
    return tuple(_read_group(reader, entity, number, given, taken) for number, given in enumerate(features))


def _read_group(reader: _Reader, entity: Entity, number: int, feature: Feature, taken: set[str]) -> Group:
    where = f"features.{number}"
    ttl = reader.duration(f"{where}.ttl", feature.ttl)
    if not reader.alias(f"{where}.alias", feature.alias):
        return Group(number=number, feature=feature, outputs=(), ttl=ttl)
    _read_keys(reader, entity, where, feature.alias, feature.key_columns)
    for option in ("time_column", "knowledge_column", "valid_to_column"):
        if name := getattr(feature, option):
            reader.time(f"{where}.{option}", feature.alias, name)
    for option in ("ttl", "valid_to_column"):
        if getattr(feature, option) and not feature.time_column:
            reader.no(f"{where}.{option}", f"{option} needs a time_column.", "Name the column that says when it was.")
    outputs = []
    for place, name in enumerate(feature.columns):
        kind = reader.column(f"{where}.columns.{place}", feature.alias, name)
        if kind == "time":
            reader.no(f"{where}.columns.{place}", f"{name} is a time of day.", "Make it text or a number of seconds.")
        outputs.append((name, _named(reader, f"{where}.columns.{place}", feature, name, kind, taken)))
    return Group(number=number, feature=feature, outputs=tuple(outputs), ttl=ttl)


def _named(reader: _Reader, where: str, feature: Feature, name: str, kind: str, taken: set[str]) -> Column:
    """What the column is called in the result: its own name, behind the prefix; on a clash, behind its input's."""
    called = f"{feature.prefix}{name}"
    if called.lower() in taken and not feature.prefix:
        called = f"{feature.alias}__{name}"
    if called.lower() in taken:
        reader.no(where, f"There is a column “{called}” already.", "Give these features a prefix of their own.")
    taken.add(called.lower())
    return Column(name=called, type=kind or "string")


def _read_keys(reader: _Reader, entity: Entity, where: str, alias: str, names: tuple[str, ...]) -> None:
    if len(names) != len(entity.key_columns):
        listed = ", ".join(entity.key_columns)
        reader.no(f"{where}.key_columns", f"The entity's key is {listed}: name as many columns, in its order.")
        return
    wanted = {column.name: column.type for column in reader.inputs[entity.alias]}
    for place, (name, own) in enumerate(zip(names, entity.key_columns, strict=True)):
        kind, other = reader.column(f"{where}.key_columns.{place}", alias, name), wanted.get(own, "")
        both_whole = kind in INTEGERS and other in INTEGERS
        if kind and other and kind != other and not both_whole:
            hint = "CAST one of both in a Silver job."
            reader.no(f"{where}.key_columns.{place}", f"{name} is {kind}, the entity's {own} {other}.", hint)


def _read_label(reader: _Reader, entity: Entity, label: Label) -> tuple[str, str]:
    reader.duration("label.window", label.window)
    if not reader.alias("label.alias", label.alias):
        return "", ""
    own = {name.lower() for name in (*entity.key_columns, entity.as_of_column, *entity.columns)}
    if label.name.lower() in own | {SPLIT}:
        reader.no("label.name", f"There is a column “{label.name}” already.", "Give the label another name.")
    kind, sql = _label_column(reader, entity, label) if label.column else _label_expression(reader, entity, label)
    if label.on_missing == "zero" and kind and not is_number(kind) and kind != "boolean":
        reader.no("label.on_missing", f"A {kind} is never zero.", "Use drop or keep.")
    return kind, sql


def _label_column(reader: _Reader, entity: Entity, label: Label) -> tuple[str, str]:
    if label.alias != entity.alias:
        hint = f"For another input write an expression, such as max({label.column})."
        reader.no("label.alias", f"A label's column is one of the entity's input, {entity.alias}.", hint)
        return "", ""
    return reader.column("label.column", label.alias, label.column), ""


def _label_expression(reader: _Reader, entity: Entity, label: Label) -> tuple[str, str]:
    from .label import checked_expression

    _read_keys(reader, entity, "label", label.alias, label.key_columns)
    if label.window and not label.time_column:
        reader.no("label.time_column", "A window needs to know when things happened.", "Name the column of their time.")
    if label.time_column:
        reader.time("label.time_column", label.alias, label.time_column)
        if not label.window:
            reader.no("label.window", "How far does the label look ahead?", "Write a window, such as 30d.")
    try:
        return checked_expression(label.expression, label.alias, reader.inputs[label.alias])
    except SqlRejected as refusal:
        reader.no("label.expression", refusal.message, refusal.hint)
        return "", ""


def _read_split(reader: _Reader, entity: Entity, split: Split) -> None:
    for place, name in enumerate(split.key):
        if name not in entity.key_columns and name not in entity.columns:
            hint = "Name columns of the entity's key, or of its columns."
            reader.no(f"split.key.{place}", f"{name} is no column of the result's entity.", hint)
        elif (kind := reader.column(f"split.key.{place}", entity.alias, name)) and not _is_key(kind):
            reader.no(f"split.key.{place}", f"{name} is {kind}, which is no key.", "Use text or whole numbers.")
    if bool(split.validation_from) != bool(split.test_from):
        missing = "test_from" if split.validation_from else "validation_from"
        reader.no(f"split.{missing}", "Name both cut points, or none.")
    moments = []
    for option in ("validation_from", "test_from"):
        if not getattr(split, option):
            continue
        if split.method != "time":
            reader.no(f"split.{option}", "A cut point is for method time.")
        try:
            moments.append(moment(getattr(split, option)))
        except ValueError:
            reader.no(f"split.{option}", f"“{getattr(split, option)}” is no date or time.", "Write 2026-01-31.")
    reader.duration("split.gap", split.gap)
    if split.gap and split.method != "time":
        reader.no("split.gap", "A gap is for method time.", "By hash, examples of all times are in every part.")
    if len(moments) == 2 and moments[0] > moments[1]:
        reader.no("split.test_from", "The test rows begin before the validation rows.", "Exchange both.")


def _is_key(kind: str) -> bool:
    return kind not in NO_KEYS and not kind.startswith(("list<", "struct<"))


def is_number(kind: str) -> bool:
    return kind in INTEGERS or kind.startswith(("float", "decimal"))
