"""What a configuration of `conform_sources` means: checked expressions, one type for each column, who goes first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlglot import exp

from workers.engines.sql import check_sql
from workers.engines.sql.dialects import AssayDuckDB
from workers.engines.sql.fragment import is_one_value, told_of
from workers.engines.sql.guard import near, parse
from workers.engines.statement import quoted
from workers.errors import InvalidConfig, SqlRejected
from workers.lake.lattice import join
from workers.schema import parse_type
from workers.specs import Column

Inputs = Mapping[str, tuple[Column, ...]]
OWN = "assay_"  # names that begin so are the generated query's
TIMES = ("date", "timestamp", "timestamptz")


@dataclass(slots=True, kw_only=True)
class Mapped:
    """An expression of a source, regenerated from its checked tree."""

    sql: str
    type: str = ""  # empty: a bare NULL, which has every type
    is_plain: bool = False  # just a column, whose type every engine agrees on


@dataclass(slots=True, kw_only=True)
class Source:
    alias: str
    system: str
    priority: int
    place: int  # in the configuration, for messages
    mapped: dict[str, Mapped] = field(default_factory=dict)
    updated_at: Mapped | None = None  # where no column of the result tells the time

    @property
    def field(self) -> str:
        return f"sources.{self.place}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """How one column's value is chosen: `order` names sources by their position in `Plan.sources`."""

    is_latest: bool
    order: tuple[int, ...] = ()


@dataclass(slots=True, kw_only=True)
class Plan:
    """`sources` are in the order of their priority: a source's position there is its number in the query."""

    sources: list[Source] = field(default_factory=list)
    types: dict[str, str] = field(default_factory=dict)  # column → type, the keys first
    keys: list[str] = field(default_factory=list)
    is_latest: bool = False
    updated_at: str = ""  # column of the query, or of the result, that orders by time; empty: nothing does
    system_column: str = "source_system"
    rules: dict[str, Rule] = field(default_factory=dict)

    def is_scalar(self, name: str) -> bool:
        """Whether engines can compare the column's values."""
        kind = parse_type(self.types[name])
        return not (kind.is_nested() or self.types[name] == "binary")

    @property
    def compared(self) -> list[str]:
        """The columns in which sources can disagree."""
        return [n for n in self.types if n not in self.keys and n != self.updated_at and self.is_scalar(n)]


@dataclass(slots=True)
class _Reader:
    """Collects every problem, so that a form shows them all at once."""

    config: Mapping[str, Any]
    inputs: Inputs
    problems: list[dict[str, str]] = field(default_factory=list)

    def no(self, where: str, message: str, hint: str = "") -> None:
        self.problems.append({"field": f"config.{where}", "message": message, "hint": hint})

    def stop_if_wrong(self) -> None:
        if self.problems:
            first = self.problems[0]
            message = "; ".join(f"{each['field']}: {each['message']}" for each in self.problems)
            raise InvalidConfig(message, hint=first["hint"], field=first["field"], problems=self.problems)


def read_plan(config: Mapping[str, Any], inputs: Inputs) -> Plan:
    """The plan. `config` has the shape of the template's options.

    Raises `InvalidConfig` with every problem and its field, such as `config.sources.1.mappings.email`.
    """
    reader = _Reader(config, inputs)
    sources = [_source(reader, place, given) for place, given in enumerate(config["sources"])]
    reader.stop_if_wrong()
    plan = Plan(
        sources=sorted(sources, key=lambda source: (source.priority, source.place)),
        keys=list(config["key_columns"]),
        is_latest=config.get("conflict_resolution") == "latest",
        system_column=config.get("source_system_column") or "source_system",
    )
    _check_names(reader, plan)
    reader.stop_if_wrong()
    for source in plan.sources:
        _find_types(reader, source)
    reader.stop_if_wrong()
    _settle_types(reader, plan)
    _settle_time(reader, plan)
    reader.stop_if_wrong()
    _settle_rules(reader, plan)
    reader.stop_if_wrong()
    return plan


# --- sources and their expressions ---------------------------------------------------


def _source(reader: _Reader, place: int, given: Mapping[str, Any]) -> Source:
    where, alias = f"sources.{place}", given["alias"]
    known = {name.lower(): name for name in reader.inputs}
    source = Source(
        alias=known.get(alias.lower(), alias),
        system=given["source_system"],
        priority=given.get("priority", 1),
        place=place,
    )
    if alias.lower() not in known:
        reader.no(f"{where}.alias", f"There is no input “{alias}”.", near(alias, reader.inputs))
        return source
    for target, text in given["mappings"].items():
        if found := _expression(reader, source, f"{where}.mappings.{target}", str(text)):
            source.mapped[target] = found
    return source


def _expression(reader: _Reader, source: Source, where: str, text: str) -> Mapped | None:
    """One value of one row. Checked in the smallest query it can stand in; it must not make more of that query."""
    lead = "SELECT "
    try:
        tree = parse(f"{lead}{text} AS assay_value FROM {quoted(source.alias)}", [source.alias])
    except SqlRejected as refusal:
        reader.no(where, told_of(refusal, len(lead)), refusal.hint)
        return None
    if not is_one_value(tree, "assay_value"):
        reader.no(where, f"“{text}” is not one expression.", "Write it without commas, FROM, WHERE or AS.")
        return None
    inner = tree.expressions[0].this
    if inner.find(exp.AggFunc, exp.Window, exp.Query, exp.Explode, exp.Star):
        reader.no(
            where,
            "A mapping looks at one row: no aggregate, window function, subquery, unnest or *.",
            "Prepare the column in a job before this one.",
        )
        return None
    sql = inner.sql(dialect=AssayDuckDB, comments=False)
    is_null = isinstance(inner.unnest(), exp.Null)
    return Mapped(sql="NULL" if is_null else sql, is_plain=isinstance(inner, exp.Column))


def _check_names(reader: _Reader, plan: Plan) -> None:
    """What the result's columns are called, and that every source has every key."""
    spelled: dict[str, str] = {plan.system_column.lower(): plan.system_column}
    if plan.system_column.lower().startswith(OWN):
        reader.no("source_system_column", f"Names that begin with {OWN} are taken.")
    for source in plan.sources:
        for target in source.mapped:
            where = f"{source.field}.mappings.{target}"
            if target.lower().startswith(OWN):
                reader.no(where, f"Names that begin with {OWN} are taken.", "Give the column another name.")
            elif target.lower() == plan.system_column.lower():
                reader.no(where, f"{target} is filled by the template.", "Choose another source_system_column.")
            elif spelled.setdefault(target.lower(), target) != target:
                reader.no(where, f"Another source calls it “{spelled[target.lower()]}”.", "Spell names the same.")
        for key in plan.keys:
            if key not in source.mapped:
                reader.no(
                    f"{source.field}.mappings",
                    f"The source {source.system} does not map the key “{key}”.",
                    near(key, source.mapped),
                )
            elif source.mapped[key].sql == "NULL":
                reader.no(f"{source.field}.mappings.{key}", f"The key {key} is always null.")
    _check_systems(reader, plan)


def _check_systems(reader: _Reader, plan: Plan) -> None:
    """Each source has a name of its own: the result, its rules and its report tell them apart by it alone."""
    first: dict[str, Source] = {}
    for source in sorted(plan.sources, key=lambda source: source.place):
        known = first.setdefault(source.system.strip().lower(), source)
        if known is not source:
            reader.no(
                f"{source.field}.source_system",
                f"The source {known.alias} is called “{known.system}” already.",
                "Give each a name of its own, such as crm_eu and crm_us, or unite them in a job before this one.",
            )


# --- types ---------------------------------------------------------------------------


def _find_types(reader: _Reader, source: Source) -> None:
    """Ask for all of a source's types at once; one by one only to find what is wrong."""
    asked = {target: mapped for target, mapped in source.mapped.items() if mapped.sql != "NULL"}
    inputs = {source.alias: reader.inputs[source.alias]}
    selected = ", ".join(f"{mapped.sql} AS c{place}" for place, mapped in enumerate(asked.values()))
    try:
        columns = check_sql(f"SELECT {selected} FROM {quoted(source.alias)}", inputs, "duckdb").columns  # noqa: S608
    except SqlRejected:
        for target, mapped in asked.items():
            _refuse_one(reader, source, target, mapped, inputs)
        return
    for mapped, column in zip(asked.values(), columns, strict=True):
        mapped.type = column.type


def _refuse_one(reader: _Reader, source: Source, target: str, mapped: Mapped, inputs: Inputs) -> None:
    lead = "SELECT "
    try:
        check_sql(f"{lead}{mapped.sql} AS assay_value FROM {quoted(source.alias)}", inputs, "duckdb")
    except SqlRejected as refusal:
        reader.no(f"{source.field}.mappings.{target}", told_of(refusal, len(lead)), refusal.hint)


def _settle_types(reader: _Reader, plan: Plan) -> None:
    """The one type of each column: the least that holds every source's, without guessing and without printing."""
    names = dict.fromkeys([*plan.keys, *(target for source in plan.sources for target in source.mapped)])
    for name in names:
        kind, first = "", None
        for source in plan.sources:
            mapped = source.mapped.get(name)
            if mapped is None or not mapped.type:
                continue
            common = join(kind, mapped.type) if kind else mapped.type
            if common is None or (common == "string" and kind and kind != mapped.type):  # that would print numbers
                wide, told = first.mapped[name].type, first.system
                reader.no(
                    f"{source.field}.mappings.{name}",
                    f"{name} is {mapped.type} in {source.system} and {wide} in {told}.",
                    "Write CAST(… AS …) around one of them, so that both are of one type.",
                )
                break
            kind, first = common, first or source
        plan.types[name] = kind or "string"


def _settle_time(reader: _Reader, plan: Plan) -> None:
    """Which column tells when a record was changed: the mapped one, or the source's own of that name."""
    name = reader.config.get("updated_at_column") or ""
    if not name:
        return
    if name in plan.types:
        plan.updated_at = name
        if not plan.is_scalar(name):
            reader.no("updated_at_column", f"{name} is {plan.types[name]}, which has no order.")
        return
    kinds: list[str] = []
    for source in plan.sources:
        column = next((c for c in reader.inputs[source.alias] if c.name.lower() == name.lower()), None)
        if column is None:
            if plan.is_latest:
                message = f"{source.system} neither maps {name} nor has a column of that name."
                reader.no(f"{source.field}.mappings", message, f"Map {name}, which says when a record was changed.")
            continue
        source.updated_at = Mapped(sql=quoted(column.name), type=column.type, is_plain=True)
        kinds.append(column.type)
    common = kinds[0] if kinds else ""
    for kind in kinds[1:]:
        common = join(common, kind) or ""
    if not common or (common == "string" and set(kinds) != {"string"}):
        told = f": it is {', '.join(sorted(set(kinds)))}" if kinds else ""
        reader.no("updated_at_column", f"The sources have no {name} of one type{told}.", f"Map {name} with CAST.")
        return
    plan.updated_at = f"{OWN}updated_at"
    plan.types[plan.updated_at] = common
    for source in plan.sources:
        if source.updated_at:
            source.mapped[plan.updated_at] = source.updated_at


# --- rules of single columns -----------------------------------------------------------


def _settle_rules(reader: _Reader, plan: Plan) -> None:
    if reader.config.get("fill_nulls"):
        plan.rules = {name: Rule(is_latest=plan.is_latest) for name in plan.compared}
    for name, given in (reader.config.get("column_rules") or {}).items():
        where = f"column_rules.{name}"
        if name not in plan.types or name.startswith(OWN):
            reader.no(where, f"No source maps “{name}”.", near(name, plan.compared))
        elif name in plan.keys:
            reader.no(where, f"{name} is a key: it is the same in every source.")
        elif not plan.is_scalar(name):
            reader.no(where, f"{name} is {plan.types[name]}: it comes with its whole record.")
        else:
            plan.rules[name] = _rule(reader, plan, where, given)


def _rule(reader: _Reader, plan: Plan, where: str, given: Mapping[str, Any]) -> Rule:
    is_latest = given.get("resolution") == "latest"
    if is_latest and not plan.updated_at:
        reader.no(f"{where}.resolution", "The latest needs updated_at_column.")
    order: list[int] = []
    systems = [source.system for source in plan.sources]
    for place, system in enumerate(given.get("order") or ()):
        if system not in systems:
            reader.no(f"{where}.order.{place}", f"There is no source “{system}”.", near(system, systems))
        elif (number := systems.index(system)) in order:
            reader.no(f"{where}.order.{place}", f"{system} is named twice.", "Name each source once.")
        else:
            order.append(number)
    if order and is_latest:
        reader.no(f"{where}.order", "An order of sources belongs to the resolution source_priority.")
    return Rule(is_latest=is_latest, order=tuple(order))
