"""The configuration of `metrics_aggregate` as a plan; every fault in it, each with its field."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from workers.engines.sql.guard import near
from workers.errors import InvalidConfig
from workers.specs import Column

from .measures import Fragments, Metric, Problems, ratio
from .periods import GRAINS, UTC, WEEK_STARTS, hour_offsets, is_zone

FIELDS = ("base", "time_column", "time_grain", "time_zone", "week_start", "dimensions", "metrics", "fill_gaps")
MEASURE_FIELDS = ("name", "expression", "filter")
RATIO_FIELDS = ("name", "numerator", "denominator")
TIMES = ("date", "timestamp", "timestamptz")
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
Inputs = Mapping[str, tuple[Column, ...]]


@dataclass(slots=True, kw_only=True)
class Plan:
    base: str = ""
    time_column: str = ""
    time_type: str = ""
    grain: str = ""
    time_zone: str = UTC
    week_start: str = "monday"
    dimensions: list[str] = field(default_factory=list)
    metrics: list[Metric] = field(default_factory=list)
    fill_gaps: bool = False


def read_plan(config: Mapping[str, Any], inputs: Inputs) -> Plan:
    """Raises `InvalidConfig` with every problem and its field, such as `config.metrics.0.expression`."""
    problems, plan = Problems(), Plan()
    reader = _Reader(config, inputs, problems, plan)
    for name in sorted(set(config) - set(FIELDS)):
        problems.no(name, f"There is no option “{name}”.", near(name, FIELDS))
    reader.read_base()
    if plan.base:
        columns = {column.name.lower(): column for column in inputs[plan.base]}
        reader.read_time(columns)
        reader.read_calendar()
        reader.read_dimensions(columns)
        reader.read_metrics()
    plan.fill_gaps = config.get("fill_gaps") or False
    if not isinstance(plan.fill_gaps, bool):
        problems.no("fill_gaps", "fill_gaps is true or false.")
    elif plan.fill_gaps and plan.grain == "hour" and is_zone(plan.time_zone) and len(hour_offsets(plan.time_zone)) > 1:
        hint = "Use days, or leave fill_gaps out."
        problems.no("fill_gaps", f"In {plan.time_zone} clocks have been shifted by parts of an hour.", hint)
    if problems.found:
        first = problems.found[0]
        message = "; ".join(f"{each['field']}: {each['message']}" for each in problems.found)
        raise InvalidConfig(message, hint=first["hint"], field=first["field"], problems=problems.found)
    return plan


@dataclass(slots=True)
class _Reader:
    config: Mapping[str, Any]
    inputs: Inputs
    problems: Problems
    plan: Plan

    def read_base(self) -> None:
        known = {alias.lower(): alias for alias in self.inputs}
        base = self.config.get("base") or (next(iter(self.inputs)) if len(self.inputs) == 1 else "")
        if not base:
            self.problems.no("base", "Name the input that is aggregated.", near("", self.inputs))
        elif str(base).lower() not in known:
            self.problems.no("base", f"There is no input “{base}”.", near(str(base), self.inputs))
        else:
            self.plan.base = known[str(base).lower()]

    def read_time(self, columns: Mapping[str, Column]) -> None:
        plan, no = self.plan, self.problems.no
        plan.grain = self.config.get("time_grain") or ""
        if plan.grain not in GRAINS:
            no("time_grain", f"“{plan.grain}” is no time grain.", f"Use {', '.join(GRAINS)}.")
        name = str(self.config.get("time_column") or "")
        column = columns.get(name.lower())
        timed = [each.name for each in columns.values() if each.type.lower() in TIMES]
        if column is None:
            no("time_column", f"{plan.base} has no column “{name}”.", near(name, timed))
        elif column.type.lower() not in TIMES:
            no("time_column", f"{column.name} is a {column.type}, not a date or timestamp.", near("", timed))
        elif column.type.lower() == "date" and plan.grain == "hour":
            no("time_grain", f"{column.name} is a date: it has no hours.", "Use day or a longer grain.")
        else:
            plan.time_column, plan.time_type = column.name, column.type.lower()

    def read_calendar(self) -> None:
        """The zone that periods begin in, and the day that weeks begin on."""
        plan, no = self.plan, self.problems.no
        plan.time_zone = self.config.get("time_zone") or UTC
        plan.week_start = self.config.get("week_start") or "monday"
        if plan.week_start not in WEEK_STARTS:
            no("week_start", f"No week begins on “{plan.week_start}” here.", f"Use {', '.join(WEEK_STARTS)}.")
        if not is_zone(plan.time_zone):
            no("time_zone", f"“{plan.time_zone}” is no time zone.", "Use an IANA name, such as Europe/Berlin.")
        elif plan.time_zone != UTC and plan.time_type in ("date", "timestamp"):
            no(
                "time_zone",
                f"{plan.time_column} is a {plan.time_type}: it has no zone that it could be taken from.",
                "Leave time_zone out, or make the column a timestamptz in a Silver job.",
            )

    def read_dimensions(self, columns: Mapping[str, Column]) -> None:
        plan, no = self.plan, self.problems.no
        given = self.config.get("dimensions") or []
        if not isinstance(given, list | tuple):
            no("dimensions", "dimensions is a list of column names.")
            return
        for place, name in enumerate(given):
            column = columns.get(str(name).lower())
            if column is None:
                known = (each.name for each in columns.values())
                no(f"dimensions.{place}", f"{plan.base} has no column “{name}”.", near(str(name), known))
            elif column.name in plan.dimensions or column.name == plan.time_column:
                no(f"dimensions.{place}", f"{column.name} is there already.")
            else:
                plan.dimensions.append(column.name)

    def read_metrics(self) -> None:
        plan, no = self.plan, self.problems.no
        given = self.config.get("metrics") or []
        if not isinstance(given, list | tuple) or not given:
            no("metrics", "There is no metric.", 'Add one, such as {"name": "orders", "expression": "count(*)"}.')
            return
        taken = {name.lower() for name in (plan.time_column, *plan.dimensions)}
        found: dict[int, Metric] = {}
        ratios: list[tuple[int, Mapping[str, Any]]] = []
        for place, metric in enumerate(given):
            if not isinstance(metric, Mapping):
                no(f"metrics.{place}", "A metric has a name and an expression.")
                continue
            self._check_fields(place, metric)
            self._check_name(f"metrics.{place}", str(metric.get("name") or ""), taken)
            if _is_ratio(metric):
                ratios.append((place, metric))
            elif read := self._fragments().measure(f"metrics.{place}", str(metric.get("name")), metric):
                found[place] = read
        measures = {metric.name.lower(): metric for metric in found.values()}
        for place, metric in ratios:
            parts = [self._part(f"metrics.{place}", metric, side, measures) for side in ("numerator", "denominator")]
            if all(parts):
                found[place] = ratio(str(metric.get("name")), *parts)
        plan.metrics = [found[place] for place in sorted(found)]

    def _fragments(self) -> Fragments:
        base = self.plan.base
        return Fragments(base=base, columns=tuple(self.inputs[base]), problems=self.problems)

    def _check_fields(self, place: int, metric: Mapping[str, Any]) -> None:
        known = RATIO_FIELDS if _is_ratio(metric) else MEASURE_FIELDS
        for name in sorted(set(metric) - set(known)):
            self.problems.no(f"metrics.{place}.{name}", f"There is no option “{name}”.", near(name, known))

    def _check_name(self, where: str, name: str, taken: set[str]) -> None:
        if not NAME.fullmatch(name):
            hint = "Use letters, digits and _, as in net_revenue."
            self.problems.no(f"{where}.name", f"“{name}” is no column name.", hint)
        elif name.lower() in taken:
            self.problems.no(f"{where}.name", f"Another column is called “{name}”.", "Give the metric another name.")
        taken.add(name.lower())

    def _part(self, where: str, metric: Mapping[str, Any], side: str, measures: Mapping[str, Metric]) -> Metric | None:
        """What a ratio names: another metric of the list, or a measure that is given in its place."""
        given = metric.get(side)
        if isinstance(given, Mapping):
            return self._fragments().measure(f"{where}.{side}", side, given)
        named = measures.get(str(given or "").lower())
        if named is None:
            hint = f"A ratio is made of two measures of this list. {near(str(given or ''), measures)}"
            self.problems.no(f"{where}.{side}", f"There is no measure “{given or ''}” in this list.", hint)
        return named


def _is_ratio(metric: Mapping[str, Any]) -> bool:
    return "numerator" in metric or "denominator" in metric
