"""Texts in chunks, with their embeddings."""

from __future__ import annotations

from pydantic import Field, model_validator

from .base import ColumnName, Options, Transform


class VectorIndexOptions(Options):
    id_column: ColumnName
    text_column: ColumnName
    metadata_columns: list[ColumnName] = []
    chunk_size: int = Field(200, ge=10, le=100_000)
    chunk_overlap: int = Field(20, ge=0)
    embedding_model: str = Field("embedded:minilm", min_length=1)

    @model_validator(mode="after")
    def _moves_on(self) -> VectorIndexOptions:
        if self.chunk_overlap >= self.chunk_size:
            raise ValueError("chunk_overlap must be smaller than chunk_size")
        return self


class VectorIndex(Transform):
    name, layers, options = "vector_index", ("gold",), VectorIndexOptions
