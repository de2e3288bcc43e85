"""Files: of an upload, of a folder on the server, of an object store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..access import Access
from ..errors import SourceMissing, SourceUnavailable, UnreadableSource
from ..lake.landing import Landed, LandedFile, Landing, land_files
from ..progress import Progress
from ..specs import FilesSource, IngestSpec, SourceFile
from .objects import ObjectBytes, client_for

CHUNK_BYTES = 1 << 20
SAMPLED_FILES = 20
HEAD_BYTES = 9 << 20  # more than a preview looks at, also where that is packed
MOST_SAMPLED_BYTES = 512 << 20
WHOLE_FORMATS = ("excel", "parquet")  # of their first half nothing can be read
_ARCHIVES = (b"PK\x03\x04", b"PK\x05\x06")


def land(spec: IngestSpec, landing: Landing, access: Access, progress: Progress) -> Landed:
    facts = {"known_files": spec.source.known_files} if spec.source.known_files else {}
    if _are_objects(spec.source):
        return _land_objects(spec.source, landing, access, progress, facts)
    return land_files(spec.source.files, landing, progress, **facts)


def _are_objects(source: FilesSource) -> bool:
    return any(file.uri.startswith("s3://") for file in source.files)


def _land_objects(
    source: FilesSource, landing: Landing, access: Access, progress: Progress, facts: dict[str, Any]
) -> Landed:
    client = client_for(source, access)
    contents = [(file, ObjectBytes(client, file)) for file in source.files]
    total, done = sum(content.size for _, content in contents), 0
    for file, content in contents:
        at = done
        landed = landing.add(
            file.name,
            content,
            source=file.uri,
            mark=file.mark,
            on_bytes=lambda size, at=at: progress("land", done=at + size, total=total),
        )
        if landed.size != content.size:
            raise SourceUnavailable(
                f"{file.name} came with {landed.size} bytes instead of {content.size}.", hint="Try again."
            )
        done += landed.size
    return landing.finish(**facts)


def sample(spec: IngestSpec, folder: Path, access: Access) -> list[LandedFile]:
    """The source's files: local ones where they are, of objects the beginning, or the first whole where it must be."""
    if _are_objects(spec.source):
        return _sampled_objects(spec, folder, access)
    if gone := [file.name for file in spec.source.files if not Path(file.uri).is_file()]:
        raise SourceMissing(f"{', '.join(gone)} is not there.", hint="Upload it again, or correct the job's path.")
    return [LandedFile(uri=file.uri, name=file.name, size=0, sha256="") for file in spec.source.files]


def _sampled_objects(spec: IngestSpec, folder: Path, access: Access) -> list[LandedFile]:
    client, sampled = client_for(spec.source, access), []
    for number, file in enumerate(spec.source.files[:SAMPLED_FILES]):
        path = folder / f"object-{number}"
        _download(client, file, path, HEAD_BYTES)
        if spec.format in WHOLE_FORMATS or _is_archive(path):
            if sampled:
                break
            _download(client, file, path, None)
        sampled.append(LandedFile(uri=str(path), name=file.name, size=path.stat().st_size, sha256=""))
    return sampled


def _is_archive(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) in _ARCHIVES


def _download(client: Any, file: SourceFile, path: Path, most: int | None) -> None:
    content = ObjectBytes(client, file, most=most)
    if content.size > MOST_SAMPLED_BYTES:
        raise UnreadableSource(
            f"{file.name} is too large to be previewed: only the whole file can be read.",
            hint="Run the job, or preview a smaller file.",
        )
    with path.open("wb") as sink:
        while chunk := content.read(CHUNK_BYTES):
            sink.write(chunk)
