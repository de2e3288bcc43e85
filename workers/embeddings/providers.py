"""Models of providers, through langchain: `openai:text-embedding-3-small`, `cohere:embed-v4.0`, `ollama:…`.

Each provider has a package of its own, which reads its key from the
environment (`OPENAI_API_KEY`, …) and connects by itself.
"""

from __future__ import annotations

import re

from ..errors import AssayError, SourceUnavailable
from .base import BUSY, Model, fingerprint_of
from .errors import EmbeddingFailed, ModelMissing

# Else it fetches a table of tokens at its first use, and fails where there is no way out.
_OPTIONS = {"openai": {"check_embedding_ctx_length": False}, "azure_openai": {"check_embedding_ctx_length": False}}

PASSING = re.compile("Timeout|Connect|RateLimit|TooManyRequests|Unavailable")  # in names of the providers' errors


def provider_model(name: str) -> Model:
    """Raises `ModelMissing` naming the package to install, or saying what the provider's package lacks."""
    from langchain.embeddings import init_embeddings

    provider, _, model = name.partition(":")
    try:
        embeddings = init_embeddings(model, provider=provider, **_OPTIONS.get(provider, {}))
    except ImportError as error:
        raise ModelMissing(
            f"{name} cannot be used: the package of its provider is not installed.",
            hint=f"Install langchain-{provider.replace('_', '-')} (or what langchain names for {provider}): {error}",
        ) from error
    except ValueError as error:  # an unknown provider, or pydantic's: no key in the environment
        raise ModelMissing(
            f"{name} cannot be used: {_first_line(error)}",
            hint="Check the provider's name, and that its key is in the environment of every worker and of the site.",
        ) from error
    return Model(name=name, fingerprint=fingerprint_of(provider, model), embeddings=_Told(name, embeddings))


class _Told:
    """A provider's embeddings, whose failures become ours."""

    def __init__(self, name: str, embeddings: object) -> None:
        self._name, self._embeddings = name, embeddings

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return self._asked(self._embeddings.embed_documents, texts)

    def embed_query(self, text: str) -> list[float]:
        return self._asked(self._embeddings.embed_query, text)

    def _asked(self, ask, given):
        try:
            return ask(given)
        except Exception as error:  # noqa: BLE001  (every provider has errors of its own)
            raise self._told(error) from None

    def _told(self, error: Exception) -> AssayError:
        """The failure in our words: the provider's may quote a key, so only what kind of error it is is told."""
        status = getattr(error, "status_code", None)
        what = f"{type(error).__name__}{f', {status}' if isinstance(status, int) else ''}"
        if status in BUSY or isinstance(error, ConnectionError | TimeoutError) or PASSING.search(type(error).__name__):
            return SourceUnavailable(
                f"{self._name} does not embed now ({what}).",
                hint="Check its quota and that it can be reached. The next run goes on where this one was.",
            )
        return EmbeddingFailed(
            f"{self._name} did not embed ({what}).", hint="Check its key, its model and its address."
        )


def _first_line(error: Exception) -> str:
    return type(error).__name__ if "\n" in str(error) and "validation" in str(error) else str(error).splitlines()[0]
