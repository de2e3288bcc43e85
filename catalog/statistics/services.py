"""What the columns of a dataset's last version hold, as far as a person may see it."""

from __future__ import annotations

import hashlib
from typing import Any

from django.conf import settings
from django.core.cache import cache

from assay.common.policy import visible_rows
from workers.errors import NotAvailableYet, TableMissing

from ..models import Dataset, Layer
from ..services import lake_uri

KEPT_SECONDS = 24 * 3600
MEMORY_MB = 1024
SECONDS = 60


def statistics(dataset: Dataset, user) -> dict[str, Any]:
    """`workers.checks.statistics.table_statistics` of the last version, with `version`.

    Made in a child process with limits, and kept by version. Raises
    `NotAvailableYet` for Landing, `TableMissing`, `LakeUnavailable`, `ResourceLimit`.
    """
    from workers.sandbox import run_in_child

    if dataset.layer == Layer.LANDING:
        raise NotAvailableYet(f"{dataset.name} holds files, not rows.", hint=f"Look at bronze.{dataset.workflow}.")
    if dataset.version is None:
        raise TableMissing(f"{dataset.name} was never published.", hint="Run the job that makes it first.")
    # A table that was dropped and made anew counts its versions from the beginning.
    key = f"statistics:{settings.ASSAY_LAKE_URL}:{dataset.name}:{dataset.version}:{dataset.published_at}"
    key = hashlib.sha256(key.encode()).hexdigest()
    if (found := cache.get(key)) is None:
        found = run_in_child(
            "workers.checks.statistics:of_table",
            {"uri": lake_uri(dataset.name), "version": dataset.version},
            memory_mb=MEMORY_MB,
            cpu_seconds=SECONDS,
            wall_seconds=SECONDS,
        )
        cache.set(key, found, KEPT_SECONDS)
    return {"version": dataset.version, **found, "columns": _visible(user, dataset, found["columns"])}


def _visible(user, dataset: Dataset, columns: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The values among the figures, masked as those of a row would be."""
    bounds = ("min", "max", "mean")
    depth = max((len(column["top"]) for column in columns), default=0)
    rows = [{column["name"]: column[bound] for column in columns} for bound in bounds]
    rows += [{c["name"]: c["top"][n]["value"] if n < len(c["top"]) else None for c in columns} for n in range(depth)]
    seen = list(visible_rows(user, dataset.name, rows))
    return [
        {
            **column,
            **{bound: seen[place][column["name"]] for place, bound in enumerate(bounds)},
            "top": [
                {**top, "value": seen[len(bounds) + place][column["name"]]} for place, top in enumerate(column["top"])
            ],
        }
        for column in columns
    ]
