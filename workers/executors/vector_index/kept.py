"""Vectors that a model has given, kept beside the table until a run has published: one that dies loses few of them.

They lie below the table's folder in files that no commit names, by the hash
of their text, a folder for each model. The next try finds them there, and
whoever publishes clears them away. Vacuum takes what nobody came back for.
"""

from __future__ import annotations

import hashlib
import io
import secrets
import time
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from typing import Self

import numpy as np
import polars as pl

from workers.embeddings.base import fingerprint_of
from workers.errors import LakeUnavailable
from workers.lake.store import open_store, reaching

FOLDER = "_staging/vectors"
VECTORS_PER_FILE = 1_024  # at most so many, and what a model gives in so many seconds, is lost by a death
MOST_SECONDS = 5.0
HASH, VECTOR = "text_sha256", "embedding"


class KeptVectors:
    """Vectors of one model that tries before this one have asked for, and those that this one adds.

    A rebuild trusts only what rebuilds have kept: it asks the model itself.
    As a context manager it writes what it has also when an error passes.
    Memory holds about 200 bytes for each vector found, and two files.
    Raises `LakeUnavailable`.
    """

    def __init__(self, uri: str, model_key: str, *, rebuild: bool = False) -> None:
        self._store = open_store(uri)
        self._folder = f"{FOLDER}/{fingerprint_of(model_key)[:16]}{'-rebuild' * rebuild}"
        self._places: dict[bytes, tuple[str, int]] = {}  # of a text: its file, and the row there
        self._read: tuple[str, np.ndarray] = ("", np.empty((0, 0)))  # the file that was read last
        self._waiting: dict[bytes, np.ndarray] = {}
        self._saved_at = time.monotonic()
        with reaching(uri):
            whole = [entry.key for entry in self._store.list(self._folder) if entry.key.endswith(".parquet")]
            for key in whole:
                self._places |= {digest: (key, row) for row, digest in enumerate(self._file(key, HASH))}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with suppress(LakeUnavailable) if kind else nullcontext():  # the error that passes says more
            self.save()

    def find(self, texts: Sequence[str]) -> dict[str, np.ndarray]:
        """The vectors that were kept of these texts."""
        places = [(place, text) for text in texts if (place := self._places.get(_digest(text)))]
        return {text: self._vectors(file)[row] for (file, row), text in sorted(places)}

    def add(self, texts: Sequence[str], vectors: np.ndarray) -> None:
        """Keep these, all of one length. They are written after a while, or by `save`."""
        self._waiting.update(zip(map(_digest, texts), vectors, strict=True))
        if len(self._waiting) >= VECTORS_PER_FILE or time.monotonic() - self._saved_at > MOST_SECONDS:
            self.save()

    def save(self) -> None:
        """Write what was added since the last time."""
        if self._waiting:
            vectors = pl.Series(VECTOR, np.stack(list(self._waiting.values()))).arr.to_list()
            content = io.BytesIO()
            pl.DataFrame([pl.Series(HASH, list(self._waiting)), vectors]).write_parquet(content, compression="lz4")
            content.seek(0)
            with reaching(self._store.uri):
                self._store.write(f"{self._folder}/{secrets.token_hex(8)}.parquet", content)
        self._waiting, self._saved_at = {}, time.monotonic()

    def _vectors(self, key: str) -> np.ndarray:
        if self._read[0] != key:
            with reaching(self._store.uri):
                self._read = (key, np.stack(self._file(key, VECTOR).to_numpy()))
        return self._read[1]

    def _file(self, key: str, column: str) -> pl.Series:
        with self._store.open(key) as file:
            return pl.read_parquet(file.readall(), columns=[column])[column]


def forget(uri: str) -> None:
    """Remove what was kept beside this table, of whatever model."""
    store = open_store(uri)
    with reaching(uri):
        for entry in store.list(FOLDER):
            store.delete(entry.key)


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
