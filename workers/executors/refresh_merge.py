"""refresh_mode `merge`: the rows of a result meet those of the table by their keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Self

import polars as pl

from workers.errors import AuditFailed
from workers.lake.merge import ROWS_PER_FILE, Batch, merge
from workers.lake.publish import Change
from workers.lake.stage import Staging
from workers.lake.table import Table
from workers.specs import Column, DatasetSpec

EXAMPLES = 5
_COUNT = "__rows"


def check_keys(rows: pl.LazyFrame, keys: tuple[str, ...]) -> dict[str, Any]:
    """The check that every key has a value and comes once. Raises `AuditFailed` with counts and examples."""
    keyed = rows.select(keys)
    nulls = keyed.select(pl.any_horizontal(pl.col(keys).is_null()).sum()).collect(engine="streaming").item()
    if nulls:
        raise AuditFailed(
            f"{nulls:,} rows of the result have no value in a merge key ({', '.join(keys)}). Nothing was published.",
            hint="Filter these rows out, or merge by columns that always have a value.",
            null_keys=nulls,
        )
    several = keyed.group_by(keys).agg(pl.len().alias(_COUNT)).filter(pl.col(_COUNT) > 1).collect(engine="streaming")
    if several.height:
        raise _several(several, keys)
    return {"name": "merge_keys", "passed": True, "detail": f"{', '.join(keys)}: each key has a value and comes once"}


def _several(several: pl.DataFrame, keys: tuple[str, ...]) -> AuditFailed:
    rows = several[_COUNT].sum()
    first = several.sort(_COUNT, *keys, descending=[True, *[False] * len(keys)]).head(EXAMPLES)
    shown = [
        f"{', '.join(f'{key} = {row[key]}' for key in keys)} ({row[_COUNT]:,} rows)"
        for row in first.iter_rows(named=True)
    ]
    return AuditFailed(
        f"{several.height:,} keys come more than once in the result, in {rows:,} rows: {'; '.join(shown)}. "
        "Nothing was published.",
        hint="A merge must know which row of a key stays: GROUP BY the keys, or keep one row of each with QUALIFY "
        f"row_number() OVER (PARTITION BY {', '.join(keys)} ORDER BY …) = 1.",
        duplicate_keys=several.height,
        examples=shown,
    )


class MergeByKeys:
    """What a merge does to one version of the table, made anew for each that the commit is tried on.

    A row whose key the table lacks is added; one that differs from the table's
    replaces it; one that equals it is left alone, and so is every row whose key
    the result does not have. Only files that hold a replaced row are written
    anew. As a context manager it discards what it staged when an error passes.
    """

    def __init__(self, spec: DatasetSpec, staged: Staging, facts: Mapping[str, Any]) -> None:
        self.spec, self.staged, self.facts = spec, staged, facts
        self._staging = Staging(spec.target, spec.run_id, ROWS_PER_FILE)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: Any) -> None:
        self._staging.__exit__(*error)

    def __call__(self, table: Table | None, columns: tuple[Column, ...]) -> Change:
        self._staging.discard()
        rows = sum(file.rows for file in self.staged.files)
        if not rows:
            return self._told(Change(), inserted=0, updated=0, unchanged=0)
        batch = Batch(
            rows=self.staged.scan(), keys=self.spec.merge_keys, compare=tuple(each.name for each in self.spec.columns)
        )
        merged = merge(table, batch, columns, self._staging)
        inserted = rows - merged.unchanged - merged.updated
        return self._told(merged.change, inserted=inserted, updated=merged.updated, unchanged=merged.unchanged)

    def _told(self, change: Change, **counts: int) -> Change:
        return replace(change, metadata={"facts": {**self.facts, "merge": counts}})
