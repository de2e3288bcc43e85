"""Where a feed's files go. A file is prepared where nobody sees it, and shown in one step; the manifest comes last."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from workers.access import Access
from workers.errors import InvalidSpec
from workers.lake.store import reaching
from workers.s3 import s3_client, s3_error

from .names import path_problem

PART_BYTES = 16 << 20  # of a multipart upload; S3 takes 10,000 of them
OLD_SECONDS = 7 * 86_400  # when what a dead run has left is nobody's any more
Prepared = dict[str, Any]  # JSON: it is kept in the commit, so that a retry can go on


class Sink(Protocol):
    def write(self, data: bytes) -> int: ...

    def close(self) -> Prepared:
        """The whole file is there, durably, and still invisible."""

    def abort(self) -> None: ...


class Place(Protocol):
    """A folder or a prefix. Names have no slash."""

    def open(self, name: str, run_id: str) -> Sink: ...

    def show(self, name: str, prepared: Prepared, size: int, sha256: str) -> bool:
        """Make it visible under its name, in place of what has that name.

        Doing it again is fine. False when what was prepared is gone, and what
        has the name now is something else.
        """

    def discard(self, name: str, prepared: Prepared) -> None: ...

    def read(self, name: str) -> bytes | None: ...

    def write(self, name: str, content: bytes) -> None:
        """A small file, whole or not at all."""

    def delete(self, name: str) -> None: ...

    def settle(self) -> None:
        """What was shown and deleted so far survives a power cut."""

    def clean(self) -> None:
        """Remove what dead runs have left long ago."""


def place_of(destination: str, lake_uri: str, connection: str, access: Access) -> Place:
    """The place; nothing is made or contacted. Raises `InvalidSpec` for one where a feed must not write."""
    if destination.startswith(f"{lake_uri}/"):
        _check_path(destination[len(lake_uri) + 1 :])
    elif not destination.startswith("s3://"):
        raise InvalidSpec(f"“{destination}” does not lie in the lake.", hint="Use a path inside it, or s3://bucket.")
    if destination.startswith("s3://"):
        found = access.connection(connection) if connection else None
        return S3Place(destination, s3_client(found, access.services))
    return LocalPlace(Path(destination), Path(lake_uri))


def _check_path(path: str) -> None:
    if problem := path_problem(path):
        raise InvalidSpec(problem)


# --- a folder of the lake -------------------------------------------------------------------


class LocalPlace:
    """Hidden files beside the visible ones, so that a rename inside the folder shows them."""

    def __init__(self, folder: Path, lake: Path) -> None:
        self._folder, self._lake = folder, lake

    def _ready(self) -> Path:
        """The folder, made, and still inside the lake whatever links lie on the way."""
        nearest = next(path for path in (self._folder, *self._folder.parents) if path.exists())
        self._check_inside(nearest)
        with reaching(str(self._folder)):
            self._folder.mkdir(parents=True, exist_ok=True)
        self._check_inside(self._folder)
        return self._folder

    def _check_inside(self, path: Path) -> None:
        real, lake = path.resolve(), self._lake.resolve()
        if real == lake:
            return
        if not real.is_relative_to(lake):
            raise InvalidSpec(
                f"{self._folder} leads out of the lake, to {real}.",
                hint="A link lies on the way. Choose a folder that really is in the lake.",
            )
        _check_path(real.relative_to(lake).as_posix())

    def open(self, name: str, run_id: str) -> LocalSink:
        return LocalSink(self._ready(), f".assay-{run_id}-{secrets.token_hex(4)}.part")

    def show(self, name: str, prepared: Prepared, size: int, sha256: str) -> bool:
        folder, part = self._ready(), str(prepared.get("file", ""))
        if not _is_part(part) or not (folder / part).is_file():
            return _is_file(folder / name, size, sha256)  # shown by an earlier try, or cleaned up by somebody
        with reaching(str(folder)):
            (folder / part).replace(folder / name)
        return True

    def discard(self, name: str, prepared: Prepared) -> None:
        if _is_part(part := str(prepared.get("file", ""))):
            (self._folder / part).unlink(missing_ok=True)

    def read(self, name: str) -> bytes | None:
        with suppress(FileNotFoundError, NotADirectoryError):
            return (self._folder / name).read_bytes()
        return None

    def write(self, name: str, content: bytes) -> None:
        sink = self.open(name, "manifest")
        sink.write(content)
        self.show(name, sink.close(), len(content), "")
        self.settle()

    def delete(self, name: str) -> None:
        (self._ready() / name).unlink(missing_ok=True)

    def settle(self) -> None:
        handle = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    def clean(self) -> None:
        for path in self._ready().glob(".assay-*.part"):
            with suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime > OLD_SECONDS:
                    path.unlink()


def _is_file(path: Path, size: int, sha256: str) -> bool:
    with suppress(FileNotFoundError), path.open("rb") as file:
        return path.stat().st_size == size and hashlib.file_digest(file, "sha256").hexdigest() == sha256
    return False


def _is_part(name: str) -> bool:
    return name.startswith(".assay-") and name.endswith(".part") and "/" not in name


class LocalSink:
    def __init__(self, folder: Path, part: str) -> None:
        self._folder, self._part = folder, part
        with reaching(str(folder)):
            self._file = (folder / part).open("xb")

    def write(self, data: bytes) -> int:
        with reaching(str(self._folder)):
            return self._file.write(data)

    def close(self) -> Prepared:
        with reaching(str(self._folder)):
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
        return {"file": self._part}

    def abort(self) -> None:
        self._file.close()
        (self._folder / self._part).unlink(missing_ok=True)


# --- an object store -------------------------------------------------------------------------


class S3Place:
    """Multipart uploads: the store keeps the parts, and nobody sees the object until the upload is completed."""

    def __init__(self, destination: str, client: Any) -> None:
        self._uri, self._client = destination.rstrip("/"), client
        self._bucket, _, prefix = self._uri.removeprefix("s3://").partition("/")
        self._prefix = f"{prefix}/" if prefix else ""

    def _at(self, name: str) -> dict[str, str]:
        return {"Bucket": self._bucket, "Key": self._prefix + name}

    def _ask(self, name: str, what: str, **arguments: Any) -> Any:
        """One request. Raises what the store says, in our words."""
        try:
            return getattr(self._client, what)(**self._at(name), **arguments)
        except Exception as error:
            raise s3_error(error, f"{self._uri}/{name}") from error

    def open(self, name: str, run_id: str) -> S3Sink:
        upload = self._ask(name, "create_multipart_upload", Metadata={"assay-run": run_id})["UploadId"]
        return S3Sink(self, name, upload, run_id)

    def show(self, name: str, prepared: Prepared, size: int, sha256: str) -> bool:
        if not size:  # an upload has at least one part with something in it
            self._ask(name, "put_object", Body=b"", Metadata={"assay-run": prepared["run"]})
            return True
        try:
            parts = self._parts(name, prepared["upload"])
            done = [{"PartNumber": each["PartNumber"], "ETag": each["ETag"]} for each in parts]
            self._client.complete_multipart_upload(
                **self._at(name), UploadId=prepared["upload"], MultipartUpload={"Parts": done}
            )
        except Exception as error:
            if _code(error) not in ("NoSuchUpload", "404", "InvalidPart", "MalformedXML"):
                raise s3_error(error, f"{self._uri}/{name}") from error
            return self._is_shown(name, prepared, size)
        return True

    def _parts(self, name: str, upload: str) -> list[dict[str, Any]]:
        pages = self._client.get_paginator("list_parts").paginate(**self._at(name), UploadId=upload)
        return [part for page in pages for part in page.get("Parts", ())]

    def _is_shown(self, name: str, prepared: Prepared, size: int) -> bool:
        """Whether an earlier try of this run has completed the upload."""
        try:
            held = self._client.head_object(**self._at(name))
        except Exception as error:
            if _code(error) in ("NoSuchKey", "404"):
                return False
            raise s3_error(error, f"{self._uri}/{name}") from error
        return held["ContentLength"] == size and held.get("Metadata", {}).get("assay-run") == prepared["run"]

    def discard(self, name: str, prepared: Prepared) -> None:
        with suppress(Exception):  # the store forgets unfinished uploads by its own rules, too
            self._client.abort_multipart_upload(**self._at(name), UploadId=prepared["upload"])

    def read(self, name: str) -> bytes | None:
        try:
            return self._client.get_object(**self._at(name))["Body"].read()
        except Exception as error:
            if _code(error) in ("NoSuchKey", "404"):
                return None
            raise s3_error(error, f"{self._uri}/{name}") from error

    def write(self, name: str, content: bytes) -> None:
        self._ask(name, "put_object", Body=content, ContentType="application/json")

    def delete(self, name: str) -> None:
        self._ask(name, "delete_object")

    def settle(self) -> None:
        """The store answers when it is durable."""

    def clean(self) -> None:
        """Unfinished uploads are left to the bucket's own rules: other programs may have some here."""


class S3Sink:
    def __init__(self, place: S3Place, name: str, upload: str, run_id: str) -> None:
        self._place, self._name, self._upload, self._run = place, name, upload, run_id
        self._held, self._number = bytearray(), 0

    def write(self, data: bytes) -> int:
        self._held += data
        while len(self._held) >= PART_BYTES:
            self._send(PART_BYTES)
        return len(data)

    def _send(self, size: int) -> None:
        self._number += 1
        body, self._held = bytes(self._held[:size]), self._held[size:]
        self._place._ask(self._name, "upload_part", UploadId=self._upload, PartNumber=self._number, Body=body)

    def close(self) -> Prepared:
        if self._held:
            self._send(len(self._held))
        return {"upload": self._upload, "run": self._run}

    def abort(self) -> None:
        self._place.discard(self._name, {"upload": self._upload})


def _code(error: Exception) -> str:
    return str(getattr(error, "response", {}).get("Error", {}).get("Code", ""))


def manifest_in(content: bytes | None) -> dict[str, Any] | None:
    """What a manifest says; None for what is none of ours."""
    with suppress(ValueError, UnicodeDecodeError):
        told = json.loads(content or b"null")
        if isinstance(told, dict) and isinstance(told.get("run_id"), str) and isinstance(told.get("files"), list):
            return told
    return None


def file_names(manifest: dict[str, Any]) -> Iterable[str]:
    """The plain names in a manifest, which lies where others may write."""
    names = (file.get("name") for file in manifest["files"] if isinstance(file, dict))
    return [name for name in names if isinstance(name, str) and name and "/" not in name and not name.startswith(".")]
