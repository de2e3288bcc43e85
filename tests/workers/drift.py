"""A job that is run again and again on a source that changes."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import polars as pl

from workers.executors.ingest.run import run_ingest
from workers.ids import new_run_id
from workers.results import SchemaChange, StepResult
from workers.specs import FilesSource, IngestSpec, SourceFile, TableTarget

AT = datetime(2026, 11, 22, 10, 30, tzinfo=UTC)
PROVENANCE = ["_ingested_at", "_run_id", "_source_file"]


class Job:
    """Each run reads a file of other content."""

    def __init__(self, folder: Path, **settings: object) -> None:
        folder.mkdir(exist_ok=True)
        self.folder, self.settings, self.last = folder, {"write_mode": "append"} | settings, ""

    def run(self, content: bytes, **changes: object) -> StepResult:
        run_id = self.last = str(new_run_id(after=self.last or None))
        path = self.folder / f"{run_id}.in"
        path.write_bytes(content)
        facts = {
            "run_id": run_id,
            "workflow": "shop",
            "job": "orders",
            "source": FilesSource(files=(SourceFile(uri=str(path), name="orders"),)),
            "format": "csv",
            "landing_uri": f"{self.folder}/lake/landing/shop/orders",
            "quarantine_uri": f"{self.folder}/lake/quarantine/shop/orders",
            "target": TableTarget(dataset="bronze.shop.orders", uri=f"{self.folder}/lake/bronze/shop/orders"),
            "ingested_at": AT,
        }
        return run_ingest(IngestSpec(**facts | self.settings | changes))

    def rows(self, *by: str) -> list[tuple]:
        return pl.read_delta(f"{self.folder}/lake/bronze/shop/orders").drop(*PROVENANCE).sort(by or "id").rows()

    def quarantined(self) -> list[dict]:
        path = f"{self.folder}/lake/quarantine/shop/orders/2026/11/22/{self.last}.parquet"
        return pl.read_parquet(path).sort("_line").to_dicts()


def types(result) -> dict[str, str]:
    return {column.name: column.type for column in result.columns if column.name not in PROVENANCE}


def lines(*records: dict) -> bytes:
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)


def parquet(**columns: list) -> bytes:
    sink = BytesIO()
    pl.DataFrame(columns).write_parquet(sink)
    return sink.getvalue()


def csv(name: str, *values: object) -> bytes:
    return "\n".join([f"id,{name}", *(f"{number},{value}" for number, value in enumerate(values, 1))]).encode()


def widened(old: str, new: str, column: str = "x") -> SchemaChange:
    return SchemaChange(column=column, change="widened", old=old, new=new)
