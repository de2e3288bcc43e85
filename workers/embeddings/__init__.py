"""Embedding models by name: `embedded:minilm`, `embedded:hash`, `http:CONNECTION/model`, `provider:model`.

Each is a langchain `Embeddings`, in a `Model` that tells what an index must
remember of it. Nothing heavy is imported before a model is used.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from ..access import NOTHING, Access
from ..errors import InvalidSpec
from .errors import EmbeddingFailed, ModelChanged, ModelMissing

if TYPE_CHECKING:
    from .base import Model

DEFAULT = "embedded:minilm"
EMBEDDED = ("embedded:minilm", "embedded:hash")
_NAME = re.compile(r"(?P<provider>[a-z][a-z0-9_]*):(?P<model>\S(?:.*\S)?)")
_HTTP = re.compile(r"http:(?P<connection>[^/\s]+)/(?P<model>\S+)")

__all__ = [
    "DEFAULT",
    "EMBEDDED",
    "EmbeddingFailed",
    "ModelChanged",
    "ModelMissing",
    "check_name",
    "connection_of",
    "load",
]


def check_name(name: str) -> None:
    """Raises `InvalidSpec` for what can be no model; whether its package is installed shows when it is loaded."""
    known = f"{', '.join(EMBEDDED)}, http:CONNECTION/model, or provider:model as in openai:text-embedding-3-small"
    found = _NAME.fullmatch(name)
    if not found or (found["provider"] == "embedded" and name not in EMBEDDED):
        raise InvalidSpec(f"There is no embedding model “{name}”.", hint=f"Use {known}.")
    if found["provider"] == "http" and not _HTTP.fullmatch(name):
        raise InvalidSpec(f"“{name}” names no connection and model.", hint="Write http:CONNECTION/model.")


def connection_of(name: str) -> str:
    """The connection that the model is reached by; empty for one that needs none."""
    found = _HTTP.fullmatch(name)
    return found["connection"] if found else ""


def load(name: str, access: Access = NOTHING, *, light: bool = False) -> Model:
    """The model, ready to embed. Embedded ones stay loaded for the process, until `unload`.

    `light` is for who embeds a question now and then: minilm then takes half
    the memory (about 100 MiB) and ten times as long for a text. Never before a
    fork: onnxruntime's threads would not be there in the child.
    Raises `InvalidSpec`, and `ModelMissing` when its files or its provider's package are not installed.
    """
    check_name(name)
    if name in EMBEDDED:
        return _embedded(name, light)
    if found := _HTTP.fullmatch(name):
        from .over_http import http_model

        return http_model(name, access.connection(found["connection"]), found["model"], access.http)
    from .providers import provider_model

    return provider_model(name)


def unload() -> None:
    """Let go of the embedded models: a worker waits for its next step without them."""
    _embedded.cache_clear()


@lru_cache
def _embedded(name: str, light: bool) -> Model:
    if name == "embedded:hash":
        from .hashed import hash_model

        return hash_model()
    from .minilm import minilm_model

    return minilm_model(light)
