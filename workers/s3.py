"""Clients of object stores that connections name. Their every address is checked, as everywhere (network.py)."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from .access import Connection
from .errors import AssayError, SourceMissing, SourceUnavailable
from .network import NetworkPolicy

CONNECT_SECONDS = 10
READ_SECONDS = 60
DEFAULT_REGION = "us-east-1"


def s3_client(connection: Connection | None, policy: NetworkPolicy) -> Any:
    """boto3's S3 client with the connection's credentials, or the worker's own where there is no connection.

    A connection without a username reads as nobody: it never falls back on what the worker may do.
    Raises `AddressRefused`, or `SourceUnavailable` where the store's host cannot be found.
    """
    from boto3.session import Session

    if connection is None:
        return _checked(Session().client("s3", **_own_place(), config=_config()), _with_own_place(policy))
    options = connection.options
    endpoint = endpoint_of(connection)
    signed = {
        "aws_access_key_id": connection.username,
        "aws_secret_access_key": connection.password,
        "aws_session_token": options.get("session_token") or None,
    }
    style = options.get("addressing_style") or ("path" if endpoint else "auto")
    client = Session().client(
        "s3",
        endpoint_url=endpoint or None,
        region_name=options.get("region") or DEFAULT_REGION,
        config=_config(is_anonymous=not connection.username, style=style),
        **(signed if connection.username else {}),
    )
    return _checked(client, policy)


def endpoint_of(connection: Connection) -> str:
    """The address of a store that is not AWS, or nothing."""
    if endpoint := str(connection.options.get("endpoint_url") or ""):
        return endpoint
    if not connection.host:
        return ""
    return f"https://{connection.host}" + (f":{connection.port}" if connection.port else "")


def s3_error(error: Exception, what: str) -> AssayError:
    """What boto3 raised, for the person at the screen. `what` is what was asked for: `s3://bucket/key`."""
    from botocore.exceptions import ClientError, HTTPClientError, NoCredentialsError

    if isinstance(error, HTTPClientError):
        error = error.kwargs.get("error", error)
    if isinstance(error, AssayError):
        return error
    if isinstance(error, NoCredentialsError):
        return SourceMissing(f"{what}: there are no credentials.", hint="Name a connection that has some.")
    if not isinstance(error, ClientError):
        return SourceUnavailable(
            f"{what}: the object store does not answer ({type(error).__name__}).",
            hint="Check the endpoint and the network.",
        )
    code = str(error.response.get("Error", {}).get("Code", ""))
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if status >= 500 or code in ("SlowDown", "RequestTimeout"):
        return SourceUnavailable(f"{what}: the object store answered {code or status}.")
    if code in ("NoSuchBucket", "NoSuchKey", "404"):
        return SourceMissing(f"{what} does not exist.", hint="Check the bucket and the key.")
    if status in (401, 403):
        return SourceMissing(f"{what}: access was refused ({code}).", hint="Check the access key and what it may read.")
    return SourceMissing(f"{what}: the object store answered {code or status}.")


def _config(*, is_anonymous: bool = False, style: str = "auto") -> Any:
    from botocore import UNSIGNED
    from botocore.config import Config

    return Config(
        connect_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS,
        retries={"mode": "standard", "total_max_attempts": 4},
        proxies={},
        s3={"addressing_style": style},
        # A connection is what it says; endpoints from the worker's environment are not its business.
        ignore_configured_endpoint_urls=True,
        **({"signature_version": UNSIGNED} if is_anonymous else {}),
    )


def _own_place() -> dict[str, str | None]:
    """Endpoint and region of the worker itself, as for its lake."""
    env = os.environ
    endpoint = env.get("ASSAY_S3_ENDPOINT_URL") or env.get("AWS_ENDPOINT_URL_S3") or env.get("AWS_ENDPOINT_URL")
    region = env.get("AWS_REGION") or env.get("AWS_DEFAULT_REGION") or DEFAULT_REGION
    return {"endpoint_url": endpoint or None, "region_name": region}


def _with_own_place(policy: NetworkPolicy) -> NetworkPolicy:
    """Whoever runs the platform chose its own store: that address is allowed."""
    host = urlsplit(_own_place()["endpoint_url"] or "").hostname
    return replace(policy, allow=(*policy.allow, host)) if host else policy


def _checked(client: Any, policy: NetworkPolicy) -> Any:
    """The client with connections that obey the policy.

    Its own address is checked now: what is refused later, boto3 would try again before it tells.
    """
    from botocore.awsrequest import AWSHTTPConnection, AWSHTTPSConnection

    from .http_client import checked_pools

    # botocore has no public place for this; a test holds that it works.
    http = client._endpoint.http_session
    pools = checked_pools(policy, AWSHTTPConnection, AWSHTTPSConnection)
    http._pool_classes_by_scheme = http._manager.pool_classes_by_scheme = pools
    policy.check(urlsplit(client.meta.endpoint_url).hostname or "")
    return client
