"""From the checked tree to an engine's own: an allow-list of what is known to give DuckDB's rows, and what is changed.

What is not on an engine's list is refused when the job is saved: an engine
that answers in its own way would be worse than one that does not answer.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sqlglot import exp

from workers.errors import SqlRejected

from .guard import place_at, place_of
from .trees import refuse

WHERE = "The engine duckdb can: choose it for this job, or write it in another way."
MOST_NODES = 20_000  # what is rewritten may name its parts more than once, and that in one another
Change = Callable[[exp.Expression], exp.Expression | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What an engine takes, by the names of `grammar`: sqlglot's classes, and functions that it has no class for."""

    engine: str  # as people read it
    nodes: frozenset[str]
    functions: frozenset[str]
    named_functions: frozenset[str]
    types: frozenset[str]
    changes: Mapping[type[exp.Expression], Change]  # None: the node stays, perhaps with other parts


def translate(tree: exp.Expression, text: str, rules: Rules) -> exp.Expression:
    """The tree that the engine runs. Raises `SqlRejected`, with the place in `text`, for what it cannot do alike."""
    for node in reversed(list(tree.walk())):  # inner ones first
        try:
            _check(node, rules)
            change = next((change for known, change in rules.changes.items() if isinstance(node, known)), None)
            tree = _put(tree, node, change(node) if change else None)
        except refuse as refusal:
            raise SqlRejected(
                f"{rules.engine} cannot run this query: {refusal}.",
                hint=WHERE,
                engines=["duckdb"],
                **_place(text, node),
            ) from None
    return tree


def _place(text: str, node: exp.Expression) -> dict[str, int]:
    """Of a function its name, which the parser does not always mark."""
    name = str(node.this) if isinstance(node, exp.Anonymous) else node.sql_name() if isinstance(node, exp.Func) else ""
    found = name and re.search(rf"\b{re.escape(name)}\s*\(", text, re.IGNORECASE)
    return place_at(text, found.start()) if found else place_of(text, node)


def _put(tree: exp.Expression, node: exp.Expression, new: exp.Expression | None) -> exp.Expression:
    if new is None or new is node:
        return tree
    if sum(1 for _ in new.walk()) > MOST_NODES:
        raise refuse("calls are nested too deeply")
    new.type = new.type or node.type
    if node is tree:
        return new
    node.replace(new)
    return tree


def _check(node: exp.Expression, rules: Rules) -> None:
    name = type(node).__name__
    if isinstance(node, exp.Anonymous):
        if str(node.this).lower() not in rules.named_functions and not node.meta.get("made"):
            raise refuse(f"{str(node.this).lower()}() is not known to give the same rows there")
    elif isinstance(node, exp.Func):
        if name not in rules.functions and name not in rules.nodes:
            raise refuse(f"{node.sql_name().lower()}() is not known to give the same rows there")
    elif name not in rules.nodes:
        raise refuse(f"{name} is not known to give the same rows there")
    if isinstance(node, exp.DataType) and node.this.name not in rules.types:
        raise refuse(f"it has no type {node.sql(dialect='duckdb')}")
    if isinstance(node, exp.Join) and node.args.get("method"):
        raise refuse(f"it has no {node.args['method']} join")
