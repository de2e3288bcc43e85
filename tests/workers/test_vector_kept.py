"""Vectors of a run that did not publish: kept beside the table, taken over by the next try, cleared away at its end."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tests.workers.test_vector_index_killed import publish_articles, rows_of, run_in_child, spec_over
from workers.embeddings import ModelChanged, over_http
from workers.errors import LakeUnavailable, SourceUnavailable
from workers.executors.vector_index.kept import FOLDER, KeptVectors
from workers.executors.vector_index.run import run as run_index
from workers.ids import new_run_id
from workers.lake.maintain import vacuum
from workers.lake.store import open_store
from workers.lake.table import table_exists
from workers.template_specs import VectorIndexSpec

MANY = 1_500  # more chunks than are embedded before the first vectors are written


def bodies(count: int, word: str = "article") -> dict[int, str]:
    return {number: f"{word} {'x' * number}" for number in range(count)}


def kept_files(spec: VectorIndexSpec) -> list[str]:
    return [entry.key for entry in open_store(spec.target.uri).list(FOLDER)]


def next_try(spec: VectorIndexSpec, **changes) -> VectorIndexSpec:
    return replace(spec, run_id=str(new_run_id()), **changes)


def counts(result) -> list[int]:
    return [result.facts[name] for name in ("resumed_chunks", "embedded_chunks", "reused_chunks")]


@pytest.fixture(autouse=True)
def hasty(monkeypatch):
    """A server that is busy is not asked again."""
    monkeypatch.setattr(over_http, "WITH_DOCUMENTS", over_http.Patience(tries=1, pause_seconds=1, answer_seconds=30))


@pytest.fixture
def job(tmp_path) -> Callable[..., VectorIndexSpec]:
    """Makes the spec of a run over these articles, by the model of the test's server."""

    def make(texts: dict[int, str], lake: object = tmp_path, **changes) -> VectorIndexSpec:
        spec = spec_over(lake, publish_articles(lake, texts))
        return replace(spec, embedding_model="http:models/small", connection="models", **changes)

    return make


def fail(spec: VectorIndexSpec, server, requests: int) -> None:
    """A run whose model is away after so many requests."""
    server.faults = ["fine"] * requests + ["503"]
    with pytest.raises(SourceUnavailable):
        run_index(spec, access=server.access())


def test_no_text_is_paid_for_twice_when_the_model_goes_away(job, model_server):
    spec = job(bodies(200))
    fail(spec, model_server, requests=2)
    assert not table_exists(spec.target.uri)
    result = run_index(next_try(spec), access=model_server.access())
    assert counts(result) == [128, 72, 0]
    assert sorted(model_server.answered) == sorted(bodies(200).values())
    assert kept_files(spec) == []
    whole = replace(next_try(spec), target=replace(spec.target, uri=f"{spec.target.uri}-whole"))
    run_index(whole, access=model_server.access())
    assert rows_of(spec).equals(rows_of(whole))


def test_every_try_goes_on_where_the_ones_before_it_were(job, model_server):
    spec = job(bodies(200))
    for _ in range(3):
        fail(next_try(spec), model_server, requests=1)
    assert counts(run_index(next_try(spec), access=model_server.access())) == [192, 8, 0]
    assert len(model_server.answered) == 200


def test_a_change_of_an_index_is_resumed_too(job, model_server):
    spec = job(bodies(10))
    run_index(spec, access=model_server.access())
    before = rows_of(spec)
    changed = job(bodies(10) | bodies(100, "changed"))
    fail(changed, model_server, requests=1)
    assert rows_of(spec).equals(before)
    assert counts(run_index(next_try(changed), access=model_server.access())) == [64, 36, 0]


def test_a_run_that_is_killed_leaves_its_vectors(tmp_path):
    spec = spec_over(tmp_path, publish_articles(tmp_path, bodies(MANY)))
    assert run_in_child(spec, ("workers.executors.vector_index.kept", "KeptVectors.save", "after")) == -9
    kept = sum(pl.scan_parquet(f"{spec.target.uri}/{key}").collect().height for key in kept_files(spec))
    result = run_index(spec)
    assert counts(result) == [kept, MANY - kept, 0]
    assert kept > 0
    assert kept_files(spec) == []
    fresh = spec_over(tmp_path, spec.inputs[0], "fresh")
    run_index(fresh)
    assert rows_of(spec).equals(rows_of(fresh))


def test_a_run_that_is_killed_while_it_keeps_vectors_leaves_no_half_file(tmp_path):
    spec = spec_over(tmp_path, publish_articles(tmp_path, bodies(MANY)))
    assert run_in_child(spec, ("workers.lake.store", "_copy", "after")) == -9
    assert counts(run_index(spec)) == [0, MANY, 0]
    assert not [path for path in (Path(spec.target.uri) / FOLDER).rglob("*") if path.is_file()]


def test_what_a_killed_run_had_published_is_not_kept_longer(tmp_path):
    spec = spec_over(tmp_path, publish_articles(tmp_path, bodies(20)))
    assert run_in_child(spec, ("workers.executors.vector_index.run", "forget", "before")) == -9
    assert kept_files(spec) != []
    assert run_index(spec).published.already
    assert kept_files(spec) == []


def test_vectors_of_another_model_are_not_taken(job, model_server):
    spec = job(bodies(100))
    fail(spec, model_server, requests=1)
    result = run_index(next_try(spec, embedding_model="embedded:hash", connection=""))
    assert counts(result) == [0, 100, 0]
    assert kept_files(spec) == []


def test_a_rebuild_asks_the_model_itself_and_goes_on_where_a_rebuild_was(job, model_server):
    spec = job(bodies(100))
    fail(spec, model_server, requests=1)
    fail(next_try(spec, rebuild=True), model_server, requests=1)
    model_server.answered.clear()
    assert counts(run_index(next_try(spec, rebuild=True), access=model_server.access())) == [64, 36, 0]


@pytest.mark.parametrize("fault", ["few", "strange", "uneven", "html", "500", "drop", "429:3600", "401"])
def test_whatever_the_model_answers_nothing_half_is_written(job, model_server, fault):
    spec = job(bodies(10))
    run_index(spec, access=model_server.access())
    before, files = rows_of(spec), set(Path(spec.target.uri).rglob("*.parquet"))
    changed = job(bodies(200, "changed"))
    model_server.faults = ["fine", fault]
    with pytest.raises(Exception) as ended:
        run_index(changed, access=model_server.access())
    assert ended.value.message
    assert ended.value.hint
    assert rows_of(spec).equals(before)
    left = set(Path(spec.target.uri).rglob("*.parquet")) - files
    assert {path.parents[1].name for path in left} == {"vectors"}


def test_a_model_that_changed_between_two_tries_is_told_and_the_next_try_is_of_one_model(job, model_server):
    spec = job(bodies(200))
    fail(spec, model_server, requests=2)
    model_server.faults = ["wider"]
    with pytest.raises(ModelChanged, match="4 numbers now, and gave vectors of 3") as told:
        run_index(next_try(spec), access=model_server.access())
    assert "rebuild" in told.value.hint
    assert counts(run_index(next_try(spec), access=model_server.access())) == [0, 200, 0]


def test_vacuum_takes_what_nobody_came_back_for(job, model_server):
    spec = job(bodies(10))
    run_index(spec, access=model_server.access())
    fail(job(bodies(100, "changed")), model_server, requests=1)
    (key,) = kept_files(spec)
    assert vacuum(spec.target.uri).orphans == ()
    long_ago = time.time() - 8 * 86_400
    os.utime(f"{spec.target.uri}/{key}", (long_ago, long_ago))
    assert vacuum(spec.target.uri).orphans == (key,)


def keep_in_a_file(path: Path, error: Exception | None = None) -> None:
    path.write_text("a file where a folder should be")
    with KeptVectors(str(path), "a model") as kept:
        kept.add(["a text"], np.ones((1, 3), np.float32))
        if error:
            raise error


def test_the_error_that_ended_a_run_is_told_also_when_nothing_can_be_kept(tmp_path):
    with pytest.raises(LakeUnavailable):
        keep_in_a_file(tmp_path / "table")
    with pytest.raises(SourceUnavailable):
        keep_in_a_file(tmp_path / "table", SourceUnavailable("The model is away."))


@pytest.mark.s3
def test_vectors_are_kept_in_a_lake_on_s3(job, model_server, s3_lake):
    spec = job(bodies(200), s3_lake)
    fail(spec, model_server, requests=2)
    assert len(kept_files(spec)) == 1
    assert counts(run_index(next_try(spec), access=model_server.access())) == [128, 72, 0]
    assert kept_files(spec) == []
