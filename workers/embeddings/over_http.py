"""A model behind a connection that speaks OpenAI's protocol for embeddings (vLLM, Ollama, LiteLLM, OpenAI itself).

`POST {base_url}/embeddings {"model": …, "input": [texts]}` with the
connection's credentials, on connections that the network policy has checked.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass

import requests
from langchain_core.embeddings import Embeddings

from ..access import Connection
from ..errors import InvalidSpec, SourceRefused, SourceUnavailable
from ..network import NetworkPolicy, session
from ..sources.api.client import asked_wait
from ..sources.checks import base_url, credentials
from .base import BUSY, Model, fingerprint_of
from .errors import EmbeddingFailed

BATCH = 64  # texts in a request; fewer where the server takes no more
CONNECT_SECONDS = 10
TOO_MUCH = (400, 413, 422)  # what servers say to more texts, or longer ones, than they take
MOST_BYTES = 64 << 20  # of an answer; 64 vectors of 4,096 numbers take 6 MB


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a server that is busy is waited for."""

    tries: int
    pause_seconds: float  # at most, before it is asked again
    answer_seconds: float


WITH_DOCUMENTS = Patience(tries=7, pause_seconds=90, answer_seconds=120)
WITH_A_QUESTION = Patience(tries=3, pause_seconds=3, answer_seconds=20)  # somebody looks on


def http_model(name: str, connection: Connection, model: str, policy: NetworkPolicy) -> Model:
    if connection.kind != "http":
        raise InvalidSpec(f"“{connection.name}” is a connection to {connection.kind}.", hint="Name one of kind http.")
    if (connection.options.get("auth") or {}).get("type") == "oauth2_client_credentials":
        raise InvalidSpec(f"“{connection.name}” asks for OAuth2 tokens, which embeddings are not sent with.")
    embeddings = OverHttp(connection, model, policy)
    return Model(
        name=name,
        fingerprint=fingerprint_of("http", base_url(connection), model),
        embeddings=embeddings,
        batch_texts=BATCH,
    )


class OverHttp(Embeddings):
    """Raises `SourceUnavailable` (busy, or not there: a retry may help), `SourceRefused` and `EmbeddingFailed`."""

    def __init__(self, connection: Connection, model: str, policy: NetworkPolicy) -> None:
        self._url = f"{base_url(connection).rstrip('/')}/embeddings"
        self._credentials, self._model, self._policy = credentials(connection), model, policy
        self._most_texts = BATCH

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return self._embedded(texts, WITH_DOCUMENTS)

    def embed_query(self, text: str) -> list[float]:
        return self._embedded([text], WITH_A_QUESTION)[0]

    def _embedded(self, texts: list[str], patience: Patience) -> list[list[float]]:
        vectors: list[list[float]] = []
        with session(self._policy) as client:
            while len(vectors) < len(texts):
                some = texts[len(vectors) : len(vectors) + self._most_texts]
                status, content = self._answer(client, some, patience)
                if status < 300:
                    vectors += self._vectors(content, len(some))
                elif status in TOO_MUCH and len(some) > 1:
                    self._most_texts = len(some) // 2
                else:
                    raise self._refusal(status)
        return vectors

    def _answer(self, client: requests.Session, texts: list[str], patience: Patience) -> tuple[int, bytes]:
        """Status and body, as soon as the server is not busy."""
        for tries in range(1, patience.tries + 1):
            wait: float | None = None
            try:
                status, wait, content = self._post(client, texts, patience)
            except requests.RequestException as error:
                problem = f"no answer: {type(error).__name__}"
            else:
                if status not in BUSY:
                    return status, content
                problem = f"it answers {status}"
            pause = min(0.2 * 2**tries, patience.pause_seconds) if wait is None else wait
            if tries == patience.tries or pause > patience.pause_seconds:
                break
            time.sleep(pause)
        asked = f", and asks to be left alone for {wait:,.0f} s" if wait else ""
        raise SourceUnavailable(
            f"{self._url} does not embed ({problem}{asked}).",
            hint="Check that the model's server runs, and the quota there. The next run goes on where this one was.",
        )

    def _post(self, client: requests.Session, texts: list[str], patience: Patience) -> tuple[int, float | None, bytes]:
        """Status, for how many seconds the server wants peace, and the body."""
        body = {"model": self._model, "input": texts, "encoding_format": "float"}
        seconds = (CONNECT_SECONDS, patience.answer_seconds)
        with client.post(self._url, json=body, timeout=seconds, stream=True, **self._credentials) as answer:
            content = bytearray()
            for chunk in answer.iter_content(1 << 20):
                content += chunk
                if len(content) > MOST_BYTES:
                    raise EmbeddingFailed(f"{self._url} answered {len(texts)} texts with over {MOST_BYTES:,} bytes.")
            return answer.status_code, asked_wait(answer), bytes(content)

    def _vectors(self, content: bytes, count: int) -> list[list[float]]:
        try:
            data = json.loads(content)["data"]
            placed = {each.get("index", place): each["embedding"] for place, each in enumerate(data)}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise EmbeddingFailed(
                f"{self._url} answered with something that is no list of embeddings.",
                hint="Check the connection's base_url: it ends where “/embeddings” begins, mostly in /v1.",
            ) from error
        if len(data) != count or set(placed) != set(range(count)):
            raise EmbeddingFailed(
                f"{self._url} answered {count} texts with {len(data)} vectors, or with other places than theirs.",
                hint="Its server does not keep to OpenAI's protocol: check its version, or use another one.",
            )
        return [placed[place] for place in range(count)]

    def _refusal(self, status: int) -> SourceRefused:
        hints = {
            401: "Check the connection's credentials.",
            403: "Check the connection's credentials, and what they may use.",
            404: "Check the model's name and the connection's base_url, which mostly ends in /v1.",
        }
        too_long = "Check the model's name; if a text is longer than it reads, use a smaller chunk_size."
        return SourceRefused(
            f"{self._url} answered {status} for the model {self._model}.", hint=hints.get(status, too_long)
        )
