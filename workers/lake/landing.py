"""Landing keeps what the source sent, byte for byte, with a manifest that proves it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from io import BytesIO
from itertools import count
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from ..errors import SourceMissing, SourceUnavailable
from ..progress import Progress, silent
from ..specs import SourceFile
from .paths import date_folder
from .store import Store, open_store, reaching

MANIFEST = "manifest.json"
NAME_BYTES = 200  # file systems stop at 255


@dataclass(frozen=True, slots=True, kw_only=True)
class LandedFile:
    uri: str
    name: str  # what the person calls it
    size: int  # bytes
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Landed:
    path: str  # the folder's address, with a trailing slash
    files: tuple[LandedFile, ...]


def land(
    files: Iterable[SourceFile], landing_uri: str, run_id: str, at: datetime, progress: Progress = silent
) -> Landed:
    """Copy the source's files to `{landing_uri}/{yyyy/MM/dd}/{run_id}/`, then write `manifest.json`.

    The day is that of `at` in UTC. The manifest comes last: with it the
    landing is complete, and landing the same run again only reads it, also
    when the source has gone. Raises `SourceMissing`, `SourceUnavailable` (a
    file changed while it was copied) and `LakeUnavailable`.
    """
    at = at.astimezone(UTC)
    store = open_store(f"{landing_uri.rstrip('/')}/{date_folder('yyyy/MM/dd', at)}/{run_id}")
    with reaching(store.uri):
        if store.exists(MANIFEST):
            return _read_manifest(store)
        sources = tuple(files)
        total, done, landed = sum(_size(source) for source in sources), 0, []
        for source, key in zip(sources, _keys(sources), strict=True):
            landed.append(_land_one(store, source, key, progress, done, total))
            done += landed[-1].size
        _write_manifest(store, landed, sources, run_id, at)
    return Landed(path=f"{store.uri}/", files=tuple(landed))


def _land_one(store: Store, source: SourceFile, key: str, progress: Progress, done: int, total: int) -> LandedFile:
    with _opened(source) as file:
        written = store.write(key, file, lambda size: progress("land", done=done + size, total=total))
    return LandedFile(uri=store.uri_of(key), name=source.name, size=written.size, sha256=written.sha256)


@contextmanager
def _opened(source: SourceFile) -> Iterator[BinaryIO]:
    """The source's bytes; refuses one that changed while it was read."""
    path = Path(source.uri)
    try:
        file = path.open("rb")
    except OSError as error:
        raise _unreadable(source, error) from error
    with file:
        before = path.stat()
        yield file
        after = path.stat()
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise SourceUnavailable(
            f"{source.name} changed while it was copied.", hint="Try again when nobody writes to it any more."
        )


def _size(source: SourceFile) -> int:
    try:
        return Path(source.uri).stat().st_size
    except OSError as error:
        raise _unreadable(source, error) from error


def _unreadable(source: SourceFile, error: OSError) -> SourceMissing | SourceUnavailable:
    if isinstance(error, FileNotFoundError | IsADirectoryError | NotADirectoryError):
        return SourceMissing(f"{source.name} is not there.", hint="Upload it again, or correct the job's path.")
    return SourceUnavailable(
        f"{source.name} cannot be read: {error.strerror}.", hint="Check that the worker may read the file."
    )


def _keys(sources: Iterable[SourceFile]) -> list[str]:
    """A safe file name for each source, all different: `orders.csv`, `orders-2.csv`."""
    keys: list[str] = []
    for source in sources:
        stem, suffix = _safe(source.name)
        candidates = (f"{stem}{'' if n == 1 else f'-{n}'}{suffix}" for n in count(1))
        keys.append(next(key for key in candidates if key != MANIFEST and key not in keys))
    return keys


def _safe(name: str) -> tuple[str, str]:
    """Stem and suffix of a name without folders, control characters, glob signs or too many bytes."""
    path = PurePosixPath(re.sub(r"[\x00-\x1f\x7f*?\[\]]", "_", name.replace("\\", "/")))
    suffix = path.suffix if len(path.suffix.encode()) < 20 else ""
    stem = path.name.removesuffix(suffix).lstrip(".") or "file"
    return stem.encode()[:NAME_BYTES].decode(errors="ignore"), suffix


def _write_manifest(
    store: Store, landed: list[LandedFile], sources: tuple[SourceFile, ...], run_id: str, at: datetime
) -> None:
    facts = [asdict(file) | {"key": store.key_of(file.uri)} for file in landed]
    for fact, source in zip(facts, sources, strict=True):
        fact["source"] = source.uri
        del fact["uri"]  # the lake may move
    manifest = {"run_id": run_id, "landed_at": at.isoformat(), "files": facts}
    store.write(MANIFEST, BytesIO(json.dumps(manifest, indent=2, ensure_ascii=False).encode()))


def _read_manifest(store: Store) -> Landed:
    """What an earlier try landed. Raises `SourceMissing` when its files are no longer what the manifest says."""
    with store.open(MANIFEST) as file:
        facts = json.loads(file.read())["files"]
    sizes = store.sizes(fact["key"] for fact in facts)
    if broken := [fact["key"] for fact in facts if sizes[fact["key"]] != fact["size"]]:
        raise SourceMissing(
            f"The landing of this run is damaged: {', '.join(broken)} is missing or has another size.",
            hint=f"Run the job anew; look at {store.uri} for who changed it.",
        )
    files = (
        LandedFile(uri=store.uri_of(fact["key"]), name=fact["name"], size=fact["size"], sha256=fact["sha256"])
        for fact in facts
    )
    return Landed(path=f"{store.uri}/", files=tuple(files))
