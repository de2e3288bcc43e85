"""Where one engine's job outgrows another's: a join, a group-by of many groups and a sort, at growing sizes.

    python -m benchmarks.scaling [--rows 1000000 4000000 12000000] [--memory-mb 768] [--engines duckdb spark]

Every job is `run_sql`: check, read at a pinned version, cast, stage, audit and
commit. DuckDB and Spark (in a JVM beside the worker) may use `--memory-mb`;
Polars keeps what it needs in memory and is ended beyond. Each engine has a process of its own, which runs the job
twice: the first run starts Spark's JVM, the second is the one to compare. The
processor seconds and the peak of anonymous memory are those of the process
and its children. Ratios are to the first engine, of the second run.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from benchmarks.harness import ROOT, _tree, _Watch
from workers.errors import AssayError
from workers.executors.sql import run as run_sql
from workers.ids import new_run_id
from workers.lake.publish import publish
from workers.lake.stage import Staging
from workers.lake.table import open_table
from workers.schema import columns_of
from workers.specs import Column, SqlSpec, TableInput, TableTarget

ENGINES = ("polars", "duckdb", "spark")
SQL = """
    select l.customer_id, c.country, count(*) as lines, sum(l.price * (1 - l.discount)) as revenue,
      max(l.day) as last_day
    from lines l join customers c on c.customer_id = l.customer_id
    group by l.customer_id, c.country order by revenue desc, l.customer_id"""
COLUMNS = (
    Column(name="customer_id", type="int64"), Column(name="country", type="string"), Column(name="lines", type="int64"),
    Column(name="revenue", type="decimal(38,4)"), Column(name="last_day", type="date"),
)  # fmt: skip


def write_tables(lake: str, rows: int) -> None:
    """Lines, and a customer for every fourth of them."""
    number, customers = pl.int_range(rows, dtype=pl.Int64), rows // 4
    key = pl.int_range(customers, dtype=pl.Int64)
    lines = pl.LazyFrame().select(
        line_id=number,
        customer_id=(number * 7919) % customers,
        day=pl.date(1992, 1, 1) + pl.duration(days=(number * 31) % 2500),
        price=(((number * 104_729) % 10_000_000) / 100).cast(pl.Decimal(12, 2)),
        discount=((number % 11) / 100).cast(pl.Decimal(12, 2)),
    )
    people = pl.LazyFrame().select(customer_id=key, country=pl.format("country {}", key % 25))
    for name, frame in {"lines": lines, "customers": people}.items():
        target, run_id = _target(lake, name), str(new_run_id())
        with Staging(target, run_id) as staging:
            staging.sink(frame)
            publish(target, staging.files, run_id=run_id, mode="overwrite", columns=columns_of(frame.collect_schema()))


def _target(lake: str, name: str) -> TableTarget:
    return TableTarget(dataset=f"silver.scaling.{name}", uri=f"{lake}/silver/scaling/{name}")


def run_twice(lake: str, engine: str, memory_mb: int) -> None:
    """In the child: two runs, and what they took, as a line of JSON."""
    tables = {name: open_table(_target(lake, name).uri) for name in ("lines", "customers")}
    spec = {
        "workflow": "scaling", "job": engine, "sql": SQL, "columns": COLUMNS, "engine": engine,
        "inputs": tuple(TableInput(dataset=f"silver.scaling.{name}", alias=name, uri=t.uri, version=t.version)
                        for name, t in tables.items()),
        "target": _target(lake, f"by_{engine}"), "run_time": datetime(2026, 1, 1, tzinfo=UTC),
        "memory_limit_mb": memory_mb, "settings": {"spark": {"memory_mb": memory_mb}},
    }  # fmt: skip
    told: dict[str, object] = {"seconds": [], "cpu": []}
    try:
        for _ in range(2):
            begun, cpu = time.perf_counter(), _cpu_seconds()
            result = run_sql(SqlSpec(run_id=str(new_run_id()), **spec))
            told["seconds"].append(time.perf_counter() - begun)
            told["cpu"].append(_cpu_seconds() - cpu)
        told["rows"] = result.rows_written
    except AssayError as error:
        told["error"] = error.message
    print(json.dumps(told), flush=True)


def _cpu_seconds() -> float:
    """Of this process and those it has started."""
    ticks = 0
    for pid in _tree(os.getpid()):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def _measure(lake: str, engine: str, memory_mb: int) -> tuple[dict, float]:
    command = [
        sys.executable,
        "-m",
        "benchmarks.scaling",
        "--one",
        engine,
        "--lake",
        lake,
        "--memory-mb",
        str(memory_mb),
    ]
    child = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    watch = _Watch(child.pid)
    watch.start()
    out, _ = child.communicate()
    watch.is_over.set()
    watch.join()
    lines = out.strip().splitlines()
    return json.loads(lines[-1]) if lines else {"error": f"ended with code {child.returncode}"}, watch.peak_mb


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rows", type=int, nargs="*", default=[1_000_000, 4_000_000, 12_000_000])
    options.add_argument("--memory-mb", type=int, default=768)
    options.add_argument("--engines", nargs="*", choices=ENGINES, default=ENGINES)
    options.add_argument("--one", choices=ENGINES, help=argparse.SUPPRESS)
    options.add_argument("--lake", help=argparse.SUPPRESS)
    asked = options.parse_args()
    if asked.one:
        run_twice(asked.lake, asked.one, asked.memory_mb)
        return
    for rows in asked.rows:
        with tempfile.TemporaryDirectory(prefix="assay-scaling-") as lake:
            write_tables(lake, rows)
            size = sum(open_table(_target(lake, name).uri).bytes for name in ("lines", "customers")) / 2**20
            told = f"{rows:,} rows ({size:.0f} MB), limit {asked.memory_mb} MB, {os.cpu_count()} cores"
            print(f"\n{told}, load {os.getloadavg()[0]:.1f}")
            print(
                f"{'':<10}{'first s':>9}{'second s':>10}{'ratio':>8}{'CPU s':>8}{'ratio':>8}{'peak MB':>9}", flush=True
            )
            first: dict | None = None
            for engine in asked.engines:
                found, peak = _measure(lake, engine, asked.memory_mb)
                if "error" in found:
                    print(f"{engine:<10}{found['error'][:100]}  (peak {peak:.0f} MB)", flush=True)
                    continue
                first = first or found
                cold, warm, cpu = found["seconds"][0], found["seconds"][1], found["cpu"][1]
                print(f"{engine:<10}{cold:>9.1f}{warm:>10.1f}{warm / first['seconds'][1]:>8.2f}{cpu:>8.1f}"
                      f"{cpu / first['cpu'][1]:>8.2f}{peak:>9.0f}", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
