"""How texts are cut: nothing is lost, no chunk is too long, and every chunk begins within the one before it."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workers.embeddings import load
from workers.embeddings.base import words
from workers.embeddings.chunking import Chunking, cut

STORY = (
    "Ships came in at dawn. The harbour was still dark! Who would unload them? "
    "Three cranes stood idle. The foreman, who had not slept, called the office. "
) * 6
CODE = "def area(r):\n    return 3.14159 * r ** 2\n\n\nclass Circle:\n    radius = 1\n" * 10
CJK = "東京は日本の首都です。人口は約千四百万人です。「本当ですか？」と彼は聞いた。" * 10
PARTS = [
    "a",
    "bb",
    "Straße",
    "東京",
    "。",
    ". ",
    "\n",
    "  ",
    "x" * 70,
    "e\u0301",
    "\U0001f469\u200d\U0001f467",
    "\u200b",
    "! ",
]
ANY_TEXT = st.one_of(st.text(max_size=400), st.lists(st.sampled_from(PARTS)).map("".join))
SIZES = st.tuples(st.integers(10, 60), st.integers(0, 9))


@pytest.fixture(scope="module")
def minilm():
    return load("embedded:minilm")


def chunks(text, size, overlap, by="tokens", tokens=words, max_tokens=None):
    chunking = Chunking(size=size, overlap=overlap, by=by, max_tokens=max_tokens)
    return [text[low:high] for low, high in cut(text, chunking, tokens)]


def spans(text, size, overlap, by="tokens", tokens=words, max_tokens=None):
    return list(cut(text, Chunking(size=size, overlap=overlap, by=by, max_tokens=max_tokens), tokens))


def is_covered(text, found):
    covered = set().union(*(range(low, high) for low, high in found)) if found else set()
    return all(place in covered or char.isspace() for place, char in enumerate(text))


@given(ANY_TEXT, SIZES)
@settings(max_examples=300, deadline=None)
def test_chunks_of_words_hold_all_of_the_text_and_none_is_too_long(text, sizes):
    size, overlap = sizes
    found = spans(text, size, overlap)
    assert is_covered(text, found)
    assert all(len(re.findall(r"\w+|[^\w\s]", text[low:high])) <= size for low, high in found)
    for (low, high), (next_low, next_high) in pairwise(found):
        assert low < next_low <= high or not text[high:next_low].strip()
        assert high < next_high
        assert len(words(text[next_low:high])) <= overlap


@given(ANY_TEXT, SIZES)
@settings(max_examples=300, deadline=None)
def test_chunks_of_characters_are_at_most_so_many_characters(text, sizes):
    size, overlap = sizes
    found = spans(text, size, overlap, by="characters")
    assert is_covered(text, found)
    assert all(high - low <= size for low, high in found)
    assert all(high - next_low <= overlap for (_, high), (next_low, _) in pairwise(found))


@given(ANY_TEXT, SIZES)
@settings(max_examples=150, deadline=None)
def test_chunks_of_the_models_tokens_are_read_whole(minilm, text, sizes):
    size, overlap = sizes
    found = spans(text, size, overlap, tokens=minilm.tokens, max_tokens=minilm.max_tokens)
    covered = set().union(*(range(low, high) for low, high in found)) if found else set()
    places = {place for low, high in minilm.tokens(text) for place in range(low, high)}
    assert places <= covered
    assert all(len(minilm.tokens(text[low:high])) <= size for low, high in found)


@pytest.mark.parametrize("text", [STORY, CODE, CJK, "東" * 3000, "aB3/" * 2000, "x" * 5000])
def test_characters_never_become_more_tokens_than_the_model_reads(minilm, text):
    found = spans(text, 2000, 100, by="characters", tokens=minilm.tokens, max_tokens=minilm.max_tokens)
    assert is_covered(text, found)
    assert max(len(minilm.tokens(text[low:high])) for low, high in found) <= 254


def test_a_chunk_ends_where_a_sentence_does():
    found = chunks(STORY, size=40, overlap=0)
    assert "".join(found) == STORY
    assert all(chunk.rstrip()[-1] in ".!?" for chunk in found)


def test_sentences_without_blanks_between_them_are_found():
    assert all(chunk.endswith(("。", "」")) or chunk == "" for chunk in chunks(CJK, 60, 0, by="characters"))


def test_a_long_sentence_is_cut_between_its_words():
    text = " ".join(f"word{number}" for number in range(100))
    found = chunks(text, size=12, overlap=0)
    assert [len(chunk.split()) for chunk in found] == [12] * 8 + [4]
    assert " ".join(chunk.strip() for chunk in found) == text


def test_the_overlap_is_as_large_as_asked_where_words_allow():
    text = " ".join(f"w{number}" for number in range(50))
    found = spans(text, 10, 3)
    shared = [text[low:high].split() for (_, high), (low, _) in pairwise(found)]
    assert [len(each) for each in shared] == [3] * len(shared)


def test_code_is_cut_between_lines():
    assert all(chunk.rstrip(" ").endswith("\n") for chunk in chunks(CODE, size=40, overlap=0))


def test_a_text_without_words_has_no_chunks():
    assert chunks("", 10, 2) == chunks(" \n\t ", 10, 2) == []


def test_a_text_that_fits_is_one_chunk_as_it_stands():
    assert chunks("  One line.\n", 10, 2) == ["  One line.\n"]
