"""Whether an object store or an API can be reached with what a connection says. Databases: see database.py."""

from __future__ import annotations

from base64 import b64encode

import requests

from ..access import Connection
from ..errors import SourceMissing, SourceUnavailable
from ..network import NetworkPolicy, session
from ..s3 import s3_client, s3_error

SECONDS = 10


def check_s3(connection: Connection, policy: NetworkPolicy) -> str:
    """What was found, in words: one page of the bucket, or the buckets where none is named. Raises `AssayError`."""
    client = s3_client(connection, policy)
    what = f"s3://{connection.database}" if connection.database else "The object store"
    try:
        if not connection.database:
            buckets = [bucket["Name"] for bucket in client.list_buckets()["Buckets"]]
            count = f"{len(buckets)} bucket{'s' * (len(buckets) > 1)}"
            return f"The store answers: {count}." if buckets else "The store answers; it has no bucket."
        found = client.list_objects_v2(Bucket=connection.database, MaxKeys=10).get("Contents", [])
    except Exception as error:  # boto3 raises many kinds, which s3_error knows
        raise s3_error(error, what) from error
    first = f", the first is {found[0]['Key']}" if found else ""
    return (
        f"The bucket {connection.database} answers{first}." if found else f"The bucket {connection.database} is empty."
    )


def check_http(connection: Connection, policy: NetworkPolicy) -> str:
    """What the base address answers to a GET with the connection's headers and credentials. Raises `AssayError`."""
    url = base_url(connection)
    with session(policy) as client:
        try:
            answer = client.get(url, timeout=(SECONDS, SECONDS), stream=True, **credentials(connection))
            answer.close()
        except requests.TooManyRedirects as error:
            raise SourceMissing(f"{url} leads from one address to the next without an end.") from error
        except requests.exceptions.SSLError as error:
            raise SourceUnavailable(
                f"{url} has no certificate that this machine trusts.", hint="Check the address, or the certificate."
            ) from error
        except requests.RequestException as error:
            raise SourceUnavailable(f"{url} does not answer ({type(error).__name__}).") from error
    if answer.status_code in (401, 403):
        raise SourceMissing(
            f"{url} answers {answer.status_code}: access was refused.",
            hint="Check the credentials and how they are sent.",
        )
    if answer.status_code >= 500:
        raise SourceUnavailable(f"{url} answers {answer.status_code}.")
    return f"{url} answers {answer.status_code}."


def base_url(connection: Connection) -> str:
    """The address that every other begins with."""
    if url := str(connection.options.get("base_url") or ""):
        return url
    return f"https://{connection.host}" + (f":{connection.port}" if connection.port else "")


def credentials(connection: Connection) -> dict:
    """What a request of the connection carries, for requests. OAuth2 is left out: a token is asked for by runs only."""
    headers = dict(connection.options.get("headers") or {})
    auth = connection.options.get("auth") or {}
    kind = auth.get("type") or ("basic" if connection.username else "bearer" if connection.password else "none")
    if kind == "basic":
        pair = f"{connection.username}:{connection.password}".encode()
        headers["Authorization"] = f"Basic {b64encode(pair).decode()}"
    elif kind == "bearer":
        headers["Authorization"] = f"Bearer {connection.password}"
    elif kind == "api_key" and auth.get("location") == "query":
        return {"headers": headers, "params": {auth.get("name", "X-API-Key"): connection.password}}
    elif kind == "api_key":
        headers[auth.get("name", "X-API-Key")] = connection.password
    return {"headers": headers}
