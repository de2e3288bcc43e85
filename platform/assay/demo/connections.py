"""The connections that the demo's jobs name."""

from __future__ import annotations

from pathlib import Path

from ops.models import Connection


def ensure_connections(folder: Path) -> None:
    """Make them, or let them point to the files below `folder` again."""
    Connection.objects.update_or_create(
        name="shop-payments",
        defaults={
            "kind": "sqlite",
            "database": str(folder / "shop" / "payments.sqlite"),
            "description": "The payments of the demo's shop.",
        },
    )
