"""Joins that match no rows: each row of one side meets every row of the other."""

from __future__ import annotations

from sqlglot import exp
from sqlglot.optimizer.scope import Scope


def using_columns(query: exp.Expression) -> set[str]:
    """The columns that USING merges, in lower case."""
    return {name.name.lower() for join in query.args.get("joins") or () for name in join.args.get("using") or ()}


def unmatched_joins(scope: Scope, names: list[str]) -> int:
    """How many of the tables in FROM (`names`, lower case) nothing ties to the others.

    USING ties, an equality between columns of two tables anywhere in the query
    does, and a subquery of one row needs no tie. Columns must be resolved.
    """
    group = {name: name for name in names}
    for join in scope.expression.args.get("joins") or ():
        if join.args.get("using"):
            _unite(group, [names[0], join.alias_or_name.lower()])
    for equal in scope.find_all(exp.EQ, exp.NullSafeEQ):
        left, right = ({column.meta.get("source", "").lower() for column in side.find_all(exp.Column)}
                       for side in (equal.left, equal.right))  # fmt: skip
        if left and right and left.isdisjoint(right) and not equal.find_ancestor(exp.Case):
            _unite(group, [name for name in (*left, *right) if name in group])
    return max(0, len({group[name] for name in names if not _has_one_row(scope, name)}) - 1)


def _unite(group: dict[str, str], names: list[str]) -> None:
    """Put the names' groups together; each group is known by one of its names."""
    for name in names[1:]:
        old, new = group[name], group[names[0]]
        group.update({each: new for each, of in group.items() if of == old})


def _has_one_row(scope: Scope, name: str) -> bool:
    """Whether a table in FROM is a subquery of aggregates without GROUP BY, or of no table at all."""
    source = next((each for alias, (_, each) in scope.selected_sources.items() if alias.lower() == name), None)
    query = source.expression if isinstance(source, Scope) else None
    if not isinstance(query, exp.Select) or query.args.get("group"):
        return False
    values = [projection.unalias() for projection in query.expressions]
    return not query.args.get("from_") or all(isinstance(value, exp.AggFunc) for value in values)
