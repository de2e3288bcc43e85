"""Run one function in a child process that may use so much memory and time, and no more.

A query over its memory limit aborts the process it runs in. So what people
try out runs in a process of its own, which is started afresh, not forked:
threads of Polars do not survive a fork.
"""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from workers import errors

ROOT = Path(__file__).parents[1]
POLL_SECONDS = 0.02
LIBRARIES_MB = 200  # what Polars, DuckDB and Delta take before any row is read
MAX_ANSWER_BYTES = 32 * 1024 * 1024
KEPT_VARIABLES = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "SSL_CERT_FILE", "ASSAY_S3_ENDPOINT_URL")


def run_in_child(
    function: str,
    spec: dict[str, Any],
    *,
    memory_mb: int = 1024,
    cpu_seconds: int = 20,
    wall_seconds: float = 30,
    threads: int | None = 2,
) -> dict[str, Any]:
    """Call `module:name` with the spec in a new process; both spec and answer are JSON.

    `memory_mb` comes on top of what the libraries take; `threads` are those of
    Polars, None for as many as there are cores. An `AssayError` in
    the child is raised here as itself. Raises `ResourceLimit` when the child
    went over a limit; whatever happens in the child, the caller lives on.
    """
    request = {"function": function, "spec": spec, "memory_mb": memory_mb, "cpu_seconds": cpu_seconds}
    child = subprocess.Popen(
        [sys.executable, "-m", "workers.sandbox_child"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=_environment(threads),
        cwd=ROOT,
        start_new_session=True,
    )
    try:
        answer, complaint = _wait(child, json.dumps(request).encode(), memory_mb, wall_seconds)
    finally:
        _end(child)
    if child.returncode != 0 or not answer:
        raise _death(child.returncode, complaint.decode(errors="replace"), memory_mb, cpu_seconds)
    return _unpack(answer)


def _environment(threads: int | None) -> dict[str, str]:
    """What the child needs to reach the lake, and nothing else of ours: no database address, no secret key."""
    kept = {name: value for name, value in os.environ.items() if name in KEPT_VARIABLES or name.startswith("AWS_")}
    kept |= {"POLARS_MAX_THREADS": str(threads)} if threads else {}
    return kept | {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}


def _wait(child: subprocess.Popen, request: bytes, memory_mb: int, wall_seconds: float) -> tuple[bytes, bytes]:
    """What the child wrote. Looks at its memory and at the clock while it works."""
    deadline = time.monotonic() + wall_seconds
    unsent: bytes | None = request
    while True:
        try:
            return child.communicate(unsent, timeout=POLL_SECONDS)
        except subprocess.TimeoutExpired:
            unsent = None  # asked again, it goes on where it was
        if time.monotonic() > deadline:
            raise _over(f"It took longer than {wall_seconds:g} seconds and was ended.", "wall_seconds")
        if (used := _resident_mb(child.pid)) > memory_mb + LIBRARIES_MB:
            raise _over(f"It needed {used - LIBRARIES_MB} MB of memory; {memory_mb} are allowed.", "memory_mb")


def _resident_mb(pid: int) -> int:
    """Memory the process really holds; 0 where the system does not tell. What it maps says little."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0
    return pages * resource.getpagesize() // 2**20


def _over(message: str, limit: str) -> errors.ResourceLimit:
    return errors.ResourceLimit(message, hint="Filter the inputs first, and join on equal keys.", limit=limit)


def _end(child: subprocess.Popen) -> None:
    """Kill the child with everything it started, and wait until it is gone."""
    if child.poll() is None:
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    for stream in (child.stdin, child.stdout, child.stderr):
        if stream:
            stream.close()


def _unpack(answer: bytes) -> dict[str, Any]:
    if len(answer) > MAX_ANSWER_BYTES:
        raise errors.ResourceLimit("The answer is too large to show.", hint="Return fewer or shorter columns.")
    content = json.loads(answer)
    if "error" not in content:
        return content["result"]
    told = content["error"]
    kind = _kinds().get(told["code"], errors.AssayError)
    raise kind(told["message"], hint=told["hint"], **told["facts"])


def _kinds() -> dict[str, type[errors.AssayError]]:
    every = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.AssayError)]
    return {kind.code: kind for kind in every}


# Libraries do not all end by a signal: Rust panics, and an allocator that gets no thread only complains.
_OUT_OF_MEMORY = re.compile(r"^<jemalloc>|^[\w.]+(Error|Exception): .*(memory|alloc)", re.MULTILINE | re.IGNORECASE)


def _death(code: int, complaint: str, memory_mb: int, cpu_seconds: int) -> Exception:
    """What the child's death means. A limit shows as a signal or in its last words; else it is a bug of ours."""
    if code == -signal.SIGXCPU:
        return _over(f"It used more than {cpu_seconds} seconds of processor time and was ended.", "cpu_seconds")
    if code in (-signal.SIGABRT, -signal.SIGKILL, -signal.SIGSEGV, -signal.SIGBUS, -signal.SIGTRAP):
        return _over(f"It needed more than {memory_mb} MB of memory and was ended.", "memory_mb")
    if _OUT_OF_MEMORY.search(complaint):
        return _over(f"It needed more than {memory_mb} MB of memory and was ended.", "memory_mb")
    return RuntimeError(f"The child process ended with code {code}: {complaint[-2000:]}")
