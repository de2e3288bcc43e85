"""How each engine spells the checked tree. DuckDB's dialect is the canonical one."""

from __future__ import annotations

from sqlglot import exp
from sqlglot.dialects.duckdb import DuckDB


def _ordered(generator: DuckDB.Generator, node: exp.Ordered) -> str:
    """Always say where nulls go: the engines' defaults differ, silently."""
    direction = " DESC" if node.args.get("desc") else ""
    return f"{generator.sql(node, 'this')}{direction} NULLS {'FIRST' if node.args.get('nulls_first') else 'LAST'}"


class AssayDuckDB(DuckDB):
    class Generator(DuckDB.Generator):
        TRANSFORMS = {**DuckDB.Generator.TRANSFORMS, exp.Ordered: _ordered}
