"""A job that loads a CSV again and again, as the control plane would have it: its watermark comes from the table."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any
from uuid import UUID

import polars as pl
import pytest

from workers.executors.ingest.run import run_ingest
from workers.lake.landing import Landing
from workers.lake.publish import note, restore
from workers.lake.state import state_of
from workers.lake.table import open_table
from workers.results import StepResult
from workers.specs import Column, FilesSource, IngestSpec, SourceFile, TableTarget, Watermark

AT = datetime(2026, 11, 22, 10, 30, tzinfo=UTC)
_numbers = count(1_700_000_000_000)


def later_id() -> str:
    """A run id later than every one before it."""
    return str(UUID(int=next(_numbers) << 80 | 0x7 << 76 | 0x2 << 62))


@dataclass
class Loading:
    """An ingest job over rows that the test gives. `columns` are names and types."""

    folder: Path
    columns: dict[str, str]
    watermark: str | None = "at"
    lag: str = ""
    initial: Any = None
    changes: dict[str, Any] = field(default_factory=dict)  # of the spec
    lake: str = ""  # empty: in the folder

    def __post_init__(self) -> None:
        self.lake = self.lake or f"{self.folder}/lake"

    @property
    def target(self) -> TableTarget:
        partition_by = ("_ingest_date",) if self.changes.get("partitioned") else ()
        return TableTarget(dataset="bronze.w.j", uri=f"{self.lake}/bronze/w/j", partition_by=partition_by)

    def spec(self, rows: Iterable[Sequence[Any]] | str, **changes: Any) -> IngestSpec:
        run_id = later_id()
        path = self.folder / f"{run_id}.csv"
        path.write_text(rows if isinstance(rows, str) else self.csv(rows))
        facts = {
            "run_id": run_id,
            "workflow": "w",
            "job": "j",
            "source": FilesSource(files=(SourceFile(uri=str(path), name="f.csv"),)),
            "format": "csv",
            "landing_uri": f"{self.lake}/landing/w/j",
            "quarantine_uri": f"{self.lake}/quarantine/w/j",
            "target": self.target,
            "schema_mode": "user",
            "columns": tuple(Column(name=name, type=kind) for name, kind in self.columns.items()),
            "write_mode": "append",
            "error_handling": "quarantine",
            "bad_row_threshold": 1.0,
            "watermark": self._watermark(),
            "ingested_at": AT,
        }
        return IngestSpec(**{**facts, **{k: v for k, v in self.changes.items() if k != "partitioned"}, **changes})

    def _watermark(self) -> Watermark | None:
        if self.watermark is None:
            return None
        last = state_of(self.target.uri).value_of(self.watermark, self.initial)
        return Watermark(column=self.watermark, last=last, lag=self.lag)

    def csv(self, rows: Iterable[Sequence[Any]]) -> str:
        text = io.StringIO()
        frame = pl.DataFrame(
            [["" if cell is None else str(cell) for cell in row] for row in rows],
            schema=dict.fromkeys(self.columns, pl.String),
            orient="row",
        )
        frame.write_csv(text, quote_style="necessary")
        return text.getvalue()

    def run(self, rows: Iterable[Sequence[Any]] | str, **changes: Any) -> StepResult:
        return run_ingest(self.spec(rows, **changes))

    def run_with(self, rows: Iterable[Sequence[Any]], role: str, compared: pl.DataFrame, **changes: Any) -> StepResult:
        """A run whose source landed keys or late values beside the rows."""
        spec = self.spec(rows, **changes)
        landing = Landing(spec.landing_uri, spec.run_id, spec.ingested_at)
        landing.add("rows.csv", io.BytesIO(Path(spec.source.files[0].uri).read_bytes()), source="test")
        content = io.BytesIO()
        compared.write_parquet(content)
        content.seek(0)
        landing.add(f"{role}.parquet", content, source="test", role=role)
        landing.finish()
        return run_ingest(spec)

    def set_watermark(self, value: Any) -> None:
        note(self.target, later_id(), {"mode": "rewind", "watermark": {"column": self.watermark, "value": value}})

    def roll_back(self, version: int) -> None:
        restore(self.target, version, later_id())

    @property
    def last(self) -> Any:
        """What the table says of how far it is."""
        state = state_of(self.target.uri)
        return state.watermark and state.watermark["value"]

    @property
    def rows(self) -> list[tuple[Any, ...]]:
        names = list(self.columns)
        held = open_table(self.target.uri).scan().collect()
        return sorted(held.select(name for name in names if name in held.columns).rows(), key=repr)

    def files(self) -> set[str]:
        return {file.path for file in open_table(self.target.uri).data_files}

    def but(self, **changes: Any) -> Loading:
        """The same job and table with other options of the spec."""
        return replace(self, changes={**self.changes, **changes})


@pytest.fixture
def by_number(tmp_path):
    """Rows with a number that grows."""
    return Loading(tmp_path, {"id": "int64", "at": "int64", "note": "string"})


@pytest.fixture
def by_time(tmp_path):
    return Loading(tmp_path, {"id": "int64", "at": "timestamptz", "note": "string"})


@pytest.fixture
def merging(tmp_path):
    """Upserts by `id`; of two states the one with the greater `at` counts."""
    changes = {"write_mode": "merge", "key_columns": ("id",)}
    return Loading(tmp_path, {"id": "int64", "at": "int64", "note": "string"}, changes=changes)
