"""Spark: accepted when a job is saved, not run yet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NoReturn

from workers.errors import NotAvailableYet
from workers.lake.stage import Staging
from workers.lake.table import Table

from .base import Limits
from .statement import CheckedSql


class SparkEngine:
    name = "spark"

    def run(self, checked: CheckedSql, tables: Mapping[str, Table], staging: Staging, limits: Limits) -> NoReturn:
        raise self._not_yet()

    def first_rows(self, checked: CheckedSql, tables: Mapping[str, Table], limit: int, limits: Limits) -> NoReturn:
        raise self._not_yet()

    def _not_yet(self) -> NotAvailableYet:
        return NotAvailableYet(
            "This version of Assay does not run queries on Spark yet.",
            hint="Choose the engine duckdb, which works on disk when memory is short, or polars.",
        )
