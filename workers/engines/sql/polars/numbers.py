"""Arithmetic, where Polars differs from DuckDB: it wraps, cuts off, rounds to the even neighbour and leaves NaN out."""

from __future__ import annotations

from sqlglot import exp

from ..trees import (
    DECIMAL,
    FLOAT,
    INTEGER,
    cast,
    function,
    kind,
    literal,
    refuse,
    refuse_mixed,
    typed,
)  # fmt: skip
from . import times

UNKNOWN = {None, exp.DType.UNKNOWN}
_BITS = {
    exp.DType.BOOLEAN: 1, exp.DType.TINYINT: 7, exp.DType.SMALLINT: 15, exp.DType.INT: 31, exp.DType.BIGINT: 63,
    exp.DType.INT128: 127,
}  # fmt: skip
_SUMMED_BITS = 95  # of which 2^32 values, all that Polars numbers, add up to 127


def _add(node: exp.Add | exp.Sub) -> exp.Expression | None:
    return times.move(node) or _fitting(node)


def _fitting(node: exp.Add | exp.Sub | exp.Mul) -> exp.Expression | None:
    """Calculate in 128 bits where 64 may not do, and end the run, as DuckDB does, where they did not: Polars wraps."""
    if (
        not {kind(node.left), kind(node.right)} <= INTEGER - {exp.DType.INT128}
        or _bits(node) <= _BITS[exp.DType.BIGINT]
    ):
        return None
    made = _in_128_bits(node, wide(node.left), wide(node.right))
    if _bits(made) > _BITS[exp.DType.INT128]:
        made = _in_128_bits(node, node.left, node.right)
    narrowed = cast(typed(exp.paren(made), exp.DType.INT128), "bigint")
    narrowed.meta["narrowed"] = True
    return narrowed


def _in_128_bits(node: exp.Binary, left: exp.Expression, right: exp.Expression) -> exp.Expression:
    return type(node)(this=cast(left.copy(), "int128"), expression=right.copy())


def wide(node: exp.Expression) -> exp.Expression:
    """The value in 128 bits, where it was only now brought back to 64: looking for what does not fit takes time."""
    bare = node.unnest()
    return bare.this if bare.meta.get("narrowed") else node


def _bits(node: exp.Expression) -> int:
    """How many bits the value of a whole number may take, without its sign."""
    if isinstance(node, exp.Paren):
        return _bits(node.this)
    if isinstance(node, exp.Literal):
        return int(node.this).bit_length() if node.is_int else _BITS[exp.DType.BIGINT]
    if isinstance(node, exp.Mul):
        return _bits(node.left) + _bits(node.right)
    if isinstance(node, exp.Add | exp.Sub):
        return max(_bits(node.left), _bits(node.right)) + 1
    if isinstance(node, exp.Cast) and kind(node.this) in _BITS:
        return min(_bits(node.this), _BITS.get(kind(node), 127))
    return _BITS.get(kind(node), 127)


def _sum(node: exp.Sum) -> None:
    """Sum wide: Polars keeps the width of what it sums and wraps. The cast at the end refuses what is too large."""
    value = node.this.expressions[0] if isinstance(node.this, exp.Distinct) else node.this
    if kind(value) in INTEGER:
        summed = wide(value)
        value.replace(cast((summed if _bits(summed) <= _SUMMED_BITS else value).copy(), "int128"))
    elif kind(value) not in FLOAT | DECIMAL:
        # Not known: adding a wide zero keeps every numeric type and widens the integers.
        value.replace(exp.Add(this=exp.paren(value.copy()), expression=cast(literal(0), "bigint")))


def _quantile(node: exp.Median | exp.PercentileCont) -> None:
    """DuckDB cuts off what lies between two decimals, Polars rounds it."""
    if kind(node.this) not in INTEGER | FLOAT:
        raise refuse("medians and quantiles are of whole numbers and floats there; write median(CAST(x AS DOUBLE))")


def _percentile(node: exp.PercentileCont) -> None:
    if node.expression:  # without one it stands before WITHIN GROUP
        _quantile(node)


def _within_group(node: exp.WithinGroup) -> exp.Expression:
    """`percentile_cont(p) WITHIN GROUP (ORDER BY x)` is `quantile_cont(x, p)`."""
    [value] = node.expression.expressions
    if not isinstance(node.this, exp.PercentileCont) or node.this.expression or value.args.get("desc"):
        raise refuse("WITHIN GROUP takes percentile_cont() and an ascending order there")
    made = exp.PercentileCont(this=value.this.copy(), expression=node.this.this.copy())
    _quantile(made)
    return typed(made, exp.DType.DOUBLE)


def _div(node: exp.Div) -> None:
    """Polars divides decimals as decimals, with few digits."""
    if DECIMAL & {kind(node.left), kind(node.right)}:
        node.left.replace(cast(node.left.copy(), "double"))


def _int_div(node: exp.IntDiv) -> None:
    if not {kind(node.left), kind(node.right)} <= INTEGER:
        raise refuse("// divides whole numbers only there")


def _round(node: exp.Round) -> exp.Expression | None:
    """Polars rounds a float's half to the even neighbour, DuckDB away from zero."""
    digits = node.args.get("decimals")
    if digits is not None and not (isinstance(digits, exp.Literal) and digits.is_int):
        raise refuse("round() takes a constant number of digits, not below 0, there")
    if kind(node.this) in UNKNOWN:
        raise refuse("what round() is given must have a known type")
    if kind(node.this) in FLOAT:
        return half_up(node.this, int(digits.this) if digits is not None else 0)
    return None


def half_up(value: exp.Expression, digits: int) -> exp.Expression:
    """SIGN(x) * FLOOR(ABS(x) * 10^n + 0.5) / 10^n; rounded again, because Polars multiplies by 1 / 10^n instead."""
    factor = cast(literal(10**digits), "double")
    scaled = exp.Mul(this=exp.Abs(this=value.copy()), expression=factor)
    half = cast(exp.Literal.number("0.5"), "double")
    whole = exp.Floor(this=exp.Add(this=scaled, expression=half))
    signed = exp.Mul(this=function("SIGN", value.copy()), expression=whole)
    return plain_round(exp.Div(this=signed, expression=factor.copy()), digits) if digits else exp.paren(signed)


def plain_round(value: exp.Expression, digits: int = 0) -> exp.Expression:
    """Polars' own ROUND: away from zero for decimals, to the even neighbour for floats, as DuckDB's casts do."""
    return function("ROUND", value.copy(), literal(digits))


def _log(node: exp.Log) -> exp.Expression:
    if not node.expression:
        return function("LOG10", node.this.copy())
    base, value = (function("LN", side.copy()) for side in (node.this, node.expression))
    exact = {"2": "LOG2", "10": "LOG10"}.get(node.this.name if isinstance(node.this, exp.Literal) else "")
    return function(exact, node.expression.copy()) if exact else exp.paren(exp.Div(this=value, expression=base))


# --- not a number: the largest of all for DuckDB, left out by Polars -----------------


def _nan() -> exp.Expression:
    return cast(exp.Literal.string("NaN"), "double")


def _is_nan(value: exp.Expression) -> exp.Expression:
    """Polars has no ISNAN, but orders NaN behind everything."""
    return exp.paren(exp.GT(this=exp.paren(value.copy()), expression=cast(exp.Literal.string("inf"), "double")))


def _is_inf(node: exp.IsInf) -> exp.Expression:
    infinite = cast(exp.Literal.string("inf"), "double")
    return exp.paren(exp.EQ(this=exp.Abs(this=node.this.copy()), expression=infinite))


def _sign(node: exp.Sign) -> exp.Expression:
    """DuckDB's is a whole number, 0 for NaN."""
    sign: exp.Expression = function("SIGN", node.this.copy())
    if kind(node.this) in FLOAT:
        sign = exp.Case(ifs=[exp.If(this=_is_nan(node.this), true=literal(0))], default=sign)
    return typed(cast(sign, "int"), exp.DType.INT)


def _greatest(node: exp.Greatest) -> exp.Expression | None:
    values = [node.this, *node.expressions]
    refuse_mixed(values)
    if any(kind(value) in UNKNOWN for value in values if not isinstance(value, exp.Null)):
        raise refuse("what greatest() is given must have a known type")
    floats = [value for value in values if kind(value) in FLOAT]
    if not floats:
        return None
    return exp.Case(ifs=[exp.If(this=exp.or_(*map(_is_nan, floats)), true=_nan())], default=node.copy())


def _max(node: exp.Max) -> exp.Expression | None:
    """The maximum is NaN where one value is: counted with the same FILTER and OVER."""
    if kind(node.this) in UNKNOWN:
        raise refuse("what max() is given must have a known type")
    if kind(node.this) not in FLOAT:
        return None
    value = node.this.expressions[0] if isinstance(node.this, exp.Distinct) else node.this
    count = exp.Count(this=exp.Case(ifs=[exp.If(this=_is_nan(value), true=literal(1))]))
    highest: exp.Expression = node
    counted = count
    while isinstance(highest.parent, exp.Filter | exp.Window) and highest.arg_key == "this":
        around = highest.parent.copy()
        around.set("this", counted)
        highest, counted = highest.parent, around
    some = exp.GT(this=counted, expression=literal(0))
    made = typed(exp.Case(ifs=[exp.If(this=some, true=_nan())], default=highest.copy()), exp.DType.DOUBLE)
    if highest is node:
        return made
    highest.replace(made)
    return None


CHANGES = {
    exp.Add: _add, exp.Sub: _add, exp.Mul: _fitting, exp.Sum: _sum, exp.Div: _div, exp.IntDiv: _int_div,
    exp.Round: _round, exp.Log: _log, exp.IsNan: lambda node: _is_nan(node.this), exp.IsInf: _is_inf,
    exp.Sign: _sign, exp.Greatest: _greatest, exp.Max: _max, exp.Median: _quantile,
    exp.PercentileCont: _percentile, exp.WithinGroup: _within_group,
}  # fmt: skip
