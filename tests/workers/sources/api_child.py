"""A child process that lands one run of an API: `python api_child.py SPEC`, to be killed in the middle."""

import json
import sys

from tests.http_server import HERE
from workers.executors.ingest.run import land
from workers.specs import IngestSpec, from_json

if __name__ == "__main__":
    print("ready", flush=True)
    land(from_json(IngestSpec, json.loads(sys.argv[1])), HERE)
