"""Where bytes come from: one module for each type of source, all of one shape.

They fill Landing; readers go on from there.
"""

from __future__ import annotations

from importlib import import_module

from ..specs import IngestSpec
from .base import SourceModule

# By the `type` of a spec's source. Imported when needed: each stands on libraries of its own.
MODULES = {"files": "files", "database": "database", "api": "api"}


def source_of(spec: IngestSpec) -> SourceModule:
    return import_module(f".{MODULES[spec.source.type]}", __name__)
