"""all-MiniLM-L6-v2 (int8) on onnxruntime: 384 dimensions, English, no network.

int8 weights, one thread, mean pooling; the files are found by `files.py`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from langchain_core.embeddings import Embeddings

from .base import Model, fingerprint_of, unit_rows
from .files import MODEL, NAME, TOKENIZER, file_of

MAX_TOKENS = 256  # what the model reads of a text, its two marks (begin, end) included
MAX_TEXT_TOKENS = MAX_TOKENS - 2
BATCH = 2  # 26 chunks of 200 tokens in a second of one core, and 260 MiB; 8 at once make 17, and 510 MiB


def minilm_model(light: bool = False) -> Model:
    """Raises `ModelMissing` when a file is not there, or is another one than this code was tested with."""
    weights, tokenizer = file_of(*MODEL), file_of(*TOKENIZER)
    embeddings = MiniLm(weights, tokenizer, light)
    return Model(
        name=NAME,
        fingerprint=fingerprint_of(MODEL[2], TOKENIZER[2]),
        embeddings=embeddings,
        tokens=embeddings.tokens,
        max_tokens=MAX_TEXT_TOKENS,
        batch_texts=64,
    )


class MiniLm(Embeddings):
    """Mean of the last layer over a text's tokens, of length 1.

    What a text is embedded beside makes no difference but of rounding.
    """

    def __init__(self, weights: Path, tokenizer: Path, light: bool = False) -> None:
        import onnxruntime
        from tokenizers import Tokenizer

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1  # a worker for each core does more
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.enable_cpu_mem_arena = False  # it would keep the largest batch's memory for good
        if light:
            # The weights stay int8 in memory and become floats for each text, which is the most of its work.
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        self._session = onnxruntime.InferenceSession(weights, options, providers=["CPUExecutionProvider"])
        self._encoder, self._reader = (Tokenizer.from_file(str(tokenizer)) for _ in range(2))
        self._encoder.enable_truncation(MAX_TOKENS)
        self._encoder.no_padding()
        self._reader.no_truncation()
        self._reader.no_padding()

    def tokens(self, text: str) -> list[tuple[int, int]]:
        """Offsets of the text's tokens, the marks at both ends left out."""
        return self._reader.encode(text, add_special_tokens=False).offsets

    def embed_documents(self, texts: list[str]) -> np.ndarray:
        encoded = self._encoder.encode_batch(texts)
        by_length = sorted(range(len(texts)), key=lambda place: len(encoded[place].ids))
        vectors = np.empty((len(texts), 384), dtype=np.float32)
        for start in range(0, len(texts), BATCH):
            places = by_length[start : start + BATCH]
            vectors[places] = self._embedded([encoded[place].ids for place in places])
        return vectors

    def embed_query(self, text: str) -> np.ndarray:
        return self.embed_documents([text])[0]

    def _embedded(self, ids: list[list[int]]) -> np.ndarray:
        width = max(map(len, ids))
        padded, mask = np.zeros((len(ids), width), np.int64), np.zeros((len(ids), width), np.int64)
        for row, each in enumerate(ids):
            padded[row, : len(each)], mask[row, : len(each)] = each, 1
        given = {"input_ids": padded, "attention_mask": mask, "token_type_ids": np.zeros_like(padded)}
        (hidden,) = self._session.run(None, given)
        weights = mask[:, :, None].astype(np.float32)
        return unit_rows((hidden * weights).sum(axis=1) / weights.sum(axis=1))
