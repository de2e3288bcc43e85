"""A model behind a connection that speaks OpenAI's protocol for embeddings (vLLM, Ollama, LiteLLM, OpenAI itself).

`POST {base_url}/embeddings {"model": …, "input": [texts]}` with the
connection's credentials, on connections that the network policy has checked.
"""

from __future__ import annotations

import time
from typing import Any

import requests
from langchain_core.embeddings import Embeddings

from ..access import Connection
from ..errors import InvalidSpec, SourceRefused, SourceUnavailable
from ..network import NetworkPolicy, session
from ..sources.checks import base_url, credentials
from .base import Model, fingerprint_of
from .errors import EmbeddingFailed

BATCH = 64
SECONDS = (10, 120)  # to connect, to answer
TRIES = 4
AGAIN = (408, 425, 429, 500, 502, 503, 504)


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
    def __init__(self, connection: Connection, model: str, policy: NetworkPolicy) -> None:
        self._url = f"{base_url(connection).rstrip('/')}/embeddings"
        self._credentials, self._model, self._policy = credentials(connection), model, policy

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        with session(self._policy) as client:
            return [
                vector
                for start in range(0, len(texts), BATCH)
                for vector in self._asked(client, texts[start : start + BATCH])
            ]

    def embed_query(self, text: str) -> list[float]:
        return self.embed_documents([text])[0]

    def _asked(self, client: requests.Session, texts: list[str]) -> list[list[float]]:
        answer = self._answer(client, {"model": self._model, "input": texts, "encoding_format": "float"})
        try:
            told = sorted(answer.json()["data"], key=lambda each: each["index"])
            vectors = [each["embedding"] for each in told]
        except (ValueError, KeyError, TypeError) as error:
            raise EmbeddingFailed(
                f"{self._url} answered with something that is no list of embeddings.",
                hint="Check the connection's base_url: it ends where “/embeddings” begins, mostly in /v1.",
            ) from error
        if len(vectors) != len(texts):
            raise EmbeddingFailed(f"{self._url} answered {len(texts)} texts with {len(vectors)} vectors.")
        return vectors

    def _answer(self, client: requests.Session, body: dict[str, Any]) -> requests.Response:
        for number in range(TRIES):
            try:
                answer = client.post(self._url, json=body, timeout=SECONDS, **self._credentials)
            except requests.RequestException as error:
                problem = type(error).__name__
            else:
                if answer.ok:
                    return answer
                if answer.status_code not in AGAIN:
                    raise SourceRefused(
                        f"{self._url} answered {answer.status_code} for the model {self._model}.",
                        hint="Check the model's name and the connection's credentials.",
                    )
                problem = str(answer.status_code)
            if number + 1 < TRIES:
                time.sleep(0.2 * 2**number)
        raise SourceUnavailable(f"{self._url} does not answer ({problem}).", hint="Check that the model's server runs.")
