"""A child process that ends when its parent does, however the parent ends.

Imports nothing of ours and is also run as a plain file, so that a child costs
a few milliseconds: `python -I -S processes.py PARENT_PID COMMAND…`.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Sequence

_PR_SET_PDEATHSIG = 1


def end_with_parent(parent: int) -> None:
    """Have the kernel kill this process when `parent` dies. Linux only; elsewhere nothing happens.

    Call it first thing in the child, from any thread. A parent that was gone
    already ends the child at once. The kernel counts the parent's *thread*
    that forked as the parent: fork in a thread that stays.
    """
    if sys.platform != "linux":
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def bound_command(command: Sequence[str]) -> list[str]:
    """The command, to be started by this very process, bound to its life."""
    return [sys.executable, "-I", "-S", __file__, str(os.getpid()), *command]


if __name__ == "__main__":
    end_with_parent(int(sys.argv[1]))
    os.execv(sys.argv[2], sys.argv[2:])  # noqa: S606  (no shell is wanted)
