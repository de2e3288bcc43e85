"""Functions of texts, and values as texts, where those of Polars differ from DuckDB's."""

from __future__ import annotations

import re

from sqlglot import exp

from ..trees import (
    FLOAT,
    INTEGER,
    LIST,
    PLAIN_TIMESTAMP,
    TEXT,
    cast,
    constant,
    function,
    kind,
    literal,
    number,
    refuse,
    typed,
)  # fmt: skip
from . import grammar

SPACES = " \t\n\v\f\r"
# What a class of letters holds for DuckDB; for Polars, where it is left as it is, digits of every script and more.
CLASSES = {"d": "0-9", "w": "0-9A-Za-z_", "s": "\\t\\n\\f\\r "}


def unless_null(values: list[exp.Expression], made: exp.Expression) -> exp.Expression:
    """`made`, but null where one of the values is: some of Polars' functions give something for nothing."""
    missing = [
        exp.Is(this=exp.paren(v.copy()), expression=exp.Null()) for v in values if not isinstance(v, exp.Literal)
    ]
    return exp.Case(ifs=[exp.If(this=exp.or_(*missing), true=exp.Null())], default=made) if missing else made


def to_text(value: exp.Expression) -> exp.Expression:
    """The value as DuckDB prints it."""
    known = kind(value)
    if known in TEXT or isinstance(value, exp.Null):
        return value.copy()
    if known in PLAIN_TIMESTAMP:
        return _printed(value, "%Y-%m-%d %H:%M:%S%.6f")
    if known == exp.DType.TIMESTAMPTZ:
        return exp.paren(exp.DPipe(this=_printed(value, "%Y-%m-%d %H:%M:%S%.6f"), expression=exp.Literal.string("+00")))
    if known == exp.DType.TIME:
        return _printed(value, "%H:%M:%S%.6f")
    if known in FLOAT:
        raise refuse("floats are printed in another way there; cast them to a DECIMAL, and that to a text")
    if known in LIST or known in (None, exp.DType.STRUCT, exp.DType.UNKNOWN, exp.DType.BINARY, exp.DType.VARBINARY):
        raise refuse("lists, structs and what has no known type are not printed there")
    return cast(value.copy(), "varchar")


def _printed(value: exp.Expression, pattern: str) -> exp.Expression:
    text = function("STRFTIME", value.copy(), exp.Literal.string(pattern))
    for end in ("0", "."):  # DuckDB prints no zeros at the end of a fraction
        text = function("RTRIM", text, exp.Literal.string(end))
    return typed(text, exp.DType.VARCHAR)


def trimmed(value: exp.Expression) -> exp.Expression:
    """Without the spaces around it that DuckDB does not mind where it reads a number."""
    return function("LTRIM", function("RTRIM", value.copy(), _text(SPACES)), _text(SPACES))


def _text(value: str) -> exp.Expression:
    return exp.Literal.string(value)


def _upper(node: exp.Upper) -> exp.Expression:
    return function("UPPER", function("REPLACE", node.this.copy(), _text("ß"), _text("ẞ")))


def _lower(node: exp.Lower) -> exp.Expression:
    """DuckDB looks at one letter at a time; Polars at a sigma's place in its word."""
    plain = function("REPLACE", function("REPLACE", node.this.copy(), _text("İ"), _text("i")), _text("Σ"), _text("σ"))
    return function("LOWER", plain)


def _trim(node: exp.Trim) -> exp.Expression:
    """DuckDB takes spaces off, Polars all kinds of white space."""
    letters = node.expression.copy() if node.expression else _text(" ")
    side = (node.args.get("position") or "").upper()
    made = node.this.copy()
    for name, other in (("RTRIM", "LEADING"), ("LTRIM", "TRAILING")):
        made = made if side == other else function(name, made, letters.copy())
    return made


def _concat(node: exp.Concat | exp.ConcatWs) -> exp.Expression:
    if isinstance(node, exp.ConcatWs):
        first, *rest = node.expressions
        return function("CONCAT_WS", first.copy(), *map(to_text, rest))
    return function("CONCAT", *map(to_text, node.expressions))


def _pipes(node: exp.DPipe) -> exp.Expression:
    return exp.DPipe(this=to_text(node.left), expression=to_text(node.right))


def _group_concat(node: exp.GroupConcat) -> None:
    value = node.this.this if isinstance(node.this, exp.Order) else node.this
    value = value.expressions[0] if isinstance(value, exp.Distinct) else value
    value.replace(to_text(value))


def _substring(node: exp.Substring) -> exp.Expression | None:
    start, length = node.args.get("start"), node.args.get("length")
    first = 0 if _is_zero(start) else number(start)
    if first is None and length is None and kind(start) in INTEGER:
        return _from_place(node.this, start)
    if first is None:
        raise refuse("substring() with a length begins at a constant place there")
    if first < 0 and length is None:
        return function("RIGHT", node.this.copy(), literal(int(-first)))
    if first < 0 or (length is not None and not isinstance(length, exp.Literal) and first != 1):
        raise refuse("substring() with a length begins at a constant place, from 1, there")
    if length is None or isinstance(length, exp.Literal):
        return None
    short = exp.LT(this=exp.paren(length.copy()), expression=literal(0))
    node.set("length", exp.Case(ifs=[exp.If(this=short, true=literal(0))], default=length.copy()))
    return unless_null([length], node.copy())


def _from_place(value: exp.Expression, start: exp.Expression) -> exp.Expression:
    """What stands at the end, from a place on; one below 0 is counted from the end."""
    place = exp.paren(start.copy())
    behind = exp.If(this=exp.GT(this=place, expression=literal(0)), true=function("SUBSTR", value.copy(), place.copy()))
    last = function("RIGHT", value.copy(), exp.Neg(this=place.copy()))
    from_end = exp.If(this=exp.LT(this=place.copy(), expression=literal(0)), true=last)
    return unless_null([value, start], exp.Case(ifs=[behind, from_end], default=value.copy()))


def _is_zero(node: exp.Expression | None) -> bool:
    return isinstance(node, exp.Literal) and node.this == "0"


def _end(node: exp.Left | exp.Right) -> exp.Expression | None:
    return None if number(node.expression) else unless_null([node.this, node.expression], node.copy())


def _replace(node: exp.Replace) -> None:
    constant(node.expression, "what replace() looks for")


def _place(node: exp.StrPosition) -> exp.Expression:
    """Polars counts bytes: behind the first letter the letters before it are counted."""
    value, sought = node.this, node.args["substr"]
    place = function("STRPOS", value.copy(), sought.copy())
    before = function("LENGTH", function("SPLIT_PART", value.copy(), sought.copy(), literal(1)))
    later = exp.If(this=exp.GT(this=place, expression=literal(1)), true=exp.Add(this=before, expression=literal(1)))
    found = unless_null([value, sought], exp.Case(ifs=[later], default=place.copy()))
    return typed(cast(found, "bigint"), exp.DType.BIGINT)


def _contains(node: exp.Contains) -> exp.Expression:
    found = exp.GT(this=function("STRPOS", node.this.copy(), node.expression.copy()), expression=literal(0))
    return unless_null([node.this, node.expression], exp.paren(found))


def _like(node: exp.Like | exp.ILike) -> None:
    if not (isinstance(node.expression, exp.Literal) and node.expression.is_string):
        raise refuse("LIKE takes a constant there")


def _regexp_like(node: exp.RegexpLike) -> None:
    if node.args.get("flag"):
        raise refuse("regexp_matches() takes no options there")
    node.set("expression", _text(_pattern(constant(node.expression, "a pattern"))))


def _regexp_replace(node: exp.RegexpReplace) -> None:
    node.set("expression", _text(_pattern(constant(node.expression, "a pattern"))))


def _regexp_extract(node: exp.RegexpExtract) -> exp.Expression:
    """All of the text is replaced by what was found; nothing found is an empty text."""
    if node.args.get("parameters"):
        raise refuse("regexp_extract() takes no options there")
    group = node.args.get("group") or literal(0)
    if not (isinstance(group, exp.Literal) and group.is_int and len(group.this) == 1):
        raise refuse("regexp_extract() takes the number of a group, up to 9, there")
    pattern = _pattern(constant(node.expression, "a pattern"))
    around = f"(?s:^.*?){'(' if group.this == '0' else '(?:'}{pattern})(?s:.*)$"
    part = _text(f"\\{'1' if group.this == '0' else group.this}")
    found = function("REGEXP_REPLACE", node.this.copy(), _text(around), part)
    is_there = exp.If(this=function("REGEXP_LIKE", node.this.copy(), _text(pattern)), true=found)
    made = unless_null([node.this], exp.Case(ifs=[is_there], default=_text("")))
    return typed(made, exp.DType.VARCHAR)


def _pattern(pattern: str) -> str:
    """The pattern with its classes spelled out, as DuckDB's library means them: ASCII's letters only."""
    if "\\Q" in pattern or "(?x" in pattern:
        raise refuse("a pattern quotes nothing by \\Q there")
    made, inside = [], False
    for piece in re.findall(r"\\.|.", pattern, re.DOTALL):
        inside = (inside or piece == "[") and piece != "]"
        made.append(_spelled(piece, inside=inside))
    return "".join(made)


def _spelled(piece: str, *, inside: bool) -> str:
    letter = piece[1:]
    if piece in ("\\b", "\\B"):
        return f"(?-u:{piece})" if piece == "\\b" else piece
    if letter in CLASSES:
        return CLASSES[letter] if inside else f"[{CLASSES[letter]}]"
    if letter.lower() in CLASSES:
        if inside:
            raise refuse(f"a pattern has no {piece} in brackets there")
        return f"[^{CLASSES[letter.lower()]}]"
    return piece


def checked_codes(pattern: exp.Expression | None, known: frozenset[str]) -> exp.Expression:
    """A format of times, with codes that are spelled alike; else refused."""

    def spelled(found: re.Match[str]) -> str:
        code = grammar.MICROSECONDS.get(found[1], found[1]) if known is grammar.TIME_CODES else found[1]
        if code not in known and code not in grammar.MICROSECONDS.values():
            raise refuse(f"the code %{found[1]} of a time is not known there")
        return f"%{code}"

    return _text(re.sub(r"%(-?.|$)", spelled, constant(pattern, "the format of a time")))


CHANGES = {
    exp.Upper: _upper, exp.Lower: _lower, exp.Trim: _trim, exp.Concat: _concat, exp.ConcatWs: _concat,
    exp.DPipe: _pipes, exp.GroupConcat: _group_concat, exp.Substring: _substring, exp.Left: _end, exp.Right: _end,
    exp.Replace: _replace, exp.StrPosition: _place, exp.Contains: _contains, exp.Like: _like, exp.ILike: _like,
    exp.RegexpLike: _regexp_like, exp.RegexpReplace: _regexp_replace,
    exp.RegexpExtract: _regexp_extract,
}  # fmt: skip
