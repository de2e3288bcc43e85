"""Gold by declaration: a time grain, dimensions and metrics become one checked SELECT.

The template writes SQL in the canonical dialect, so it runs on every engine,
can be read by the person who configured it, and is checked like any other.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlglot import exp

from workers.engines.sql import check_sql, laid_out
from workers.engines.sql.dialects import AssayDuckDB
from workers.engines.sql.guard import near, parse
from workers.engines.statement import quoted
from workers.errors import InvalidConfig, SqlRejected
from workers.specs import Column

GRAINS = ("hour", "day", "week", "month", "quarter", "year")
FIELDS = ("base", "time_column", "time_grain", "dimensions", "metrics", "fill_gaps")
METRIC_FIELDS = ("name", "expression", "filter")
TIMES = ("date", "timestamp", "timestamptz")
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
Inputs = Mapping[str, tuple[Column, ...]]


def to_sql(config: Mapping[str, Any], inputs: Inputs) -> str:
    """The SELECT that the configuration stands for, laid out for reading.

    It returns the time column, which keeps its name and holds the start of its
    period (a date; for hours a timestamp), the dimensions, and the metrics.
    Rows without a time keep a group of their own. Raises `InvalidConfig` with
    every problem and its field, such as `config.metrics.0.expression`.
    """
    plan = _read(config, inputs)
    text = _filled(plan) if plan.fill_gaps else _grouped(plan)
    return laid_out(text)


def output_columns(config: Mapping[str, Any], inputs: Inputs) -> tuple[Column, ...]:
    """The target schema that the configuration suggests; sums of decimals have 38 digits."""
    return check_sql(to_sql(config, inputs), inputs, "duckdb").columns


# --- reading the configuration -------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    name: str
    sql: str  # the checked expression, with the filter inside its aggregates
    fills_with_zero: bool  # a count or a sum has the value 0 where nothing happened; an average has none


@dataclass(slots=True, kw_only=True)
class _Plan:
    base: str = ""
    time_column: str = ""
    time_type: str = ""
    grain: str = ""
    dimensions: list[str] = field(default_factory=list)
    metrics: list[Metric] = field(default_factory=list)
    fill_gaps: bool = False


@dataclass(slots=True)
class _Reader:
    """Collects every problem, so that a form shows them all at once."""

    config: Mapping[str, Any]
    inputs: Inputs
    problems: list[dict[str, str]] = field(default_factory=list)

    def no(self, where: str, message: str, hint: str = "") -> None:
        self.problems.append({"field": f"config.{where}" if where else "config", "message": message, "hint": hint})


def _read(config: Mapping[str, Any], inputs: Inputs) -> _Plan:
    reader, plan = _Reader(config, inputs), _Plan()
    for name in sorted(set(config) - set(FIELDS)):
        reader.no(name, f"There is no option “{name}”.", near(name, FIELDS))
    _read_base(reader, plan)
    if plan.base:
        columns = {column.name.lower(): column for column in inputs[plan.base]}
        _read_time(reader, plan, columns)
        _read_dimensions(reader, plan, columns)
        _read_metrics(reader, plan)
    plan.fill_gaps = config.get("fill_gaps") or False
    if not isinstance(plan.fill_gaps, bool):
        reader.no("fill_gaps", "fill_gaps is true or false.")
    if reader.problems:
        first = reader.problems[0]
        message = "; ".join(f"{each['field']}: {each['message']}" for each in reader.problems)
        raise InvalidConfig(message, hint=first["hint"], field=first["field"], problems=reader.problems)
    return plan


def _read_base(reader: _Reader, plan: _Plan) -> None:
    known = {alias.lower(): alias for alias in reader.inputs}
    base = reader.config.get("base") or (next(iter(reader.inputs)) if len(reader.inputs) == 1 else "")
    if not base:
        reader.no("base", "Name the input that is aggregated.", near("", reader.inputs))
    elif str(base).lower() not in known:
        reader.no("base", f"There is no input “{base}”.", near(str(base), reader.inputs))
    else:
        plan.base = known[str(base).lower()]


def _read_time(reader: _Reader, plan: _Plan, columns: Mapping[str, Column]) -> None:
    plan.grain = reader.config.get("time_grain") or ""
    if plan.grain not in GRAINS:
        reader.no("time_grain", f"“{plan.grain}” is no time grain.", f"Use {', '.join(GRAINS)}.")
    name = str(reader.config.get("time_column") or "")
    column = columns.get(name.lower())
    timed = [each.name for each in columns.values() if each.type.lower() in TIMES]
    if column is None:
        reader.no("time_column", f"{plan.base} has no column “{name}”.", near(name, timed))
    elif column.type.lower() not in TIMES:
        reader.no("time_column", f"{column.name} is a {column.type}, not a date or timestamp.", near("", timed))
    elif column.type.lower() == "date" and plan.grain == "hour":
        reader.no("time_grain", f"{column.name} is a date: it has no hours.", "Use day or a longer grain.")
    else:
        plan.time_column, plan.time_type = column.name, column.type.lower()


def _read_dimensions(reader: _Reader, plan: _Plan, columns: Mapping[str, Column]) -> None:
    given = reader.config.get("dimensions") or []
    if not isinstance(given, list | tuple):
        reader.no("dimensions", "dimensions is a list of column names.")
        return
    for place, name in enumerate(given):
        column = columns.get(str(name).lower())
        if column is None:
            known = (each.name for each in columns.values())
            reader.no(f"dimensions.{place}", f"{plan.base} has no column “{name}”.", near(str(name), known))
        elif column.name in plan.dimensions or column.name == plan.time_column:
            reader.no(f"dimensions.{place}", f"{column.name} is there already.")
        else:
            plan.dimensions.append(column.name)


def _read_metrics(reader: _Reader, plan: _Plan) -> None:
    given = reader.config.get("metrics") or []
    if not isinstance(given, list | tuple) or not given:
        reader.no("metrics", "There is no metric.", 'Add one, such as {"name": "orders", "expression": "count(*)"}.')
        return
    taken = {name.lower() for name in (plan.time_column, *plan.dimensions)}
    for place, metric in enumerate(given):
        where = f"metrics.{place}"
        if not isinstance(metric, Mapping):
            reader.no(where, "A metric has a name and an expression.")
            continue
        for name in sorted(set(metric) - set(METRIC_FIELDS)):
            reader.no(f"{where}.{name}", f"There is no option “{name}”.", near(name, METRIC_FIELDS))
        _read_name(reader, where, str(metric.get("name") or ""), taken)
        _read_metric(reader, plan, where, metric)


def _read_name(reader: _Reader, where: str, name: str, taken: set[str]) -> None:
    if not NAME.fullmatch(name):
        reader.no(f"{where}.name", f"“{name}” is no column name.", "Use letters, digits and _, as in net_revenue.")
    elif name.lower() in taken:
        reader.no(f"{where}.name", f"Another column is called “{name}”.", "Give the metric another name.")
    taken.add(name.lower())


def _read_metric(reader: _Reader, plan: _Plan, where: str, metric: Mapping[str, Any]) -> None:
    before = len(reader.problems)
    expression = _expression(reader, plan, f"{where}.expression", str(metric.get("expression") or ""))
    condition = None
    if metric.get("filter"):
        condition = _condition(reader, plan, f"{where}.filter", str(metric["filter"]))
    if len(reader.problems) > before or expression is None:
        return
    fills_with_zero = isinstance(expression, exp.Sum | exp.Count | exp.CountIf)
    if condition is not None:
        expression = _filtered(expression, condition)
    sql = expression.sql(dialect=AssayDuckDB, comments=False)
    plan.metrics.append(Metric(name=str(metric["name"]), sql=sql, fills_with_zero=fills_with_zero))


def _expression(reader: _Reader, plan: _Plan, where: str, text: str) -> exp.Expression | None:
    """The metric's tree: aggregates over columns of the base, and arithmetic on them."""
    tree = _guarded(reader, plan, where, "SELECT ", text, " AS assay_metric FROM ", {"expressions", "from_"})
    if tree is None:
        return None
    expression = tree.expressions[0].this
    if expression.find(exp.Window, exp.Query):
        reader.no(where, "A metric has no window function and no subquery.", "Prepare the column in a Silver job.")
    elif not expression.find(exp.AggFunc):
        reader.no(where, f"“{text}” does not aggregate.", "Use sum(…), count(…), avg(…), min(…), max(…) or the like.")
    elif loose := [each for each in expression.find_all(exp.Column) if not each.find_ancestor(exp.AggFunc)]:
        reader.no(where, f"“{loose[0].name}” stands outside an aggregate.", f"Write sum({loose[0].name}) or the like.")
    elif [each for each in expression.find_all(exp.AggFunc) if each.find_ancestor(exp.AggFunc)]:
        reader.no(where, "An aggregate stands inside another one.", "Aggregate in a Silver job first.")
    return expression


def _condition(reader: _Reader, plan: _Plan, where: str, text: str) -> exp.Expression | None:
    tree = _guarded(reader, plan, where, "SELECT 1 AS assay_metric FROM ", text, "", {"expressions", "from_", "where"})
    if tree is None:
        return None
    condition = tree.args["where"].this
    if condition.find(exp.AggFunc, exp.Window, exp.Query):
        reader.no(where, "A filter looks at one row: no aggregate, window function or subquery.")
    return condition


def _guarded(
    reader: _Reader, plan: _Plan, where: str, before: str, text: str, after: str, parts: set[str]
) -> exp.Select | None:
    """Check a fragment inside the smallest query it can stand in; it must not have made more of that query."""
    base = quoted(plan.base)
    if after:
        lead, sql = before, f"{before}{text}{after}{base}"
    else:
        lead = f"{before}{base} WHERE "
        sql = f"{lead}{text}"
    try:
        tree = parse(sql, reader.inputs)
        whole = {part for part, value in tree.args.items() if value} == parts and len(tree.expressions) == 1
        if not whole or tree.args["from_"].this.args.get("joins") or tree.expressions[0].alias != "assay_metric":
            reader.no(where, f"“{text}” is not one expression.", "Write it without commas, FROM, WHERE or AS.")
            return None
        check_sql(sql, reader.inputs, "duckdb")
    except SqlRejected as refusal:
        reader.no(where, _told(refusal, len(lead)), refusal.hint)
        return None
    return tree


def _told(refusal: SqlRejected, lead: int) -> str:
    """The refusal with the place in the fragment, which stood behind `lead` characters of ours."""
    line, column = refusal.facts.get("line"), refusal.facts.get("column", 0)
    if line is None or (line == 1 and column <= lead):
        return refusal.message
    return f"{refusal.message} (line {line}, column {column - lead if line == 1 else column})"


def _filtered(expression: exp.Expression, condition: exp.Expression) -> exp.Expression:
    """Each aggregate of the expression looks only at rows that meet the condition."""

    def apply(node: exp.Expression) -> exp.Expression:
        if isinstance(node, exp.AggFunc) and not isinstance(node.parent, exp.Filter):
            return exp.Filter(this=node.copy(), expression=exp.Where(this=condition.copy()))
        return node

    return expression.copy().transform(apply)


# --- writing the query ---------------------------------------------------------------


def _period(plan: _Plan, value: str) -> str:
    """The start of the period that `value` lies in; timestamps with a zone are cut in UTC."""
    kind = {"date": "DATE", "timestamp": "TIMESTAMP", "timestamptz": "TIMESTAMPTZ"}[plan.time_type]
    return f"CAST(DATE_TRUNC('{plan.grain}', {value}) AS {kind if plan.grain == 'hour' else 'DATE'})"


def _grouped(plan: _Plan) -> str:
    period = _period(plan, quoted(plan.time_column))
    dimensions = [quoted(name) for name in plan.dimensions]
    metrics = [f"{metric.sql} AS {quoted(metric.name)}" for metric in plan.metrics]
    selected = ", ".join([f"{period} AS {quoted(plan.time_column)}", *dimensions, *metrics])
    grouped = ", ".join([period, *dimensions])
    return f"SELECT {selected} FROM {quoted(plan.base)} GROUP BY {grouped}"  # noqa: S608 - checked parts


def _filled(plan: _Plan) -> str:
    """The same, and a row for each period between the first and the last, for each combination of dimensions.

    Metrics that are a count or a sum are 0 there, the others null. Series of
    numbers are made from digits, because not every engine can count; 100,000
    days (273 years) from the first period on are filled.
    """
    time, dimensions = quoted(plan.time_column), [quoted(name) for name in plan.dimensions]
    names = [quoted(metric.name) for metric in plan.metrics]
    digits = ", ".join(f"({n})" for n in range(10))
    number = " + ".join(f"d{place}.n * {10**place}" for place in range(5))
    joins = " ".join(f"JOIN assay_digits AS d{place} ON d{place}.one = d0.one" for place in range(1, 5))
    groups = ", ".join([*dimensions, "1 AS one"])
    gaps = ", ".join(["assay_periods.start_time", *(f"assay_groups.{name}" for name in dimensions), *_nulls(plan)])
    best = ", ".join(_best(metric) for metric in plan.metrics)
    return f"""
        WITH assay_found AS ({_grouped(plan)}),
        assay_digits AS (SELECT n, 1 AS one FROM (VALUES {digits}) AS v(n)),
        assay_days AS (SELECT {number} AS n, 1 AS one FROM assay_digits AS d0 {joins}),
        assay_bounds AS (SELECT MIN({time}) AS first_time, MAX({time}) AS last_time, 1 AS one FROM assay_found),
        {_periods(plan)},
        assay_groups AS (SELECT DISTINCT {groups} FROM assay_found),
        assay_rows AS (
            SELECT {", ".join([time, *dimensions, *names])} FROM assay_found
            UNION ALL
            SELECT {gaps} FROM assay_periods JOIN assay_groups ON assay_groups.one = assay_periods.one
        )
        SELECT {", ".join([time, *dimensions])}, {best}
        FROM assay_rows GROUP BY {", ".join([time, *dimensions])}
    """  # noqa: S608 - made from checked parts


def _nulls(plan: _Plan) -> list[str]:
    # A null of the metric's own type: engines disagree on what a bare NULL is.
    return [f"CASE WHEN assay_groups.one = 0 THEN assay_groups.one END AS {quoted(m.name)}" for m in plan.metrics]


def _best(metric: Metric) -> str:
    """Of the found row and the filler the found one, which is never null where it counts or sums."""
    value = f"MAX({quoted(metric.name)})"
    return f"{f'COALESCE({value}, 0)' if metric.fills_with_zero else value} AS {quoted(metric.name)}"


def _periods(plan: _Plan) -> str:
    day = "CAST(assay_bounds.first_time AS DATE) + CAST(assay_days.n AS INT)"
    days = f"""
        assay_calendar AS (
            SELECT {day} AS day, assay_bounds.first_time, assay_bounds.last_time, 1 AS one
            FROM assay_bounds JOIN assay_days ON assay_days.one = assay_bounds.one
            WHERE {day} <= CAST(assay_bounds.last_time AS DATE)
        )"""  # noqa: S608 - made from checked parts
    if plan.grain != "hour":
        start = _period(plan, "day")
        return f"{days}, assay_periods AS (SELECT DISTINCT {start} AS start_time, 1 AS one FROM assay_calendar)"  # noqa: S608
    hour = "CAST(day AS VARCHAR) || ' ' || CAST(assay_hours.n AS VARCHAR) || ':00:00'"
    kind = "TIMESTAMPTZ" if plan.time_type == "timestamptz" else "TIMESTAMP"
    start = f"CAST(STRPTIME({hour}, '%Y-%m-%d %H:%M:%S') AS {kind})"
    return f"""{days},
        assay_hours AS (SELECT n, 1 AS one FROM assay_days WHERE n < 24),
        assay_periods AS (
            SELECT {start} AS start_time, 1 AS one
            FROM assay_calendar JOIN assay_hours ON assay_hours.one = assay_calendar.one
            WHERE {start} BETWEEN first_time AND last_time
        )"""  # noqa: S608 - made from checked parts
