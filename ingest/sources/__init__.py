"""Where rows come from: a registry of small modules of one shape. A new source is one module and one line here."""

from __future__ import annotations

from typing import Any

from pydantic import create_model

from assay.common.options import Options

from .api import Api
from .base import PARTS, Csv, FileOptions, Source
from .database import Database
from .file_local import FileLocal
from .file_s3 import FileS3
from .file_upload import FileUpload

SOURCES: dict[str, Source] = {
    source.name: source for source in (FileUpload(), FileLocal(), FileS3(), Database(), Api())
}


def _config_model() -> type[Options]:
    """`config` of an ingest job for OpenAPI: each part with the options of every source that reads it."""
    parts: dict[str, Any] = {}
    for source in SOURCES.values():
        known = parts.get(source.part)
        parts[source.part] = known | source.options if known else source.options
    return create_model("IngestConfig", __base__=Options, **{name: (kind | None, None) for name, kind in parts.items()})


IngestConfig = _config_model()

__all__ = ["PARTS", "SOURCES", "Csv", "FileOptions", "IngestConfig", "Source"]
