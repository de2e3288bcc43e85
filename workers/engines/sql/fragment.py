"""Parts of a query that people write into a template: looked at inside the smallest query that they can stand in."""

from __future__ import annotations

from collections.abc import Set

from sqlglot import exp

from workers.errors import SqlRejected

PARTS = frozenset({"expressions", "from_"})


def is_one_value(tree: exp.Expression, alias: str, parts: Set[str] = PARTS) -> bool:
    """Whether the query around the fragment is still what it was made as: one value of this name out of one table."""
    return (
        isinstance(tree, exp.Select)
        and {part for part, held in tree.args.items() if held} == parts
        and len(tree.expressions) == 1
        and tree.expressions[0].alias == alias
        and not tree.args["from_"].this.args.get("joins")
    )


def told_of(refusal: SqlRejected, lead: int) -> str:
    """The refusal with the place in the fragment, which stood behind `lead` characters of ours."""
    line, column = refusal.facts.get("line"), refusal.facts.get("column", 0)
    if line is None or (line == 1 and column <= lead):
        return refusal.message
    return f"{refusal.message} (line {line}, column {column - lead if line == 1 else column})"
