"""Searching an index by meaning: exact, in memory, after filters and policy.

Vectors have length 1, so the product of an index's matrix with the question's
vector holds all cosines. 100,000 chunks take about 20 ms and 150 MiB
(docs/vectors.md).
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from .embeddings import ModelChanged
from .embeddings.base import Model, check_same
from .errors import AssayError
from .lake.store import reaching
from .lake.table import Table, open_table
from .specs import Column
from .vector_damage import check_whole
from .vector_filters import condition

NEEDED = frozenset({"chunk_id", "document_id", "text", "embedding", "embedding_model"})
NOT_SHOWN = frozenset({"embedding", "embedding_model", "content_hash"})
PLACE = "__place"  # in a row on its way through the policy: which one it is
DEFAULT_CAP_BYTES = 512 << 20
IDLE_SECONDS = 900.0
ROWS_AT_ONCE = 20_000
Visible = Callable[[Iterator[dict[str, Any]]], Iterator[dict[str, Any]]]


class NoVectorIndex(AssayError):
    """What was to be searched has no vectors."""

    code = "no_vector_index"


class IndexTooLarge(AssayError):
    """The index does not fit into the memory that searching may use."""

    code = "index_too_large"


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """One version of an index in memory. Row n of `rows` and of `matrix` are the same chunk."""

    columns: tuple[Column, ...]
    model_key: str  # `embedded:minilm@…`; empty where there are no chunks
    rows: pl.DataFrame = field(repr=False)  # all columns but the vectors
    matrix: np.ndarray = field(repr=False)
    documents: int

    @property
    def size(self) -> int:
        """In bytes."""
        return self.matrix.nbytes + self.rows.estimated_size()


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    row: dict[str, Any]  # as the person who asks may see it
    score: float  # the cosine, -1..1


def everything(rows: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    return rows


def find(
    index: Index,
    model: Model,
    question: str,
    k: int = 10,
    filters: Mapping[str, Sequence[str]] | None = None,
    visible: Visible = everything,
) -> list[Hit]:
    """The `k` chunks closest to the question, of those that fit the filters and that `visible` lets through.

    Both come before the ranking: what is left out takes nobody's place.
    `visible` is given rows in the order of their rank, and asked for no more
    than it takes; a row that it masks a filtered column or the text of is left
    out too, or a search would tell what the mask hides. Of equal scores the
    earlier row comes first. A question that is like nothing, `???`, finds nothing.

    Raises `BadFilter`, and `ModelChanged` unless the index is this model's.
    """
    if not index.rows.height:
        return []
    check_same(index.model_key, model)
    asked = filters or {}
    places = index.rows.with_row_index(PLACE).filter(condition(asked, index.columns))[PLACE].to_numpy()
    vector = model.embed_query(question)
    if vector.shape[0] != index.matrix.shape[1]:
        raise ModelChanged(
            f"{model.name} answers with {vector.shape[0]} numbers; the index has {index.matrix.shape[1]} in a vector.",
            hint="Rebuild the index: the page of the job that makes it has a button for that.",
        )
    if not vector.any():
        return []
    scores = _scores(index.matrix, places, vector)
    score_of: dict[int, float] = {}
    hits: list[Hit] = []

    def in_order() -> Iterator[dict[str, Any]]:
        for place, score in _ranked(places, scores):
            score_of[place] = score
            yield {**index.rows.row(place, named=True), PLACE: place}

    for row in visible(in_order()):
        place = row.pop(PLACE)
        before = index.rows.row(place, named=True)
        if all(name in row and row[name] == before[name] for name in ("text", *asked)):
            hits.append(Hit(row=_as_masked(row, before), score=round(score_of[place], 4)))
        if len(hits) == k:
            break
    return hits


def _as_masked(row: dict[str, Any], before: dict[str, Any]) -> dict[str, Any]:
    """The row without its chunk's id where its document's id is masked, which is a part of it."""
    if "document_id" in row and row["document_id"] == before["document_id"]:
        return row
    return {**row, "document_id": row.get("document_id"), "chunk_id": None}


def _scores(matrix: np.ndarray, places: np.ndarray, vector: np.ndarray) -> np.ndarray:
    if len(places) == len(matrix):
        return matrix @ vector
    # Copying rows costs as much as multiplying them.
    return matrix[places] @ vector if len(places) < len(matrix) // 4 else (matrix @ vector)[places]


def _ranked(places: np.ndarray, scores: np.ndarray) -> Iterator[tuple[int, float]]:
    """(row, score) from the best on; sorted no farther than somebody reads."""
    done: set[int] = set()
    size = 128
    while len(done) < len(scores):
        size = min(size * 8, len(scores))
        some = np.argpartition(-scores, size - 1)[:size] if size < len(scores) else np.arange(len(scores))
        for each in some[np.lexsort((places[some], -scores[some]))]:
            if int(each) not in done:
                done.add(int(each))
                yield int(places[each]), float(scores[each])


# --- in memory ---------------------------------------------------------------------


def read_index(uri: str, version: int | None = None, cap_bytes: int = DEFAULT_CAP_BYTES) -> Index:
    """Raises `NoVectorIndex`, `IndexTooLarge`, `IndexDamaged`, `TableMissing`, `LakeUnavailable`."""
    with reaching(uri):
        table = open_table(uri, version)
        check_columns(table.columns)
        check_whole(table)
        return _read(table, cap_bytes)


def check_columns(columns: Iterable[Column]) -> None:
    """Raises `NoVectorIndex` unless these are an index's."""
    if missing := NEEDED - {column.name for column in columns}:
        raise NoVectorIndex(
            f"This dataset is no vector index: it has no {', '.join(sorted(missing))}.",
            hint="Search what a job of the transform type vector_index makes.",
        )


def _read(table: Table, cap_bytes: int) -> Index:
    shown = tuple(column for column in table.columns if column.name not in NOT_SHOWN)
    head = table.scan().select("embedding_model", pl.col("embedding").list.len().alias("width")).head(1).collect()
    key, width = head.row(0) if head.height else ("", 0)
    _check_size("vectors", table.rows * int(width or 0) * 4, cap_bytes)
    matrix = np.empty((table.rows, int(width or 0)), dtype=np.float32)
    parts, done, size = [], 0, matrix.nbytes
    for part in table.scan().collect_batches(chunk_size=ROWS_AT_ONCE, maintain_order=True):
        vectors = part["embedding"].list.explode().cast(pl.Float32).to_numpy()
        matrix[done : done + part.height] = vectors.reshape(part.height, -1)
        parts.append(part.select(column.name for column in shown))
        done += part.height
        size += parts[-1].estimated_size()
        _check_size("vectors and texts", size, cap_bytes)
    rows = pl.concat(parts) if parts else table.scan().select(column.name for column in shown).head(0).collect()
    documents = rows["document_id"].n_unique() if rows.height else 0
    return Index(columns=shown, model_key=key, rows=rows, matrix=matrix, documents=documents)


def _check_size(what: str, size: int, cap_bytes: int) -> None:
    """Raises `IndexTooLarge`: asked before something is read, and while it is."""
    if size > cap_bytes:
        raise IndexTooLarge(
            f"The {what} of this index take {size >> 20:,} MiB or more; searching may use {cap_bytes >> 20:,} MiB.",
            hint="Raise ASSAY_VECTOR_CACHE_MB, or make smaller indexes.",
            http_status=409,
        )


class Indexes:
    """The indexes that were searched last, by address and version, up to so many bytes in all."""

    def __init__(self, cap_bytes: int = DEFAULT_CAP_BYTES, idle_seconds: float = IDLE_SECONDS) -> None:
        self.cap_bytes, self._idle_seconds = cap_bytes, idle_seconds
        self._held: OrderedDict[tuple[str, int], tuple[Index, float]] = OrderedDict()
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None

    def get(self, uri: str, version: int) -> Index:
        """The index, read where it is not in memory. Raises what `read_index` raises."""
        with self._lock:  # of two who ask for the same at once one reads it
            index = self._held[uri, version][0] if (uri, version) in self._held else None
            if index is None:
                for key in [key for key in self._held if key[0] == uri]:
                    del self._held[key]  # an older version is seldom asked again
                index = read_index(uri, version, self.cap_bytes)
            self._held[uri, version] = (index, time.monotonic())
            self._held.move_to_end((uri, version))
            self._make_room()
            self._watch()
        return index

    @property
    def size(self) -> int:
        return sum(index.size for index, _ in self._held.values())

    def __len__(self) -> int:
        return len(self._held)

    def _make_room(self) -> None:
        while len(self._held) > 1 and self.size > self.cap_bytes:
            self._held.popitem(last=False)

    def _watch(self) -> None:
        """Let go of what nobody searches: an idle site should be small."""
        if self._timer is None and self._held:
            self._timer = threading.Timer(self._idle_seconds, self._let_go)
            self._timer.daemon = True
            self._timer.start()

    def _let_go(self) -> None:
        with self._lock:
            self._timer = None
            now = time.monotonic()
            for key in [key for key, (_, used) in self._held.items() if now - used >= self._idle_seconds]:
                del self._held[key]
            self._watch()
