import os
from collections.abc import Iterator

import psycopg
import pytest
from installation import POSTGRES, REDIS, Installation, Postgres, Redis, Valkey, answers


@pytest.fixture(scope="module", params=["sqlite+valkey", pytest.param("postgresql+redis", marks=pytest.mark.postgres)])
def installation(request, tmp_path_factory) -> Iterator[Installation]:
    home = tmp_path_factory.mktemp("chaos")
    if request.param == "sqlite+valkey":
        yield from _run(Installation(home, "", Valkey(home)))
        return
    _need_servers()
    database = Postgres()
    try:
        yield from _run(Installation(home, database.url, Redis()))
    finally:
        database.drop()


def _run(made: Installation) -> Iterator[Installation]:
    try:
        made.start_scheduler()
        yield made
    finally:
        made.end()
        made.broker.stop()


def _need_servers() -> None:
    try:
        psycopg.connect(POSTGRES, connect_timeout=2).close()
        reason = "" if answers(REDIS) else f"no Redis answers at {REDIS}"
    except psycopg.OperationalError:
        reason = f"no PostgreSQL answers at {POSTGRES}"
    if reason and os.environ.get("CI") == "true":
        pytest.fail(reason)
    if reason:
        pytest.skip(reason)
