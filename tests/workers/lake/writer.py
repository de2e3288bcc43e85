"""A child process that publishes runs: `python writer.py JOB`, JOB being JSON.

`{runs: [{target, rows, mode, run_id, at}], kill: [module, name, before|after] | null}`

Each run begins at the time `at`, when given, so that several writers meet.
`kill` wraps one function, so that the process ends itself by SIGKILL right
before or after its first call. One line of JSON tells how each run ended.
"""

import importlib
import json
import os
import signal
import sys
import time
from datetime import date
from functools import reduce

import polars as pl

from workers.errors import AssayError
from workers.lake.publish import publish, restore
from workers.lake.stage import Staging
from workers.schema import columns_of
from workers.specs import TableTarget


def die_at(module: str, name: str, when: str) -> None:
    *owners, name = name.split(".")
    owner = reduce(getattr, owners, importlib.import_module(module))
    original = getattr(owner, name)

    def deadly(*args, **options):
        if when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        result = original(*args, **options)
        os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(owner, name, deadly)


def perform(run: dict) -> dict:
    target = TableTarget(**run["target"] | {"partition_by": tuple(run["target"].get("partition_by", ()))})
    time.sleep(max(0, run.get("at", 0) - time.time()))
    try:
        if run["mode"] == "restore":
            published = restore(target, run["version"], run["run_id"])
        else:
            frame = pl.LazyFrame({name: [_value(v) for v in values] for name, values in run["rows"].items()})
            with Staging(target, run["run_id"]) as staging:
                staging.sink(frame)
                columns = columns_of(frame.collect_schema())
                published = publish(target, staging.files, run_id=run["run_id"], mode=run["mode"], columns=columns)
    except AssayError as error:
        return {"run_id": run["run_id"], "error": error.code}
    return {"run_id": run["run_id"], "version": published.version, "already": published.already}


def _value(value):
    return date.fromisoformat(value) if isinstance(value, str) and value[:4].isdigit() else value


if __name__ == "__main__":
    job = json.loads(sys.argv[1])
    if job.get("kill"):
        die_at(*job["kill"])
    for run in job["runs"]:
        print(json.dumps(perform(run)), flush=True)
