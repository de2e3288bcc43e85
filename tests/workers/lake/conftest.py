"""Real tables in a temporary folder, and the few steps that nearly every test of the lake takes."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from itertools import count
from pathlib import Path
from uuid import UUID, uuid4

import polars as pl
import pytest
from pyarrow import fs

from workers.lake.publish import publish
from workers.lake.stage import Staging
from workers.lake.table import open_table
from workers.schema import columns_of
from workers.specs import TableTarget

ROOT = Path(__file__).parents[3]
_numbers = count(1_700_000_000_000)


def new_id() -> str:
    """A run id later than every one before it, also within one millisecond."""
    return str(UUID(int=next(_numbers) << 80 | 0x7 << 76 | 0x2 << 62 | int.from_bytes(os.urandom(4))))


def frame_of(rows) -> pl.LazyFrame:
    return rows.lazy() if isinstance(rows, pl.DataFrame | pl.LazyFrame) else pl.LazyFrame(rows)


def load(target: TableTarget, rows, mode="append", run_id=None, columns=None, **options):
    """Stage and publish rows as one run."""
    frame, run_id = frame_of(rows), run_id or new_id()
    with Staging(target, run_id) as staging:
        staging.sink(frame)
        columns = columns or columns_of(staging.scan().collect_schema())
        return publish(target, staging.files, run_id=run_id, mode=mode, columns=columns, **options)


def rows_of(target: TableTarget, version=None) -> list[tuple]:
    rows = open_table(target.uri, version).scan().collect()
    return sorted(rows.rows(), key=repr)


def start_writer(runs, kill=None) -> subprocess.Popen:
    """A child process that publishes `runs` one after another (see writer.py)."""
    job = json.dumps({"runs": runs, "kill": kill})
    environment = os.environ | {"PYTHONPATH": str(ROOT), "POLARS_MAX_THREADS": "1"}
    script = str(Path(__file__).with_name("writer.py"))
    return subprocess.Popen([sys.executable, script, job], stdout=subprocess.PIPE, env=environment, text=True)


def told_by(writer: subprocess.Popen) -> list[dict]:
    """How each run of a writer ended, once it is done."""
    output, _ = writer.communicate(timeout=60)
    assert writer.returncode == 0, output
    return [json.loads(line) for line in output.splitlines()]


def run_of(target: TableTarget, rows, mode="append", run_id=None, **more) -> dict:
    place = {"dataset": target.dataset, "uri": target.uri, "partition_by": target.partition_by}
    return {"target": place, "rows": rows, "mode": mode, "run_id": run_id or new_id(), **more}


@pytest.fixture
def target(tmp_path):
    return TableTarget(dataset="bronze.shop.orders", uri=str(tmp_path / "orders"))


@pytest.fixture
def by_day(tmp_path):
    return TableTarget(dataset="bronze.shop.orders", uri=str(tmp_path / "by_day"), partition_by=("day",))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _weed_command(folder: Path, port: int) -> list[str]:
    keys = [{"accessKey": "lake", "secretKey": "lake-secret"}]
    identities = [{"name": "lake", "credentials": keys, "actions": ["Admin", "Read", "Write", "List", "Tagging"]}]
    (folder / "s3.json").write_text(json.dumps({"identities": identities}))
    command = [
        str(Path(sys.executable).with_name("weed")),
        "server",
        f"-dir={folder}",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        "-s3",
    ]
    for service in ("master", "volume", "filer"):
        command += [f"-{service}.port={_free_port()}", f"-{service}.port.grpc={_free_port()}"]
    command += [
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        "-master.telemetry=false",
        f"-s3.port={port}",
        f"-s3.port.grpc={_free_port()}",
        f"-s3.config={folder / 's3.json'}",
    ]
    return [*command, "-volume.max=20", "-master.volumeSizeLimitMB=64"]


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory):
    """A real S3 server as a child process, and the environment that points to it."""
    folder, port = tmp_path_factory.mktemp("weed"), _free_port()
    with (folder / "weed.log").open("wb") as log:
        server = subprocess.Popen(_weed_command(folder, port), stdout=log, stderr=log)
    environment = {
        "AWS_ACCESS_KEY_ID": "lake",
        "AWS_SECRET_ACCESS_KEY": "lake-secret",
        "AWS_REGION": "us-east-1",
        "ASSAY_S3_ENDPOINT_URL": f"http://127.0.0.1:{port}",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        try:
            _make_bucket(server, port, folder / "weed.log")
            yield environment
        finally:
            server.kill()  # asked politely it takes 20 s, and its folder is thrown away
            server.wait()


def _make_bucket(server: subprocess.Popen, port: int, log: Path) -> None:
    files = fs.S3FileSystem(
        access_key="lake",
        secret_key="lake-secret",
        endpoint_override=f"127.0.0.1:{port}",
        scheme="http",
        allow_bucket_creation=True,
    )
    deadline = time.monotonic() + 60
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=1)
        except urllib.error.HTTPError:
            break  # it answers, and wants to know who we are
        except OSError:
            if server.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"The S3 server did not start: {log.read_text()[-2000:]}")
            time.sleep(0.1)
    files.create_dir("lake")
    # Its first write makes volumes; clients that meet that moment back off for many seconds.
    while True:
        try:
            with files.open_output_stream("lake/ready") as sink:
                sink.write(b"yes")
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


@pytest.fixture
def s3_lake(s3_server):
    """An empty prefix in a bucket: `s3://lake/…`."""
    return f"s3://lake/{uuid4().hex}"
