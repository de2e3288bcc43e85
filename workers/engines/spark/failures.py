"""What Spark says when a query fails, in one sentence for people."""

from __future__ import annotations

import re

from workers.errors import AssayError, EngineUnavailable, InvalidSpec, QueryFailed, ResourceLimit

from .types import EMPTY_PARTITION

HINT = "A value does not fit its type? TRY_CAST gives null instead; CAST to a wider type keeps it."
_TOLD = re.compile(r"\[([A-Z][A-Z0-9_]+(?:\.[A-Z0-9_]+)?)\] ([^\n]+)")
# Say only that a task or its write failed; what failed is told further down.
_OUTER = {"TASK_WRITE_FAILED", "FAILED_READ_FILE", "FAILED_EXECUTE_UDF", "SPARK_JOB_CANCELLED"}
_GONE = re.compile(
    r"SparkContext (?:was|has been) (?:shut down|stopped)|stopped SparkContext|Master removed our application|"
    r"All masters are unresponsive|application has been killed|ExecutorLostFailure|Executor.*(?:lost|heartbeat)",
    re.IGNORECASE,
)


def out_of_memory(memory_mb: int) -> ResourceLimit:
    return ResourceLimit(
        f"The query needed more memory than Spark has: {memory_mb} MB.",
        hint="Raise ASSAY_SPARK_MEMORY_MB, or filter before joining and collecting.",
    )


def told(error: Exception, memory_mb: int, target: str = "") -> AssayError:
    """The error of ours for one of Spark's."""
    text = str(error)
    if "OutOfMemoryError" in text or "UNABLE_TO_ACQUIRE_MEMORY" in text:
        return out_of_memory(memory_mb)
    if EMPTY_PARTITION in text:
        return InvalidSpec(
            f"A partition column of {target} holds an empty text, which Delta reads as null.",
            hint="Make it null, or give it a word, before the table is partitioned by it.",
        )
    if _GONE.search(text) and not _inner(text):
        return EngineUnavailable(
            "Spark lost its executors in the middle of the query.",
            hint="Look at the cluster's master and workers; the step is tried again.",
        )
    return QueryFailed(f"Spark ended the query: {_inner(text) or _first_line(text)}", hint=HINT)


def _inner(text: str) -> str:
    found = [match for match in _TOLD.finditer(text) if match[1].partition(".")[0] not in _OUTER]
    if not found:
        return ""
    sentence = re.split(r" SQLSTATE: | Use `?try_| To return NULL|If necessary set |\. Correct the ", found[0][2])[0]
    return sentence.strip().rstrip(".:;")[:400]


def _first_line(text: str) -> str:
    lines = [line for line in text.strip().splitlines() if line.strip()]
    return lines[0][:400] if lines else "it did not say why"
