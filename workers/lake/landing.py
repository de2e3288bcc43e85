"""Landing keeps what the source sent, byte for byte, with a manifest that proves it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from io import BytesIO
from itertools import count
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from ..errors import SourceMissing, SourceUnavailable
from ..progress import Progress, silent
from ..specs import SourceFile
from .paths import date_folder
from .store import Store, open_store, reaching

MANIFEST = "manifest.json"
CUT_SHORT = "cut_at_max_pages"  # a fact of a landing that does not hold all that the source has
PLACE = "place.json"  # how far a source was read, while the landing is not complete
NAME_BYTES = 200  # file systems stop at 255


@dataclass(frozen=True, slots=True, kw_only=True)
class LandedFile:
    uri: str
    name: str  # what the person calls it
    size: int  # bytes
    sha256: str
    mark: str = ""  # as in specs.SourceFile
    role: str = "rows"  # what it is for: rows that are read, or keys and late rows that are compared


@dataclass(frozen=True, slots=True, kw_only=True)
class Landed:
    path: str  # the folder's address, with a trailing slash
    files: tuple[LandedFile, ...]
    facts: dict[str, Any] = field(default_factory=dict)  # what the source told: requests, null_watermarks, …


class Landing:
    """One run's folder, `{landing_uri}/{yyyy/MM/dd}/{run_id}/`, while it is filled. The day is that of `at` in UTC.

    The manifest comes last: with it the landing is complete. A source that
    sends for long may keep its place, and a later try of the run goes on there.
    """

    def __init__(self, landing_uri: str, run_id: str, at: datetime) -> None:
        self.run_id, self.at = run_id, at.astimezone(UTC)
        self.store = open_store(f"{landing_uri.rstrip('/')}/{date_folder('yyyy/MM/dd', self.at)}/{run_id}")
        self._entries: dict[str, dict[str, Any]] = {}  # key -> what the manifest says of the file
        self._unsynced: list[str] = []

    def landed(self) -> Landed | None:
        """What an earlier try of this run completed, or None. Raises `SourceMissing` when it is damaged."""
        with reaching(self.store.uri):
            return _read_manifest(self.store) if self.store.exists(MANIFEST) else None

    def add(
        self,
        name: str,
        content: BinaryIO,
        *,
        source: str,
        mark: str = "",
        role: str = "rows",
        is_durable: bool = True,
        on_bytes: Callable[[int], None] | None = None,
    ) -> LandedFile:
        """Keep one file, hashed on the way, under a safe key made from its name; `source` says where it came from.

        Many small files that are not durable at once are quicker; `keep_place`
        and `finish` make them so.
        """
        key = self._free_key(name)
        with reaching(self.store.uri):
            written = self.store.write(key, content, on_bytes, is_durable=is_durable)
        if not is_durable:
            self._unsynced.append(key)
        entry = {"name": name, "size": written.size, "sha256": written.sha256, "mark": mark, "key": key}
        self._entries[key] = entry | {"role": role, "source": source}
        return self._file(key)

    def keep_place(self, place: dict[str, Any]) -> None:
        """Note how far the source was read, with the files up to here. `place` must hold no secret."""
        self._write(PLACE, {"place": place, "files": list(self._entries.values())})

    def place(self) -> dict[str, Any] | None:
        """The place that an earlier try kept, with its files taken over; None: begin anew."""
        with reaching(self.store.uri):
            if not self.store.exists(PLACE):
                return None
            with self.store.open(PLACE) as file:
                kept = json.loads(file.read())
            sizes = self.store.sizes(entry["key"] for entry in kept["files"])
        if any(sizes[entry["key"]] != entry["size"] for entry in kept["files"]):
            return None
        self._entries = {entry["key"]: entry for entry in kept["files"]}
        return kept["place"]

    def finish(self, **facts: Any) -> Landed:
        """Write the manifest. `facts` are JSON and come back with the landing, also when a later try reads it."""
        manifest = {"run_id": self.run_id, "landed_at": self.at.isoformat(), "files": list(self._entries.values())}
        self._write(MANIFEST, manifest | ({"facts": facts} if facts else {}))
        with reaching(self.store.uri):
            self.store.delete(PLACE)
        return Landed(path=f"{self.store.uri}/", files=tuple(map(self._file, self._entries)), facts=facts)

    def _write(self, key: str, content: dict[str, Any]) -> None:
        with reaching(self.store.uri):
            self.store.sync(self._unsynced)
            self._unsynced = []
            self.store.write(key, BytesIO(json.dumps(content, indent=2, ensure_ascii=False).encode()))

    def _file(self, key: str) -> LandedFile:
        return _landed_file(self.store, self._entries[key])

    def _free_key(self, name: str) -> str:
        """A safe file name, unlike all others: `orders.csv`, `orders-2.csv`."""
        stem, suffix = _safe(name)
        candidates = (f"{stem}{'' if n == 1 else f'-{n}'}{suffix}" for n in count(1))
        return next(key for key in candidates if key not in (MANIFEST, PLACE) and key not in self._entries)


def land_files(files: Iterable[SourceFile], landing: Landing, progress: Progress = silent, **facts: Any) -> Landed:
    """Copy local files into Landing, and finish it with the facts.

    Raises `SourceMissing`, `SourceUnavailable` (one changed while it was copied) and `LakeUnavailable`.
    """
    sources = tuple(files)
    total, done = sum(_size(source) for source in sources), 0
    for source in sources:
        with _opened(source) as file:
            at = done
            landed = landing.add(
                source.name,
                file,
                source=source.uri,
                mark=source.mark,
                on_bytes=lambda size, at=at: progress("land", done=at + size, total=total),
            )
        done += landed.size
    return landing.finish(**facts)


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


def _safe(name: str) -> tuple[str, str]:
    """Stem and suffix of a name without folders, control characters, glob signs or too many bytes."""
    path = PurePosixPath(re.sub(r"[\x00-\x1f\x7f*?\[\]]", "_", name.replace("\\", "/")))
    suffix = path.suffix if len(path.suffix.encode()) < 20 else ""
    stem = path.name.removesuffix(suffix).lstrip(".") or "file"
    return stem.encode()[:NAME_BYTES].decode(errors="ignore"), suffix


def _read_manifest(store: Store) -> Landed:
    """What an earlier try landed. Raises `SourceMissing` when its files are no longer what the manifest says."""
    with store.open(MANIFEST) as file:
        manifest = json.loads(file.read())
    entries = manifest["files"]
    sizes = store.sizes(entry["key"] for entry in entries)
    if broken := [entry["key"] for entry in entries if sizes[entry["key"]] != entry["size"]]:
        raise SourceMissing(
            f"The landing of this run is damaged: {', '.join(broken)} is missing or has another size.",
            hint=f"Run the job anew; look at {store.uri} for who changed it.",
        )
    files = tuple(_landed_file(store, entry) for entry in entries)
    return Landed(path=f"{store.uri}/", files=files, facts=manifest.get("facts", {}))


def _landed_file(store: Store, entry: dict[str, Any]) -> LandedFile:
    told = {name: entry.get(name, "") for name in ("name", "size", "sha256", "mark")}
    return LandedFile(uri=store.uri_of(entry["key"]), role=entry.get("role", "rows"), **told)
