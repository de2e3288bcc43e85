"""The form of an ingest job: fields that people know, made into `config` and validated by the model itself."""

from .job import CONNECTION_KINDS, FILES, IngestJobForm
from .window import WindowForm

__all__ = ["CONNECTION_KINDS", "FILES", "IngestJobForm", "WindowForm"]
