"""Compare ways to do one thing: each in a process of its own, one table of ratios.

    compare("CSV", {"bare": "benchmarks.x:bare", "ours": "benchmarks.x:ours"}, {"path": …}, repeat=3)

A side is `module:function`, with `dlt:` or `dbt:` in front where it runs in an
environment of its own; it is called with the facts as keyword arguments, twice in a fresh
process, to warm up and on the clock, `repeat` times, the sides taking turns.
The figures are the median wall and processor seconds of one call (on a busy
machine trust the latter) and the highest anonymous memory of the process and
its children in any of them.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks import environments

ROOT = Path(__file__).parents[1]
POLL_SECONDS = 0.02


@dataclass
class Side:
    """One way, and what was measured of it."""

    name: str
    function: str
    seconds: list[float] = field(default_factory=list)
    cpu_seconds: list[float] = field(default_factory=list)
    peak_mb: float = 0.0  # anonymous RSS of the process tree

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)


def compare(
    title: str,
    sides: Mapping[str, str],
    facts: Mapping[str, Any],
    repeat: int = 3,
    warm_up: Mapping[str, Any] | None = None,
) -> list[Side]:
    """Run every side and print one line for each; the first side is the measure of the others.

    The first call, off the clock, gets the facts of `warm_up`: less of the same, where the facts themselves take long.
    """
    measured = [Side(name, function) for name, function in sides.items()]
    for _ in range(repeat):
        for side in measured:
            seconds, cpu_seconds, peak = _run(side.function, warm_up or facts, facts)
            side.seconds.append(seconds)
            side.cpu_seconds.append(cpu_seconds)
            side.peak_mb = max(side.peak_mb, peak)
    heads = f"{'seconds':>9}{'ratio':>8}{'CPU':>9}{'ratio':>8}{'peak MB':>9}"
    machine = f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    print(f"\n{title}  ({machine})\n{'':<44}{heads}   (of {repeat} runs: best … worst)")
    for side in measured:
        ratio = side.median / measured[0].median
        spread = f"{min(side.seconds):.2f} … {max(side.seconds):.2f}"
        cpu = statistics.median(side.cpu_seconds)
        cpu_ratio = cpu / statistics.median(measured[0].cpu_seconds)
        figures = f"{side.median:>9.2f}{ratio:>8.2f}{cpu:>9.2f}{cpu_ratio:>8.2f}{side.peak_mb:>9.0f}"
        print(f"{side.name:<44}{figures}   {spread}", flush=True)
    return measured


def _run(function: str, *facts: Mapping[str, Any]) -> tuple[float, float, float]:
    """Wall and processor seconds of a warm call, as the child tells them, and the peak that we see from outside."""
    place, _, own = function.partition(":")
    apart = place in environments.PEERS
    interpreter = environments.python(place) if apart else sys.executable
    child = subprocess.Popen(
        [
            interpreter,
            "-m",
            "benchmarks.harness",
            own if apart else function,
            *(json.dumps(dict(call)) for call in facts),
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    watch = _Watch(child.pid)
    watch.start()
    out, _ = child.communicate()
    watch.is_over.set()
    watch.join()
    if child.returncode:
        raise SystemExit(f"{function} ended with code {child.returncode}.")
    seconds, cpu_seconds = map(float, out.strip().splitlines()[-1].split())
    return seconds, cpu_seconds, watch.peak_mb


class _Watch(threading.Thread):
    """Looks at the memory of a process and its descendants every 20 ms."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.pid, self.peak_mb, self.is_over = pid, 0.0, threading.Event()

    def run(self) -> None:
        while not self.is_over.wait(POLL_SECONDS):
            self.peak_mb = max(self.peak_mb, sum(map(_anonymous_mb, _tree(self.pid))))


def _tree(pid: int) -> list[int]:
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [pid, *(grandchild for child in children for grandchild in _tree(int(child)))]


def _anonymous_mb(pid: int) -> float:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    line = next((line for line in status.splitlines() if line.startswith("RssAnon:")), "RssAnon: 0 kB")
    return int(line.split()[1]) / 1024


def _main(function: str, warm_up: str, facts: str) -> None:
    """In the child: call it once to warm up, then once on the clock."""
    module, _, name = function.partition(":")
    call, arguments = getattr(import_module(module), name), json.loads(facts)
    call(**json.loads(warm_up))
    start, cpu_start = time.perf_counter(), time.process_time()
    call(**arguments)
    print(time.perf_counter() - start, time.process_time() - cpu_start)


if __name__ == "__main__":
    _main(*sys.argv[1:])
