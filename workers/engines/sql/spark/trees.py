"""Small parts that rewritten trees are made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sqlglot import exp

NARROW = {exp.DType.TINYINT, exp.DType.SMALLINT, exp.DType.INT, exp.DType.BOOLEAN}
INTEGER = NARROW | {exp.DType.BIGINT, exp.DType.INT128}
FLOAT = {exp.DType.FLOAT, exp.DType.DOUBLE}
DECIMAL = {exp.DType.DECIMAL}
TEXT = {exp.DType.VARCHAR, exp.DType.TEXT, exp.DType.CHAR, exp.DType.NVARCHAR}
PLAIN_TIMESTAMP = {exp.DType.TIMESTAMP, exp.DType.TIMESTAMPNTZ}
TEMPORAL = PLAIN_TIMESTAMP | {exp.DType.DATE, exp.DType.TIMESTAMPTZ}
MOST_SHARED = 8
LIST = {exp.DType.ARRAY, exp.DType.LIST}


class refuse(Exception):  # noqa: N801 - read as a verb: `raise refuse(…)`
    """Why Spark does not run a part; the caller knows its place."""


def kind(node: exp.Expression | None) -> exp.DType | None:
    return node.type.this if node is not None and node.type is not None else None


def typed(node: exp.Expression, known: exp.DType) -> exp.Expression:
    node.type = exp.DataType(this=known)
    return node


def cast(node: exp.Expression, to: str) -> exp.Expression:
    made = exp.Cast(this=node, to=exp.DataType.build(to))
    made.type = made.to.copy()
    return made


def function(name: str, *values: exp.Expression) -> exp.Anonymous:
    """A function of Spark's own. Its arguments are used, not copied."""
    made = exp.Anonymous(this=name, expressions=list(values))
    made.meta["for_spark"] = True
    return made


def literal(value: int) -> exp.Expression:
    return exp.Literal.number(value) if value >= 0 else exp.Neg(this=exp.Literal.number(-value))


def number(node: exp.Expression | None) -> float | None:
    """A constant that is not zero; None for all else."""
    if isinstance(node, exp.Paren):
        return number(node.this)
    if isinstance(node, exp.Neg):
        found = number(node.this)
        return None if found is None else -found
    if isinstance(node, exp.Literal) and not node.is_string:
        return float(node.this) or None
    return None


def shared(values: Sequence[exp.Expression], make: Callable[..., exp.Expression]) -> exp.Expression:
    """What `make` makes of the values, though it names them more than once.

    Where a value itself names parts twice, copies in copies would grow without
    bound: there the values go through a lambda, which Spark evaluates once.
    """
    depth = max((node.meta.get("shared", 0) for value in values for node in value.walk()), default=0)
    if depth >= MOST_SHARED:
        raise refuse("divisions are nested too deeply")
    if not depth:
        made = exp.paren(make(*(exp.paren(value.copy()) for value in values)))
    else:
        names = [f"v{number}" for number in range(len(values))]
        fields = [part for name, value in zip(names, values, strict=True)
                  for part in (exp.Literal.string(name), value.copy())]  # fmt: skip
        inner = make(*(exp.column(name, table="assay_x") for name in names))
        mapped = exp.Lambda(this=inner, expressions=[exp.to_identifier("assay_x")])
        listed = function("TRANSFORM", function("ARRAY", function("NAMED_STRUCT", *fields)), mapped)
        made = function("ELEMENT_AT", listed, literal(1))
    made.meta["shared"] = depth + 1
    return made
