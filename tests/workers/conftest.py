"""What the tests of whole ingest runs share."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from tests.workers.embeddings.model_server import model_server  # noqa: F401  (fixture)
from workers.ids import new_run_id
from workers.specs import FilesSource, IngestSpec, SourceFile, TableTarget


@pytest.fixture
def make_spec(tmp_path) -> Callable[..., IngestSpec]:
    """Makes the spec of a run over one file with this content: its name and format, then whatever differs."""

    def make(content: bytes, name: str, format_: str, **changes: object) -> IngestSpec:
        run_id = str(new_run_id())
        source = tmp_path / run_id
        source.write_bytes(content)
        facts = {
            "run_id": run_id,
            "workflow": "shop",
            "job": "orders",
            "source": FilesSource(files=(SourceFile(uri=str(source), name=name),)),
            "format": format_,
            "landing_uri": f"{tmp_path}/lake/landing/shop/orders",
            "quarantine_uri": f"{tmp_path}/lake/quarantine/shop/orders",
            "target": TableTarget(dataset="bronze.shop.orders", uri=f"{tmp_path}/lake/bronze/shop/orders"),
            "ingested_at": datetime(2026, 11, 22, 10, 30, tzinfo=UTC),
        }
        return IngestSpec(**facts | changes)

    return make
