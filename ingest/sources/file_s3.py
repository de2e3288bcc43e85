"""Files in an object store."""

from __future__ import annotations

from pydantic import Field

from .base import FileOptions, FileSource, Name, Source


class FileS3Options(FileOptions):
    s3_uri: str = Field(
        pattern=r"^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/.+$",
        max_length=500,
        description="an object or a pattern: `s3://bucket/prefix/*.csv`",
    )
    connection: Name | None = Field(None, description="the connection with the credentials; none: the worker's own")


class FileS3(FileSource, Source):
    name, part, options = "file_s3", "file", FileS3Options
    connection_kinds = ("s3",)
