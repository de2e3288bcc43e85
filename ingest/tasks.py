"""What workers do for ingest besides its steps."""

from __future__ import annotations

from workers.celery import app

from . import watermarks


@app.task
def reconcile_watermarks() -> None:
    """Correct what people see of the watermarks from the tables, after a rollback or a restored database."""
    for _ in watermarks.reconcile_all():
        pass
