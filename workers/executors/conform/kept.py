"""A table for the time of a run: what several queries ask for is computed once."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from workers.lake.publish import publish
from workers.lake.stage import Staging
from workers.lake.store import open_store, reaching
from workers.lake.table import Table, open_table
from workers.specs import Column, DatasetSpec, TableTarget


@contextmanager
def kept(spec: DatasetSpec, columns: tuple[Column, ...], fill: Callable[[Staging], None]) -> Iterator[Table]:
    """The rows that `fill` stages, as a table below the target's folder, where no reader looks.

    It is deleted in the end. Vacuum takes what a run that was killed has left.
    """
    store = open_store(spec.target.uri)
    folder = f"_staging/{spec.run_id}-kept-{secrets.token_hex(4)}"
    target = TableTarget(dataset=spec.target.dataset, uri=store.uri_of(folder))
    try:
        with Staging(target, spec.run_id) as staging:
            fill(staging)
            publish(target, staging.files, run_id=spec.run_id, mode="overwrite", columns=columns)
        yield open_table(target.uri)
    finally:
        with reaching(store.uri):
            for entry in list(store.list(folder)):
                store.delete(entry.key)
        if store.is_local:
            shutil.rmtree(Path(store.path_of(folder)), ignore_errors=True)
