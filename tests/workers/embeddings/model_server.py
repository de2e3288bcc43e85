"""A model on this machine that speaks OpenAI's protocol for embeddings, and fails as told.

A vector is [length, words, 1] of its text, so that a test knows what is right;
the answer lists them backwards, which the protocol allows, and langchain-openai does not look at.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from workers.access import Access, Connection
from workers.network import NetworkPolicy

Answer = dict[str, Any]


class ModelServer:
    """`faults` are for the requests to come, one each: a status, `STATUS:SECONDS` (Retry-After), or one of these words:

    few, strange, html, numbers, wider, uneven, endless, stall, drop, fine.
    """

    def __init__(self) -> None:
        self.faults: list[str] = []
        self.most_texts = 1_000  # in a request; 413 for more
        self.longest_text = 100_000  # characters; 400 for more
        self.stall_seconds = 2.0
        self.is_backwards = True
        self.at_request: Callable[[int], None] = lambda number: None
        self.bodies: list[Answer] = []
        self.keys: list[str | None] = []  # Authorization of each request
        self.answered: list[str] = []  # texts whose vectors were sent
        self._http = _Http(("127.0.0.1", 0), type("Handler", (_Handler,), {"model": self}))
        self.url = f"http://127.0.0.1:{self._http.server_port}/v1"
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def access(self, *allow: str) -> Access:
        """The connection `models` that leads here."""
        connection = Connection(name="models", kind="http", password="s3cret", options={"base_url": self.url})
        return Access(connections={"models": connection}, http=NetworkPolicy(allow=allow or ("127.0.0.1",)))

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is no news."""


class _Handler(BaseHTTPRequestHandler):
    model: ModelServer

    def log_message(self, *args: object) -> None:
        pass

    def do_POST(self) -> None:
        model, body = self.model, json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        model.bodies.append(body)
        model.keys.append(self.headers.get("Authorization"))
        model.at_request(len(model.bodies))
        fault = model.faults.pop(0) if model.faults else "fine"
        status, _, seconds = fault.partition(":")
        texts = body["input"]
        if self.path != "/v1/embeddings" or body["model"] != "small":
            self._send(404, {"error": {"message": "no such model for the key s3cret"}})
        elif status.isdigit():
            self._send(int(status), {"error": {"message": "busy"}}, {"Retry-After": seconds} if seconds else {})
        elif len(texts) > model.most_texts:
            self._send(413, {"error": {"message": f"at most {model.most_texts} texts"}})
        elif any(len(text) > model.longest_text for text in texts):
            self._send(400, {"error": {"message": "a text is too long"}})
        else:
            self._faulty(fault, texts)

    def _faulty(self, fault: str, texts: list[str]) -> None:
        if fault == "drop":
            self.connection.close()
            return
        if fault == "stall":
            time.sleep(self.model.stall_seconds)
        if fault == "endless":
            self.send_response(200)
            self.end_headers()
            self._pour()
            return
        told = {"html": "<html>", "numbers": {"data": [1, 2]}}.get(fault) or {"data": self._vectors(fault, texts)}
        if fault == "fine":
            self.model.answered += texts
        self._send(200, told)

    def _vectors(self, fault: str, texts: list[str]) -> list[Answer]:
        vectors = [[float(len(text)), float(len(text.split())), 1.0] for text in texts]
        if fault == "wider":
            vectors = [[*vector, 1.0] for vector in vectors]
        elif fault == "uneven":
            vectors[-1] = [1.0]
        elif fault == "strange":
            vectors[0] = [None, "x", 1.0]
        data = [{"index": place, "embedding": vector} for place, vector in enumerate(vectors)]
        data = data[1:] if fault == "few" else data
        return data[::-1] if self.model.is_backwards else data

    def _pour(self) -> None:
        while True:  # until whoever asked goes away
            self.wfile.write(b" " * (1 << 20))

    def _send(self, status: int, told: Any, headers: dict[str, str] | None = None) -> None:
        content = json.dumps(told).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)


@pytest.fixture
def model_server():
    server = ModelServer()
    yield server
    server.close()
