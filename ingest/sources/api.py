"""An HTTP API that answers in pages of records."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from .base import Name, Options, Source

# A job is shown, exported and kept in its history: a secret in it would be, too.
Secret = Annotated[
    str,
    Field(pattern=r"^(env|file):.+$", description="a reference, `env:NAME` or `file:PATH`, never the secret itself"),
]
SECRET_HEADERS = frozenset({"authorization", "proxy-authorization", "cookie", "x-api-key", "api-key"})
Scalar = str | int | float | bool


class NoAuth(Options):
    type: Literal["none"] = "none"


class BasicAuth(Options):
    type: Literal["basic"]
    username: str
    password: Secret


class BearerAuth(Options):
    type: Literal["bearer"]
    token: Secret


class ApiKeyAuth(Options):
    type: Literal["api_key"]
    name: str = Field("X-API-Key", description="of the header or the parameter")
    value: Secret
    location: Literal["header", "query"] = "header"


class OAuth2Auth(Options):
    type: Literal["oauth2_client_credentials"]
    token_url: str = Field(pattern=r"^https?://.+$")
    client_id: str
    client_secret: Secret
    scope: str = ""


Auth = Annotated[NoAuth | BasicAuth | BearerAuth | ApiKeyAuth | OAuth2Auth, Field(discriminator="type")]


class Pagination(Options):
    """How one page leads to the next."""

    type: Literal["none", "page", "offset", "cursor", "link_header"] = "none"
    page_param: str = Field("page", description="parameter with the page's number (page) or first record (offset)")
    page_size_param: str = Field("per_page", description="parameter with the page's size")
    page_size: int = Field(100, ge=1, le=100_000)
    next_token_path: str | None = Field(None, description="where the answer has the next cursor: `meta.next`")
    next_token_param: str = Field("cursor", description="parameter that takes it")

    @model_validator(mode="after")
    def _cursor_has_a_path(self) -> Pagination:
        if self.type == "cursor" and not self.next_token_path:
            raise ValueError("pagination by cursor needs next_token_path")
        return self


class Watermark(Options):
    param_name: str = Field(min_length=1, description="parameter that takes the last watermark")


class ApiOptions(Options):
    connection: Name | None = None
    url: str = Field(pattern=r"^https?://[^\s/]+.*$", max_length=2000)
    method: Literal["GET", "POST"] = "GET"
    headers: dict[str, str] = {}
    params: dict[str, Scalar] = {}
    body: Any = Field(None, description="sent as JSON with POST")
    records_path: str = Field("", max_length=200, description="where the answer keeps its records: `data.items`")
    auth: Auth = NoAuth()
    pagination: Pagination = Pagination()
    watermark: Watermark | None = None

    @field_validator("headers")
    @classmethod
    def _no_secrets(cls, headers: dict[str, str]) -> dict[str, str]:
        if secret := [name for name in headers if name.lower() in SECRET_HEADERS]:
            raise ValueError(f"“{secret[0]}” carries a secret: use auth instead")
        return headers

    @model_validator(mode="after")
    def _only_post_has_a_body(self) -> ApiOptions:
        if self.body is not None and self.method != "POST":
            raise ValueError("a body is sent with POST only")
        return self


class Api(Source):
    name, part, options = "api", "api", ApiOptions
    formats = ("json", "ndjson", "csv")
