"""User SQL: checked, resolved, and written anew for an engine. Nothing else ever runs."""

from ..statement import CheckedSql, Parameters
from .check import check_sql, laid_out

__all__ = ["CheckedSql", "Parameters", "check_sql", "laid_out"]
