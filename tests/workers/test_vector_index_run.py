"""Documents become an index that follows them: only what changed is embedded, and nothing else is touched."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from deltalake import DeltaTable

from workers import errors
from workers.embeddings import load
from workers.executors import run_dataset, spec_from_json
from workers.executors.preview import preview_template
from workers.executors.vector_index.run import output_columns
from workers.executors.vector_index.run import run as run_index
from workers.ids import new_run_id
from workers.lake.publish import publish, restore
from workers.lake.stage import Staging
from workers.lake.table import open_table, table_exists
from workers.schema import columns_of
from workers.specs import TableInput, TableTarget, to_json
from workers.template_specs import VectorIndexSpec
from workers.vector_damage import IndexDamaged
from workers.vector_search import read_index

AT = datetime(2026, 11, 22, 10, 30, tzinfo=UTC)
LONG = "Cranes unload the ships. " * 12


@pytest.fixture
def articles(tmp_path) -> Callable[..., TableInput]:
    """Publishes the articles as they now are."""

    def write(rows: list[dict] | pl.DataFrame, partition_by=()) -> TableInput:
        frame = pl.DataFrame(rows, infer_schema_length=None) if isinstance(rows, list) else rows
        uri = f"{tmp_path}/lake/silver/help/articles"
        target, run_id = TableTarget(dataset="silver.help.articles", uri=uri), str(new_run_id())
        with Staging(target, run_id) as staging:
            staging.sink(frame.lazy())
            columns = columns_of(frame.schema)
            done = publish(target, staging.files, run_id=run_id, mode="overwrite", columns=columns)
        return TableInput(dataset=target.dataset, alias="articles", uri=uri, version=done.version)

    return write


@pytest.fixture
def job(tmp_path) -> Callable[..., VectorIndexSpec]:
    def make(source: TableInput, **changes) -> VectorIndexSpec:
        metadata = changes.pop("metadata_columns", ("lang",))
        partition_by = changes.pop("partition_by", ())
        held = {column.name: column for column in open_table(source.uri, source.version).columns}
        id_column = changes.get("id_column", "id")
        facts = {
            "run_id": str(new_run_id()),
            "workflow": "help",
            "job": "search",
            "inputs": (source,),
            "columns": output_columns(held[id_column].type, tuple(held[name] for name in metadata)),
            "target": TableTarget(
                dataset="gold.help.search", uri=f"{tmp_path}/lake/gold/help/search", partition_by=partition_by
            ),
            "run_time": AT,
            "id_column": "id",
            "text_column": "body",
            "metadata_columns": metadata,
            "chunk_size": 12,
            "chunk_overlap": 3,
            "embedding_model": "embedded:hash",
        }
        return VectorIndexSpec(**facts | changes)

    return make


def article(number, body, lang="en"):
    return {"id": number, "body": body, "lang": lang}


THREE = [article(1, "How to return goods."), article(2, LONG), article(3, "Wo ist mein Paket?", "de")]


def index_of(spec, version=None) -> pl.DataFrame:
    return open_table(spec.target.uri, version).scan().sort("document_id", "chunk_index").collect()


def files_of(spec) -> set[str]:
    return {file.path for file in open_table(spec.target.uri).data_files}


def told(result, *names):
    return [result.facts[name] for name in names]


def test_documents_become_chunks_with_vectors(articles, job):
    spec = job(articles(THREE))
    result = run_index(spec)
    rows = index_of(spec)
    assert rows.columns == [
        "chunk_id", "document_id", "chunk_index", "text", "content_hash", "embedding", "embedding_model", "lang",
    ]  # fmt: skip
    assert rows.schema["embedding"] == pl.List(pl.Float32)
    assert rows["chunk_id"][:2].to_list() == ["1#0", "2#0"]
    assert rows.filter(document_id=3)["lang"].to_list() == ["de"]
    assert rows["text"][0] == "How to return goods."
    expected = load("embedded:hash").embed(rows["text"].to_list())
    assert np.array_equal(np.array(rows["embedding"].to_list(), dtype=np.float32), expected)
    assert result.rows_read == 3
    assert told(result, "documents", "chunks", "model", "dimension") == [3, rows.height, "embedded:hash", 384]
    assert result.facts["embedded_chunks"] + result.facts["reused_chunks"] == rows.height == result.rows_written


def test_another_reader_of_delta_sees_the_vectors(articles, job):
    spec = job(articles(THREE))
    run_index(spec)
    table = DeltaTable(spec.target.uri).to_pyarrow_table(columns=["chunk_id", "embedding"])
    assert {len(vector) for vector in table["embedding"].to_pylist()} == {384}


def test_the_models_name_and_fingerprint_stand_in_every_row(articles, job):
    spec = job(articles(THREE))
    result = run_index(spec)
    (key,) = index_of(spec)["embedding_model"].unique()
    assert key == f"embedded:hash@{result.facts['model_fingerprint'][:16]}"


def test_a_run_that_has_published_is_not_run_again(articles, job):
    spec = job(articles(THREE))
    first, second = run_index(spec), run_index(spec)
    assert second.published.already
    assert (second.facts, second.checks) == (first.facts, first.checks)


def test_of_many_documents_only_the_changed_one_is_embedded(articles, job):
    many = [article(number, f"Text of article {number}. {LONG}") for number in range(300)]
    spec = job(articles(many))
    run_index(spec)
    before = index_of(spec)
    many[150]["body"] = many[150]["body"] + "The end is new."
    spec = job(articles(many))
    result = run_index(spec)
    after = index_of(spec)
    changed = after.filter(document_id=150)
    news = set(changed["text"]) - set(before.filter(document_id=150)["text"])
    assert told(result, "changed_documents", "unchanged_documents") == [1, 299]
    assert 0 < result.facts["embedded_chunks"] == len(news) < changed.height
    assert result.facts["reused_chunks"] == changed.height - len(news)
    assert after.filter(pl.col("document_id") != 150).equals(before.filter(pl.col("document_id") != 150))


def test_nothing_is_written_when_nothing_changed(articles, job):
    source = articles(THREE)
    spec = job(source)
    run_index(spec)
    files = files_of(spec)
    spec = job(source)
    result = run_index(spec)
    assert told(result, "embedded_chunks", "unchanged_documents", "deleted_chunks") == [0, 3, 0]
    assert files_of(spec) == files
    assert result.rows_written == 0


def test_metadata_follow_without_embedding(articles, job):
    spec = job(articles(THREE))
    run_index(spec)
    before = index_of(spec)
    changed = [THREE[0], THREE[1] | {"lang": None}, THREE[2]]
    spec = job(articles(changed))
    result = run_index(spec)
    after = index_of(spec)
    assert told(result, "updated_documents", "embedded_chunks") == [1, 0]
    assert after.filter(document_id=2)["lang"].null_count() == after.filter(document_id=2).height > 1
    assert after.drop("lang").equals(before.drop("lang"))


def test_documents_that_are_gone_leave_the_index(articles, job):
    run_index(job(articles(THREE)))
    spec = job(articles(THREE[:1]))
    result = run_index(spec)
    assert index_of(spec)["document_id"].unique().to_list() == [1]
    assert told(result, "deleted_documents", "documents", "embedded_chunks") == [2, 1, 0]


def test_documents_without_a_text_are_counted_by_rule(articles, job):
    rows = [article(1, None), article(2, " \n\t"), article(3, "words"), article(4, "")]
    spec = job(articles(rows))
    result = run_index(spec)
    assert index_of(spec)["document_id"].to_list() == [3]
    assert result.facts["empty_documents"] == {"null_text": 1, "blank_text": 2}
    assert told(result, "read_documents", "documents") == [4, 1]
    assert [check["passed"] for check in result.checks] == [True] * len(result.checks)


def test_a_document_that_lost_its_text_leaves(articles, job):
    run_index(job(articles(THREE)))
    spec = job(articles([THREE[0] | {"body": None}, *THREE[1:]]))
    result = run_index(spec)
    assert 1 not in index_of(spec)["document_id"].to_list()
    assert told(result, "deleted_documents", "empty_documents") == [1, {"null_text": 1}]


def test_no_documents_make_an_empty_index_and_can_come_later(articles, job):
    empty = pl.DataFrame(schema={"id": pl.Int64, "body": pl.String, "lang": pl.String})
    spec = job(articles(empty))
    assert run_index(spec).facts["chunks"] == 0
    spec = job(articles(THREE))
    assert run_index(spec).facts["new_documents"] == 3
    assert index_of(spec)["document_id"].n_unique() == 3


def test_two_documents_with_one_id_are_refused(articles, job):
    spec = job(articles([*THREE, article(3, "again"), article(1, "again")]))
    with pytest.raises(errors.AuditFailed, match=r"2 values of id stand at more than one document, e\.g\. 1, 3"):
        run_index(spec)
    assert not table_exists(spec.target.uri)


def test_a_document_without_an_id_is_refused(articles, job):
    with pytest.raises(errors.AuditFailed, match="1 documents have no id"):
        run_index(job(articles([*THREE, article(None, "x")])))


def test_other_chunks_are_made_when_the_options_change(articles, job):
    source = articles(THREE)
    run_index(job(source))
    spec = job(source, chunk_size=40)
    result = run_index(spec)
    fresh = job(source, chunk_size=40, target=TableTarget(dataset="gold.help.other", uri=spec.target.uri + "_other"))
    run_index(fresh)
    assert told(result, "changed_documents") == [3]
    assert result.facts["reused_chunks"] >= 2  # the short documents are cut as before
    assert index_of(spec).equals(index_of(fresh))


def test_another_model_makes_everything_anew(articles, job):
    source = articles(THREE)
    run_index(job(source))
    result = run_index(spec := job(source, embedding_model="embedded:minilm"))
    assert "was embedded:hash@" in result.facts["rebuilt"]
    assert result.facts["embedded_chunks"] + result.facts["reused_chunks"] == result.facts["chunks"]
    assert index_of(spec)["embedding_model"].str.starts_with("embedded:minilm@").all()


def test_a_new_metadata_column_does_not_cost_the_vectors(articles, job):
    source = articles([row | {"day": date(2026, 1, row["id"])} for row in THREE])
    run_index(job(source))
    result = run_index(spec := job(source, metadata_columns=("lang", "day")))
    assert told(result, "rebuilt", "embedded_chunks") == ["the columns are others", 0]
    assert index_of(spec)["day"].unique().sort().to_list() == [date(2026, 1, day) for day in (1, 2, 3)]


def test_a_rebuild_that_was_asked_for_embeds_all(articles, job):
    source = articles(THREE)
    first = run_index(job(source))
    again = run_index(job(source, rebuild=True))
    assert again.facts["embedded_chunks"] == first.facts["embedded_chunks"]
    assert again.facts["kept_chunks"] == 0


@pytest.mark.parametrize("harm", ["lost", "cut off"])
def test_a_damaged_index_says_so_and_a_rebuild_makes_it_whole(articles, job, harm):
    source = articles(THREE)
    run_index(job(source))
    spec = job(source, rebuild=True)
    whole = index_of(spec)
    for file in open_table(spec.target.uri).data_files:
        path = Path(file.uri)
        path.unlink() if harm == "lost" else path.write_bytes(path.read_bytes()[:500])
    for use in (lambda: run_index(job(source)), lambda: read_index(spec.target.uri)):
        with pytest.raises(IndexDamaged) as told:
            use()
        assert "button" in told.value.hint
    run_index(spec)
    assert index_of(spec).equals(whole)


def test_only_files_with_changed_documents_are_written_anew(articles, job):
    """Three runs leave three files; a change in the second leaves the others as they are."""
    rows = [article(1, "one")]
    run_index(job(articles(rows)))
    rows.append(article(2, "two"))
    run_index(job(articles(rows)))
    rows.append(article(3, "three"))
    spec = job(articles(rows))
    run_index(spec)
    before = files_of(spec)
    rows[1]["body"] = "another two"
    spec = job(articles(rows))
    run_index(spec)
    assert len(before) == len(files_of(spec)) == 3
    assert len(before & files_of(spec)) == 2
    assert index_of(spec)["text"].to_list() == ["one", "another two", "three"]


def test_an_index_can_be_partitioned_by_its_metadata(articles, job):
    run_index(job(articles(THREE), partition_by=("lang",)))
    rows = [THREE[0] | {"lang": "fr"}, THREE[1] | {"body": "Short now."}, THREE[2]]
    spec = job(articles(rows), partition_by=("lang",))
    result = run_index(spec)
    seen = index_of(spec).select("document_id", "text", "lang").rows()
    assert seen == [(1, "How to return goods.", "fr"), (2, "Short now.", "en"), (3, "Wo ist mein Paket?", "de")]
    assert result.facts["embedded_chunks"] == 1


def test_ids_may_be_texts(articles, job):
    rows = [{"id": "a#1", "body": "one", "lang": None}, {"id": "a", "body": LONG, "lang": None}]
    spec = job(articles(pl.DataFrame(rows, schema={"id": pl.String, "body": pl.String, "lang": pl.String})))
    run_index(spec)
    rows = index_of(spec)
    assert rows["chunk_id"].n_unique() == rows.height
    assert rows["chunk_id"][-1] == "a#1#0"


def test_a_hash_covers_the_text_and_how_it_is_cut(articles, job):
    spec = job(articles(THREE))
    result = run_index(spec)
    expected = hashlib.sha256(f"{result.facts['chunking']}\nHow to return goods.".encode()).hexdigest()
    assert index_of(spec)["content_hash"][0] == expected


def test_an_index_that_was_taken_back_catches_up(articles, job):
    spec = job(articles(THREE))
    run_index(spec)
    source = articles([*THREE, article(4, "new")])
    run_index(job(source))
    restore(spec.target, 0, str(new_run_id()))
    result = run_index(spec := job(source))
    assert told(result, "new_documents", "unchanged_documents") == [1, 3]
    assert index_of(spec)["document_id"].n_unique() == 4


def test_an_index_is_right_whatever_changes_from_run_to_run(articles, job):
    """The sum of many runs against one run over the last state."""
    random = np.random.default_rng(7)
    words = ["ship", "dock", "crane", "salt", "wind", "rope", "sail", "port"]
    state: dict[int, dict] = {}
    for _ in range(6):
        for number in random.choice(40, size=12, replace=False).tolist():
            match random.integers(4):
                case 0:
                    state.pop(number, None)
                case 1 if number in state:
                    state[number]["lang"] = str(random.choice(["en", "de", "fr"]))
                case _:
                    body = " ".join(random.choice(words, size=random.integers(1, 60)))
                    state[number] = article(number, body if random.random() > 0.1 else None)
        spec = job(source := articles([dict(row) for row in state.values()] or THREE))
        run_index(spec)
    fresh = job(source, target=TableTarget(dataset="gold.help.fresh", uri=spec.target.uri + "_fresh"))
    run_index(fresh)
    assert index_of(spec).equals(index_of(fresh))
    assert index_of(spec)["chunk_id"].n_unique() == index_of(spec).height


def test_a_cancelled_run_leaves_the_index_as_it_was(articles, job):
    run_index(job(articles(THREE)))
    spec = job(articles([article(number, f"{number} {LONG}") for number in range(400)]))
    before, seen = files_of(spec), []

    def cancel(phase, *, done=None, total=None, message=""):
        seen.append((phase, done, total))
        if phase == "stage" and done:
            raise errors.Cancelled("enough")

    with pytest.raises(errors.Cancelled):
        run_index(spec, cancel)
    assert files_of(spec) == before
    assert run_index(replace(spec, run_id=str(new_run_id()))).facts["documents"] == 400


def test_progress_tells_chunks_and_ends_at_their_number(articles, job):
    seen = []
    spec = job(articles([article(number, f"{number} {LONG}") for number in range(400)]))
    result = run_index(spec, lambda phase, *, done=None, total=None, message="": seen.append((phase, done, total)))
    staged = [(done, total) for phase, done, total in seen if phase == "stage" and total]
    assert len(staged) > 3
    assert all(done <= total for done, total in staged)
    assert abs(staged[-1][1] - result.facts["chunks"]) / result.facts["chunks"] < 0.1


def test_a_chunk_larger_than_the_model_reads_is_refused(articles, job):
    with pytest.raises(errors.InvalidSpec, match="reads 254 tokens"):
        run_index(job(articles(THREE), embedding_model="embedded:minilm", chunk_size=300))


def test_a_stored_spec_is_the_same_again(articles, job):
    spec = job(articles(THREE))
    assert spec_from_json(to_json(spec)) == spec
    assert run_dataset(to_json(spec)).facts["documents"] == 3


def test_a_preview_shows_the_first_chunks_and_writes_nothing(articles, job):
    spec = job(articles(THREE), embedding_model="embedded:minilm")
    preview = preview_template(spec)
    assert [row["chunk_id"] for row in preview.rows[:2]] == ["1#0", "2#0"]
    assert len(preview.rows[0]["embedding"]) > 10
    assert not table_exists(spec.target.uri)


def test_a_preview_asks_no_provider(articles, job):
    preview = preview_template(job(articles(THREE), embedding_model="openai:text-embedding-3-small"))
    assert preview.rows[0]["embedding"] is None
    assert preview.rows[0]["text"] == "How to return goods."


def test_documents_of_a_missing_provider_are_not_touched(articles, job):
    spec = job(articles(THREE), embedding_model="cohere:embed-v4.0")
    with pytest.raises(errors.AssayError) as refused:
        run_index(spec)
    assert "langchain-cohere" in refused.value.hint
    assert not table_exists(spec.target.uri)
