"""A commit whose answer is lost on its way may stand: its files must stay, and a retry must find it."""

import socket
import threading
from contextlib import suppress

import polars as pl
import pytest
from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError, DeltaError

from workers.errors import OutcomeUnknown
from workers.lake.maintain import vacuum
from workers.lake.store import Store
from workers.lake.table import open_table
from workers.specs import TableTarget

from .conftest import load, new_id, rows_of

BREAKS = [OSError("the connection was reset"), DeltaError("Generic S3 error: timed out")]


def breaking_off(call, error: Exception):
    """The call as it is, but whoever made it hears once of an error instead of its result."""
    left = [error]

    def made(*args, **options):
        result = call(*args, **options)
        if left:
            raise left.pop()
        return result

    return made


@pytest.mark.parametrize("error", BREAKS, ids=["network", "delta"])
def test_a_commit_whose_answer_is_lost_keeps_its_files_and_is_found_by_a_retry(target, monkeypatch, error):
    load(target, {"id": [1]})
    run = new_id()
    commit = breaking_off(DeltaTable.create_write_transaction, error)
    monkeypatch.setattr(DeltaTable, "create_write_transaction", commit)
    with pytest.raises(OutcomeUnknown) as raised:
        load(target, {"id": [2]}, run_id=run)
    assert raised.value.retryable
    assert rows_of(target) == [(1,), (2,)]
    assert load(target, {"id": [2]}, run_id=run).already
    assert rows_of(target) == [(1,), (2,)]


def test_a_first_commit_whose_answer_is_lost_keeps_its_files_and_is_found_by_a_retry(target, monkeypatch):
    run = new_id()
    monkeypatch.setattr(Store, "create", breaking_off(Store.create, OSError("the connection was reset")))
    with pytest.raises(OutcomeUnknown):
        load(target, {"id": [1]}, run_id=run)
    assert load(target, {"id": [1]}, run_id=run).already
    assert rows_of(target) == [(1,)]


def test_a_widening_that_was_taken_for_a_conflict_keeps_the_rows_it_wrote_anew(target, monkeypatch):
    # So an object store answers to the second try of a write whose first one it had taken.
    load(target, pl.DataFrame({"id": [1]}, schema={"id": pl.Int32}))
    commit = breaking_off(DeltaTable.create_write_transaction, CommitFailedError("version 1 already exists"))
    monkeypatch.setattr(DeltaTable, "create_write_transaction", commit)
    assert load(target, {"id": [1 << 40]}).already
    assert rows_of(target) == [(1,), (1 << 40,)]


def test_what_an_unknown_outcome_left_over_is_removed_by_vacuum(target, monkeypatch):
    load(target, {"id": [1]})
    with monkeypatch.context() as patch:
        patch.setattr(DeltaTable, "create_write_transaction", lost := breaking_off(lambda *_, **__: None, BREAKS[0]))
        with pytest.raises(OutcomeUnknown):
            load(target, {"id": [2]}, run_id=(run := new_id()))
    assert lost
    assert not load(target, {"id": [2]}, run_id=run).already
    assert len(vacuum(target.uri, retention_hours=0).orphans) == 1
    assert rows_of(target) == [(1,), (2,)]


class Relay:
    """Passes bytes on to a server; of the first `count` writes to a Delta log it keeps the answer."""

    def __init__(self, server: tuple[str, int], count: int) -> None:
        self.server, self.left, self.lost = server, count, 0
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listening.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, server = self.listening.accept()[0], socket.create_connection(self.server)
                keeping = threading.Event()
                for source, sink, looks in ((client, server, True), (server, client, False)):
                    threading.Thread(target=self._pass, args=(source, sink, looks, keeping), daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket, looks: bool, keeping: threading.Event) -> None:
        with suppress(OSError), source, sink:
            while data := source.recv(65536):
                if looks and self.left and data.startswith(b"PUT ") and b"/_delta_log/" in data.split(b"\r\n", 1)[0]:
                    self.left -= 1
                    keeping.set()
                if not looks and keeping.is_set():
                    self.lost += 1
                    sink.shutdown(socket.SHUT_RDWR)
                    return
                sink.sendall(data)


@pytest.fixture
def lossy(s3_server, monkeypatch):
    """Makes a relay to the S3 server that loses the answers to the next commits."""
    relays = []

    def make(count: int) -> Relay:
        host, _, port = s3_server["ASSAY_S3_ENDPOINT_URL"].removeprefix("http://").partition(":")
        relays.append(relay := Relay((host, int(port)), count))
        monkeypatch.setenv("ASSAY_S3_ENDPOINT_URL", relay.url)
        return relay

    yield make
    for relay in relays:
        relay.listening.close()


@pytest.mark.s3
def test_commits_to_s3_whose_answers_are_lost_are_made_once(s3_lake, lossy):
    target = TableTarget(dataset="bronze.shop.orders", uri=f"{s3_lake}/orders")
    for number in range(3):  # the first makes the table, by another road
        relay, run = lossy(1), new_id()
        try:
            load(target, {"id": [number]}, run_id=run)
        except OutcomeUnknown:
            load(target, {"id": [number]}, run_id=run)
        assert relay.lost == 1
        assert rows_of(target) == [(n,) for n in range(number + 1)]
    assert open_table(target.uri).version == 2
