"""A provider's own package (langchain-openai, where it is installed) against a server on this machine."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from workers.embeddings import EmbeddingFailed, load
from workers.embeddings.providers import _Told
from workers.errors import SourceUnavailable


@pytest.fixture
def model(model_server, monkeypatch):
    pytest.importorskip("langchain_openai", reason="langchain-openai is not installed")
    model_server.is_backwards = False
    monkeypatch.setenv("OPENAI_API_KEY", "s3cret")
    monkeypatch.setenv("OPENAI_BASE_URL", model_server.url)
    return load("openai:small")


def test_a_provider_embeds_over_an_address_of_ones_own(model_server, model):
    vectors = model.embed(["a b", "abcde"])
    expected = np.array([[3, 2, 1], [5, 1, 1]], dtype=float)
    assert np.allclose(vectors, expected / np.linalg.norm(expected, axis=1, keepdims=True))
    assert model_server.keys == ["Bearer s3cret"]
    assert [len(body["input"]) for body in model_server.bodies] == [2]


def test_a_busy_provider_may_be_asked_again_later(model_server, model):
    model_server.faults = ["429:0"] * 10
    with pytest.raises(SourceUnavailable, match="RateLimitError, 429") as told:
        model.embed(["x"])
    assert "s3cret" not in str(told.value.as_dict())


@pytest.mark.parametrize("fault", ["500", "503", "drop"])
def test_a_provider_that_fails_or_is_away_may_be_asked_again_later(model_server, model, fault):
    model_server.faults = [fault] * 10
    with pytest.raises(SourceUnavailable):
        model.embed(["x"])


@pytest.mark.parametrize("fault", ["401", "404", "few", "strange", "uneven", "html"])
def test_what_a_provider_refuses_or_gets_wrong_ends_the_run(model_server, model, fault):
    model_server.faults = [fault] * 10
    with pytest.raises(EmbeddingFailed) as told:
        model.embed(["x", "y z"])
    assert told.value.hint
    assert "s3cret" not in str(told.value.as_dict())


def provider(error: Exception) -> _Told:
    def embed(texts):
        raise error

    return _Told("cohere:embed", SimpleNamespace(embed_documents=embed, embed_query=embed))


@pytest.mark.parametrize(
    "error",
    [
        TimeoutError(),
        ConnectionError("key s3cret"),
        type("TooManyRequestsError", (Exception,), {})(),
        type("ApiError", (Exception,), {"status_code": 503})(),
    ],
)
def test_what_passes_is_told_from_what_does_not(error):
    with pytest.raises(SourceUnavailable) as told:
        provider(error).embed_documents(["x"])
    assert "s3cret" not in str(told.value.as_dict())
    for lasting in (ValueError("key s3cret"), type("ApiError", (Exception,), {"status_code": 401})()):
        with pytest.raises(EmbeddingFailed) as told:
            provider(lasting).embed_query("x")
        assert "s3cret" not in str(told.value.as_dict())
