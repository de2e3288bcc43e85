"""The label as an expression: an aggregate over what happens to a key in a window after the entity's time."""

from __future__ import annotations

import duckdb
import polars as pl
from sqlglot import exp

from workers.engines.sql import check_sql
from workers.engines.sql.dialects import AssayDuckDB
from workers.engines.sql.fragment import is_one_value
from workers.engines.sql.guard import parse
from workers.engines.statement import quoted
from workers.errors import QueryFailed, SqlRejected
from workers.specs import Column

_LEAD = "SELECT "


def checked_expression(text: str, alias: str, columns: tuple[Column, ...]) -> tuple[str, str]:
    """The type of the aggregate, and its text regenerated from the checked tree. Raises `SqlRejected`."""
    inputs = {alias: columns}
    sql = f"{_LEAD}{text} AS assay_label FROM {quoted(alias)}"
    tree = parse(sql, inputs)
    if not is_one_value(tree, "assay_label"):
        raise SqlRejected(f"“{text}” is not one expression.", hint="Write it without commas, FROM, WHERE or AS.")
    expression = tree.expressions[0].this
    _must_aggregate(expression, text)
    if tree.find(exp.Placeholder, exp.CurrentDate, exp.CurrentTimestamp) or "now(" in text.lower():
        raise SqlRejected("A label knows no clock and no :run_time.", hint="Its window says what it sees.")
    found = check_sql(sql, inputs, "duckdb").columns[0]
    return found.type, expression.sql(dialect=AssayDuckDB, comments=False)


def _must_aggregate(expression: exp.Expression, text: str) -> None:
    if expression.find(exp.Window, exp.Query):
        raise SqlRejected("A label has no window function and no subquery.", hint="Prepare it in a Silver job.")
    if not expression.find(exp.AggFunc):
        hint = "Use count(*) = 0, sum(…), max(…) or the like."
        raise SqlRejected(f"“{text}” does not aggregate.", hint=hint)
    loose = [each for each in expression.find_all(exp.Column) if not each.find_ancestor(exp.AggFunc, exp.Filter)]
    if loose:
        name = loose[0].name
        raise SqlRejected(f"“{name}” stands outside an aggregate.", hint=f"Write max({name}) or the like.")


def over_nothing(sql: str, columns: tuple[Column, ...], label_type: str) -> pl.Series:
    """What the expression says where nothing happened, as one value of the label's type: `count(*)` is 0 there."""
    from workers.schema import duckdb_type, parse_type

    fields = ", ".join(f"CAST(NULL AS {duckdb_type(column.type)}) AS {quoted(column.name)}" for column in columns)
    query = f"SELECT CAST({sql} AS {duckdb_type(label_type)}) FROM (SELECT {fields}) AS nothing WHERE false"  # noqa: S608
    try:
        config = {"enable_external_access": "false", "python_enable_replacements": "false"}
        with duckdb.connect(":memory:", config=config) as connection:
            value = connection.execute(query).fetchone()[0]
    except duckdb.Error as error:
        raise QueryFailed(f"The label's expression failed: {str(error).splitlines()[0]}") from error
    return pl.Series("label", [value], dtype=parse_type(label_type))
