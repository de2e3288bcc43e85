"""Files for another system."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from .base import Options, Transform


class ExportFeedOptions(Options):
    format: Literal["csv", "json", "ndjson", "parquet"] = "csv"
    destination: str = Field(min_length=1, description="a path inside the lake, or s3://bucket/prefix")
    file_name: str = Field(min_length=1, pattern=r"^[^/\\]+$")


class ExportFeed(Transform):
    name, layers, options = "export_feed", ("gold",), ExportFeedOptions
