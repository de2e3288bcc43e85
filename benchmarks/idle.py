"""What an idle `manage.py up` with two workers takes: the memory of all its processes. Linux only.

Proportional set size: pages that processes share are counted once.
"""

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
GOAL_MB = 500
READY_SECONDS, SETTLE_SECONDS = 120, 30


def main() -> None:
    with tempfile.TemporaryDirectory() as home, (Path(home) / "up.log").open("w") as log:
        environment = {**os.environ, "ASSAY_HOME": home, "ASSAY_BROKER_URL": "", "DATABASE_URL": ""}
        command = [sys.executable, "manage.py", "up", "--port", "0"]
        platform = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
        try:
            wait_until_ready(Path(log.name))
            time.sleep(SETTLE_SECONDS)
            show(family(platform.pid))
        finally:
            platform.terminate()
            platform.wait()


def wait_until_ready(log: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while "Assay is ready" not in log.read_text():
        if time.monotonic() > deadline:
            raise SystemExit(f"It did not start:\n{log.read_text()}")
        time.sleep(0.5)


def family(pid: int) -> list[int]:
    """The process, its children, theirs."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(each for child in children for each in family(int(child)))]


def show(pids: list[int]) -> None:
    total = 0.0
    print(f"\nIdle, {len(pids)} processes\n{'MB':>7}")
    for pid in pids:
        megabytes = int(re.search(r"^Pss:\s+(\d+)", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.M)[1]) / 1024
        command = Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
        total += megabytes
        print(f"{megabytes:7.0f}  {command[:90]}")
    print(f"{total:7.0f}  together (goal: at most {GOAL_MB})")


if __name__ == "__main__":
    main()
