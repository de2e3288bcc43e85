"""What every embedding model is here: a langchain `Embeddings`, its tokens, and what tells it from others."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from .errors import EmbeddingFailed, ModelChanged

if TYPE_CHECKING:
    from langchain_core.embeddings import Embeddings

# Character offsets (start, end) of a text's tokens, in order.
Tokens = Callable[[str], Sequence[tuple[int, int]]]
_WORD = re.compile(r"\w+|[^\w\s]")
BUSY = (408, 425, 429, 500, 502, 503, 504)  # HTTP's words for: the same may go through later
SHOWN = 16  # digits of a fingerprint in the name that an index keeps


def words(text: str) -> list[tuple[int, int]]:
    """Tokens of a model whose own tokenizer is not at hand: words, and every other sign by itself."""
    return [match.span() for match in _WORD.finditer(text)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A model by its name, and the fingerprint of what it does: of its files, or of provider and name."""

    name: str
    fingerprint: str = field(repr=False)  # sha256, 64 hex digits
    embeddings: Embeddings = field(repr=False)
    tokens: Tokens = field(default=words, repr=False)
    max_tokens: int | None = None  # of a text; what is longer would be cut. None: not known
    batch_texts: int = 256  # handed over at once: between them a run can be cancelled

    @property
    def key(self) -> str:
        """What an index keeps in each row: `embedded:minilm@8199be6f699a395f`."""
        return f"{self.name}@{self.fingerprint[:SHOWN]}"

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """One row for each text, float32, of length 1; shape (texts, dimension).

        Raises `EmbeddingFailed`, and what reaching a provider raises.
        """
        if not texts:
            return np.empty((0, 0), dtype=np.float32)
        return unit_rows(self._checked(self.embeddings.embed_documents(list(texts)), len(texts)))

    def embed_query(self, text: str) -> np.ndarray:
        """The question as one vector of length 1; some models embed questions in another way than documents."""
        return unit_rows(self._checked([self.embeddings.embed_query(text)], 1))[0]

    def _checked(self, answer: object, count: int) -> np.ndarray:
        try:
            vectors = np.asarray(answer, dtype=np.float32)
        except (TypeError, ValueError) as error:
            raise self._no_vectors(count, "something else than vectors of numbers") from error
        if vectors.ndim != 2 or len(vectors) != count or not vectors.shape[1] or not np.isfinite(vectors).all():
            raise self._no_vectors(count, f"vectors of the shape {vectors.shape}, or not with numbers")
        return vectors

    def _no_vectors(self, count: int, what: str) -> EmbeddingFailed:
        message = f"{self.name} answered {count} text{'s' * (count != 1)} with {what}."
        return EmbeddingFailed(message, hint="Check that the model is one for embeddings.")


def name_of(key: str) -> str:
    """The model's name in what an index keeps."""
    return key.rpartition("@")[0]


def check_same(key: str, model: Model) -> None:
    """Raises `ModelChanged` unless vectors kept under this key are this model's."""
    if key != model.key:
        raise ModelChanged(
            f"The index was made by {key}; the model installed here is {model.key}.",
            hint="Run the job: it then embeds everything anew with the model that is here.",
            index=key,
            installed=model.key,
        )


def fingerprint_of(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def unit_rows(vectors: np.ndarray) -> np.ndarray:
    """The rows with length 1; a row of zeros stays, and is like nothing."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.ascontiguousarray(vectors / np.where(lengths == 0, 1, lengths), dtype=np.float32)
