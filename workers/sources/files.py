"""Files: of an upload, of a folder on the server."""

from __future__ import annotations

from pathlib import Path

from ..access import Access
from ..errors import SourceMissing
from ..lake.landing import Landed, LandedFile, Landing, land_files
from ..progress import Progress
from ..specs import IngestSpec


def land(spec: IngestSpec, landing: Landing, access: Access, progress: Progress) -> Landed:
    return land_files(spec.source.files, landing, progress)


def sample(spec: IngestSpec, folder: Path, access: Access) -> list[LandedFile]:
    """The source's files where they are: a preview copies nothing."""
    if gone := [file.name for file in spec.source.files if not Path(file.uri).is_file()]:
        raise SourceMissing(f"{', '.join(gone)} is not there.", hint="Upload it again, or correct the job's path.")
    return [LandedFile(uri=file.uri, name=file.name, size=0, sha256="") for file in spec.source.files]
