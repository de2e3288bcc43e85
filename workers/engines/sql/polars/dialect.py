"""How Polars spells the rewritten tree."""

from __future__ import annotations

from sqlglot import exp
from sqlglot.dialects.duckdb import DuckDB

from ..dialects import _ordered


def _extract(generator: DuckDB.Generator, node: exp.Extract) -> str:
    return f"CAST(EXTRACT({node.this.name.upper()} FROM {generator.sql(node, 'expression')}) AS BIGINT)"


def _anonymous(generator: DuckDB.Generator, node: exp.Anonymous) -> str:
    text = generator.anonymous_sql(node)
    return f"CAST({text} AS BIGINT)" if str(node.this).lower() in ("date_part", "datepart", "isodow") else text


def _is(generator: DuckDB.Generator, node: exp.Is) -> str:
    """`x IS TRUE` is never null; Polars answers null for a null."""
    if not isinstance(node.expression, exp.Boolean):
        return generator.binary(node, "IS")
    tested = generator.sql(node, "this")
    return f"COALESCE({tested if node.expression.this else f'NOT ({tested})'}, FALSE)"


def _concat_with(generator: DuckDB.Generator, node: exp.GroupConcat) -> str:
    separator = generator.sql(node, "separator") or "','"
    ordered = node.this if isinstance(node.this, exp.Order) else None
    value = generator.sql(ordered, "this") if ordered else generator.sql(node, "this")
    order = f" ORDER BY {generator.expressions(ordered, flat=True)}" if ordered else ""
    return f"STRING_AGG({value}, {separator}{order})"


PART_NAMES = {
    exp.DayOfWeek: "DOW", exp.DayOfMonth: "DAY", exp.DayOfYear: "DOY", exp.DayOfWeekIso: "ISODOW", exp.Year: "YEAR",
    exp.WeekOfYear: "WEEK", exp.Month: "MONTH", exp.Day: "DAY", exp.Quarter: "QUARTER", exp.Week: "WEEK",
    exp.Hour: "HOUR", exp.Minute: "MINUTE", exp.Second: "SECOND",
}  # fmt: skip


def _part(generator: DuckDB.Generator, node: exp.Func) -> str:
    return f"CAST(EXTRACT({PART_NAMES[type(node)]} FROM {generator.sql(node, 'this')}) AS BIGINT)"


class PolarsSQL(DuckDB):
    class Generator(DuckDB.Generator):
        TRANSFORMS = {
            **DuckDB.Generator.TRANSFORMS,
            exp.Ordered: _ordered,
            exp.Is: _is,
            exp.Extract: _extract,
            exp.Anonymous: _anonymous,
            **dict.fromkeys(PART_NAMES, _part),
            exp.Length: lambda g, node: f"CAST(LENGTH({g.sql(node, 'this')}) AS BIGINT)",
            exp.ArraySize: lambda g, node: f"CAST(ARRAY_LENGTH({g.sql(node, 'this')}) AS BIGINT)",
            exp.RegexpLike: lambda g, n: f"REGEXP_LIKE({g.sql(n, 'this')}, {g.sql(n, 'expression')})",
            exp.LogicalAnd: lambda g, n: f"MIN({g.sql(n, 'this')})",
            exp.LogicalOr: lambda g, n: f"MAX({g.sql(n, 'this')})",
            exp.Pow: lambda g, n: f"POWER(CAST({g.sql(n, 'this')} AS DOUBLE), {g.sql(n, 'expression')})",
            exp.CountIf: lambda g, n: f"COUNT(CASE WHEN {g.sql(n, 'this')} THEN 1 END)",
            exp.GroupConcat: _concat_with,
            exp.DPipe: lambda g, n: g.binary(n, "||"),
        }
