"""Objects of an S3 store: which ones a pattern names, and their bytes, read in order, resumed where they break off."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from itertools import compress
from typing import Any

from ..access import Access
from ..errors import InvalidSpec, SourceMissing, SourceUnavailable
from ..s3 import s3_client, s3_error
from ..specs import FilesSource, SourceFile

TRIES = 4  # in a row, with no byte in between
PAUSE_SECONDS = 0.5
_WILDCARD = re.compile(r"[*?\[]")
_TOKEN = re.compile(r"\*\*/|\*\*|\*|\?|\[!?\]?[^\]/]*\]|[^*?\[]+|\[")


def client_for(source: FilesSource, access: Access) -> Any:
    """The store's client, with the credentials of the source's connection or the worker's own."""
    connection = access.connection(source.connection) if source.connection else None
    return s3_client(connection, access.services)


def list_objects(client: Any, bucket: str, pattern: str) -> list[SourceFile]:
    """The objects that a key or a pattern names, sorted by key.

    `*` and `?` stay in a folder, `**` goes through folders, `[a-c]` is one
    character of several. A key that ends in `/` is a folder with all that is
    in it. Of what a pattern finds, empty objects and those that start with
    `_` or `.` (`_SUCCESS`, `.tmp`) are left out. Raises `SourceMissing` where
    nothing is found, and what the store says.
    """
    if not _WILDCARD.search(pattern) and pattern and not pattern.endswith("/"):
        return [_object(client, bucket, pattern)]
    pattern = f"{pattern}**" if pattern.endswith("/") or not pattern else pattern
    fixed = _WILDCARD.split(pattern, maxsplit=1)[0]
    folder = fixed[: fixed.rfind("/") + 1]
    shown = re.match(r"[_.]", pattern.rpartition("/")[2])  # who asks for them gets them
    found = [
        _file(bucket, entry["Key"], folder, entry["Size"], entry["ETag"])
        for entries in _pages(client, bucket, fixed)
        for entry in _matching(entries, pattern)
        if entry["Size"] and (shown or not _is_hidden(entry["Key"][len(folder) :]))
    ]
    if not found:
        raise SourceMissing(
            f"No object matches s3://{bucket}/{pattern}.", hint="Put one there, or correct the job's address."
        )
    return sorted(found, key=lambda file: file.uri)


def _pages(client: Any, bucket: str, prefix: str) -> Iterator[list[dict[str, Any]]]:
    try:
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
            yield page.get("Contents", [])
    except Exception as error:
        raise s3_error(error, f"s3://{bucket}/{prefix}") from error


def _object(client: Any, bucket: str, key: str) -> SourceFile:
    try:
        entry = client.head_object(Bucket=bucket, Key=key)
    except Exception as error:
        raise s3_error(error, f"s3://{bucket}/{key}") from error
    return _file(bucket, key, key[: key.rfind("/") + 1], entry["ContentLength"], entry["ETag"])


def _file(bucket: str, key: str, folder: str, size: int, etag: str) -> SourceFile:
    etag = etag.strip('"')
    return SourceFile(uri=f"s3://{bucket}/{key}", name=key.removeprefix(folder), mark=f"{size}:{etag}")


def _is_hidden(name: str) -> bool:
    # A folder `_day=2026-11-22` is a partition.
    return any(part.startswith(("_", ".")) and "=" not in part for part in name.split("/"))


def _matching(entries: list[dict[str, Any]], pattern: str) -> Iterator[dict[str, Any]]:
    return compress(entries, matches([entry["Key"] for entry in entries], pattern))


def matches(keys: Sequence[str], pattern: str) -> list[bool]:
    """Which of the keys the pattern names.

    Not by Python's `re`, which needs days for a pattern of many wildcards. Raises `InvalidSpec`.
    """
    import polars as pl  # takes a moment to import, and most need only the names above

    whole = "".join(_translated(token) for token in _TOKEN.findall(pattern))
    try:
        return pl.Series(keys, dtype=pl.String).str.contains(rf"(?s)\A(?:{whole})\z").to_list()
    except pl.exceptions.PolarsError:
        raise InvalidSpec(f"“{pattern}” is no pattern.", hint="Look at what stands in brackets: [a-c].") from None


def _translated(token: str) -> str:
    plain = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    if token in plain:
        return plain[token]
    if token.startswith("[") and len(token) > 2:
        inner = token[1:-1]
        negated = inner.startswith("!")
        inner = re.sub(r"([\\\[\]^&|~])", r"\\\1", inner.removeprefix("!"))
        return f"[{'^/' if negated else ''}{inner}]"
    return re.escape(token)


class ObjectBytes:
    """The bytes of an object as it was when it was listed, as a binary file that can only be read on.

    A connection that breaks is made anew where it broke. Raises
    `SourceUnavailable` when the object is no longer that one.
    """

    def __init__(self, client: Any, file: SourceFile, *, most: int | None = None) -> None:
        self._client, self._file = client, file
        size, _, self._etag = file.mark.partition(":")
        self._size = int(size) if most is None else min(int(size), most)
        self._bucket, _, self._key = file.uri.removeprefix("s3://").partition("/")
        self._at, self._body = 0, None

    @property
    def size(self) -> int:
        return self._size

    def read(self, size: int) -> bytes:
        for number in range(TRIES):
            if self._at >= self._size:
                return b""
            try:
                chunk = self._open().read(min(size, self._size - self._at))
                if not chunk:
                    raise EOFError("the object ended early")
            except Exception as error:
                self._body = None
                if number == TRIES - 1 or not _may_help(error):
                    raise self._told(error) from error
                time.sleep(PAUSE_SECONDS * 2**number)
            else:
                self._at += len(chunk)
                return chunk
        return b""

    def _open(self) -> Any:
        if self._body is None:
            answer = self._client.get_object(
                Bucket=self._bucket,
                Key=self._key,
                Range=f"bytes={self._at}-{self._size - 1}",
                IfMatch=f'"{self._etag}"',
            )
            self._body = answer["Body"]
        return self._body

    def _told(self, error: Exception) -> Exception:
        if _status(error) in (412, 416):
            return SourceUnavailable(
                f"{self._file.name} changed while it was read.", hint="Try again when nobody writes to it any more."
            )
        return s3_error(error, self._file.uri)


def _may_help(error: Exception) -> bool:
    """Whether to ask again: boto3 has retried what the store answered, but not what broke while bytes came."""
    from botocore.exceptions import BotoCoreError, ClientError
    from urllib3.exceptions import HTTPError

    return not isinstance(error, ClientError) and isinstance(error, BotoCoreError | HTTPError | OSError | EOFError)


def _status(error: Exception) -> int:
    return getattr(error, "response", {}).get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
