"""Conformed sources as what a run is told, from their configuration and tables."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from datasets.transforms.conform_sources import ConformSources
from tests.workers.published import published
from workers.engines.sql import check_sql
from workers.executors.conform.config import read_plan
from workers.executors.conform.sql import records_sql, spec_of
from workers.lake.table import open_table
from workers.template_specs import ConformSpec


def conforming(
    lake: Path | str, engine: str, config: dict[str, Any], tables: Mapping[str, pl.DataFrame], **common: Any
) -> ConformSpec:
    """Publishes the tables, each under its alias. `common` is what every spec is told: its run, its target."""
    inputs = tuple(published(lake, f"bronze.test.{alias}", rows, alias) for alias, rows in tables.items())
    columns = {each.alias: open_table(each.uri).columns for each in inputs}
    options = ConformSources.options.model_validate(config)
    plan = read_plan(options.model_dump(), columns)
    sql = records_sql(plan)
    return spec_of(
        plan,
        sql=sql,
        columns=check_sql(sql, columns, engine).columns,
        inputs=inputs,
        engine=engine,
        null_keys=options.null_keys,
        **common,
    )
