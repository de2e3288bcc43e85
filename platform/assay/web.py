"""The web process: `python -m assay.web FD` serves on a socket that its parent opened.

The parent keeps the socket, so connections wait while a web process that died
is replaced, and the port is taken once and for all.
"""

import socket
import sys
import warnings

import uvicorn

GRACE_SECONDS = 3


def main(descriptor: int) -> None:
    # WhiteNoise answers with small files, read whole: just what this warns of.
    warnings.filterwarnings("ignore", message="StreamingHttpResponse must consume synchronous iterators")
    config = uvicorn.Config(
        "assay.asgi:application",
        log_config=None,  # Django's settings say how lines look
        access_log=False,
        lifespan="off",
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=descriptor)])


if __name__ == "__main__":
    main(int(sys.argv[1]))
