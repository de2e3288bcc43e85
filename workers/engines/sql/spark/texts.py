"""Functions of texts, where Spark's differ from DuckDB's."""

from __future__ import annotations

import re

from sqlglot import exp

from ..trees import LIST, TEXT, cast, constant, function, kind, literal, number, refuse, typed

_UNUSED = "\x01"  # an escape character that no pattern holds


def _text(node: exp.Expression) -> exp.Expression:
    return node.copy() if kind(node) in TEXT or isinstance(node, exp.Null) else cast(node.copy(), "varchar")


def _concat(node: exp.Concat) -> exp.Expression:
    """DuckDB's CONCAT leaves nulls out."""
    if any(kind(value) in LIST for value in node.expressions):
        raise refuse("concat() glues texts only there")
    values = [function("COALESCE", _text(value), exp.Literal.string("")) for value in node.expressions]
    return function("CONCAT", *values)


def _concat_ws(node: exp.ConcatWs) -> exp.Expression:
    first, *rest = node.expressions
    return function("CONCAT_WS", first.copy(), *map(_text, rest))


def _pipes(node: exp.DPipe) -> exp.Expression | None:
    if {kind(node.left), kind(node.right)} & LIST:
        raise refuse("|| glues texts only there")
    return exp.DPipe(this=_text(node.left), expression=_text(node.right))


def _like(node: exp.Like | exp.ILike) -> exp.Expression | None:
    """DuckDB has no escape character unless one is named; Spark's is the backslash."""
    if isinstance(node.parent, exp.Escape):
        return None
    if not isinstance(node.expression, exp.Literal | exp.Column):
        raise refuse("LIKE takes a constant or a column there")
    if isinstance(node.expression, exp.Literal) and "\\" not in node.expression.this:
        return None
    return exp.Escape(this=node.copy(), expression=exp.Literal.string(_UNUSED))


def _substring(node: exp.Substring) -> exp.Expression | None:
    start, length = node.args.get("start"), node.args.get("length")
    if length is not None and number(start) is None:
        raise refuse("substring() with a length begins at a constant place, from 1, there")
    if length is not None and number(start) != 1 and not isinstance(length, exp.Literal):
        raise refuse("substring() takes a constant length there, unless it begins at 1")
    return None


def _end(node: exp.Left | exp.Right) -> None:
    if not isinstance(node.expression, exp.Literal):
        raise refuse(f"{node.sql_name().lower()}() takes a constant number, not below 0, there")


def _str_position(node: exp.StrPosition) -> exp.Expression:
    place = function("LOCATE", node.args["substr"].copy(), node.this.copy())
    return typed(cast(place, "bigint"), exp.DType.BIGINT)


def _split(node: exp.Split) -> None:
    if "\\" in constant(node.expression, "what string_split() splits at"):
        raise refuse("string_split() splits at no backslash there")
    node.type = exp.DataType.build("array<varchar>")


def _split_part(node: exp.SplitPart) -> exp.Expression:
    separator = constant(node.args.get("delimiter"), "what split_part() splits at")
    if number(node.args.get("part_index")) is None:
        raise refuse("split_part() takes a constant number, not 0, there")
    part = node.args["part_index"].copy()
    return function("SPLIT_PART", node.this.copy(), exp.Literal.string(separator), part)


def _regexp_replace(node: exp.RegexpReplace) -> exp.Expression:
    """DuckDB replaces the first match, with the modifier g all of them, and names groups `\\1`."""
    pattern = _pattern(node)
    replacement = node.args.get("replacement")
    if not (isinstance(replacement, exp.Literal) and replacement.is_string):
        raise refuse("what regexp_replace() puts in is a constant text there")
    modifiers = node.args["modifiers"].name if node.args.get("modifiers") else ""
    if set(modifiers) - set("gi"):
        raise refuse("regexp_replace() knows the modifiers g and i there")
    flags = "(?i)" if "i" in modifiers else ""
    if "g" in modifiers:
        return _replaced(node, f"{flags}{pattern}", _java(replacement.this, 0))
    return _replaced(node, f"\\A([\\s\\S]*?)(?:{flags}{pattern})", "$1" + _java(replacement.this, 1))


def _pattern(node: exp.RegexpReplace | exp.RegexpExtract | exp.RegexpLike) -> str:
    pattern = constant(node.expression, "a pattern")
    if "[:" in pattern:  # Java takes the letters of the name
        raise refuse("a pattern has no class as [:alpha:] there; write [A-Za-z]")
    return pattern


def _replaced(node: exp.RegexpReplace, pattern: str, put: str) -> exp.Expression:
    return function("REGEXP_REPLACE", node.this.copy(), exp.Literal.string(pattern), exp.Literal.string(put))


def _java(replacement: str, groups_before: int) -> str:
    escaped = re.sub(r"[$]", r"\\$", replacement)
    return re.sub(r"\\(\d)", lambda found: f"${int(found[1]) + groups_before}", escaped)


def _regexp_extract(node: exp.RegexpExtract) -> exp.Expression:
    group = node.args.get("group")
    if group is not None and not (isinstance(group, exp.Literal) and group.is_int):
        raise refuse("regexp_extract() takes the number of one group there")
    if node.args.get("parameters"):
        raise refuse("regexp_extract() takes no options there")
    pattern = _pattern(node)
    return function(
        "REGEXP_EXTRACT", node.this.copy(), exp.Literal.string(pattern), literal(int(group.this) if group else 0)
    )


def _regexp_like(node: exp.RegexpLike) -> None:
    _pattern(node)
    if node.args.get("flag"):
        raise refuse("regexp_matches() takes no options there")


def _json(node: exp.JSONExtractScalar) -> exp.Expression:
    path = node.expression
    keys = [part for part in path.expressions if not isinstance(part, exp.JSONPathRoot)] if path else []
    if not isinstance(path, exp.JSONPath) or not keys or not all(isinstance(key, exp.JSONPathKey) for key in keys):
        raise refuse("json_extract_string() takes a constant path of keys there")
    names = [key.this for key in keys]
    if not all(isinstance(name, str) and re.fullmatch(r"\w+", name) for name in names):
        raise refuse("json_extract_string() takes a path of plain keys there")
    return function("GET_JSON_OBJECT", node.this.copy(), exp.Literal.string("$." + ".".join(names)))


CHANGES = {
    exp.ConcatWs: _concat_ws, exp.Concat: _concat, exp.DPipe: _pipes, exp.Like: _like, exp.ILike: _like,
    exp.Substring: _substring, exp.Left: _end, exp.Right: _end, exp.StrPosition: _str_position, exp.Split: _split,
    exp.SplitPart: _split_part, exp.RegexpReplace: _regexp_replace, exp.RegexpExtract: _regexp_extract,
    exp.RegexpLike: _regexp_like, exp.JSONExtractScalar: _json,
}  # fmt: skip
