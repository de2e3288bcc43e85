"""The form of an ingest job: fields that people know, made into `config` and validated by the model itself."""

from .job import CONNECTION_KINDS, IngestJobForm

__all__ = ["CONNECTION_KINDS", "IngestJobForm"]
