"""Readers: one module a format, all of the shape of `base.Reader`. A new format is one module and one line here."""

from __future__ import annotations

from . import csv, excel, json, ndjson, parquet
from .base import Reader

READERS: dict[str, Reader] = {"csv": csv, "json": json, "ndjson": ndjson, "parquet": parquet, "excel": excel}
