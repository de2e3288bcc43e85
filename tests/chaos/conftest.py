from collections.abc import Iterator

import pytest
from installation import Installation, Redis, Valkey

from tests.servers import postgres_database, redis_database


@pytest.fixture(scope="module", params=["sqlite+valkey", pytest.param("postgresql+redis", marks=pytest.mark.postgres)])
def installation(request, tmp_path_factory) -> Iterator[Installation]:
    home = tmp_path_factory.mktemp("chaos")
    if request.param == "sqlite+valkey":
        yield from _run(Installation(home, "", Valkey(home)))
        return
    with postgres_database() as database, redis_database() as broker:
        yield from _run(Installation(home, database, Redis(broker)))


def _run(made: Installation) -> Iterator[Installation]:
    try:
        made.start_scheduler()
        yield made
    finally:
        made.end()
        made.broker.stop()
