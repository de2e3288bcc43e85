"""The rows that a run set aside, to look at."""

from __future__ import annotations

from typing import Any

from django.conf import settings

from workers.errors import TableMissing

from .models import IngestRun

COLUMNS = ("_line", "_column", "_reason", "_raw", "_source_file")


def sample(run: IngestRun, limit: int = 50) -> list[dict[str, Any]]:
    """The first rows, JSON-able. Raises `TableMissing` where the file was removed, `LakeUnavailable`."""
    import polars as pl

    from workers.engines.preview import json_rows
    from workers.lake.store import open_store, reaching

    lake = open_store(settings.ASSAY_LAKE_URL)
    with reaching(lake.uri):
        if not lake.exists(run.quarantine_path):
            raise TableMissing(f"{run.quarantine_path} is no longer in the lake.", hint="Run the job again.")
        rows = pl.scan_parquet(lake.uri_of(run.quarantine_path), storage_options=lake.storage_options or None)
        return json_rows(rows.select(COLUMNS).head(limit).collect())
