"""Models behind an address that speaks OpenAI's protocol: asked again while busy, and no wrong answer is taken."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import numpy as np
import pytest

from workers.embeddings import EmbeddingFailed, connection_of, load, over_http
from workers.errors import AddressRefused, SourceMissing, SourceRefused, SourceUnavailable

MODEL = "http:models/small"


@pytest.fixture
def model(model_server):
    return load(MODEL, model_server.access())


@pytest.fixture
def quick(monkeypatch):
    """A server is given up after two tries, each of half a second."""
    patience = over_http.Patience(tries=2, pause_seconds=1, answer_seconds=0.5)
    monkeypatch.setattr(over_http, "WITH_DOCUMENTS", patience)


def expected(texts: list[str]) -> np.ndarray:
    vectors = np.array([[len(text), len(text.split()), 1.0] for text in texts])
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_a_model_behind_a_connection_embeds(model_server, model):
    assert np.allclose(model.embed(["a b", "abcde"]), expected(["a b", "abcde"]))
    assert model_server.keys == ["Bearer s3cret"]
    assert model_server.bodies[0]["encoding_format"] == "float"
    assert connection_of(model.name) == "models"
    assert "s3cret" not in repr(model) + model.key


@pytest.mark.parametrize("faults", [["503", "500"], ["429:0", "429:1"], ["drop", "502"]])
def test_a_busy_model_is_asked_again(model_server, model, faults):
    model_server.faults = faults
    assert model.embed(["x"]).shape == (1, 3)
    assert len(model_server.bodies) == 3


def test_a_model_that_asks_for_peace_until_a_moment_gets_it(model_server, model):
    model_server.faults = [f"429:{format_datetime(datetime.now(UTC) + timedelta(seconds=1), usegmt=True)}"]
    assert model.embed(["x"]).shape == (1, 3)


def test_a_model_that_asks_for_an_hour_of_peace_ends_the_try_at_once(model_server, model):
    model_server.faults = ["429:3600"]
    with pytest.raises(SourceUnavailable, match=r"429, and asks to be left alone for 3,600 s") as told:
        model.embed(["x"])
    assert told.value.retryable
    assert len(model_server.bodies) == 1


def test_somebody_who_asks_a_question_does_not_wait_for_long(model_server, model):
    model_server.faults = ["429:30"]
    with pytest.raises(SourceUnavailable):
        model.embed_query("x")
    assert len(model_server.bodies) == 1


@pytest.mark.parametrize(
    ("fault", "words"), [("500", "answers 500"), ("drop", "no answer"), ("stall", "no answer: ReadTimeout")]
)
def test_a_model_that_stays_away_is_given_up(model_server, model, quick, fault, words):
    model_server.faults = [fault] * 2
    with pytest.raises(SourceUnavailable, match=words):
        model.embed(["x"])
    assert len(model_server.bodies) == 2


@pytest.mark.parametrize("fault", ["few", "strange", "html", "numbers", "uneven"])
def test_an_answer_that_is_not_one_vector_for_each_text_is_refused(model_server, model, fault):
    model_server.faults = [fault]
    with pytest.raises(EmbeddingFailed):
        model.embed(["x", "y z"])
    assert len(model_server.bodies) == 1


def test_an_answer_without_an_end_is_not_read_to_the_end(model_server, model, monkeypatch):
    monkeypatch.setattr(over_http, "MOST_BYTES", 3 << 20)
    model_server.faults = ["endless"]
    with pytest.raises(EmbeddingFailed, match="over 3,145,728 bytes"):
        model.embed(["x"])


def test_no_more_texts_are_sent_at_once_than_the_server_takes(model_server, model):
    model_server.most_texts = 10
    texts = [f"text {'x' * number}" for number in range(100)]
    assert np.allclose(model.embed(texts), expected(texts))
    assert [len(body["input"]) for body in model_server.bodies] == [64, 32, 16, *[8] * 12, 4]
    model.embed(texts[:20])
    assert [len(body["input"]) for body in model_server.bodies[-3:]] == [8, 8, 4]


def test_a_text_that_the_model_cannot_read_says_what_to_do(model_server, model):
    model_server.longest_text = 10
    with pytest.raises(SourceRefused, match="answered 400") as refused:
        model.embed(["short", "much too long for it", "short"])
    assert "smaller chunk_size" in refused.value.hint


@pytest.mark.parametrize(("status", "hint"), [("401", "credentials"), ("403", "credentials"), ("404", "base_url")])
def test_a_refusal_is_not_repeated_and_tells_what_to_check(model_server, model, status, hint):
    model_server.faults = [status]
    with pytest.raises(SourceRefused, match=status) as refused:
        model.embed(["x", "y"])
    assert hint in refused.value.hint
    assert len(model_server.bodies) == 1


def test_what_a_model_refuses_is_told_without_its_words(model_server):
    with pytest.raises(SourceRefused, match="404") as refused:
        load("http:models/unknown", model_server.access()).embed(["x"])
    assert "s3cret" not in str(refused.value.as_dict())


def test_the_network_policy_holds_for_models(model_server):
    with pytest.raises(AddressRefused):
        load(MODEL, model_server.access("10.0.0.1")).embed(["x"])
    assert model_server.bodies == []


def test_a_connection_that_is_gone_is_named():
    with pytest.raises(SourceMissing, match="models"):
        load(MODEL)
