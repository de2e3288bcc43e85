"""Small parts that rewritten trees are made of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

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
    """Why an engine does not run a part; the caller knows its place."""


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
    """A function by the engine's own name. Its arguments are used, not copied."""
    made = exp.Anonymous(this=name, expressions=list(values))
    made.meta["made"] = True
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


def scale_of(to: exp.DataType) -> int:
    """Digits behind the point of a DECIMAL, as DuckDB reads it: 3 where nothing is said."""
    parts = [int(part.name) for part in to.expressions]
    return parts[1] if len(parts) > 1 else (0 if parts else 3)


def constant(node: exp.Expression | None, what: str) -> str:
    """The text of a literal that is not empty. Raises `refuse` for all else."""
    if not (isinstance(node, exp.Literal) and node.is_string and node.this):
        raise refuse(f"{what} is a constant text there")
    return node.this


def refuse_mixed(values: Iterable[exp.Expression | None]) -> None:
    """Among texts and others DuckDB makes all text; other engines make all numbers or dates, or nothing."""
    kinds = {kind(value) for value in values if not isinstance(value, exp.Null | exp.Literal)}
    if kinds & TEXT and kinds & (INTEGER | FLOAT | DECIMAL | TEMPORAL):
        raise refuse("texts and other values are mixed; cast them to one type")


def branches(node: exp.Expression) -> list[exp.Expression | None]:
    """The values of which a CASE, COALESCE, GREATEST … gives one."""
    if isinstance(node, exp.Case):
        return [branch.args["true"] for branch in node.args["ifs"]] + [node.args.get("default")]
    if isinstance(node, exp.If):
        # The branches of a CASE are looked at with it.
        return [] if isinstance(node.parent, exp.Case) else [node.args.get("true"), node.args.get("false")]
    return [node.this, *node.expressions, node.args.get("expression")]


def sides_of(node: exp.SetOperation) -> list[tuple[exp.Expression, ...]]:
    """The columns that a set operation puts one below the other, where both sides tell them."""
    sides = [side.unnest() for side in (node.left, node.right)]
    if not all(isinstance(side, exp.Select) for side in sides):
        return []
    return [tuple(value.unalias() for value in pair) for pair in zip(*(s.expressions for s in sides), strict=False)]
