"""What is changed in the checked tree so that Spark gives the rows that DuckDB gives, or why it is refused.

Types are on the nodes (`annotate`). Spark runs in ANSI mode: what overflows
or cannot be cast ends the query, as it does on DuckDB.
"""

from __future__ import annotations

from sqlglot import exp

from ..translate import Change, Rules, translate
from ..trees import (
    DECIMAL,
    FLOAT,
    INTEGER,
    LIST,
    TEXT,
    branches,
    cast,
    function,
    kind,
    literal,
    number,
    refuse,
    refuse_mixed,
    scale_of,
    shared,
    sides_of,
    typed,
)  # fmt: skip
from . import grammar, texts, times

MOST_ELEMENTS = 2**31 - 1


def for_spark(tree: exp.Expression, text: str = "") -> exp.Expression:
    """The tree that Spark runs. Raises `SqlRejected`, with the place in `text`, for what Spark cannot do alike."""
    tree = translate(tree, text, RULES)
    for name in tree.find_all(exp.Identifier):
        name.set("quoted", True)
    return tree


# --- arithmetic ---------------------------------------------------------------------


def _div(node: exp.Div) -> exp.Expression:
    """Divide floats as DuckDB does: by zero is infinite or not a number, where Spark would end the query."""
    over, by = (_double(side) for side in (node.left, node.right))
    if number(node.right):
        quotient = exp.Div(this=exp.paren(over), expression=exp.paren(by))
    else:
        quotient = shared(
            [over, by],
            lambda a, b: function(
                "COALESCE",
                function("TRY_DIVIDE", a, b),
                exp.Mul(this=a.copy(), expression=function("POWER", b.copy(), literal(-1))),
            ),
        )
    both_single = kind(node.left) == kind(node.right) == exp.DType.FLOAT
    return typed(cast(quotient, "float"), exp.DType.FLOAT) if both_single else exp.paren(quotient)


def _double(node: exp.Expression) -> exp.Expression:
    return node.copy() if kind(node) == exp.DType.DOUBLE else cast(node.copy(), "double")


def _mod(node: exp.Mod) -> exp.Expression | None:
    if number(node.right):
        return None
    if FLOAT & {kind(node.left), kind(node.right)}:
        nan = cast(exp.Literal.string("NaN"), "double")
        return shared(
            [node.left, node.right],
            lambda a, b: function(
                "COALESCE",
                function("TRY_MOD", a, b),
                exp.Mul(this=exp.Mul(this=a.copy(), expression=b.copy()), expression=nan),
            ),
        )
    return function("TRY_MOD", node.left.copy(), node.right.copy())


def _int_div(node: exp.IntDiv) -> exp.Expression | None:
    if not {kind(node.left), kind(node.right)} <= INTEGER:
        raise refuse("// divides whole numbers only there")
    if not number(node.right):
        node.set("expression", exp.Nullif(this=exp.paren(node.right.copy()), expression=literal(0)))
    return None


def _sum(node: exp.Sum | exp.Avg) -> None:
    """Booleans are counted; a mean of decimals is a float."""
    value = node.this.expressions[0] if isinstance(node.this, exp.Distinct) else node.this
    if kind(value) == exp.DType.BOOLEAN:
        value.replace(cast(value.copy(), "bigint"))
    elif isinstance(node, exp.Avg) and kind(value) in DECIMAL:
        value.replace(cast(value.copy(), "double"))


def _round(node: exp.Round) -> exp.Expression | None:
    digits = node.args.get("decimals")
    count = number(digits) if digits is not None else 0
    if count is None and not _is_zero(digits):
        raise refuse("round() takes a constant number of digits there")
    if kind(node.this) in FLOAT and count:
        return _rounded(node.this, int(count))
    return None


def _is_zero(node: exp.Expression) -> bool:
    return isinstance(node, exp.Literal) and node.this == "0"


def _rounded(value: exp.Expression, digits: int) -> exp.Expression:
    """Scaled, rounded, scaled back, as DuckDB does; Spark's own looks at the number's shortest text."""
    factor = exp.Literal.number(f"1e{abs(digits)}")
    there, back = (exp.Mul, exp.Div) if digits > 0 else (exp.Div, exp.Mul)
    scaled = there(this=exp.paren(_double(value)), expression=factor)
    return exp.paren(back(this=function("ROUND", scaled), expression=factor.copy()))


def _whole(node: exp.Ceil | exp.Floor) -> exp.Expression | None:
    """CEIL of a float is a float on DuckDB, and a BIGINT on Spark, which holds no NaN and not every float."""
    if kind(node.this) not in FLOAT:
        return None
    name = "CEIL" if isinstance(node, exp.Ceil) else "FLOOR"
    return shared(
        [node.this],
        lambda x: function(
            "IF",
            exp.LT(this=function("ABS", x), expression=exp.Literal.number("9e15")),
            cast(function(name, x.copy()), "double"),
            x.copy(),
        ),
    )


def _cast(node: exp.Cast) -> exp.Expression | None:
    """Round where Spark cuts a fraction off, and as DuckDB does."""
    source, target = kind(node.this), node.to.this
    if target in (exp.DType.BINARY, exp.DType.VARBINARY) or source in (exp.DType.BINARY, exp.DType.VARBINARY):
        raise refuse("binary values are spelled as text in another way there")
    if source not in FLOAT | DECIMAL:
        return None
    if target in INTEGER - {exp.DType.BOOLEAN}:
        rounded = function("RINT" if source in FLOAT else "ROUND", node.this.copy())
        return type(node)(this=rounded, to=node.to.copy())
    if target in DECIMAL and source in FLOAT:
        scale = scale_of(node.to)
        value = _rounded(node.this, scale) if scale else function("ROUND", node.this.copy())
        return type(node)(this=value, to=node.to.copy())
    return None


def _is_nan(node: exp.IsNan) -> exp.Expression:
    return exp.paren(exp.EQ(this=_double(node.this), expression=cast(exp.Literal.string("NaN"), "double")))


def _is_inf(node: exp.IsInf) -> exp.Expression:
    infinite = cast(exp.Literal.string("Infinity"), "double")
    return exp.paren(exp.EQ(this=function("ABS", _double(node.this)), expression=infinite))


def _log(node: exp.Log) -> exp.Expression | None:
    return None if node.expression else function("LOG10", node.this.copy())


def _sign(node: exp.Sign) -> exp.Expression:
    sign = function("SIGN", node.this.copy())
    if kind(node.this) in FLOAT:
        sign = function("NANVL", sign, literal(0))  # DuckDB gives NaN the sign 0
    return typed(cast(sign, "int"), exp.DType.INT)


# --- aggregates and windows ---------------------------------------------------------


def _numeric_only(node: exp.Expression) -> None:
    if kind(node.this) not in INTEGER | FLOAT | DECIMAL:
        raise refuse(f"{node.sql_name().lower()}() takes numbers only there")
    if isinstance(node, exp.PercentileCont) and not isinstance(node.expression, exp.Literal):
        raise refuse("quantile_cont() takes one constant share there")


def _arg_extreme(node: exp.ArgMax | exp.ArgMin) -> exp.Expression:
    """DuckDB leaves out rows without the value that is returned."""
    if node.args.get("count"):
        raise refuse("arg_max() returns one value there")
    if isinstance(node.parent, exp.Filter | exp.Window):
        raise refuse("arg_max() takes no FILTER and no OVER there")
    name = "MAX_BY" if isinstance(node, exp.ArgMax) else "MIN_BY"
    known = exp.Not(this=exp.Is(this=exp.paren(node.this.copy()), expression=exp.Null()))
    return exp.Filter(this=function(name, node.this.copy(), node.expression.copy()), expression=exp.Where(this=known))


def _corr(node: exp.Corr) -> exp.Expression:
    """Without a spread DuckDB says NaN, Spark null."""
    if isinstance(node.parent, exp.Filter | exp.Window):
        raise refuse("corr() takes no FILTER and no OVER there")
    pairs = function("COUNT", exp.Add(this=_double(node.this), expression=_double(node.expression)))
    nan = cast(exp.Literal.string("NaN"), "double")
    return function(
        "COALESCE",
        node.copy(),
        exp.Case(ifs=[exp.If(this=exp.GT(this=pairs, expression=literal(0)), true=nan)]),
    )


def _group_concat(node: exp.GroupConcat) -> None:
    value = node.this.this if isinstance(node.this, exp.Order) else node.this
    if isinstance(value, exp.Distinct) and isinstance(node.this, exp.Order):
        raise refuse("string_agg() takes DISTINCT or ORDER BY there, not both")
    if not isinstance(value, exp.Distinct) and kind(value) not in TEXT:
        value.replace(cast(value.copy(), "varchar"))


def _window(node: exp.Window) -> None:
    inside = node.this
    function_of = inside.this if isinstance(inside, exp.IgnoreNulls | exp.RespectNulls | exp.Filter) else inside
    if function_of.find(exp.Distinct):
        raise refuse("a window function takes no DISTINCT there")
    frame = node.args.get("spec")
    if frame and (frame.args.get("kind", "ROWS").upper() not in ("ROWS", "RANGE") or frame.args.get("exclude")):
        raise refuse("a window's frame is made of ROWS or RANGE there")
    if frame and frame.find(exp.Interval):
        raise refuse("a window's frame counts no intervals there")
    if isinstance(function_of, _RANKED) and not node.args.get("order") and not node.args.get("alias"):
        # Spark wants to be told an order; this one says that there is none.
        node.set("order", exp.Order(expressions=[exp.Ordered(this=exp.Null(), nulls_first=False)]))


_RANKED = (
    exp.RowNumber, exp.Rank, exp.DenseRank, exp.Ntile, exp.PercentRank, exp.CumeDist, exp.Lag, exp.Lead, exp.NthValue,
)  # fmt: skip


# --- lists, structs and what has several types --------------------------------------


def _bracket(node: exp.Bracket) -> exp.Expression | None:
    """A list's element by number; null where there is none."""
    (index,) = node.expressions if len(node.expressions) == 1 else (None,)
    bare = index.this if isinstance(index, exp.Neg) else index
    if kind(node.this) in LIST and isinstance(bare, exp.Literal) and bare.is_int:
        # The parser has taken 1 away. No list has an element 0, and Spark will not look for it.
        place = int(number(index) or 0) + 1
        return function("TRY_ELEMENT_AT", node.this.copy(), literal(place or MOST_ELEMENTS))
    if kind(node.this) == exp.DType.STRUCT and isinstance(index, exp.Literal) and index.is_string:
        return None
    raise refuse("[ ] takes a list and a constant number there")


def _explode(node: exp.Explode) -> None:
    holder = node.parent.parent if isinstance(node.parent, exp.Alias) else node.parent
    if not isinstance(holder, exp.Select) or len(list(holder.find_all(exp.Explode))) > 1:
        raise refuse("unnest() stands alone, once in a SELECT, there")


def _length(node: exp.Length) -> exp.Expression:
    name = "SIZE" if kind(node.this) in LIST else "CHAR_LENGTH"
    return typed(cast(function(name, node.this.copy()), "bigint"), exp.DType.BIGINT)


def _array_size(node: exp.ArraySize) -> exp.Expression:
    return typed(cast(function("SIZE", node.this.copy()), "bigint"), exp.DType.BIGINT)


def _one_kind(node: exp.Expression) -> None:
    refuse_mixed(branches(node))


def _set_operation(node: exp.SetOperation) -> None:
    for pair in sides_of(node):
        refuse_mixed(pair)


def _anonymous(node: exp.Anonymous) -> exp.Expression | None:
    if node.meta.get("made"):
        return None
    name, values = str(node.this).lower(), node.expressions
    if name == "len":
        return _length(exp.Length(this=values[0]))
    if name in ("strlen", "bit_length"):
        told = function("OCTET_LENGTH" if name == "strlen" else "BIT_LENGTH", values[0].copy())
        return typed(cast(told, "bigint"), exp.DType.BIGINT)
    return times.named(name, values)


_CHANGES: dict[type[exp.Expression], Change] = {
    exp.Div: _div, exp.Mod: _mod, exp.IntDiv: _int_div, exp.Sum: _sum, exp.Avg: _sum, exp.Round: _round,
    exp.Ceil: _whole, exp.Floor: _whole, exp.Cast: _cast, exp.IsNan: _is_nan, exp.IsInf: _is_inf, exp.Log: _log,
    exp.Sign: _sign, exp.Median: _numeric_only, exp.PercentileCont: _numeric_only, exp.ArgMax: _arg_extreme,
    exp.ArgMin: _arg_extreme, exp.Corr: _corr, exp.GroupConcat: _group_concat, exp.Window: _window,
    exp.Bracket: _bracket, exp.Explode: _explode, exp.Length: _length, exp.ArraySize: _array_size,
    exp.Coalesce: _one_kind, exp.Case: _one_kind, exp.If: _one_kind, exp.Greatest: _one_kind, exp.Least: _one_kind,
    exp.Nullif: _one_kind, exp.SetOperation: _set_operation,
    **texts.CHANGES, **times.CHANGES, exp.Anonymous: _anonymous,
}  # fmt: skip
RULES = Rules(
    engine="Spark",
    nodes=grammar.NODES,
    functions=grammar.FUNCTIONS,
    named_functions=grammar.NAMED_FUNCTIONS,
    types=grammar.TYPES,
    changes=_CHANGES,
)
