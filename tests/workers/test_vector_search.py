"""Searching an index: exactly the closest, of what fits the filters and may be seen."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal

import numpy as np
import polars as pl
import pytest

from workers import errors
from workers.embeddings import ModelChanged, load
from workers.embeddings.base import Model
from workers.ids import new_run_id
from workers.lake.publish import publish
from workers.lake.stage import Staging
from workers.schema import columns_of
from workers.specs import TableTarget
from workers.vector_filters import BadFilter
from workers.vector_search import Indexes, IndexTooLarge, NoVectorIndex, find, read_index

MODEL = load("embedded:hash")
TEXTS = [
    "ships in the harbour",
    "cranes unload ships",
    "apples and pears",
    "pears in the harbour",
    "the price of apples",
]


@pytest.fixture
def table(tmp_path) -> Callable[..., tuple[str, int]]:
    def write(rows: pl.DataFrame, name: str = "search") -> tuple[str, int]:
        target = TableTarget(dataset=f"gold.help.{name}", uri=f"{tmp_path}/lake/gold/help/{name}")
        run_id = str(new_run_id())
        with Staging(target, run_id) as staging:
            staging.sink(rows.lazy())
            columns = columns_of(rows.schema)
            done = publish(target, staging.files, run_id=run_id, mode="overwrite", columns=columns)
        return target.uri, done.version

    return write


def chunks(texts=TEXTS, key=MODEL.key, **metadata) -> pl.DataFrame:
    ids = list(range(len(texts)))
    return pl.DataFrame(
        {
            "chunk_id": [f"{number}#0" for number in ids],
            "document_id": ids,
            "chunk_index": [0] * len(ids),
            "text": texts,
            "embedding": MODEL.embed(texts).tolist() if texts else [],
            "embedding_model": [key] * len(ids),
            **metadata,
        },
        schema_overrides={"embedding": pl.List(pl.Float32), "text": pl.String, "embedding_model": pl.String},
    )


def texts_of(hits) -> list[str]:
    return [hit.row["text"] for hit in hits]


def test_the_closest_chunks_come_first(table):
    index = read_index(*table(chunks()))
    question = MODEL.embed_query("ship harbour")
    expected = sorted(TEXTS, key=lambda text: -float(MODEL.embed([text])[0] @ question))
    hits = find(index, MODEL, "ship harbour", k=5)
    assert texts_of(hits) == expected
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    assert abs(hits[0].score - float(MODEL.embed([expected[0]])[0] @ question)) < 1e-3
    assert set(hits[0].row) == {"chunk_id", "document_id", "chunk_index", "text"}


def test_thousands_of_chunks_are_ranked_as_a_full_sort_would(table):
    random = np.random.default_rng(3)
    words = ["ship", "port", "apple", "pear", "wind", "rope"]
    texts = [" ".join(random.choice(words, size=random.integers(1, 8))) for _ in range(3000)]
    index = read_index(*table(chunks(texts)))
    scores = MODEL.embed(texts) @ MODEL.embed_query("ship rope")
    expected = sorted(range(3000), key=lambda place: (-np.float32(scores[place]), place))
    hits = find(index, MODEL, "ship rope", k=2000)
    assert [round(float(scores[hit.row["document_id"]]), 3) for hit in hits] == [
        round(float(scores[place]), 3) for place in expected[:2000]
    ]
    assert len({hit.row["chunk_id"] for hit in hits}) == 2000


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"lang": ["de"]}, {1, 3}),
        ({"lang": ["de", "fr"]}, {1, 2, 3}),
        ({"lang": [""]}, {4}),
        ({"price": ["2..3"]}, {1, 2}),
        ({"price": ["4.."]}, {3}),
        ({"price": ["..1"]}, {0}),
        ({"price": ["2"]}, {1}),
        ({"day": ["2026-01-02..2026-01-03"]}, {1, 2}),
        ({"at": ["..2026-01-02T00:00:00+00:00"]}, {0, 1}),
        ({"at": ["2026-01-03T01:00:00+01:00"]}, {2}),
        ({"amount": ["1.50"]}, {1}),
        ({"fresh": ["true"]}, {0, 2, 4}),
        ({"lang": ["de"], "price": ["4"]}, {3}),
        ({"document_id": ["2"]}, {2}),
        ({"lang": ["nobody"]}, set()),
    ],
)
def test_filters_leave_only_what_fits(table, filters, expected):
    days = [date(2026, 1, day) for day in range(1, 6)]
    rows = chunks(
        lang=["en", "de", "fr", "de", None],
        price=[1.0, 2.0, 3.0, 4.0, None],
        day=days,
        at=[datetime(2026, 1, day.day, tzinfo=UTC) for day in days],
        amount=[Decimal("0.50"), Decimal("1.50"), Decimal("2.50"), None, None],
        fresh=[True, False, True, False, True],
    )
    hits = find(read_index(*table(rows)), MODEL, "ships", filters=filters)
    assert {hit.row["document_id"] for hit in hits} == expected


@pytest.mark.parametrize(
    "filters",
    [
        {"colour": ["red"]},
        {"text": ["x"]},
        {"price": ["cheap"]},
        {"price": ["1..x"]},
        {"day": ["soon"]},
        {"fresh": ["?"]},
        {"price": ["1e4x"]},
        {"price": ["1..2..3"]},
        {"document_id": ["9" * 5000]},
        {"document_id": ["99999999999999999999"]},
        {"document_id": ["1.5"]},
        {"day": ["10000-01-01"]},
        {"day": ["2026-02-30.."]},
        {"embedding": ["1"]},
        {"embedding_model": ["x"]},
        {"content_hash": ["x"]},
        {"chunk_id": ["0#0"]},
        {"": ["x"]},
        {"price": ["1"] * 101},
    ],
)
def test_a_filter_that_means_nothing_is_refused(table, filters):
    index = read_index(*table(chunks(price=[1.0] * 5, day=[date(2026, 1, 1)] * 5, fresh=[True] * 5)))
    with pytest.raises(BadFilter) as refused:
        find(index, MODEL, "ships", filters=filters)
    assert refused.value.facts["attr"] == f"filter.{next(iter(filters))}"


def test_filters_come_before_the_ranking(table):
    """The ten best of another language take no place from the one that fits."""
    texts = ["ships"] * 50 + ["ships and apples"]
    index = read_index(*table(chunks(texts, lang=["en"] * 50 + ["de"])))
    assert texts_of(find(index, MODEL, "ships", k=3, filters={"lang": ["de"]})) == ["ships and apples"]


def test_what_may_not_be_seen_takes_nobodys_place(table):
    texts = ["ships"] * 2000 + ["ships and apples"]
    index = read_index(*table(chunks(texts)))

    def policy(rows):
        return (row for row in rows if row["text"] != "ships")

    assert texts_of(find(index, MODEL, "ships", k=3, visible=policy)) == ["ships and apples"]


def test_masked_columns_are_shown_masked_and_cannot_be_filtered_by(table):
    index = read_index(*table(chunks(owner=["Ann", "Bob", "Ann", "Bob", "Cid"])))

    def policy(rows):
        return (row | {"owner": "***"} for row in rows)

    assert {hit.row["owner"] for hit in find(index, MODEL, "ships", visible=policy)} == {"***"}
    assert find(index, MODEL, "ships", filters={"owner": ["Ann"]}, visible=policy) == []


def test_a_text_that_is_masked_is_not_found(table):
    index = read_index(*table(chunks()))
    assert find(index, MODEL, "ships", visible=lambda rows: (row | {"text": "***"} for row in rows)) == []


def test_a_column_that_is_taken_away_cannot_be_filtered_by_not_even_for_nulls(table):
    index = read_index(*table(chunks(owner=["Ann", None, None, None, None])))

    def policy(rows):
        return ({name: value for name, value in row.items() if name != "owner"} for row in rows)

    for asked in ("Ann", ""):
        assert find(index, MODEL, "ships", filters={"owner": [asked]}, visible=policy) == []
    assert len(find(index, MODEL, "ships", visible=policy)) == 5


@pytest.mark.parametrize("mask", [{"document_id": "***"}, {"document_id": None}])
def test_a_masked_document_is_not_told_by_the_id_of_its_chunk(table, mask):
    index = read_index(*table(chunks()))
    hits = find(index, MODEL, "ships", visible=lambda rows: (row | mask for row in rows))
    assert {(hit.row["document_id"], hit.row["chunk_id"]) for hit in hits} == {(mask["document_id"], None)}
    assert (
        find(index, MODEL, "ships", filters={"document_id": ["1"]}, visible=lambda rows: (r | mask for r in rows)) == []
    )


@pytest.mark.parametrize("question", ["???", " ", "\x00", "。", "—"])
def test_a_question_without_a_word_finds_nothing(table, question):
    assert find(read_index(*table(chunks())), MODEL, question) == []


@pytest.mark.parametrize(
    "question", ["SHIPS", "ｓｈｉｐｓ", "ships\x00", "ships " * 10_000, "👩‍👩‍👧 ships", "\ufeffships\u200b"]
)
def test_however_a_question_is_spelt_it_finds_what_it_means(table, question):
    assert "ships" in texts_of(find(read_index(*table(chunks())), MODEL, question))[0]


def test_an_index_of_another_model_is_not_asked(table):
    index = read_index(*table(chunks(key="embedded:hash@0000000000000000")))
    with pytest.raises(ModelChanged, match="0000000000000000"):
        find(index, MODEL, "ships")


def test_a_model_with_other_dimensions_is_refused(table):
    class Two:
        def embed_query(self, text):
            return [1.0, 0.0]

    index = read_index(*table(chunks(key=f"x@{'0' * 16}")))
    with pytest.raises(ModelChanged, match="2 numbers"):
        find(index, Model(name="x", fingerprint="0" * 64, embeddings=Two()), "ships")


def test_a_table_without_vectors_is_no_index(table):
    uri, version = table(pl.DataFrame({"chunk_id": ["a"], "text": ["b"]}))
    with pytest.raises(NoVectorIndex, match="document_id, embedding, embedding_model"):
        read_index(uri, version)


def test_an_empty_index_has_no_answers(table):
    index = read_index(*table(chunks([])))
    assert (find(index, MODEL, "ships"), index.documents) == ([], 0)


def test_an_index_larger_than_the_cap_is_refused(table):
    with pytest.raises(IndexTooLarge, match="take 1 MiB") as refused:
        read_index(*table(chunks(["a text"] * 1000)), cap_bytes=1 << 20)
    assert "ASSAY_VECTOR_CACHE_MB" in refused.value.hint


def test_the_texts_of_an_index_count_as_well_as_its_vectors(table):
    where = table(chunks(["ships " * 2_000] * 200))
    with pytest.raises(IndexTooLarge, match="vectors and texts"):
        read_index(*where, cap_bytes=1 << 20)
    assert read_index(*where, cap_bytes=8 << 20).size > 1 << 20


def test_indexes_stay_in_memory_until_there_is_no_room(table):
    first, second, third = (table(chunks(["a text"] * 100), name) for name in ("one", "two", "three"))
    size = read_index(*first).size
    held = Indexes(cap_bytes=int(size * 2.5))
    one = held.get(*first)
    held.get(*second)
    assert held.get(*first) is one
    held.get(*third)
    assert (len(held), held.get(*first) is one) == (2, True)


def test_a_new_version_takes_the_place_of_the_old_one(table):
    held = Indexes()
    held.get(*table(chunks()))
    index = held.get(*table(chunks(["only one"])))
    assert (len(held), index.rows.height) == (1, 1)


def test_what_nobody_searches_is_let_go(table):
    held = Indexes(idle_seconds=0.05)
    held.get(*table(chunks()))
    until = time.monotonic() + 60
    while len(held) and time.monotonic() < until:
        time.sleep(0.02)
    assert len(held) == 0


def test_a_version_that_is_not_there_is_named(table):
    uri, _ = table(chunks())
    with pytest.raises(errors.TableMissing, match="no version 7"):
        read_index(uri, 7)
