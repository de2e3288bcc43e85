"""A child process that carries out steps: `python executor.py JOB`, JOB being JSON.

`{steps: [{kind: ingest|dataset, spec, at}], kill: [module, name, before|after] | null}`, as for `lake/writer.py`.
One line of JSON tells how each step ended.
"""

import json
import sys
import time

from tests.workers.lake.writer import die_at
from workers.errors import AssayError
from workers.executors import run_dataset
from workers.executors.ingest.run import run_ingest
from workers.specs import IngestSpec, from_json


def carry_out(step: dict) -> dict:
    spec = step["spec"]
    time.sleep(max(0, step.get("at", 0) - time.time()))
    try:
        result = run_ingest(from_json(IngestSpec, spec)) if step["kind"] == "ingest" else run_dataset(spec)
    except AssayError as error:
        return {"error": error.code}
    return {"version": result.published.version, "already": result.published.already, "rows": result.rows_written}


if __name__ == "__main__":
    job = json.loads(sys.argv[1])
    if job.get("kill"):
        die_at(*job["kill"])
    for step in job["steps"]:
        print(json.dumps(carry_out(step)), flush=True)
