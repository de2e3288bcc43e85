"""One small interface over a local folder and an S3 bucket."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import pyarrow as pa
from pyarrow import fs

from ..errors import AssayError, InvalidSpec, LakeUnavailable

CHUNK_BYTES = 1 << 20
TIMEOUT_SECONDS = 30


class Written(NamedTuple):
    size: int  # bytes
    sha256: str  # hex


class Entry(NamedTuple):
    key: str
    size: int  # bytes
    modified: datetime  # aware, UTC


@dataclass(frozen=True, slots=True)
class Store:
    """A folder of the lake. Keys are relative to `uri` and use `/`."""

    uri: str  # no trailing slash
    root: str  # the same place, as `filesystem` spells it
    filesystem: fs.FileSystem = field(repr=False)
    storage_options: dict[str, str] = field(repr=False)  # for Polars and delta-rs; empty when local

    @property
    def is_local(self) -> bool:
        return isinstance(self.filesystem, fs.LocalFileSystem)

    def uri_of(self, key: str) -> str:
        return f"{self.uri}/{key}"

    def key_of(self, uri: str) -> str:
        """The key of a full address below this store. Raises `InvalidSpec` for one that is elsewhere."""
        path = uri.removeprefix("file://")
        if not path.startswith(f"{self.uri}/"):
            raise InvalidSpec(f"{uri} does not lie in {self.uri}.")
        return path[len(self.uri) + 1 :]

    def path_of(self, key: str) -> str:
        """The key as `filesystem` spells it. Refuses one that climbs out of the store."""
        if ".." in key.split("/"):
            raise InvalidSpec(f"“{key}” leaves {self.uri}.")
        return f"{self.root}/{key}" if key else self.root

    def open(self, key: str) -> pa.NativeFile:
        """The file's bytes, seekable. Raises FileNotFoundError."""
        return self.filesystem.open_input_file(self.path_of(key))

    def write(
        self,
        key: str,
        source: BinaryIO,
        on_bytes: Callable[[int], None] | None = None,
        *,
        is_durable: bool = True,
    ) -> Written:
        """Copy `source` there in chunks, hashing on the way; nobody sees half a file.

        `on_bytes` hears how many bytes are done after each chunk, and may raise to stop.
        What need not survive a power cut yet is quicker; `sync` makes up for it.
        """
        path = self.path_of(key)
        if self.is_local:
            return _write_local(Path(path), source, on_bytes, is_durable)
        return _write_object(self.filesystem, path, source, on_bytes)

    def create(self, key: str, content: bytes) -> bool:
        """Write a small file that must be new; False, and nothing changed, when there is one already."""
        path = self.path_of(key)
        if self.is_local:
            return _create_local(Path(path), content)
        return _create_object(self, path, content)

    def list(self, prefix: str = "") -> Iterator[Entry]:
        """Every file below the folder `prefix`, deep; none when the folder is not there."""
        selector = fs.FileSelector(self.path_of(prefix.rstrip("/")), allow_not_found=True, recursive=True)
        for info in self.filesystem.get_file_info(selector):
            if info.is_file:
                yield Entry(info.path[len(self.root) + 1 :], info.size, info.mtime)

    def sizes(self, keys: Iterable[str]) -> dict[str, int | None]:
        """Bytes of each file; None for one that is not there."""
        keys = list(keys)
        infos = self.filesystem.get_file_info([self.path_of(key) for key in keys])
        return {key: info.size if info.is_file else None for key, info in zip(keys, infos, strict=True)}

    def exists(self, key: str) -> bool:
        return self.sizes([key])[key] is not None

    def move(self, old: str, new: str) -> None:
        """Give a file another key; on S3 a copy inside the bucket."""
        path = self.path_of(new)
        if self.is_local:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
        self.filesystem.move(self.path_of(old), path)

    def delete(self, key: str) -> None:
        """Remove a file; one that is not there is fine."""
        with suppress(FileNotFoundError):
            self.filesystem.delete_file(self.path_of(key))

    def sync(self, keys: Iterable[str]) -> None:
        """Make local files survive a power cut, their folders included; S3 needs nothing."""
        if not self.is_local:
            return
        paths = {Path(self.path_of(key)) for key in keys}
        folders = {folder for path in paths for folder in path.parents if folder.is_relative_to(self.root)}
        for path in [*paths, *folders]:
            _fsync(path)


def open_store(uri: str) -> Store:
    """The store at a local absolute path or `s3://bucket/prefix`.

    S3 takes its credentials from the usual AWS_* variables and its address
    from ASSAY_S3_ENDPOINT_URL (default: AWS). Nothing is created or contacted.
    """
    clean = uri.removeprefix("file://").rstrip("/")
    if clean.startswith("s3://"):
        options = _s3_options()
        return Store(clean, clean.removeprefix("s3://"), _s3_filesystem(tuple(options.items())), options)
    if not clean.startswith("/"):
        raise InvalidSpec(f"“{uri}” is no place for a lake.", hint="Use an absolute path or s3://bucket/prefix.")
    return Store(clean, clean, fs.LocalFileSystem(), {})


def object_client(store: Store) -> Any:
    """A boto3 client for what Arrow's file system cannot ask of S3: conditional writes, unfinished uploads."""
    import boto3  # takes a third of a second, and few need it

    options = store.storage_options
    return boto3.client(
        "s3",
        endpoint_url=options.get("aws_endpoint_url"),
        region_name=options["aws_region"],
        aws_access_key_id=options.get("aws_access_key_id"),
        aws_secret_access_key=options.get("aws_secret_access_key"),
        aws_session_token=options.get("aws_session_token"),
    )


@contextmanager
def reaching(uri: str) -> Iterator[None]:
    """Turn what the disk or the network says into `LakeUnavailable`."""
    try:
        yield
    except AssayError:
        raise
    except OSError as error:
        raise LakeUnavailable(
            f"{uri} cannot be read or written: {error}",
            hint="Check that the disk has room, or that the object store answers and its credentials are right.",
        ) from error


def _write_local(path: Path, source: BinaryIO, on_bytes: Callable[[int], None] | None, is_durable: bool) -> Written:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{secrets.token_hex(8)}.part")
    try:
        with part.open("xb") as sink:
            written = _copy(source, sink.write, on_bytes)
            if is_durable:
                sink.flush()
                os.fsync(sink.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    if is_durable:
        _fsync(path.parent)
    return written


def _write_object(filesystem: fs.FileSystem, path: str, source: BinaryIO, on_bytes: Callable | None) -> Written:
    sink = filesystem.open_output_stream(path)
    try:
        written = _copy(source, sink.write, on_bytes)
    except BaseException:
        # An S3 stream can only be closed, which publishes what it has: take that back.
        sink.close()
        filesystem.delete_file(path)
        raise
    sink.close()
    return written


def _create_local(path: Path, content: bytes) -> bool:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{secrets.token_hex(8)}.part")
    try:
        with part.open("xb") as sink:
            sink.write(content)
            sink.flush()
            os.fsync(sink.fileno())
        # A link, unlike a rename, fails when the name is taken.
        os.link(part, path)
    except FileExistsError:
        return False
    finally:
        part.unlink(missing_ok=True)
    _fsync(path.parent)
    return True


def _create_object(store: Store, path: str, content: bytes) -> bool:
    from botocore.exceptions import BotoCoreError, ClientError

    bucket, _, key = path.partition("/")
    try:
        object_client(store).put_object(Bucket=bucket, Key=key, Body=content, IfNoneMatch="*")
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] in (409, 412):
            return False
        raise OSError(str(error)) from error
    except BotoCoreError as error:  # no answer, or no credentials to ask with
        raise OSError(str(error)) from error
    return True


def _copy(source: BinaryIO, write: Callable[[bytes], object], on_bytes: Callable[[int], None] | None) -> Written:
    digest, size, hashed = hashlib.sha256(), 0, None
    # Hashing takes longer than writing, and neither holds the GIL: one chunk is hashed while the next is copied.
    with ThreadPoolExecutor(1, "hash") as beside:
        while chunk := source.read(CHUNK_BYTES):
            if hashed:
                hashed.result()
            hashed = beside.submit(digest.update, chunk)
            write(chunk)
            size += len(chunk)
            if on_bytes:
                on_bytes(size)
    return Written(size, digest.hexdigest())


def _fsync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _s3_options() -> dict[str, str]:
    """The environment as delta-rs and Polars want it. What is not set is left to their own search (roles, profiles)."""
    env = os.environ
    endpoint = env.get("ASSAY_S3_ENDPOINT_URL") or env.get("AWS_ENDPOINT_URL_S3") or env.get("AWS_ENDPOINT_URL")
    options = {
        "aws_access_key_id": env.get("AWS_ACCESS_KEY_ID"),
        "aws_secret_access_key": env.get("AWS_SECRET_ACCESS_KEY"),
        "aws_session_token": env.get("AWS_SESSION_TOKEN"),
        "aws_region": env.get("AWS_REGION") or env.get("AWS_DEFAULT_REGION") or "us-east-1",
        "aws_endpoint_url": endpoint,
        "aws_allow_http": "true" if endpoint and endpoint.startswith("http://") else None,
    }
    return {name: value for name, value in options.items() if value}


@cache
def _s3_filesystem(options: tuple[tuple[str, str], ...]) -> fs.FileSystem:
    given = dict(options)
    scheme, _, host = given.get("aws_endpoint_url", "").rpartition("://")
    return fs.S3FileSystem(
        access_key=given.get("aws_access_key_id"),
        secret_key=given.get("aws_secret_access_key"),
        session_token=given.get("aws_session_token"),
        region=given["aws_region"],
        endpoint_override=host or None,
        scheme=scheme or "https",
        connect_timeout=TIMEOUT_SECONDS,
        request_timeout=TIMEOUT_SECONDS,
    )
