"""An HTTP API that answers in pages of records."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from assay.common.options import HasSecretsByName, Secret
from assay.common.problems import Problem
from assay.common.secrets import is_reference, reference_problem
from workers.secret_names import is_secret_name
from workers.specs import ApiSource, CsvOptions

from .base import Csv, Name, Options, Source
from .nested import NestedValues, as_spec

if TYPE_CHECKING:
    from ingest.models import IngestJob

PLACEHOLDERS = ("watermark", "run_date", "start_date", "end_date")
_PLACEHOLDER = re.compile(r"\{(\w+)\}")
Scalar = str | int | float | bool
Param = Scalar | list[Scalar]
Path = Annotated[str, Field(min_length=1, max_length=200)]
Where = Literal["query", "body", "header"]


# --- who asks ------------------------------------------------------------------------------------


class NoAuth(Options):
    type: Literal["none"] = "none"


class BasicAuth(Options):
    type: Literal["basic"]
    username: str = Field(description="the user")
    password: Secret


class BearerAuth(Options):
    type: Literal["bearer"]
    token: Secret


class ApiKeyAuth(Options):
    type: Literal["api_key"]
    name: str = Field("X-API-Key", min_length=1, description="of the header or the parameter")
    value: Secret
    location: Literal["header", "query"] = Field("header", description="where the key is sent")


class OAuth2Auth(Options):
    type: Literal["oauth2_client_credentials"]
    token_url: str = Field(pattern=r"^https?://[^\s/]+.*$", max_length=2000, description="where tokens are asked for")
    client_id: str = Field(min_length=1, description="of the client that Assay is to the API")
    client_secret: Secret
    scope: str = Field("", description="what the token is for, as the API names it; several with blanks between")
    extra_params: dict[str, str] = Field({}, description="more that the token endpoint wants: `audience`, `resource`")
    credentials_in: Literal["basic", "body"] = Field("basic", description="where the token endpoint looks for them")


Auth = Annotated[NoAuth | BasicAuth | BearerAuth | ApiKeyAuth | OAuth2Auth, Field(discriminator="type")]


# --- how one page leads to the next --------------------------------------------------------------


class PaginationOptions(Options):
    """The base of all ways. Fields that only other ways need may be there, too, as a form sends them; they do nothing.

    Where nothing leads to a next page they may say no more than their default: else pages would be missing.
    """

    _of_others: ClassVar[dict[str, tuple[Any, ...]]] = {
        "page_param": (None, "page"),
        "page_size_param": (None, "per_page"),
        "page_size": (None, 100),
        "next_token_path": (None, ""),
        "next_token_param": (None, "cursor"),
    }
    _leads_on: ClassVar[bool] = True

    @model_validator(mode="before")
    @classmethod
    def _forgive_others(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        idle = [
            name
            for name, defaults in cls._of_others.items()
            if name in data and name not in cls.model_fields and (cls._leads_on or data[name] in defaults)
        ]
        return {name: value for name, value in data.items() if name not in idle}


class NoPagination(PaginationOptions):
    type: Literal["none"] = "none"
    _leads_on = False


class _Sized(PaginationOptions):
    """Ways in which a size may be asked for."""

    page_size_param: str | None = Field(
        "per_page", max_length=200, description="parameter with the page's size; empty: none"
    )
    page_size: int | None = Field(None, ge=1, le=100_000, description="records on a page; empty: not sent")


class _Counted(PaginationOptions):
    send_in: Where = Field("query", description="where the parameters go; in a body, names may be paths")
    stop_at: Literal["empty_page", "short_page"] = Field(
        "empty_page",
        description="what ends the pages, where no total is told: `short_page` saves a request, "
        "but loses records where the API makes pages of different sizes",
    )
    has_more_path: Path | None = Field(None, description="where the answer says whether there is more: `has_more`")


class PagePagination(_Counted):
    """`page=1`, `page=2`, …"""

    type: Literal["page"]
    page_param: str = Field("page", min_length=1, max_length=200, description="parameter with the page's number")
    page_size_param: str = Field("per_page", max_length=200, description="parameter with the page's size; empty: none")
    page_size: int = Field(100, ge=1, le=100_000, description="records on a page")
    first_page: int = Field(1, ge=0, le=1_000_000, description="number of the first page, mostly 1 or 0")
    maximum_page: int | None = Field(None, ge=0, description="number of the last page that is wanted")
    total_pages_path: Path | None = Field(None, description="where the answer tells how many pages there are")


class OffsetPagination(_Counted):
    """`offset=0`, `offset=100`, …"""

    type: Literal["offset"]
    page_param: str = Field(
        "offset", min_length=1, max_length=200, description="parameter with the first record's place"
    )
    page_size_param: str = Field("limit", max_length=200, description="parameter with the page's size; empty: none")
    page_size: int = Field(100, ge=1, le=100_000, description="records on a page")
    total_path: Path | None = Field(None, description="where the answer tells how many records there are")


class CursorPagination(_Sized):
    """Each page has a token, which the next request sends back."""

    type: Literal["cursor"]
    next_token_path: Path | None = Field(None, description="where the answer has the next token: `meta.next`")
    next_token_header: str | None = Field(None, max_length=200, description="or the header that has it")
    next_token_param: str = Field("cursor", min_length=1, max_length=200, description="parameter that takes it")
    send_in: Where = Field("query", description="where it goes; in a body, its name may be a path")
    has_more_path: Path | None = Field(None, description="where the answer says whether there is more: `has_more`")

    @model_validator(mode="after")
    def _token_is_found_in_one_place(self) -> CursorPagination:
        if bool(self.next_token_path) == bool(self.next_token_header):
            raise ValueError("pagination by cursor needs next_token_path, or next_token_header")
        return self


class NextLinkPagination(_Sized):
    """Each page has the address of the next one in its body."""

    type: Literal["next_link"]
    next_url_path: Path = Field(description="where the answer has the next page's address: `paging.next`")


class LinkHeaderPagination(_Sized):
    """The header `Link` has the address of the next page, with rel=next."""

    type: Literal["link_header"]


Pagination = Annotated[
    NoPagination | PagePagination | OffsetPagination | CursorPagination | NextLinkPagination | LinkHeaderPagination,
    Field(discriminator="type"),
]


# --- the rest ------------------------------------------------------------------------------------


class Watermark(Options):
    """How the API is told from when on records are wanted. Without it, it sends all, and what is known is left out."""

    param_name: str = Field(
        max_length=200, description="parameter that takes the last watermark; empty: only `{watermark}` elsewhere does"
    )
    end_param_name: str = Field("", max_length=200, description="parameter that takes the end of a backfill's window")
    format: Literal["", "iso", "date", "epoch_seconds", "epoch_milliseconds"] = Field(
        "", description="how a date or a time is written; empty: as the watermark is"
    )
    send_in: Where = Field("query", description="where the parameters go; in a body, names may be paths")


class Limits(Options):
    """How hard the API is asked, and for how long."""

    timeout_seconds: float = Field(60, gt=0, le=3600, description="how long an answer may keep silent")
    max_retries: int = Field(5, ge=0, le=20, description="tries more of a page that fails with 429, 5xx or on the way")
    backoff_seconds: float = Field(
        1, ge=0, le=60, description="longest pause before the first try more; doubled each time"
    )
    max_wait_seconds: float = Field(300, ge=0, le=3600, description="longest pause that Retry-After may ask for")
    rate_limit_per_minute: float | None = Field(
        None, gt=0, le=100_000, description="requests in a minute, evenly spread"
    )
    max_pages: int = Field(10_000, ge=1, le=1_000_000, description="pages of a run")
    on_max_pages: Literal["fail", "stop"] = Field(
        "fail", description="at more pages: fail the run, or stop and load what came; then rows may be missing for good"
    )
    max_page_bytes: int = Field(100 << 20, ge=1024, le=4 << 30, description="size of a page, unpacked")
    concurrency: int = Field(1, ge=1, le=16, description="pages asked for at once; with page and offset only")


class ApiOptions(Options):
    connection: Name | None = Field(None, description="an HTTP connection with address, auth and headers")
    url: str = Field(max_length=2000, description="`https://…`, or what follows the connection's address")
    method: Literal["GET", "POST"] = Field("GET", description="of the request")
    headers: Annotated[dict[str, str], HasSecretsByName()] = Field(
        {}, description="sent with each request; those whose name speaks of a key or a token are kept as secrets"
    )
    params: Annotated[dict[str, Param], HasSecretsByName()] = Field(
        {}, description="of the query; `{watermark}` and `{run_date}` are filled in"
    )
    body: Any = Field(None, description="sent as JSON with POST; placeholders are filled in here, too")
    records_path: str = Field(
        "", max_length=200, description="where the answer keeps its records: `data.items`; empty: at the top"
    )
    csv: Csv | None = Field(None, description="how CSV is written; for the format csv only")
    nested: NestedValues = []
    auth: Auth = Field(NoAuth(), description="who asks")
    pagination: Pagination = Field(NoPagination(), description="how one page leads to the next")
    watermark: Watermark | None = Field(None, description="asks for what is new only")
    limits: Limits = Field(Limits(), description="time, tries, rate and pages")

    @field_validator("headers", "params")
    @classmethod
    def _references_may_be_used(cls, values: dict[str, Any]) -> dict[str, Any]:
        for name, value in values.items():
            is_read = isinstance(value, str) and is_secret_name(name) and is_reference(value)
            if is_read and (problem := reference_problem(value)):
                raise ValueError(f"{name}: {problem}")
        return values

    @field_validator("headers")
    @classmethod
    def _can_be_headers(cls, headers: dict[str, str]) -> dict[str, str]:
        for name, value in headers.items():
            if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name) or re.search(r"[\r\n\0]", value):
                raise ValueError(f"“{name}” is no header: letters, digits and hyphens, and a value of one line")
        return headers

    @field_validator("headers", "params", "body")
    @classmethod
    def _known_placeholders(cls, value: Any) -> Any:
        if unknown := [name for name in _placeholders(value) if name not in PLACEHOLDERS]:
            known = ", ".join(f"{{{name}}}" for name in PLACEHOLDERS)
            raise ValueError(
                f"there is no “{{{unknown[0]}}}”, but {known}; braces that mean themselves need a blank inside"
            )
        return value

    @model_validator(mode="after")
    def _only_post_has_a_body(self) -> ApiOptions:
        if self.method == "POST":
            return self
        if self.body is not None:
            raise ValueError("a body is sent with POST only")
        if "body" in (getattr(self.pagination, "send_in", ""), self.watermark and self.watermark.send_in):
            raise ValueError("only POST has a body that takes parameters")
        return self


def _placeholders(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for inner in value:
            yield from _placeholders(inner)
    elif isinstance(value, str):
        yield from _PLACEHOLDER.findall(value)


class Api(Source):
    name, part, options, available = "api", "api", ApiOptions, True
    connection_kinds = ("http",)
    formats = ("json", "ndjson", "csv")

    def problems(self, options: ApiOptions, path: str) -> Iterator[Problem]:
        if problem := url_problem(options.url, options.connection):
            yield Problem(f"{path}.url", problem, "invalid_url")
        if options.limits.concurrency > 1 and options.pagination.type not in ("page", "offset"):
            detail = "Only pages that are counted (page, offset) can be asked for at once."
            yield Problem(f"{path}.limits.concurrency", detail, "not_allowed")

    def to_spec(self, options: ApiOptions, job: IngestJob) -> ApiSource:
        return ApiSource(
            url=options.url,
            connection=options.connection or "",
            method=options.method,
            headers=options.headers,
            params=options.params,
            body=options.body,
            auth=options.auth.model_dump(),
            pagination=options.pagination.model_dump(),
            watermark=options.watermark.model_dump() if options.watermark else {},
            limits=options.limits.model_dump(),
        )

    def reading(self, options: ApiOptions) -> dict[str, Any]:
        return {
            "records_path": options.records_path,
            "csv": options.csv.as_spec() if options.csv else CsvOptions(),
            "nested": as_spec(options.nested),
        }


def url_problem(url: str, connection: str | None) -> str:
    """Why this cannot be an API's address, or nothing. Whether it may be reached is the network policy's to say."""
    if unknown := [name for name in _placeholders(url) if name != "run_date"]:
        return f"In an address only {{run_date}} is filled in, not {{{unknown[0]}}}: use a parameter."
    if re.search(r"\s", url):
        return "An address has no blanks: write %20."
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "This is no address."
    if not parts.scheme and connection:
        return ""
    if parts.scheme.lower() not in ("http", "https") or not parts.hostname or port == 0:
        needs = "It may be relative only with a connection. " if not parts.scheme else ""
        return f"An address begins with https:// or http:// and a host. {needs}".strip()
    if "@" in parts.netloc:
        return "User and password belong into auth, not into the address."
    return ""
