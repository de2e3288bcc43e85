"""Ports of this machine."""

from __future__ import annotations

import contextlib
import secrets
import socket


def free_port() -> int:
    """A port of 127.0.0.1 for a server that is still to start.

    Not one of those that the system hands out by itself: it may be somebody else's before the server takes it.
    """
    while True:
        port = 10_000 + secrets.randbelow(20_000)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
