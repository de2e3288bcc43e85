"""What is changed in the checked tree so that Polars gives the rows that DuckDB gives, or why it is refused.

Types are on the nodes (`annotate`). What Polars would do silently in another
way (wrap, cut off, round to even, look at no NaN) is spelled out here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

from sqlglot import exp

from ..translate import Change, Rules, translate
from ..trees import (
    DECIMAL,
    FLOAT,
    INTEGER,
    LIST,
    TEMPORAL,
    TEXT,
    branches,
    function,
    kind,
    literal,
    refuse,
    refuse_mixed,
    scale_of,
    sides_of,
    typed,
)  # fmt: skip
from . import grammar, numbers, texts, times
from .numbers import UNKNOWN, half_up, plain_round

_NUMBER = INTEGER | FLOAT | DECIMAL


def for_polars(tree: exp.Expression, text: str = "") -> exp.Expression:
    """The tree that Polars runs. Raises `SqlRejected`, with the place in `text`, for what Polars cannot do alike."""
    return translate(tree, text, RULES)


# --- casts and what has one type of several ------------------------------------------


def _cast(node: exp.Cast) -> exp.Expression | None:
    source, target = kind(node.this), node.to.this
    if isinstance(node.this, exp.Null):
        return None
    if source in UNKNOWN:
        raise refuse("what is cast must have a known type")
    if target in TEXT:
        return typed(texts.to_text(node.this), exp.DType.VARCHAR)
    if source in TEXT:
        return _from_text(node, target)
    if source in FLOAT | DECIMAL:
        return _from_fraction(node, source, target)
    if source in TEMPORAL | {exp.DType.TIME} and target not in TEMPORAL | {exp.DType.TIME}:
        raise refuse("dates and times are cast to each other and to text only there")
    if source == exp.DType.TIMESTAMPTZ and target == exp.DType.TIME:
        raise refuse("a timestamp with a zone is not cast to a time of day there")
    return None


def _from_fraction(node: exp.Cast, source: exp.DType, target: exp.DType) -> exp.Expression | None:
    """Polars cuts a fraction off where DuckDB rounds it."""
    if target in INTEGER - {exp.DType.BOOLEAN}:
        return type(node)(this=plain_round(node.this), to=node.to.copy())
    if target in DECIMAL:
        scale = scale_of(node.to)
        rounded = half_up(node.this, scale) if source in FLOAT else plain_round(node.this, scale)
        return type(node)(this=rounded, to=node.to.copy())
    return None


_DATE = "[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}"
_CLOCK = r"[0-9]{1,2}:[0-9]{1,2}(:[0-9]{1,2}(\.[0-9]{1,9})?)?"
_MOMENT = f"{_DATE}([ T]{_CLOCK})?"
_ZONED = f"{_MOMENT}(Z| ?[+-][0-9]{{2}}(:[0-9]{{2}})?)?"
_ANY_DAY = r"([0-9]{1,4})(?:-([0-9]{1,2})-|/([0-9]{1,2})/| ([0-9]{1,2}) |\\([0-9]{1,2})\\)([0-9]{1,2})"
_CONSTANT = re.compile(f"{_ZONED}|{_CLOCK}")


def _from_text(node: exp.Cast, target: exp.DType) -> exp.Expression | None:
    """Texts are read as DuckDB reads them; of dates only those that begin with the year."""
    if isinstance(node.this, exp.Literal) and target in TEMPORAL | {exp.DType.TIME}:
        return _constant_time(node.this.this)
    if target in INTEGER - {exp.DType.BOOLEAN} and isinstance(node, exp.TryCast):
        return _try_whole(node)
    if target in INTEGER - {exp.DType.BOOLEAN} | FLOAT | DECIMAL:
        return type(node)(this=texts.trimmed(node.this), to=node.to.copy())
    if target not in TEMPORAL:
        raise refuse(f"texts are not read as {node.to.sql(dialect='duckdb')} there")
    bare = texts.trimmed(node.this)
    if isinstance(node, exp.TryCast):
        bare = _written_as_iso(bare, alone=target == exp.DType.DATE)
    has_zone = target == exp.DType.TIMESTAMPTZ
    is_date = function("REGEXP_LIKE", bare, exp.Literal.string(f"^{_ZONED if has_zone else _MOMENT}$"))
    other = None if isinstance(node, exp.TryCast) else exp.DPipe(this=exp.Literal.string("?"), expression=bare.copy())
    known = exp.Case(ifs=[exp.If(this=is_date, true=bare.copy())], default=other)
    at = type(node)(this=known, to=exp.DataType.build("timestamptz" if has_zone else "timestamp"))
    return type(node)(this=at, to=node.to.copy()) if target == exp.DType.DATE else at


def _written_as_iso(bare: exp.Expression, *, alone: bool) -> exp.Expression:
    """A text that begins with a day as DuckDB reads one, `24/2/9` too, with this day as `0024-2-9`.

    `alone`: what stands behind the day does not count, so long as it is no digit.
    """
    rest, kept = (r"(?:[^0-9].*)?", "") if alone else (r"([ T].*)?", r"\7")
    for pattern, made in ((f"(?s)^{_ANY_DAY}{rest}$", rf"000\1-\2\3\4\5-\6{kept}"), ("^0+([0-9]{4}-)", r"\1")):
        bare = function("REGEXP_REPLACE", bare, exp.Literal.string(pattern), exp.Literal.string(made))
    return bare


def _constant_time(text: str) -> None:
    """Polars would also read a text that begins with the day or the month."""
    if not _CONSTANT.fullmatch(text):
        raise refuse(f"“{text}” is no date or time as 2024-12-31 23:59:59 is one")


def _try_whole(node: exp.TryCast) -> exp.Expression:
    """DuckDB rounds 12.7 and reads 1e3; where the text is a plain number no digit may go through a float."""
    bare = texts.trimmed(node.this)
    plain = exp.TryCast(this=bare, to=exp.DataType.build("bigint"))
    number_of = exp.TryCast(this=bare.copy(), to=exp.DataType.build("double"))
    rounded = exp.TryCast(this=half_up(number_of, 0), to=exp.DataType.build("bigint"))
    return exp.TryCast(this=exp.Coalesce(this=plain, expressions=[rounded]), to=node.to.copy())


def _one_kind(node: exp.Expression) -> None:
    refuse_mixed(branches(node))


def _set_operation(node: exp.SetOperation) -> None:
    for pair in sides_of(node):
        refuse_mixed(pair)


def _compared(*names: str) -> Change:
    def change(node: exp.Expression) -> None:
        _check_comparable([node.args[name] for name in names])
        times.one_zone(node, names)

    return change


def _ordered(node: exp.GT | exp.GTE | exp.LT | exp.LTE) -> None:
    """Whole numbers are compared in the width that they were calculated in; joins want the same width for `=`."""
    _compared("this", "expression")(node)
    if {kind(node.left), kind(node.right)} <= INTEGER:
        for side in (node.left, node.right):
            side.replace(numbers.wide(side).copy())


def _in(node: exp.In) -> None:
    _check_comparable([node.this, *node.expressions])


def _check_comparable(values: Sequence[exp.Expression]) -> None:
    """Between texts and others DuckDB reads the text, Polars compares nothing; a constant date is read before."""
    kinds = {kind(value) for value in values if not isinstance(value, exp.Null)}
    if not (kinds & TEXT and kinds & (_NUMBER | TEMPORAL | {exp.DType.TIME})):
        return
    if kinds & _NUMBER:
        raise refuse("a text is compared with a number; cast one of them")
    [known] = kinds - TEXT if len(kinds - TEXT) == 1 else [None]
    for value in values:
        if kind(value) in TEXT:
            if not isinstance(value, exp.Literal) or known is None:
                raise refuse("a text is compared with a date or time; cast one of them")
            value.replace(typed(exp.Cast(this=value.copy(), to=exp.DataType(this=known)), known))


# --- queries ------------------------------------------------------------------------


def _select(node: exp.Select) -> None:
    if not node.args.get("from_") and (node.args.get("where") or node.args.get("limit") or node.args.get("offset")):
        raise refuse("a SELECT without FROM takes no WHERE and no LIMIT there")
    keys = list(_group_keys(node))
    if keys and not any(key.find(exp.Column) for key in keys):
        raise refuse("GROUP BY constants alone makes a group of no rows there; leave it out")
    unnested = [each for each in node.expressions if each.find(exp.Explode)]
    if unnested:
        _unnest(node, unnested)


def _group_keys(node: exp.Select) -> Iterator[exp.Expression]:
    """What the rows are grouped by; a number stands for the column at that place."""
    group = node.args.get("group")
    for key in group.expressions if group else ():
        is_place = isinstance(key, exp.Literal) and key.is_int and int(key.this) <= len(node.expressions)
        yield node.expressions[int(key.this) - 1] if is_place else key


def _unnest(node: exp.Select, unnested: list[exp.Expression]) -> None:
    """DuckDB gives no row for an empty list or none, Polars one with null."""
    value = unnested[0].unalias()
    parts = {part for part, held in node.args.items() if held}
    if len(unnested) > 1 or not isinstance(value, exp.Explode) or node.find(exp.AggFunc, exp.Window):
        raise refuse("unnest() stands alone, once in a SELECT, there")
    if parts - {"expressions", "from_", "joins", "where", "with_", "order"} or not isinstance(value.this, exp.Column):
        raise refuse("unnest() takes a column, in a SELECT without GROUP BY, DISTINCT and LIMIT, there")
    some = exp.GT(this=function("ARRAY_LENGTH", value.this.copy()), expression=literal(0))
    held = node.args.get("where")
    node.set("where", exp.Where(this=exp.and_(held.this.copy(), some) if held else some))


def _join(node: exp.Join) -> None:
    if node.args.get("using") and (node.args.get("side") or "").upper() in ("FULL", "RIGHT"):
        raise refuse("a FULL or RIGHT JOIN takes no USING; write ON a.key = b.key and COALESCE(a.key, b.key)")


def _contains(node: exp.ArrayContains) -> None:
    if not isinstance(node.expression, exp.Literal):
        raise refuse("list_contains() looks for a constant there")


def _length(node: exp.Length) -> exp.Expression | None:
    return exp.ArraySize(this=node.this.copy()) if kind(node.this) in LIST else None


def _anonymous(node: exp.Anonymous) -> exp.Expression | None:
    name = str(node.this).lower()
    if name == "len":
        return _length(exp.Length(this=node.expressions[0])) or exp.Length(this=node.expressions[0].copy())
    return times.named(name, node.expressions)


_EQUALITIES = (exp.EQ, exp.NEQ, exp.NullSafeEQ, exp.NullSafeNEQ)
_ORDERS = (exp.GT, exp.GTE, exp.LT, exp.LTE)
_CHANGES: dict[type[exp.Expression], Callable[[exp.Expression], exp.Expression | None]] = {
    exp.Cast: _cast,
    exp.Coalesce: _one_kind, exp.Case: _one_kind, exp.If: _one_kind, exp.Least: _one_kind, exp.Nullif: _one_kind,
    exp.SetOperation: _set_operation, exp.In: _in, exp.Between: _compared("this", "low", "high"),
    **dict.fromkeys(_EQUALITIES, _compared("this", "expression")), **dict.fromkeys(_ORDERS, _ordered),
    exp.Select: _select, exp.Join: _join, exp.ArrayContains: _contains, exp.Length: _length,
    **numbers.CHANGES, **texts.CHANGES, **times.CHANGES, exp.Anonymous: _anonymous,
}  # fmt: skip
RULES = Rules(
    engine="Polars",
    nodes=grammar.NODES,
    functions=grammar.FUNCTIONS,
    named_functions=grammar.NAMED_FUNCTIONS,
    types=grammar.TYPES,
    changes=_CHANGES,
)
