"""Documents become rows of an index: cut, embedded where no vector is known, staged a bounded part at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from workers.embeddings import ModelChanged
from workers.embeddings.base import Model
from workers.embeddings.chunking import Chunking, cut
from workers.lake.stage import Staging
from workers.lake.table import Table
from workers.progress import Progress
from workers.schema import polars_schema
from workers.specs import Column

from .documents import HASH, ID, TEXT, content_hash
from .kept import KeptVectors

CHUNKS_PER_FILE = 20_000  # about 50 MB: what holds a changed document is written anew by the file
CHUNKS_AT_ONCE = 1_024
CHARACTERS_AT_ONCE = 8_000_000  # of documents in memory
MOST_DOCUMENTS = 2_000


@dataclass(slots=True, kw_only=True)
class Tally:
    documents: int = 0  # that have at least one chunk
    chunks: int = 0
    embedded: int = 0
    reused: int = 0  # chunks whose vector was known
    resumed: int = 0  # chunks whose vector a run that did not publish had asked for
    without_words: int = 0  # documents of which no chunk came
    characters: int = 0


@dataclass(slots=True, kw_only=True)
class Chunker:
    """Cuts and embeds for one run."""

    columns: tuple[Column, ...]
    model: Model
    chunking: Chunking
    way: str  # what content hashes cover beside the text
    staging: Staging
    progress: Progress
    kept: KeptVectors
    known: Table | None = None  # whose vectors are this model's
    characters: int = 0  # of all documents to come, for the progress
    dimension: int = 0  # of the vectors; 0 until there is one
    tally: Tally = field(default_factory=Tally)
    _parts: list[pl.DataFrame] = field(default_factory=list)

    def stage(self, documents: pl.LazyFrame, count: int) -> None:
        """Stage the chunks of these documents (`document_id, text, metadata…`), in their order.

        Memory holds some documents, 20,000 chunks, and no more. `progress` is
        told chunks, the total being a guess that gets better.
        """
        rows = max(1, min(MOST_DOCUMENTS, CHARACTERS_AT_ONCE * count // max(1, self.characters)))
        for part in documents.collect_batches(chunk_size=rows, maintain_order=True):
            known = self._known(part[ID])
            for pieces in self._pieces(part):
                self._add(part, pieces, known)
        self._flush()

    def _pieces(self, part: pl.DataFrame) -> Iterator[list[tuple[int, int, str]]]:
        """(row of the document, number of the chunk, text), so many at once."""
        found: list[tuple[int, int, str]] = []
        for row, text in enumerate(part[TEXT]):
            before = self.tally.chunks + len(found)
            for number, (low, high) in enumerate(cut(text, self.chunking, self.model.tokens)):
                found.append((row, number, text[low:high]))
                if len(found) == CHUNKS_AT_ONCE:
                    yield found
                    found = []
            has_chunks = self.tally.chunks + len(found) > before
            self.tally.documents += has_chunks
            self.tally.without_words += not has_chunks
            self.tally.characters += len(text)
        if found:
            yield found

    def _known(self, ids: pl.Series) -> dict[str, np.ndarray]:
        """Vectors that the table has of these documents, by their chunk's text."""
        if self.known is None:
            return {}
        rows = self.known.scan().filter(pl.col(ID).is_in(ids.implode())).select(TEXT, "embedding").collect()
        return dict(zip(rows[TEXT], matrix_of(rows["embedding"]), strict=True))

    def _add(self, part: pl.DataFrame, pieces: list[tuple[int, int, str]], known: dict[str, np.ndarray]) -> None:
        texts = [text for _, _, text in pieces]
        unknown = list(dict.fromkeys(text for text in texts if text not in known))
        kept = self.kept.find(unknown)
        for vectors in (known, kept):
            self._check_dimensions(len(vector) for vector in vectors.values())
        asked = [text for text in unknown if text not in kept]
        vectors = known | kept | dict(zip(asked, self._embedded(asked, len(texts)), strict=True))
        self.tally.embedded += len(asked)
        self.tally.resumed += len(kept)
        self.tally.reused += len(texts) - len(unknown)
        self.tally.chunks += len(texts)
        matrix = np.stack([vectors[text] for text in texts])
        self._parts.append(self._rows(part, pieces, matrix))
        if sum(each.height for each in self._parts) >= CHUNKS_PER_FILE:
            self._flush()

    def _embedded(self, texts: list[str], pieces: int) -> Iterator[np.ndarray]:
        """Vectors of these texts, which are among so many pieces."""
        total = self._total(self.tally.chunks + pieces)
        for start in range(0, len(texts), self.model.batch_texts):
            self.progress("stage", done=self.tally.chunks + start, total=total)
            batch = texts[start : start + self.model.batch_texts]
            vectors = self.model.embed(batch)
            self._check_dimensions([vectors.shape[1]])
            self.kept.add(batch, vectors)
            yield from vectors

    def _check_dimensions(self, lengths: Iterable[int]) -> None:
        """Raises `ModelChanged` where a provider gives vectors of another length under the same name."""
        for found in set(lengths):
            self.dimension = self.dimension or found
            if found != self.dimension:
                raise ModelChanged(
                    f"{self.model.name} gives vectors of {found} numbers now, and gave vectors of {self.dimension}.",
                    hint="If it is another model now, rebuild the index: its job's page has a button for that.",
                )

    def _total(self, chunks: int) -> int:
        """How many chunks there will be, from how many the characters up to now have made."""
        return max(chunks, round(chunks * self.characters / (self.tally.characters or self.characters)))

    def _rows(self, part: pl.DataFrame, pieces: list[tuple[int, int, str]], matrix: np.ndarray) -> pl.DataFrame:
        documents = part.select(pl.exclude(TEXT))[[row for row, _, _ in pieces]]
        hashes = {row: content_hash(part[TEXT][row], self.way) for row in {row for row, _, _ in pieces}}
        rows = documents.with_columns(
            pl.Series("chunk_index", [number for _, number, _ in pieces]),
            pl.Series(TEXT, [text for _, _, text in pieces]),
            pl.Series(HASH, [hashes[row] for row, _, _ in pieces]),
            pl.Series("embedding", matrix).arr.to_list(),
            pl.lit(self.model.key).alias("embedding_model"),
        )
        return with_types(rows.with_columns(chunk_id()), self.columns)

    def _flush(self) -> None:
        if self._parts:
            self.staging.sink(pl.concat(self._parts).lazy())
            self._parts = []


def chunk_id() -> pl.Expr:
    """`{document}#{number}`: the same for a chunk at the same place of the same document."""
    return (pl.col(ID).cast(pl.String) + "#" + pl.col("chunk_index").cast(pl.String)).alias("chunk_id")


def with_types(rows: pl.DataFrame, columns: tuple[Column, ...]) -> pl.DataFrame:
    """The target's columns, in its order and types."""
    return rows.select(pl.col(name).cast(dtype) for name, dtype in polars_schema(columns).items())


def matrix_of(vectors: pl.Series) -> np.ndarray:
    """Lists of numbers as one float32 matrix; each has as many. Shape (rows, dimension)."""
    if not len(vectors):
        return np.empty((0, 0), dtype=np.float32)
    return vectors.list.explode().cast(pl.Float32).to_numpy().reshape(len(vectors), -1)
