"""Searching a dataset that is an index by meaning, as the person who asks may see it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from datetime import time as time_of_day
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, Any

from django.conf import settings

from assay.common.columns import as_columns
from assay.common.policy import visible_rows
from workers.access import NOTHING, Access
from workers.errors import TableMissing

from ..models import Dataset
from ..services import lake_uri

if TYPE_CHECKING:
    from workers.lake.table import Commit
    from workers.specs import Column
    from workers.vector_search import Indexes

MAX_QUESTION = 1_000  # characters; a model reads no more of them
MAX_RESULTS = 100
COMMITS_READ = 50  # back to the one that made the index: maintenance and rollbacks come between
NEEDED = frozenset({"chunk_id", "document_id", "text", "embedding", "embedding_model"})
OWN = ("chunk_id", "document_id", "chunk_index", "text")

# What the model is reached with to search this dataset: `(dataset, model)`. Connections belong to apps above the
# catalog, which say it here.
access_for: Callable[[str, str], Access] = lambda dataset, model: NOTHING  # noqa: E731


def is_index(dataset: Dataset) -> bool:
    return {column["name"] for column in dataset.columns} >= NEEDED


def search(
    dataset: Dataset,
    user: Any,
    question: str,
    k: int = 10,
    filters: Mapping[str, Sequence[str]] | None = None,
) -> dict[str, Any]:
    """`{results: [{document_id, chunk_id, text, score, metadata}], model, version, took_ms}`.

    The dataset is one that the person may see. Raises `NoVectorIndex`,
    `BadFilter`, `TableMissing` before the first run, `ModelMissing` and
    `ModelChanged` where the index's model is not the one that is here.
    """
    from workers import vector_search
    from workers.embeddings import load
    from workers.embeddings.base import name_of

    started = time.perf_counter()
    if not is_index(dataset):
        raise vector_search.NoVectorIndex(
            f"{dataset.name} is no vector index.",
            hint="Search what a job of the transform type vector_index makes.",
            http_status=400,
        )
    if dataset.version is None:
        raise TableMissing(f"{dataset.name} was never published.", hint="Run the job that makes it first.")
    index = indexes().get(lake_uri(dataset.name), dataset.version)
    name = name_of(index.model_key)
    hits = []
    if name:
        model = load(name, access_for(dataset.name, name), light=True)

        def visible(rows: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
            return visible_rows(user, dataset.name, rows)

        hits = vector_search.find(index, model, question, k, filters, visible)
    return {
        "results": [_result(hit.row, hit.score) for hit in hits],
        "model": name,
        "version": dataset.version,
        "took_ms": round((time.perf_counter() - started) * 1000, 1),
    }


@cache
def indexes() -> Indexes:
    """Those of this process."""
    from workers.vector_search import Indexes

    return Indexes(settings.ASSAY_VECTOR_CACHE_MB << 20)


def metadata_columns(dataset: Dataset) -> list[Column]:
    """What an index can be filtered by, beside the document's id."""
    hidden = {*OWN, *NEEDED, "content_hash"}
    return [column for column in as_columns(dataset.columns) if column.name not in hidden]


def _result(row: Mapping[str, Any], score: float) -> dict[str, Any]:
    plain = {name: _plain(value) for name, value in row.items()}
    return {
        "document_id": plain.get("document_id"),
        "chunk_id": plain.get("chunk_id"),
        "text": plain["text"],
        "score": score,
        "metadata": {name: value for name, value in plain.items() if name not in OWN},
    }


def _plain(value: Any) -> Any:
    """As JSON has it."""
    if isinstance(value, datetime | date | time_of_day):
        return value.isoformat()
    if isinstance(value, Decimal) or (isinstance(value, float) and value - value != 0):  # NaN and the infinities
        return str(value)
    return value


# --- what the index covers -----------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A table that the index was made from, as far as the person may see it."""

    name: str
    version: int  # that is indexed
    latest: int | None

    @property
    def behind(self) -> int:
        return max(0, (self.latest or 0) - self.version)


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    documents: int
    chunks: int
    model: str
    sources: tuple[Source, ...]
    hidden_sources: int = 0

    @property
    def is_up_to_date(self) -> bool:
        return not any(source.behind for source in self.sources)


def coverage(dataset: Dataset, user: Any) -> Coverage | None:
    """How much the index holds and how new that is, from the commit that made it; None before the first run.

    Raises `TableMissing`, `LakeUnavailable`.
    """
    if dataset.version is None:
        return None
    commit = _maker(lake_uri(dataset.name), dataset.version)
    if commit is None:
        return None
    facts, inputs = commit.metadata["facts"], commit.metadata.get("inputs") or {}
    seen = Dataset.objects.visible_to(user).filter(name__in=inputs)
    latest = dict(seen.values_list("name", "version"))
    sources = tuple(
        Source(name=name, version=version, latest=latest[name]) for name, version in inputs.items() if name in latest
    )
    return Coverage(
        documents=facts.get("documents", 0),
        chunks=facts.get("chunks", 0),
        model=facts.get("model", ""),
        sources=sources,
        hidden_sources=len(inputs) - len(sources),
    )


def _maker(uri: str, version: int) -> Commit | None:
    """The commit of the run whose rows this version has: maintenance is passed over, a rollback followed."""
    from workers.lake.table import open_table

    for commit in open_table(uri, version).history(limit=COMMITS_READ):
        if commit.restored_version is not None:
            return _maker(uri, commit.restored_version)
        if "documents" in (commit.metadata.get("facts") or {}):
            return commit
    return None
