"""What is changed in the checked tree before an engine sees it, so that engines agree.

Everything here looks at types, which `annotate` puts on the nodes. Plain
differences of spelling are in `dialects.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import date, datetime

from sqlglot import exp
from sqlglot.dialects.duckdb import DuckDB
from sqlglot.errors import SqlglotError
from sqlglot.optimizer.annotate_types import annotate_types
from sqlglot.schema import MappingSchema

from workers.schema import duckdb_type
from workers.specs import Column

from .trees import NARROW, cast, kind


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
    bare = [column for column in tree.find_all(exp.Column) if _source(column) and not column.table]
    for column in bare:
        column.set("table", exp.to_identifier(_source(column), quoted=True))
    # Types are a help here, not the check: the dry run is. Unknown ones are treated with care.
    with _named_columns(tree), suppress(SqlglotError):
        tree = annotate_types(tree, schema=schema, dialect="duckdb", expression_metadata=_METADATA)
    for column in bare:
        column.set("table", None)
    return tree


def _source(column: exp.Column) -> str | None:
    return column.meta.get("source") or column.meta.get("one_of_sources")


@contextmanager
def _named_columns(tree: exp.Expression) -> Iterator[None]:
    """While types are told, columns that `AS v(a, b)` names have these names where they are made."""
    before: list[tuple[exp.Expression, list[exp.Expression]]] = []
    for alias in tree.find_all(exp.TableAlias):
        query = alias.parent.this if isinstance(alias.parent, exp.CTE | exp.Subquery) else None
        while isinstance(query, exp.SetOperation):
            query = query.left.unnest()
        if alias.columns and isinstance(query, exp.Select):
            before.append((query, query.expressions))
            renamed = zip(query.expressions, alias.columns, strict=False)
            kept = query.expressions[len(alias.columns) :]
            query.set(
                "expressions", [*(exp.alias_(value.unalias(), name, copy=False) for value, name in renamed), *kept]
            )
    try:
        yield
    finally:
        for query, expressions in before:
            for made, original in zip(query.expressions, expressions, strict=True):
                if isinstance(original, exp.Alias):
                    original.set("this", made.this)
                    original.type = made.type
            query.set("expressions", expressions)


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


def _named(annotator, node: exp.Anonymous) -> exp.Anonymous:
    counted = str(node.this).lower() in ("date_part", "datepart", "isodow", "len")
    annotator._set_type(node, exp.DType.BIGINT if counted else exp.DType.UNKNOWN)
    return node


_TEXTS = (exp.Left, exp.Right, exp.Replace, exp.SplitPart, exp.RegexpReplace)
_METADATA = {
    **DuckDB.EXPRESSION_METADATA,
    **{text: {"returns": exp.DType.VARCHAR} for text in _TEXTS},
    exp.Anonymous: {"annotator": _named},
    exp.Literal: {"annotator": _literal},
    exp.Div: {"returns": exp.DType.DOUBLE},
    exp.Round: {"annotator": _like_argument},
    exp.Ceil: {"annotator": _like_argument},
    exp.Floor: {"annotator": _like_argument},
    exp.Trunc: {"annotator": _like_argument},
    exp.Median: {"returns": exp.DType.DOUBLE},
    exp.Quantile: {"returns": exp.DType.DOUBLE},
}


# --- for every engine ----------------------------------------------------------------


def widen_arithmetic(tree: exp.Expression) -> None:
    """Count in 64 bits: 32 overflow on DuckDB and wrap, silently, on Polars."""
    for node in reversed(list(tree.find_all(exp.Mul, exp.Add, exp.Sub, exp.Neg))):  # inner ones first
        sides = (node.left, node.right) if isinstance(node, exp.Binary) else (node.this,)
        if all(kind(side) in NARROW for side in sides) and not all(isinstance(side, exp.Literal) for side in sides):
            side = sides[0]
            side.replace(cast(side.copy(), "bigint"))
            node.type = exp.DataType.build("bigint")


# --- for DuckDB -----------------------------------------------------------------------


def for_duckdb(tree: exp.Expression) -> None:
    """COUNT_IF of no rows, or of nulls alone, is 0, as every count is; DuckDB, which adds up, says null."""
    for node in reversed(list(tree.find_all(exp.CountIf))):  # inner ones first
        while isinstance(node.parent, exp.Filter | exp.Window) and node.arg_key == "this":
            node = node.parent
        node.replace(exp.Coalesce(this=node.copy(), expressions=[exp.Literal.number(0)]))
