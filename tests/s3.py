"""A real S3 server for tests: SeaweedFS, as a child process."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from uuid import uuid4

import pytest
from pyarrow import fs

from workers.ports import free_port


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
        command += [f"-{service}.port={free_port()}", f"-{service}.port.grpc={free_port()}"]
    command += [
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        "-master.telemetry=false",
        f"-s3.port={port}",
        f"-s3.port.grpc={free_port()}",
        f"-s3.config={folder / 's3.json'}",
    ]
    return [*command, "-volume.max=20", "-master.volumeSizeLimitMB=64"]


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory):
    """A real S3 server as a child process, and the environment that points to it."""
    folder, port = tmp_path_factory.mktemp("weed"), free_port()
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
