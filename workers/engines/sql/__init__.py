"""User SQL: checked, resolved, and written anew for an engine. Nothing else ever runs."""

from .check import CheckedSql, Parameters, check_sql

__all__ = ["CheckedSql", "Parameters", "check_sql"]
