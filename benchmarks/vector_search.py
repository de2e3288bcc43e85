"""A vector index: searching it against bare numpy, making it, and following one changed document.

    python -m benchmarks.vector_search [--chunks 100000] [--documents 10000] [--model embedded:hash]

Searches take turns with `matrix @ vector` and a full sort of the same matrix;
the question is embedded before the clock starts on both sides, and on its own
line. The large index has random vectors: what is measured does not look at them.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime

import numpy as np
import polars as pl

from workers.embeddings import load
from workers.embeddings.base import Model
from workers.executors.vector_index.run import output_columns
from workers.executors.vector_index.run import run as run_index
from workers.ids import new_run_id
from workers.lake.publish import publish
from workers.lake.stage import Staging
from workers.schema import columns_of
from workers.specs import TableInput, TableTarget
from workers.template_specs import VectorIndexSpec
from workers.vector_search import find, read_index

WORDS = "harbour ship crane rope salt wind sail port dock tide anchor cargo pilot buoy mast keel"
SEARCHES = 100


class Known:
    """Answers every question with one vector, so that searching is measured and embedding is not."""

    def __init__(self, vector: np.ndarray) -> None:
        self._vector = vector

    def embed_query(self, text: str) -> np.ndarray:
        return self._vector


def write(lake: str, name: str, rows: pl.DataFrame) -> TableInput:
    target, run_id = TableTarget(dataset=f"silver.bench.{name}", uri=f"{lake}/silver/bench/{name}"), str(new_run_id())
    with Staging(target, run_id, rows_per_file=20_000) as staging:
        staging.sink(rows.lazy())
        done = publish(target, staging.files, run_id=run_id, mode="overwrite", columns=columns_of(rows.schema))
    return TableInput(dataset=target.dataset, alias=name, uri=target.uri, version=done.version)


def searches(lake: str, chunks: int) -> None:
    random = np.random.default_rng(1)
    vectors = random.standard_normal((chunks, 384), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    model = Model(name="bench", fingerprint="0" * 64, embeddings=Known(vectors[7]))
    numbers = pl.int_range(chunks, eager=True)
    table = write(
        lake,
        "vectors",
        pl.DataFrame(
            {
                "chunk_id": numbers.cast(pl.String) + "#0",
                "document_id": numbers,
                "chunk_index": pl.repeat(0, chunks, dtype=pl.Int32, eager=True),
                "text": "A text of some hundred characters, as chunks have them, number " + numbers.cast(pl.String),
                "embedding": pl.Series(vectors).arr.to_list(),
                "embedding_model": pl.repeat(model.key, chunks, eager=True),
                "lang": (numbers % 10).cast(pl.String),
            }
        ),
    )
    started = time.perf_counter()
    index = read_index(table.uri, table.version)
    print(f"read {chunks:,} chunks into {index.size >> 20} MiB: {time.perf_counter() - started:.2f} s")
    matrix, question = index.matrix, vectors[7]
    sides: dict[str, Callable[[], object]] = {
        "bare numpy: product, argpartition": lambda: np.argpartition(-(matrix @ question), 10)[:10],
        "search, top 10": lambda: find(index, model, "?", 10),
        "search, top 10, one tenth by a filter": lambda: find(index, model, "?", 10, {"lang": ["3"]}),
    }
    taken: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(SEARCHES):
        for name, ask in sides.items():
            started = time.perf_counter()
            ask()
            taken[name].append((time.perf_counter() - started) * 1000)
    print(f"\n{SEARCHES} searches each ({os.cpu_count()} cores, load {os.getloadavg()[0]:.1f})")
    first = statistics.median(taken["bare numpy: product, argpartition"])
    for name, each in taken.items():
        p50, p95 = np.percentile(each, [50, 95])
        print(f"{name:<44} p50 {p50:7.1f} ms   p95 {p95:7.1f} ms   {p50 / first:5.2f}x")


def documents(lake: str, count: int, name: str) -> None:
    random = np.random.default_rng(2)
    words = np.array(WORDS.split())
    bodies = [" ".join(random.choice(words, size=600)) + f". Document {number}." for number in range(count)]
    rows = pl.DataFrame({"id": range(count), "body": bodies})
    first = indexed(lake, write(lake, "articles", rows), name, "made")
    changed = rows.with_columns(body=pl.when(id=count // 2).then(pl.lit("Another text.")).otherwise("body"))
    source = write(lake, "articles", changed)
    indexed(lake, source, name, "one document changed")
    indexed(lake, source, name, "nothing changed")
    print(f"{first['chunks']:,} chunks of {first['documents']:,} documents")


def indexed(lake: str, source: TableInput, name: str, told: str) -> dict:
    spec = VectorIndexSpec(
        run_id=str(new_run_id()),
        workflow="bench",
        job="search",
        inputs=(source,),
        columns=output_columns("int64", ()),
        target=TableTarget(dataset="gold.bench.search", uri=f"{lake}/gold/bench/search"),
        run_time=datetime.now(UTC),
        id_column="id",
        text_column="body",
        embedding_model=name,
    )
    started, cpu = time.perf_counter(), time.process_time()
    result = run_index(spec)
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    facts = result.facts
    print(
        f"{told:<24} {seconds:7.2f} s, {cpu:7.2f} s of processor   {facts['embedded_chunks']:,} chunks embedded, "
        f"{facts['kept_chunks']:,} left alone, {facts['chunks'] / seconds:,.0f} chunks/s"
    )
    return facts


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--chunks", type=int, default=100_000)
    options.add_argument("--documents", type=int, default=10_000)
    options.add_argument("--model", default="embedded:hash")
    asked = options.parse_args()
    with tempfile.TemporaryDirectory() as lake:
        searches(lake, asked.chunks)
        print(f"\nan index by {asked.model}")
        documents(lake, asked.documents, asked.model)
        model = load("embedded:minilm", light=True)
        started, cpu = time.perf_counter(), time.process_time()
        for number in range(10):
            model.embed_query(f"how long can I send goods back, number {number}?")
        took, cpu = (time.perf_counter() - started) * 100, (time.process_time() - cpu) * 100
        print(f"\na question by embedded:minilm, light: {took:.0f} ms, {cpu:.0f} ms of processor")


if __name__ == "__main__":
    main()
