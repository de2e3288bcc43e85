"""What a connection may be: a registry of kinds, each with the fields it takes and its declared options.

A new kind is one entry here; forms, validation, OpenAPI and docs follow from it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, create_model, field_validator, model_validator

from assay.common.options import Options, Secret

FIELDS = ("host", "port", "database", "username", "password")
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
Schema = Annotated[str, Field(max_length=200, description="shown in the table browser; empty: all that may be seen")]
Certificate = Annotated[
    str, Field(max_length=200_000, description="certificates (PEM) of who vouches for the server; empty: the system's")
]


class _WithCertificate(Options):
    ssl_ca: Certificate = ""

    @field_validator("ssl_ca")
    @classmethod
    def _is_pem(cls, text: str) -> str:
        if text and "-----BEGIN CERTIFICATE-----" not in text:
            raise ValueError("paste the certificate itself: text that begins with -----BEGIN CERTIFICATE-----")
        return text


class PostgresOptions(_WithCertificate):
    sslmode: Literal["disable", "prefer", "require", "verify-ca", "verify-full"] = Field(
        "prefer", description="`verify-full` is the safe one: encrypted, and the server is who it says"
    )
    schema_name: Schema = Field("", alias="schema")


class MysqlOptions(_WithCertificate):
    sslmode: Literal["disable", "prefer", "require", "verify-ca", "verify-full"] = Field(
        "prefer", description="`verify-full` is the safe one: encrypted, and the server is who it says"
    )


class SqliteOptions(Options):
    pass


class MssqlOptions(Options):
    encryption: Literal["off", "request", "require"] = Field(
        "request", description="whether the connection is encrypted"
    )
    schema_name: Schema = Field("", alias="schema")


class OracleOptions(Options):
    schema_name: Schema = Field("", alias="schema")


class S3Options(Options):
    endpoint_url: str = Field("", max_length=500, description="of a store that is not AWS: `https://minio.example.org`")
    region: str = Field("", max_length=100, description="empty: us-east-1")
    session_token: Secret | None = Field(None, description="of temporary credentials")
    addressing_style: Literal["auto", "path", "virtual"] = Field(
        "auto",
        description="whether the bucket stands in the path or in the host's name; auto: in the path, but for AWS",
    )

    @field_validator("endpoint_url")
    @classmethod
    def _is_plain_url(cls, url: str) -> str:
        return _plain_url(url) if url else url


class HttpNoAuth(Options):
    type: Literal["none"] = "none"


class HttpBasic(Options):
    """The user and the password of the connection."""

    type: Literal["basic"]


class HttpBearer(Options):
    """The connection's password is the token."""

    type: Literal["bearer"]


class HttpApiKey(Options):
    """The connection's password is the key."""

    type: Literal["api_key"]
    name: str = Field("X-API-Key", min_length=1, max_length=200, description="of the header or the parameter")
    location: Literal["header", "query"] = Field("header", description="where the key is sent")


class HttpOAuth2(Options):
    """The connection's password is the client's secret."""

    type: Literal["oauth2_client_credentials"]
    token_url: str = Field(pattern=r"^https?://[^\s/]+.*$", max_length=2000, description="where tokens are asked for")
    client_id: str = Field(min_length=1, max_length=500, description="of the client that Assay is to the API")
    scope: str = Field("", max_length=2000, description="what the token is for; several with blanks between")
    extra_params: dict[str, str] = Field({}, description="more that the token endpoint wants: `audience`, `resource`")
    credentials_in: Literal["basic", "body"] = Field("basic", description="where the token endpoint looks for them")


HttpAuth = Annotated[HttpNoAuth | HttpBasic | HttpBearer | HttpApiKey | HttpOAuth2, Field(discriminator="type")]


class HttpOptions(Options):
    base_url: str = Field(
        "", max_length=2000, description="what every address begins with: `https://api.example.org/v1`"
    )
    headers: dict[str, Secret] = Field({}, max_length=50, description="sent with each request; kept as secrets")
    auth: HttpAuth | None = Field(
        None, description="how the password is sent; none: as basic where there is a username, else as a bearer token"
    )

    @field_validator("base_url")
    @classmethod
    def _is_plain_url(cls, url: str) -> str:
        return _plain_url(url) if url else url

    @field_validator("headers")
    @classmethod
    def _can_be_headers(cls, headers: dict[str, str]) -> dict[str, str]:
        for name, value in headers.items():
            if not _HEADER.fullmatch(name) or re.search(r"[\r\n\0]", value):
                raise ValueError(f"“{name}” is no header: letters, digits and hyphens, and a value of one line")
        return headers

    @model_validator(mode="after")
    def _each_header_once(self) -> HttpOptions:
        if len({name.lower() for name in self.headers}) != len(self.headers):
            raise ValueError("a header is given twice")
        return self


def _plain_url(url: str) -> str:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise ValueError("this is no address") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or re.search(r"\s", url):
        raise ValueError("write a whole address: https://host/path")
    if "@" in parts.netloc:
        raise ValueError("leave user and password out of the address: they have fields of their own")
    return url


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind of connection. Of FIELDS, what is neither needed nor taken is refused."""

    name: str
    label: str
    icon: str
    options: type[Options]
    needs: tuple[str, ...] = ()
    takes: tuple[str, ...] = ()
    labels: dict[str, str] = field(default_factory=dict)  # what a field is called here
    port: int | None = None  # where none is given
    has_tables: bool = False

    @property
    def fields(self) -> tuple[str, ...]:
        return tuple(name for name in FIELDS if name in self.needs + self.takes)

    @property
    def sealed_model(self) -> type[Options]:
        """What of a connection of this kind may hold secrets."""
        return _SEALED[self.name]


_SERVER = {"needs": ("host", "database", "username"), "takes": ("port", "password"), "has_tables": True}
KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind(name="postgresql", label="PostgreSQL", icon="database", options=PostgresOptions, port=5432, **_SERVER),
        Kind(name="mysql", label="MySQL or MariaDB", icon="database", options=MysqlOptions, port=3306, **_SERVER),
        Kind(
            name="sqlite",
            label="SQLite",
            icon="hard_drive",
            options=SqliteOptions,
            needs=("database",),
            labels={"database": "File"},
            has_tables=True,
        ),
        Kind(name="mssql", label="SQL Server", icon="database", options=MssqlOptions, port=1433, **_SERVER),
        Kind(
            name="oracle",
            label="Oracle",
            icon="database",
            options=OracleOptions,
            port=1521,
            labels={"database": "Service name"},
            **_SERVER,
        ),
        Kind(
            name="s3",
            label="S3",
            icon="cloud",
            options=S3Options,
            takes=("host", "port", "database", "username", "password"),
            labels={"database": "Bucket", "username": "Access key", "password": "Secret key"},
        ),
        Kind(
            name="http",
            label="HTTP API",
            icon="api",
            options=HttpOptions,
            takes=("host", "port", "username", "password"),
            labels={"password": "Password, token or key"},
        ),
    )
}
DATABASES = tuple(kind.name for kind in KINDS.values() if kind.has_tables)
_SEALED = {
    name: create_model(f"Sealed{name.title()}", __base__=Options, password=(Secret, ""), options=(kind.options, {}))
    for name, kind in KINDS.items()
}
