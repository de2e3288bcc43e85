"""An HTTP client that connects to checked addresses only, and takes no secret to another origin.

The certificate is still asked of the host's name: only where the connection
goes is decided by `NetworkPolicy`.
"""

from __future__ import annotations

import socket
import sys
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

from .errors import AddressRefused
from .network import CONNECT_SECONDS, NetworkPolicy, open_socket

READ_SECONDS = 60.0
# What a request may carry to where it was redirected; every other header might be a key.
_HARMLESS = frozenset(
    {"accept", "accept-encoding", "accept-language", "connection", "content-length", "content-type", "user-agent"}
)


class CheckedConnection:
    """Mixed into urllib3's connections: resolves, checks, and connects to what was checked."""

    policy: NetworkPolicy

    def _new_conn(self) -> socket.socket:
        addresses = self.policy.check(self._dns_host, self.port)
        try:
            opened = open_socket(addresses, self.timeout)
            for option in self.socket_options or ():
                opened.setsockopt(*option)
        except TimeoutError as error:
            raise ConnectTimeoutError(self, f"{self.host} did not answer within {self.timeout} s.") from error
        except OSError as error:
            raise NewConnectionError(self, f"{self.host} cannot be reached: {error}") from error
        sys.audit("http.client.connect", self, self.host, self.port)
        return opened


def checked_pools(
    policy: NetworkPolicy, http: type = HTTPConnection, https: type = HTTPSConnection
) -> dict[str, type[HTTPConnectionPool]]:
    """urllib3's pools by scheme, of connections that obey the policy."""
    fixed = {"policy": policy}
    connections = [type(kind.__name__, (CheckedConnection, kind), fixed) for kind in (http, https)]
    return {
        "http": type("CheckedHTTPPool", (HTTPConnectionPool,), {"ConnectionCls": connections[0]}),
        "https": type("CheckedHTTPSPool", (HTTPSConnectionPool,), {"ConnectionCls": connections[1]}),
    }


class _Adapter(HTTPAdapter):
    def __init__(self, policy: NetworkPolicy) -> None:
        self._policy = policy
        super().__init__(max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = checked_pools(self._policy)


class CheckedSession(requests.Session):
    """Every connection is checked, redirects included. No proxies, no netrc: the environment plays no part."""

    def __init__(self, policy: NetworkPolicy, max_redirects: int) -> None:
        super().__init__()
        self.trust_env = False
        self.max_redirects = max_redirects
        self.adapters.clear()
        for scheme in ("http://", "https://"):
            self.mount(scheme, _Adapter(policy))

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        if kwargs.get("timeout") is None:
            kwargs["timeout"] = (CONNECT_SECONDS, READ_SECONDS)
        return super().send(request, **kwargs)

    def get_adapter(self, url: str) -> HTTPAdapter:
        scheme = urlsplit(url).scheme.lower()
        if scheme not in ("http", "https"):
            raise AddressRefused(
                f"Assay does not speak {scheme or 'this'}: only http and https.", hint="Correct the URL."
            )
        return super().get_adapter(url)

    def rebuild_auth(self, prepared_request: requests.PreparedRequest, response: requests.Response) -> None:
        """Called by requests for each redirect: what goes to another origin goes without keys."""
        before, after = str(response.request.url), str(prepared_request.url)
        if not _is_other_origin(before, after):
            return
        if prepared_request.body is not None:
            raise AddressRefused(
                f"{urlsplit(before).hostname} sends the request's body on to {urlsplit(after).hostname}.",
                hint="Use the address that it leads to, if you trust it.",
            )
        for name in [name for name in prepared_request.headers if name.lower() not in _HARMLESS]:
            del prepared_request.headers[name]


def _is_other_origin(before: str, after: str) -> bool:
    """Another host, port or scheme. A site that moves its visitors to https is still itself."""
    old, new = _origin(before), _origin(after)
    return old != new and not (old[0] == new[0] and old[1:] == ("http", 80) and new[1:] == ("https", 443))


def _origin(url: str) -> tuple[str, str, int]:
    parts = urlsplit(url)
    return (parts.hostname or "").lower(), parts.scheme, parts.port or {"http": 80, "https": 443}.get(parts.scheme, 0)
