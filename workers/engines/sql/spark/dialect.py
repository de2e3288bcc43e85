"""How Spark spells the rewritten tree."""

from __future__ import annotations

from sqlglot import exp
from sqlglot.dialects.spark import Spark

from ..dialects import _ordered


def _type(generator: Spark.Generator, node: exp.DataType) -> str:
    """Types as the lake has them: a time without a zone is TIMESTAMP_NTZ, a text has no length."""
    kind = node.this
    if kind in _TYPES:
        return _TYPES[kind]
    if kind == exp.DType.DECIMAL and not node.expressions:
        return "DECIMAL(18, 3)"  # DuckDB's DECIMAL; Spark's has no digits behind the point
    return generator.datatype_sql(node)


_TYPES = {
    **dict.fromkeys((exp.DType.VARCHAR, exp.DType.TEXT, exp.DType.CHAR, exp.DType.NVARCHAR, exp.DType.JSON), "STRING"),
    **dict.fromkeys((exp.DType.TIMESTAMP, exp.DType.TIMESTAMPNTZ), "TIMESTAMP_NTZ"),
    exp.DType.TIMESTAMPTZ: "TIMESTAMP",
    exp.DType.TIME: "TIME(6)",
    exp.DType.INT128: "DECIMAL(38, 0)",
}


def _listagg(generator: Spark.Generator, node: exp.GroupConcat) -> str:
    ordered = node.this if isinstance(node.this, exp.Order) else None
    value = ordered.this if ordered else node.this
    separator = generator.sql(node, "separator") or "','"
    text = f"LISTAGG({generator.sql(value)}, {separator})"
    return f"{text} WITHIN GROUP (ORDER BY {generator.expressions(ordered, flat=True)})" if ordered else text


class SparkSQL(Spark):
    class Generator(Spark.Generator):
        TRANSFORMS = {
            **Spark.Generator.TRANSFORMS,
            exp.Ordered: _ordered,
            exp.DataType: _type,
            exp.GroupConcat: _listagg,
            exp.PercentileCont: lambda g, n: f"PERCENTILE({g.sql(n, 'this')}, {g.sql(n, 'expression')})",
            exp.CountIf: lambda g, n: f"COUNT_IF({g.sql(n, 'this')})",
            exp.RegexpLike: lambda g, n: f"REGEXP_LIKE({g.sql(n, 'this')}, {g.sql(n, 'expression')})",
            exp.TryCast: lambda g, n: f"TRY_CAST({g.sql(n, 'this')} AS {g.sql(n, 'to')})",
            exp.Cast: lambda g, n: f"CAST({g.sql(n, 'this')} AS {g.sql(n, 'to')})",
        }
