"""What is changed in the checked tree before an engine sees it, so that engines agree.

Everything here looks at types, which `annotate` puts on the nodes. Plain
differences of spelling are in `dialects.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from datetime import date, datetime

from sqlglot import exp
from sqlglot.dialects.duckdb import DuckDB
from sqlglot.errors import SqlglotError
from sqlglot.optimizer.annotate_types import annotate_types
from sqlglot.schema import MappingSchema

from workers.schema import duckdb_type
from workers.specs import Column

_NARROW = {exp.DType.TINYINT, exp.DType.SMALLINT, exp.DType.INT, exp.DType.BOOLEAN}
_INTEGER = _NARROW | {exp.DType.BIGINT, exp.DType.INT128}
_FLOAT = {exp.DType.FLOAT, exp.DType.DOUBLE}
_DECIMAL = {exp.DType.DECIMAL}
_DAY_MICROSECONDS = 86_400_000_000


def bind(tree: exp.Expression, start_date: date, end_date: date, run_time: datetime) -> None:
    """Put the run's values in place of `:start_date` and the like, and of the clock: typed literals, never text."""
    instant = exp.cast(exp.Literal.string(run_time.isoformat(sep=" ")), "timestamptz")
    values: dict[str, exp.Expression] = {
        "start_date": exp.cast(exp.Literal.string(start_date.isoformat()), "date"),
        "end_date": exp.cast(exp.Literal.string(end_date.isoformat()), "date"),
        "run_time": instant,
    }
    for node in list(tree.find_all(exp.Placeholder, exp.CurrentDate, exp.CurrentTimestamp, exp.Anonymous)):
        if isinstance(node, exp.Placeholder):
            node.replace(values[node.this].copy())
        elif isinstance(node, exp.CurrentDate):
            node.replace(exp.cast(instant.copy(), "date"))
        elif isinstance(node, exp.CurrentTimestamp) or node.name.lower() == "now":
            node.replace(instant.copy())


def expand_aliases(tree: exp.Expression) -> None:
    """Put the expression where WHERE and the SELECT list name its alias: only DuckDB can look it up there."""
    for column in list(tree.find_all(exp.Column)):
        projection = column.meta.get("alias_of")
        late = column.find_ancestor(exp.Order, exp.Group, exp.Having, exp.Qualify, exp.Distinct, exp.Select)
        if projection is not None and isinstance(late, exp.Select):
            column.replace(exp.paren(projection.this.copy()))


# --- types ------------------------------------------------------------------------


def annotate(tree: exp.Expression, inputs: Mapping[str, tuple[Column, ...]]) -> exp.Expression:
    """The tree with a type on every node where one can be told. Names must be resolved."""
    schema = MappingSchema(
        {alias: {column.name: duckdb_type(column.type) for column in columns} for alias, columns in inputs.items()},
        dialect="duckdb",
        normalize=False,
    )
    bare = [column for column in tree.find_all(exp.Column) if "source" in column.meta and not column.table]
    for column in bare:
        column.set("table", exp.to_identifier(column.meta["source"], quoted=True))
    # Types are a help here, not the check: the dry run is. Unknown ones are treated with care below.
    with suppress(SqlglotError):
        tree = annotate_types(tree, schema=schema, dialect="duckdb", expression_metadata=_METADATA)
    for column in bare:
        column.set("table", None)
    return tree


def _like_argument(annotator, node: exp.Expression) -> exp.Expression:
    annotator._set_type(node, node.this.type)
    return node


def _literal(annotator, node: exp.Literal) -> exp.Literal:
    if node.is_string:
        annotator._set_type(node, exp.DType.VARCHAR)
    elif node.is_int:
        annotator._set_type(node, exp.DType.INT if abs(int(node.this)) < 2**31 else exp.DType.BIGINT)
    else:
        annotator._set_type(node, exp.DType.DOUBLE if "e" in node.this.lower() else exp.DType.DECIMAL)
    return node


_METADATA = {
    **DuckDB.EXPRESSION_METADATA,
    exp.Literal: {"annotator": _literal},
    exp.Div: {"returns": exp.DType.DOUBLE},
    exp.Round: {"annotator": _like_argument},
    exp.Ceil: {"annotator": _like_argument},
    exp.Floor: {"annotator": _like_argument},
    exp.Median: {"returns": exp.DType.DOUBLE},
    exp.Quantile: {"returns": exp.DType.DOUBLE},
}


def _kind(node: exp.Expression | None) -> exp.DType | None:
    return node.type.this if node is not None and node.type is not None else None


# --- for every engine ----------------------------------------------------------------


def widen_arithmetic(tree: exp.Expression) -> None:
    """Count in 64 bits: 32 overflow on DuckDB and wrap, silently, on Polars."""
    for node in reversed(list(tree.find_all(exp.Mul, exp.Add, exp.Sub, exp.Neg))):  # inner ones first
        sides = (node.left, node.right) if isinstance(node, exp.Binary) else (node.this,)
        if all(_kind(side) in _NARROW for side in sides) and not all(isinstance(side, exp.Literal) for side in sides):
            side = sides[0]
            side.replace(_typed(exp.cast(side.copy(), "bigint"), exp.DType.BIGINT))
            node.type = exp.DataType.build("bigint")


def _typed(node: exp.Expression, kind: exp.DType) -> exp.Expression:
    node.type = exp.DataType(this=kind)
    return node


# --- for DuckDB -----------------------------------------------------------------------


def for_duckdb(tree: exp.Expression) -> None:
    """COUNT_IF of no rows, or of nulls alone, is 0, as every count is; DuckDB, which adds up, says null."""
    for node in reversed(list(tree.find_all(exp.CountIf))):  # inner ones first
        while isinstance(node.parent, exp.Filter | exp.Window) and node.arg_key == "this":
            node = node.parent
        node.replace(exp.Coalesce(this=node.copy(), expressions=[exp.Literal.number(0)]))


# --- for Polars -----------------------------------------------------------------------


def for_polars(tree: exp.Expression) -> exp.Expression:
    """Make Polars count, divide, round and cast as DuckDB does."""
    for node in reversed(list(tree.find_all(*_POLARS))):  # inner ones first
        change = next(change for kind, change in _POLARS.items() if isinstance(node, kind))
        replacement = change(node)
        if replacement is not None and replacement is not node:
            replacement.type = node.type
            tree = replacement if node is tree else tree
            node.replace(replacement)
    return tree


def _sum(node: exp.Sum) -> None:
    """Sum wide: Polars keeps the width of what it sums and wraps. The cast at the end refuses what is too large."""
    distinct = node.this if isinstance(node.this, exp.Distinct) else None
    value = distinct.expressions[0] if distinct else node.this
    kind = _kind(value)
    if kind in _INTEGER:
        value.replace(exp.cast(value.copy(), "int128"))
    elif kind not in _FLOAT | _DECIMAL:
        # Not known: adding a wide zero keeps every numeric type and widens the integers.
        value.replace(exp.Add(this=exp.paren(value.copy()), expression=exp.cast(exp.Literal.number(0), "bigint")))


def _div(node: exp.Div) -> None:
    """Polars divides decimals as decimals, with few digits."""
    if _DECIMAL & {_kind(node.left), _kind(node.right)}:
        node.left.replace(_typed(exp.cast(node.left.copy(), "double"), exp.DType.DOUBLE))


def _round(node: exp.Round) -> exp.Expression | None:
    """Polars rounds a float's half to the even neighbour, DuckDB away from zero."""
    digits = node.args.get("decimals")
    if _kind(node.this) in _FLOAT and (digits is None or (isinstance(digits, exp.Literal) and digits.is_int)):
        return _half_up(node.this, int(digits.this) if digits is not None else 0)
    return None


def _half_up(value: exp.Expression, digits: int) -> exp.Expression:
    """SIGN(x) * FLOOR(ABS(x) * 10^n + 0.5) / 10^n; rounded again, because Polars multiplies by 1 / 10^n instead."""
    factor = exp.cast(exp.Literal.number(10**digits), "double")
    scaled = exp.Mul(this=exp.Abs(this=value.copy()), expression=factor)
    half = exp.cast(exp.Literal.number("0.5"), "double")
    whole = exp.Floor(this=exp.Add(this=scaled, expression=half))
    signed = exp.Mul(this=exp.Anonymous(this="SIGN", expressions=[value.copy()]), expression=whole)
    return _plain_round(exp.Div(this=signed, expression=factor.copy()), digits) if digits else exp.paren(signed)


def _cast(node: exp.Cast) -> exp.Expression | None:
    """Polars cuts a fraction off where DuckDB rounds it."""
    source, target = _kind(node.this), node.to.this
    if source not in _FLOAT | _DECIMAL:
        return None
    if target in _INTEGER - {exp.DType.BOOLEAN}:
        return type(node)(this=_plain_round(node.this), to=node.to.copy())
    if target in _DECIMAL:
        scale = _scale(node.to)
        rounded = _half_up(node.this, scale) if source in _FLOAT else _plain_round(node.this, scale)
        return type(node)(this=rounded, to=node.to.copy())
    return None


def _plain_round(value: exp.Expression, digits: int = 0) -> exp.Expression:
    """Polars' own ROUND: away from zero for decimals, to the even neighbour for floats, as DuckDB's casts do."""
    return exp.Anonymous(this="ROUND", expressions=[value.copy(), exp.Literal.number(digits)])


def _scale(kind: exp.DataType) -> int:
    parts = [int(part.name) for part in kind.expressions]
    return parts[1] if len(parts) > 1 else (0 if parts else 3)


def _sub(node: exp.Sub) -> exp.Expression | None:
    if _kind(node.left) == _kind(node.right) == exp.DType.DATE:
        return _days(node.right, node.left)
    return None


def _days(start: exp.Expression, end: exp.Expression) -> exp.Expression:
    elapsed = exp.Sub(this=exp.cast(end.copy(), "date"), expression=exp.cast(start.copy(), "date"))
    return _floor_div(exp.cast(exp.paren(elapsed), "bigint"), _DAY_MICROSECONDS)


def _floor_div(value: exp.Expression, by: int) -> exp.Expression:
    return exp.paren(exp.IntDiv(this=value, expression=exp.Literal.number(by)))


def _date_diff(node: exp.DateDiff) -> exp.Expression | None:
    """Count the borders between two times, as DuckDB does; Polars has no date_diff."""
    unit = (node.args["unit"].name if node.args.get("unit") else "day").lower()
    start, end = node.expression, node.this
    if unit == "day":
        return _days(start, end)
    if unit == "week":  # for DuckDB seven days, wherever the week begins
        return _floor_div(_days(start, end), 7)
    if unit in _MONTHS:
        return exp.paren(exp.Sub(this=_count_of(end, unit), expression=_count_of(start, unit)))
    if unit in _MICROSECONDS:
        cut = [
            exp.cast(exp.Anonymous(this="DATE_TRUNC", expressions=[exp.Literal.string(unit), each.copy()]), "timestamp")
            for each in (end, start)
        ]
        return _floor_div(exp.cast(exp.paren(exp.Sub(this=cut[0], expression=cut[1])), "bigint"), _MICROSECONDS[unit])
    return None


_MONTHS = {"month": 12, "quarter": 4, "year": 1}
_MICROSECONDS = {"second": 1_000_000, "minute": 60_000_000, "hour": 3_600_000_000}


def _count_of(when: exp.Expression, unit: str) -> exp.Expression:
    """Months, quarters or years since year 0."""
    year = exp.Extract(this=exp.var("YEAR"), expression=when.copy())
    if unit == "year":
        return year
    part = exp.Extract(this=exp.var(unit.upper()), expression=when.copy())
    years = exp.Mul(this=year, expression=exp.Literal.number(_MONTHS[unit]))
    return exp.paren(exp.Add(this=years, expression=part))


def _one_zone(node: exp.Expression) -> None:
    """A time without a zone is meant in UTC; Polars compares it with no time that has one."""
    sides = [side for side in (node.this, *(node.args.get(name) for name in ("expression", "low", "high"))) if side]
    if exp.DType.TIMESTAMPTZ in map(_kind, sides):
        for side in sides:
            if _kind(side) in (exp.DType.TIMESTAMP, exp.DType.TIMESTAMPNTZ):
                side.replace(_typed(exp.cast(side.copy(), "timestamptz"), exp.DType.TIMESTAMPTZ))


_POLARS = {
    exp.Sum: _sum, exp.Div: _div, exp.Round: _round, exp.Cast: _cast, exp.Sub: _sub, exp.DateDiff: _date_diff,
    **dict.fromkeys((exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.Between), _one_zone),
}  # fmt: skip
