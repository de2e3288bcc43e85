"""Not available yet."""

from __future__ import annotations

from pathlib import Path

from ..access import Access
from ..errors import NotAvailableYet
from ..lake.landing import Landed, LandedFile, Landing
from ..progress import Progress
from ..specs import IngestSpec


def land(spec: IngestSpec, landing: Landing, access: Access, progress: Progress) -> Landed:
    raise NotAvailableYet("This source cannot be read yet.")


def sample(spec: IngestSpec, folder: Path, access: Access) -> list[LandedFile]:
    raise NotAvailableYet("This source cannot be read yet.")
