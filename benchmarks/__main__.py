"""`make bench`: every benchmark one after the other, or those that are named: `python -m benchmarks sql_job`."""

import argparse
import subprocess
import sys

BENCHMARKS = (
    "ingest_files",
    "databases",
    "apis",
    "sql_job",
    "scd2",
    "tpch",
    "point_in_time",
    "vector_search",
    "orchestration",
    "idle",
)


def main() -> int:
    """1 if any failed."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("names", nargs="*", default=BENCHMARKS, help=f"some of {', '.join(BENCHMARKS)}")
    asked = options.parse_args().names
    if unknown := set(asked) - set(BENCHMARKS):
        options.error(f"unknown: {', '.join(sorted(unknown))}")
    # A process each: nothing that one has loaded weighs on the next.
    codes = [subprocess.run([sys.executable, "-m", f"benchmarks.{name}"]).returncode for name in asked]
    return int(any(codes))


if __name__ == "__main__":
    sys.exit(main())
