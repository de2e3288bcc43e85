"""What proves to an API who asks. It goes to the API's own origin and nowhere else."""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from ...access import Access, Connection
from ...errors import InvalidSpec, SourceRefused, UnreadableSource
from ...specs import ApiSource
from .request import Request, origin, secrets_among, url_of
from .scrub import Scrub

NOTHING: Mapping[str, str] = {}
# Asks a token endpoint: the address, a form, the headers -> what it answers, as JSON.
AskToken = Callable[[str, Mapping[str, str], Mapping[str, str]], Any]


@dataclass(frozen=True, slots=True)
class Own:
    """What belongs to an API: its address, and the headers and parameters that hold secrets."""

    home: str
    headers: Mapping[str, str]
    params: Mapping[str, str]

    def having(self, *, headers: Mapping[str, str] = NOTHING, params: Mapping[str, str] = NOTHING) -> Own:
        return Own(self.home, {**self.headers, **headers}, {**self.params, **params})


class Auth:
    """Adds them to requests of that address."""

    def __init__(self, own: Own) -> None:
        self._home = origin(own.home)
        self._headers, self.params = dict(own.headers), dict(own.params)

    def is_home(self, url: str) -> bool:
        """Whether a URL belongs to the API. One that has moved from http to https is still the same."""
        (scheme, host, port), there = self._home, origin(url)
        return there == self._home or (scheme == "http" and port == 80 and there == ("https", host, 443))

    def applied(self, request: Request) -> Request:
        if not self.is_home(request.url):
            return request
        for name, value in self.headers().items():
            request = request.having("header", name, value)
        for name, value in self.params.items():
            request = request.having("query", name, value)
        return request

    def headers(self) -> Mapping[str, str]:
        return self._headers

    def renewed(self, refused: Request) -> bool:
        """Called when this request was refused with 401: whether it may be tried again with something newer."""
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """Of an OAuth2 server: what a token is asked with."""

    token_url: str
    client_id: str
    client_secret: str
    scope: str = ""
    extra: Mapping[str, str]
    credentials_in: str = "basic"  # basic | body


class OAuth2(Auth):
    """A token of the client credentials grant: kept, and renewed before it ends or once it is refused."""

    def __init__(self, own: Own, client: Client, ask: AskToken, scrub: Scrub) -> None:
        super().__init__(own)
        self._client, self._ask, self._scrub = client, ask, scrub
        self._lock = threading.Lock()
        self._token, self._kind, self._ends_at = "", "Bearer", 0.0

    def headers(self) -> Mapping[str, str]:
        with self._lock:
            if not self._token or time.monotonic() >= self._ends_at:
                self._fetch()
            return {**self._headers, "Authorization": self._value()}

    def renewed(self, refused: Request) -> bool:
        with self._lock:
            # Of several requests that are refused at once only the first asks for a new token.
            if refused.headers.get("Authorization") == self._value():
                self._fetch()
        return True

    def _value(self) -> str:
        return f"{self._kind} {self._token}"

    def _fetch(self) -> None:
        client, headers = self._client, {}
        form = {"grant_type": "client_credentials", **client.extra}
        if client.scope:
            form["scope"] = client.scope
        if client.credentials_in == "basic":
            # RFC 6749, 2.3.1: both are encoded as in a form before they are joined.
            both = quote(client.client_id, safe=""), quote(client.client_secret, safe="")
            headers["Authorization"] = _basic(*both, self._scrub)
        else:
            form |= {"client_id": client.client_id, "client_secret": client.client_secret}
        answer = self._ask(client.token_url, form, headers)
        if not isinstance(answer, dict) or not isinstance(answer.get("access_token"), str):
            raise UnreadableSource(
                "The token endpoint answered without an access_token.",
                hint="Check auth.token_url: it should be the address that OAuth2 calls the token endpoint.",
            )
        self._token = answer["access_token"]
        self._scrub.add(self._token)
        kind = str(answer.get("token_type") or "Bearer")
        self._kind = "Bearer" if kind.lower() == "bearer" else kind
        self._ends_at = time.monotonic() + _lifetime(answer.get("expires_in"))


def _lifetime(expires_in: Any) -> float:
    """For how many seconds a token is used: a little less than it is good for."""
    try:
        seconds = float(expires_in)
    except (TypeError, ValueError):
        return float("inf")  # not told: until it is refused
    return seconds - min(60.0, seconds / 5)


def auth_of(source: ApiSource, access: Access, ask: AskToken, scrub: Scrub) -> Auth:
    """The job's own auth, or that of its connection. Raises `InvalidSpec`, and `SourceRefused` without its secret."""
    home = url_of(source, access)
    connection = access.connection(source.connection) if source.connection else None
    headers = secrets_among("headers", source.headers, access)
    params = secrets_among("params", source.params, access)
    if source.auth.get("type", "none") != "none" or connection is None:
        told = _Told(source.auth, lambda name: access.secrets.get(f"api.auth.{name}", ""))
    else:
        options = connection.options.get("auth") or _usual(connection)
        told = _Told({"username": connection.username, **options}, lambda name: connection.password)
    if connection is not None:
        headers = dict(connection.options.get("headers") or {}) | headers
    for secret in (*headers.values(), *access.secrets.values(), connection.password if connection else ""):
        scrub.add(secret)
    return _AUTHS[_known(told.get("type", "none"))](Own(home, headers, params), told, ask, scrub)


class _Told:
    """The options of an auth; a secret is read where secrets are kept."""

    def __init__(self, options: Mapping[str, Any], sealed: Callable[[str], str]) -> None:
        self._options, self._sealed = options, sealed

    def get(self, name: str, default: Any = "") -> Any:
        return self._options.get(name, default)

    def secret(self, name: str) -> str:
        if value := self._sealed(name):
            return value
        raise SourceRefused(f"The secret auth.{name} of this API is not set.", hint="Give it again, and save the job.")


def _usual(connection: Connection) -> Mapping[str, Any]:
    """What a connection means that has a user or a password, and no word on how they are sent."""
    if connection.username:
        return {"type": "basic", "username": connection.username}
    return {"type": "bearer"} if connection.password else {}


def _known(kind: str) -> str:
    if kind not in _AUTHS:
        raise InvalidSpec(f"There is no auth “{kind}”.", hint=f"Use {', '.join(_AUTHS)}.")
    return kind


def _none(own: Own, told: _Told, ask: AskToken, scrub: Scrub) -> Auth:
    return Auth(own)


def _basic_auth(own: Own, told: _Told, ask: AskToken, scrub: Scrub) -> Auth:
    value = _basic(told.get("username"), told.secret("password"), scrub)
    return Auth(own.having(headers={"Authorization": value}))


def _bearer(own: Own, told: _Told, ask: AskToken, scrub: Scrub) -> Auth:
    return Auth(own.having(headers={"Authorization": f"Bearer {told.secret('token')}"}))


def _api_key(own: Own, told: _Told, ask: AskToken, scrub: Scrub) -> Auth:
    key = {told.get("name") or "X-API-Key": told.secret("value")}
    if told.get("location", "header") == "query":
        return Auth(own.having(params=key))
    return Auth(own.having(headers=key))


def _oauth2(own: Own, told: _Told, ask: AskToken, scrub: Scrub) -> Auth:
    client = Client(
        token_url=told.get("token_url"),
        client_id=told.get("client_id"),
        client_secret=told.secret("client_secret"),
        scope=told.get("scope"),
        extra=told.get("extra_params", {}),
        credentials_in=told.get("credentials_in", "basic"),
    )
    return OAuth2(own, client, ask, scrub)


_AUTHS: dict[str, Callable[..., Auth]] = {
    "none": _none,
    "basic": _basic_auth,
    "bearer": _bearer,
    "api_key": _api_key,
    "oauth2_client_credentials": _oauth2,
}


def _basic(username: str, password: str, scrub: Scrub) -> str:
    packed = base64.b64encode(f"{username}:{password}".encode()).decode()
    scrub.add(packed)
    return f"Basic {packed}"
