"""The form of an ingest job: fields that people know, made into `config` and validated by the model itself."""

from .job import IngestJobForm

__all__ = ["IngestJobForm"]
