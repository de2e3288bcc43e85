"""Words and their letters, hashed into 384 numbers: no model, no meaning, the same everywhere and for ever.

The hashing trick (Weinberger et al. 2009) with fastText's n-grams of letters
(Bojanowski et al. 2017). It finds texts that share words or parts of words.
"""

from __future__ import annotations

import re
import unicodedata
import zlib
from collections import Counter
from functools import lru_cache

import numpy as np
from langchain_core.embeddings import Embeddings

from .base import Model, fingerprint_of, unit_rows

NAME = "embedded:hash"
DIMENSION = 384
VERSION = "1"  # of what the functions below do: with another one every index is made anew
GRAMS_WEIGHT = 0.8  # of all threes of a word's letters together, where the word itself counts 1
FULL_WORD = 6  # letters; shorter words are mostly grammar, and count less
_WORD = re.compile(r"\w+")


def hash_model() -> Model:
    return Model(name=NAME, fingerprint=fingerprint_of(NAME, str(DIMENSION), VERSION), embeddings=Hashed())


class Hashed(Embeddings):
    def embed_documents(self, texts: list[str]) -> np.ndarray:
        return unit_rows(np.stack([_vector(text) for text in texts]))

    def embed_query(self, text: str) -> np.ndarray:
        return self.embed_documents([text])[0]


def _vector(text: str) -> np.ndarray:
    counts = Counter(_WORD.findall(unicodedata.normalize("NFKC", text).casefold()))
    if not counts:
        return np.zeros(DIMENSION)
    # The tenth mention of a word says less than the first.
    parts = [(*_features(word), np.sqrt(count)) for word, count in counts.items()]
    places = np.concatenate([places for places, _, _ in parts])
    weights = np.concatenate([weights * often for _, weights, often in parts])
    return np.bincount(places, weights, minlength=DIMENSION)


@lru_cache(maxsize=50_000)
def _features(word: str) -> tuple[np.ndarray, np.ndarray]:
    """Where a word counts, and how much."""
    framed = f"<{word}>"
    # Texts without blanks between their words are one long word: what it is made of tells more.
    grams = [framed[start : start + 3] for start in range(len(framed) - 2)]
    weights = np.array([1.0] + [GRAMS_WEIGHT / np.sqrt(len(grams))] * len(grams))
    sums = np.array([zlib.crc32(feature.encode()) for feature in (word, *grams)])
    signs = np.where(sums >= 1 << 31, -1, 1)
    return sums % DIMENSION, signs * weights * min(1.0, len(word) / FULL_WORD) ** 2
