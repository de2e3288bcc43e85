"""Servers that tests run against, where one answers: PostgreSQL (TEST_POSTGRES_URL), MariaDB (TEST_MARIADB_URL) and
Redis (TEST_REDIS_URL).

Without one a test is skipped with its reason; with CI=true it fails.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import psycopg
import pymysql
import pytest
import redis

POSTGRES_URL = os.environ.get("TEST_POSTGRES_URL", "postgresql://postgres@127.0.0.1:5432/postgres")
MARIADB_URL = os.environ.get("TEST_MARIADB_URL", "mysql://root@127.0.0.1:3306")
CLAIM = "assay-test-database-{}"
CLAIM_SECONDS = 3600  # of a test run that was killed
REDIS_URL = os.environ.get("TEST_REDIS_URL", "redis://127.0.0.1:6379")


def _missing(what: str, error: Exception):
    message = f"{what} does not answer: {str(error).splitlines()[0]}"
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)


@contextmanager
def postgres_database() -> Iterator[str]:
    """The URL of an empty database of its own, dropped afterwards."""
    try:
        server = psycopg.connect(POSTGRES_URL, autocommit=True, connect_timeout=10)
    except psycopg.OperationalError as error:
        _missing("PostgreSQL", error)
    name = f"assay_test_{uuid4().hex}"
    with server:
        server.execute(f'CREATE DATABASE "{name}"')
        try:
            yield urlunsplit(urlsplit(POSTGRES_URL)._replace(path=f"/{name}"))
        finally:
            server.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
def postgres_url():
    with postgres_database() as url:
        yield url


@pytest.fixture
def mariadb_url():
    """The URL of an empty database of its own, dropped afterwards."""
    parts = urlsplit(MARIADB_URL)
    try:
        server = pymysql.connect(
            host=parts.hostname,
            port=parts.port or 3306,
            user=parts.username,
            password=parts.password or "",
            connect_timeout=10,
        )
    except pymysql.OperationalError as error:
        _missing("MariaDB", error)
    name = f"assay_test_{uuid4().hex}"
    with server, server.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE `{name}` CHARACTER SET utf8mb4")
        yield urlunsplit(parts._replace(path=f"/{name}"))
        cursor.execute(f"DROP DATABASE `{name}`")


@contextmanager
def redis_database() -> Iterator[str]:
    """The URL of an empty Redis database that is nobody else's, emptied afterwards."""
    with redis.Redis.from_url(REDIS_URL, socket_connect_timeout=10) as server:
        try:
            number = _claim_a_database(server)
        except redis.exceptions.ConnectionError as error:
            _missing("Redis", error)
        url = urlunsplit(urlsplit(REDIS_URL)._replace(path=f"/{number}"))
        with redis.Redis.from_url(url) as mine:
            try:
                yield url
            finally:
                mine.flushdb()
                server.delete(CLAIM.format(number))


def _claim_a_database(server: redis.Redis) -> int:
    """To see that a database is empty is not enough: of several processes all would see it."""
    for number in range(15, 0, -1):
        is_known = f"db{number}" in server.info("keyspace")
        if not is_known and server.set(CLAIM.format(number), "", nx=True, ex=CLAIM_SECONDS):
            return number
    pytest.skip("All 15 databases of the Redis server are in use.")
