"""Expressions that people write for metrics: checked as fragments, and written again from the checked tree."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from sqlglot import exp, parse_one

from workers.engines.sql import check_sql
from workers.engines.sql.dialects import AssayDuckDB
from workers.engines.sql.fragment import is_one_value, told_of
from workers.engines.sql.guard import parse
from workers.engines.statement import quoted
from workers.errors import SqlRejected
from workers.specs import Column

Additivity = Literal["additive", "semi_additive", "non_additive"]
_NO_PARAMETER = ("A metric has no parameter: it means the same in every run.", "Leave the dates to the run.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    name: str
    sql: str  # the checked expression, with the filter inside its aggregates
    fills_with_zero: bool  # a count or a sum has the value 0 where nothing happened; an average has none
    additivity: Additivity = "non_additive"  # as the expression shows; a definition may say more
    is_ratio: bool = False


@dataclass(slots=True, kw_only=True)
class Problems:
    """Collects every problem, so that a form shows them all at once."""

    path: str = "config"
    found: list[dict[str, str]] = field(default_factory=list)

    def no(self, where: str, message: str, hint: str = "") -> None:
        place = ".".join(part for part in (self.path, where) if part)
        self.found.append({"field": place, "message": message, "hint": hint})


@dataclass(frozen=True, slots=True, kw_only=True)
class Fragments:
    """The table that fragments of SQL are about. Without columns only their form is looked at."""

    base: str
    columns: tuple[Column, ...]
    problems: Problems

    def measure(self, where: str, name: str, given: Mapping[str, Any]) -> Metric | None:
        """The metric of `{expression, filter?}`; None where something is wrong with it, which is then told."""
        place = f"{where}." if where else ""
        before = len(self.problems.found)
        expression = self._expression(f"{place}expression", str(given.get("expression") or ""))
        condition = None
        if given.get("filter"):
            condition = self._condition(f"{place}filter", str(given["filter"]))
        if len(self.problems.found) > before or expression is None:
            return None
        counts = isinstance(expression, exp.Sum | exp.Count | exp.CountIf)
        is_additive = _is_additive(expression)
        if condition is not None:
            expression = _filtered(expression, condition)
        return Metric(
            name=name,
            sql=expression.sql(dialect=AssayDuckDB, comments=False),
            fills_with_zero=counts,
            additivity="additive" if is_additive else "non_additive",
        )

    def _expression(self, where: str, text: str) -> exp.Expression | None:
        """The metric's tree: aggregates over columns of the base, and arithmetic on them."""
        tree = self._guarded(where, "SELECT ", text, " AS assay_metric FROM ", {"expressions", "from_"})
        if tree is None:
            return None
        expression, no = tree.expressions[0].this, self.problems.no
        if expression.find(exp.Window, exp.Query):
            no(where, "A metric has no window function and no subquery.", "Prepare the column in a Silver job.")
        elif not expression.find(exp.AggFunc):
            no(where, f"“{text}” does not aggregate.", "Use sum(…), count(…), avg(…), min(…), max(…) or the like.")
        elif loose := [each for each in expression.find_all(exp.Column) if not each.find_ancestor(exp.AggFunc)]:
            no(where, f"“{loose[0].name}” stands outside an aggregate.", f"Write sum({loose[0].name}) or the like.")
        elif [each for each in expression.find_all(exp.AggFunc) if each.find_ancestor(exp.AggFunc)]:
            no(where, "An aggregate stands inside another one.", "Aggregate in a Silver job first.")
        elif expression.find(exp.Placeholder):
            no(where, *_NO_PARAMETER)
        return expression

    def _condition(self, where: str, text: str) -> exp.Expression | None:
        tree = self._guarded(where, "SELECT 1 AS assay_metric FROM ", text, "", {"expressions", "from_", "where"})
        if tree is None:
            return None
        condition = tree.args["where"].this
        if condition.find(exp.AggFunc, exp.Window, exp.Query):
            self.problems.no(where, "A filter looks at one row: no aggregate, window function or subquery.")
        elif condition.find(exp.Placeholder):
            self.problems.no(where, *_NO_PARAMETER)
        return condition

    def _guarded(self, where: str, before: str, text: str, after: str, parts: set[str]) -> exp.Select | None:
        """Check a fragment inside the smallest query it can stand in; it must not have made more of that query."""
        base, inputs = quoted(self.base), {self.base: self.columns}
        if after:
            lead, sql = before, f"{before}{text}{after}{base}"
        else:
            lead = f"{before}{base} WHERE "
            sql = f"{lead}{text}"
        try:
            tree = parse(sql, inputs)
            if not is_one_value(tree, "assay_metric", parts):
                told = "Write it without commas, FROM, WHERE or AS."
                self.problems.no(where, f"“{text}” is not one expression.", told)
                return None
            if self.columns:
                check_sql(sql, inputs, "duckdb")
        except SqlRejected as refusal:
            self.problems.no(where, told_of(refusal, len(lead)), refusal.hint)
            return None
        return tree


def ratio(name: str, numerator: Metric, denominator: Metric) -> Metric:
    """One metric divided by another, in floating point; null where the denominator is 0 or null."""
    sql = f"CAST(({numerator.sql}) AS DOUBLE) / NULLIF(CAST(({denominator.sql}) AS DOUBLE), 0)"
    return Metric(name=name, sql=sql, fills_with_zero=False, is_ratio=True)


def measure_problems(
    expression: str, condition: str, columns: tuple[Column, ...], additivity: str = ""
) -> list[dict[str, str]]:
    """What is wrong with a metric of its own: `{field, message, hint}` each, of expression, filter or additivity."""
    problems = Problems(path="")
    fragments = Fragments(base="rows", columns=columns, problems=problems)
    metric = fragments.measure("", "metric", {"expression": expression, "filter": condition})
    if metric and additivity == "additive" and (never := _never_summed(parse_one(metric.sql, read="duckdb"))):
        hint = "Say non_additive, or semi_additive where it may be summed over everything but time."
        problems.no("additivity", f"The values of {never} cannot be summed.", hint)
    return problems.found


def _is_additive(node: exp.Expression) -> bool:
    """Whether the values of groups add up to the value of them all, as far as the expression shows it."""
    if isinstance(node, exp.Sum | exp.Count | exp.CountIf):
        return not isinstance(node.this, exp.Distinct)
    if isinstance(node, exp.Paren | exp.Neg | exp.Cast):
        return _is_additive(node.this)
    if isinstance(node, exp.Add | exp.Sub):
        return _is_additive(node.left) and _is_additive(node.right)
    if isinstance(node, exp.Mul | exp.Div):
        whole, factor = node.left, node.right
        if isinstance(node, exp.Mul) and not whole.find(exp.AggFunc):
            whole, factor = factor, whole
        return _is_additive(whole) and not factor.find(exp.AggFunc)
    return False


def _never_summed(node: exp.Expression) -> str:
    """The first aggregate whose values no sum makes sense of: `avg(…)`, `count(distinct …)`."""
    for each in node.find_all(exp.AggFunc):
        if isinstance(each.this, exp.Distinct):
            return f"{each.sql_name().lower()}(distinct …)"
        if not isinstance(each, exp.Sum | exp.Count | exp.CountIf):
            return f"{each.sql_name().lower()}(…)"
    return ""


def _filtered(expression: exp.Expression, condition: exp.Expression) -> exp.Expression:
    """Each aggregate of the expression looks only at rows that meet the condition."""

    def apply(node: exp.Expression) -> exp.Expression:
        if isinstance(node, exp.AggFunc) and not isinstance(node.parent, exp.Filter):
            return exp.Filter(this=node.copy(), expression=exp.Where(this=condition.copy()))
        return node

    return expression.copy().transform(apply)
