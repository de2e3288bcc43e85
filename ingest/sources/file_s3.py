"""Files in an object store."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from django.conf import settings
from pydantic import Field, field_validator, model_validator

from assay.common.problems import Problem
from ops.connections import services as connections
from workers.access import Access
from workers.specs import FilesSource

from .base import FileOptions, FileSource, Name, Source

if TYPE_CHECKING:
    from ingest.models import IngestJob

BUCKET = r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]"


class FileS3Options(FileOptions):
    s3_uri: str | None = Field(
        None,
        max_length=1100,
        description="an object, a folder or a pattern: `s3://bucket/prefix/*.csv`, `s3://bucket/2026/**/*.parquet`",
    )
    bucket: str | None = Field(None, pattern=rf"^{BUCKET}$", description="instead of s3_uri, with prefix")
    prefix: str = Field(
        "",
        max_length=1024,
        description="in the bucket: an object, a pattern, or a folder with `/` at its end; empty: all objects",
    )
    connection: Name | None = Field(None, description="the connection with the credentials; none: the worker's own")

    @field_validator("s3_uri")
    @classmethod
    def _has_a_bucket(cls, uri: str | None) -> str | None:
        if uri is not None and not re.match(rf"s3://{BUCKET}/.", uri):
            raise ValueError("write s3://, a bucket, / and the object, folder or pattern in it: s3://bucket/2026/*.csv")
        return uri

    @model_validator(mode="after")
    def _one_address(self) -> FileS3Options:
        if (self.s3_uri is None) == (self.bucket is None):
            raise ValueError("give either s3_uri, or bucket and prefix")
        if self.s3_uri is not None and self.prefix:
            raise ValueError("a prefix goes with a bucket; s3_uri has its own")
        return self

    @property
    def address(self) -> tuple[str, str]:
        """The bucket, and the key or the pattern in it."""
        if self.bucket is not None:
            return self.bucket, self.prefix.removeprefix("/")
        bucket, _, pattern = (self.s3_uri or "").removeprefix("s3://").partition("/")
        return bucket, pattern


class FileS3(FileSource, Source):
    name, part, options, available = "file_s3", "file", FileS3Options, True
    connection_kinds = ("s3",)

    def problems(self, options: FileS3Options, path: str) -> Iterator[Problem]:
        if options.connection is None and _is_in_lake(*options.address):
            field = "bucket" if options.s3_uri is None else "s3_uri"
            detail = "This lies in the lake itself, which only its own tables and jobs read. Name other objects."
            yield Problem(f"{path}.{field}", detail, "inside_lake")

    def to_spec(self, options: FileS3Options, job: IngestJob) -> FilesSource:
        """The objects that are there now. Raises `SourceMissing`, `SourceUnavailable` and `AddressRefused`."""
        from workers.sources.objects import client_for, list_objects

        name = options.connection or ""
        found = connections.for_worker(name) if name else None
        access = Access(connections={name: found} if found else {}, services=connections.network_policy())
        source = FilesSource(files=(), connection=name)
        return FilesSource(files=tuple(list_objects(client_for(source, access), *options.address)), connection=name)


def _is_in_lake(bucket: str, pattern: str) -> bool:
    """Whether the worker's own credentials would open what its lake keeps for others."""
    lake = f"{settings.ASSAY_LAKE_URL.rstrip('/')}/"
    if not lake.startswith("s3://"):
        return False
    fixed = f"s3://{bucket}/{pattern.partition('*')[0].partition('?')[0].partition('[')[0]}"
    return fixed.startswith(lake) or lake.startswith(fixed)
