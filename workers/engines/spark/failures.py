"""What Spark says when a query fails, in one sentence for people."""

from __future__ import annotations

import re

from workers.errors import AssayError, EngineMissing, EngineUnavailable, InvalidSpec, QueryFailed, ResourceLimit

from .types import EMPTY_PARTITION

HINT = "A value does not fit its type? TRY_CAST gives null instead; CAST to a wider type keeps it."
_TOLD = re.compile(r"\[([A-Z][A-Z0-9_]+(?:\.[A-Z0-9_]+)?)\] ([^\n]+)")
# Say only that a task or its write failed; what failed is told further down.
_OUTER = {"TASK_WRITE_FAILED", "FAILED_READ_FILE", "FAILED_EXECUTE_UDF", "SPARK_JOB_CANCELLED"}
# An executor that is out of memory says so by the code with which it ends.
_OUT_OF_MEMORY = re.compile(r"OutOfMemoryError|UNABLE_TO_ACQUIRE_MEMORY|exited with code 52\b")
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


def not_started(error: Exception, master: str, memory_mb: int) -> AssayError:
    """What to do where no session came to be."""
    text = str(error)
    if "JAVA_GATEWAY_EXITED" in text:
        return EngineMissing(
            f"Spark's JVM with {memory_mb} MB of memory did not start.",
            hint="The worker's log says why. Lower ASSAY_SPARK_MEMORY_MB where the machine has less, correct "
            "ASSAY_SPARK_OPTIONS, or install Java 17 or later.",
        )
    return EngineUnavailable(
        f"Spark did not start at {master}: {_inner(text) or _first_line(text)}",
        hint="Check ASSAY_SPARK_MASTER and ASSAY_SPARK_OPTIONS, and that the master and its workers are up.",
    )


def told(error: Exception, memory_mb: int, target: str = "") -> AssayError:
    """The error of ours for one of Spark's."""
    text = str(error)
    if _OUT_OF_MEMORY.search(text):
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
