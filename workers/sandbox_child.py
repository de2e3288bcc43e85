"""The other side of `workers.sandbox`: set the limits, call the function, answer in JSON."""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import resource
import signal
import sys
from pathlib import Path
from typing import Any

from workers.errors import AssayError, ResourceLimit

PR_SET_PDEATHSIG = 1


def main() -> None:
    _die_with_the_parent()
    request = json.loads(sys.stdin.buffer.read())
    # Libraries print to stdout; the answer has it for itself.
    answer = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    module, _, name = request["function"].partition(":")
    function = getattr(importlib.import_module(module), name)
    _limit(request["memory_mb"], request["cpu_seconds"])
    answer.write(json.dumps(_call(function, request)).encode())
    answer.flush()
    # Threads of a query that was cut short must not hold up the end.
    os._exit(0)


def _call(function: Any, request: dict[str, Any]) -> dict[str, Any]:
    try:
        return {"result": function(request["spec"])}
    except AssayError as error:
        return {"error": error.as_dict()}
    except MemoryError:
        over = ResourceLimit(
            f"It needed more than {request['memory_mb']} MB of memory and was ended.",
            hint="Filter the inputs before joining, sorting or collecting them.",
            limit="memory_mb",
        )
        return {"error": over.as_dict()}


def _limit(memory_mb: int, cpu_seconds: int) -> None:
    """Processor time, no core file, and a wall far behind the memory limit, which the parent watches.

    Libraries map much more than they use, so the wall is for what grows faster than the parent can look.
    """
    pages = int(Path("/proc/self/statm").read_text().split()[0]) if Path("/proc/self/statm").exists() else 0
    mapped = pages * resource.getpagesize()
    if pages:
        limit = mapped + (2 * memory_mb + 1024) * 2**20
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _die_with_the_parent() -> None:
    """On Linux: should the caller be killed, no query runs on."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    main()
