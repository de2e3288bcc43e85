"""What can go wrong with an embedding model."""

from __future__ import annotations

from ..errors import AssayError


class ModelMissing(AssayError):
    """The model cannot be used here: its files, or the package of its provider, are not installed."""

    code = "embedding_model_missing"


class ModelChanged(AssayError):
    """The vectors were made by another model than the one that would be asked now."""

    code = "embedding_model_changed"


class EmbeddingFailed(AssayError):
    """The model answered, but not with one vector for each text."""

    code = "embedding_failed"
