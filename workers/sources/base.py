"""The shape of a source."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from ..access import Access
from ..lake.landing import Landed, LandedFile, Landing
from ..progress import Progress
from ..specs import IngestSpec


class SourceModule(Protocol):
    """One type of source."""

    def land(self, spec: IngestSpec, landing: Landing, access: Access, progress: Progress) -> Landed:
        """Bring what the source has for this run into Landing, and finish it there.

        Called only while the landing is not complete. Idempotent for a run: what
        an earlier try of it landed is used or replaced, never doubled. Memory
        stays bounded. Raises `SourceUnavailable` (a retry may help),
        `SourceMissing` and `UnreadableSource`, whose messages hold no secret.
        """

    def sample(self, spec: IngestSpec, folder: Path, access: Access) -> list[LandedFile]:
        """The beginning of what a run would land, as local files; for previews. Takes seconds at most."""
