"""A job that loads records with nested values, again and again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any
from uuid import UUID

import polars as pl
import pytest

from workers.executors.ingest.run import run_ingest
from workers.lake.state import state_of
from workers.results import StepResult
from workers.specs import FilesSource, IngestSpec, Nested, SourceFile, TableTarget, Watermark

AT = datetime(2026, 11, 22, 10, 30, tzinfo=UTC)
ADDED = ["_ingested_at", "_run_id", "_source_file", "_ingest_date"]
_numbers = count(1_800_000_000_000)


@dataclass
class Loading:
    """An ingest job whose choices for nested values are `nested`: what is kept as what, by path."""

    folder: Path
    nested: dict[str, str] = field(default_factory=dict)
    watermark: str = ""
    changes: dict[str, Any] = field(default_factory=dict)  # of the spec

    def spec(self, records: Sequence[Any] | str, **changes: Any) -> IngestSpec:
        """A run over these records, or over a text as it is."""
        run_id = str(UUID(int=next(_numbers) << 80 | 0x7 << 76 | 0x2 << 62))
        source = self.folder / f"{run_id}.ndjson"
        source.write_text(records if isinstance(records, str) else "\n".join(map(json.dumps, records)))
        target = TableTarget(dataset="bronze.shop.orders", uri=f"{self.folder}/lake/bronze/shop/orders")
        facts = {
            "run_id": run_id,
            "workflow": "shop",
            "job": "orders",
            "source": FilesSource(files=(SourceFile(uri=str(source), name="orders.ndjson"),)),
            "format": "ndjson",
            "nested": tuple(Nested(path=path, keep_as=kept) for path, kept in self.nested.items()),
            "key_columns": ("id",),
            "landing_uri": f"{self.folder}/lake/landing/shop/orders",
            "quarantine_uri": f"{self.folder}/lake/quarantine/shop/orders",
            "target": target,
            "watermark": self._watermark(target),
            "ingested_at": AT,
        }
        return IngestSpec(**facts | self.changes | changes)

    def _watermark(self, target: TableTarget) -> Watermark | None:
        if not self.watermark:
            return None
        return Watermark(column=self.watermark, last=state_of(target.uri).value_of(self.watermark, None))

    def run(self, records: Sequence[Any] | str, **changes: Any) -> StepResult:
        return run_ingest(self.spec(records, **changes))

    def table(self, child: str = "") -> pl.DataFrame:
        """The table, or a child of it, without what Bronze adds."""
        rows = pl.read_delta(f"{self.folder}/lake/bronze/shop/orders{child and '__'}{child}")
        return rows.drop(ADDED, strict=False)

    def rows(self, child: str = "") -> list[tuple[Any, ...]]:
        return sorted(self.table(child).rows(), key=repr)

    def quarantine(self, spec: IngestSpec) -> list[tuple[Any, ...]]:
        rows = pl.read_parquet(f"{spec.quarantine_uri}/2026/11/22/{spec.run_id}.parquet").sort("_line")
        return rows.select("_line", "_column", "_reason").rows()


@pytest.fixture
def loading(tmp_path):
    def make(nested: dict[str, str], **facts: Any) -> Loading:
        return Loading(tmp_path, nested, **facts)

    return make
