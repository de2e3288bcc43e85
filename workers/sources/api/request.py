"""What is asked of an API: the job's request, filled in for the run."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Literal
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from ...access import Access
from ...errors import InvalidSpec
from ...json_path import split_path
from ...specs import ApiSource, IngestSpec
from ...watermark import Value, lower_bound, moment_of

Where = Literal["query", "body", "header"]
PLACEHOLDERS = ("watermark", "run_date", "start_date", "end_date")
PLACEHOLDER = re.compile(r"\{(\w+)\}")
_ACCEPT = {"json": "application/json", "ndjson": "application/x-ndjson, application/json", "csv": "text/csv"}
_LEFT_OUT = object()  # a text with a placeholder that has no value


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request, without what proves who asks."""

    url: str
    method: Literal["GET", "POST"] = "GET"
    params: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = None

    def having(self, where: Where, name: str, value: str | int) -> Request:
        """The same with one parameter more; in a body `name` may be a path: `paging.cursor`."""
        if where == "header":
            return replace(self, headers={**self.headers, name: str(value)})
        if where == "body":
            return replace(self, body=_with_value(self.body, split_path(name), value))
        return replace(self, params={**self.params, name: value})

    def at(self, url: str) -> Request:
        """The same at a link of the API's, which holds all parameters."""
        return replace(self, url=url, params={})

    @property
    def full_url(self) -> str:
        return with_params(self.url, self.params)


@dataclass(frozen=True, slots=True, kw_only=True)
class WatermarkParam:
    """How an API is told from when on records are wanted."""

    param_name: str = ""
    end_param_name: str = ""  # takes the end of a window
    format: Literal["", "iso", "date", "epoch_seconds", "epoch_milliseconds"] = ""  # empty: the value as it is
    send_in: Where = "query"


def base_request(spec: IngestSpec, access: Access) -> Request:
    """The job's request, its placeholders filled in and the watermark in its place.

    A parameter, a header or a key of the body whose placeholder has no value
    (there is no watermark yet, the run has no window) is left out.
    """
    source: ApiSource = spec.source
    values = _values(spec)
    usual = {"Accept": _ACCEPT.get(spec.format, "*/*"), "User-Agent": "Assay"}
    request = Request(
        url=_filled(url_of(source, access), values),
        method=source.method,
        params=_filled(_plain("params", source.params, access), values),
        headers=usual | _filled(_plain("headers", source.headers, access), values),
        body=_filled(source.body, values),
    )
    param = WatermarkParam(**source.watermark)
    for name, value in ((param.param_name, values["watermark"]), (param.end_param_name, values["until"])):
        if name and value is not None:
            request = request.having(param.send_in, name, value)
    return request


def secrets_among(what: str, given: Mapping[str, Any], access: Access) -> dict[str, str]:
    """The values of those `headers` or `params` that are kept as secrets."""
    paths = {name: f"api.{what}.{name}" for name in given}
    return {name: access.secrets[path] for name, path in paths.items() if path in access.secrets}


def _plain(what: str, given: Mapping[str, Any], access: Access) -> dict[str, Any]:
    secret = secrets_among(what, given, access)
    return {name: value for name, value in given.items() if name not in secret}


def url_of(source: ApiSource, access: Access) -> str:
    """The job's address, joined to its connection's. Raises `InvalidSpec` where it is none, or another's."""
    if not source.connection:
        return source.url
    connection = access.connection(source.connection)
    base = str(connection.options.get("base_url") or _host_url(connection.host, connection.port)).rstrip("/")
    if not re.match("https?://", source.url, re.IGNORECASE):
        return f"{base}/{source.url.lstrip('/')}" if source.url else base
    if origin(source.url) != origin(base):
        raise InvalidSpec(
            f"{source.url} is not at {base}, to which the connection “{source.connection}” belongs.",
            hint="Give the address relative to the connection's, or leave the connection out.",
        )
    return source.url


def _host_url(host: str, port: int | None) -> str:
    if not host:
        raise InvalidSpec("The connection has no address.", hint="Set its base_url.")
    return f"https://{host}:{port}" if port else f"https://{host}"


# --- URLs ------------------------------------------------------------------------------------


def origin(url: str) -> tuple[str, str, int]:
    """Scheme, host and port. Raises `InvalidSpec` for what is no address on the web."""
    try:
        parts = urlsplit(url)
        scheme, host = parts.scheme.lower(), (parts.hostname or "").lower()
        port = parts.port or {"http": 80, "https": 443}.get(scheme, 0)
    except ValueError:
        scheme, host, port = "", "", 0
    if scheme not in ("http", "https") or not host:
        raise InvalidSpec(f"“{url[:200]}” is no address of an API.", hint="Use one that begins with https://.")
    return scheme, host, port


def with_params(url: str, params: Mapping[str, Any]) -> str:
    """The URL with these parameters in its query, in the place of those of the same name. A list repeats its name."""
    if not params:
        return url
    parts = urlsplit(url)
    kept = [(name, value) for name, value in parse_qsl(parts.query, keep_blank_values=True) if name not in params]
    added = [(name, _as_param(value)) for name, value in params.items()]
    return urlunsplit(parts._replace(query=urlencode([*kept, *added], doseq=True)))


def without_params(url: str, names: set[str]) -> str:
    """The URL without these parameters; untouched if it has none of them."""
    parts = urlsplit(url)
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    kept = [pair for pair in pairs if pair[0] not in names]
    return url if kept == pairs else urlunsplit(parts._replace(query=urlencode(kept)))


def _as_param(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    return [_as_param(item) for item in value] if isinstance(value, list) else value


# --- what is filled in ---------------------------------------------------------------------------


def _values(spec: IngestSpec) -> dict[str, str | int | float | None]:
    """What the placeholders stand for; None: nothing. `until` is a window's end, as the watermark is written."""
    param, window = WatermarkParam(**spec.source.watermark), spec.window
    since: Value = window.start_date
    if since is None and spec.watermark is not None:
        since = lower_bound(spec.watermark)
    return {
        "watermark": written(since, param.format),
        "until": _written_end(window.end_date, param.format),
        "run_date": spec.ingested_at.astimezone(UTC).date().isoformat(),
        "start_date": window.start_date,
        "end_date": window.end_date,
    }


def written(value: Value, format_: str) -> str | int | float | None:
    """A watermark as the API wants it. Raises `InvalidSpec` for one that is no date or time where one is wanted."""
    if value is None or not format_:
        return value
    moment = moment_of(value)
    if moment is None:
        raise InvalidSpec(
            f"The watermark {value!r} is no date or time, so it cannot be sent as {format_}.",
            hint="Leave the format of the watermark's parameter empty, or set the watermark anew.",
        )
    if not isinstance(moment, datetime):
        moment = datetime.combine(moment, time())
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    if format_ == "date":
        return moment.date().isoformat()
    if format_ == "iso":
        return moment.isoformat().replace("+00:00", "Z")
    # In whole units, rounded down: what lies between is asked for again, never passed over.
    return (moment - datetime.fromtimestamp(0, UTC)) // timedelta(
        **{"epoch_seconds": {"seconds": 1}, "epoch_milliseconds": {"milliseconds": 1}}[format_]
    )


def _written_end(end_date: str | None, format_: str) -> str | int | float | None:
    """The window's last day itself as a date, else the moment when that day is over."""
    if end_date is None or format_ in ("", "date"):
        return end_date
    return written((date.fromisoformat(end_date) + timedelta(days=1)).isoformat(), format_)


def _filled(value: Any, values: Mapping[str, Any]) -> Any:
    if isinstance(value, Mapping):
        filled = {name: _filled(inner, values) for name, inner in value.items()}
        return {name: inner for name, inner in filled.items() if inner is not _LEFT_OUT}
    if isinstance(value, list | tuple):
        return [inner for inner in (_filled(inner, values) for inner in value) if inner is not _LEFT_OUT]
    return _filled_text(value, values) if isinstance(value, str) else value


def _filled_text(text: str, values: Mapping[str, Any]) -> Any:
    wanted = [name for name in PLACEHOLDER.findall(text) if name in PLACEHOLDERS]
    if any(values[name] is None for name in wanted):
        return _LEFT_OUT
    if wanted and text == f"{{{wanted[0]}}}":
        return values[wanted[0]]  # alone it keeps its type: a number stays one in a body
    return PLACEHOLDER.sub(lambda found: str(values[found[1]]) if found[1] in wanted else found[0], text)


def _with_value(body: Any, path: list[str], value: Any) -> dict[str, Any]:
    held = dict(body) if isinstance(body, Mapping) else {}
    first, *rest = path
    held[first] = _with_value(held.get(first), rest, value) if rest else value
    return held
