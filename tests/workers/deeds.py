"""What `test_sandbox.py` has a child process do."""

import ctypes
import os
import subprocess
import time
from pathlib import Path

import polars as pl

from workers.errors import QueryFailed


def double(spec):
    return {"value": spec["value"] * 2}


def chatter(spec):
    print("noise")
    os.write(1, b"more noise")
    return spec


def fail_clearly(spec):
    raise QueryFailed("a bad value", hint="Look.", line=7)


def fail_badly(spec):
    return 1 / 0


def take_memory(spec):
    held = []
    while True:
        held.append(bytearray(b"x" * 1_000_000))


def take_memory_at_once(spec):
    return {"size": len(bytearray(1 << 40))}


def panic_for_memory(spec):
    raise pl.exceptions.PanicException("Cannot allocate memory to hold CompactString")


def complain_about_memory(spec):
    os.write(2, b"<jemalloc>: background thread creation failed (11)\n" * 100)
    raise RuntimeError("unable to start a thread")


def work(spec):
    while True:
        pass


def start_a_sleeper(spec):
    with subprocess.Popen(["sleep", "31536"]) as sleeper:
        Path(spec["file"]).write_text(str(sleeper.pid))


def crash(spec):
    ctypes.string_at(0)


def environment(spec):
    return {"names": sorted(os.environ)}


def tell_and_wait(spec):
    Path(spec["file"]).write_text(str(os.getpid()))
    time.sleep(60)
