"""TPC-H's 22 queries as jobs against the bare engine, and against dbt: each query into a table of its own.

    python -m benchmarks.tpch [--scale 1] [--repeat 3] [--engines polars duckdb] [--no-dbt] [--each]

"bare" runs the statements over the tables' own Parquet files and writes a file
each, nothing more. "jobs" check the SQL, read pinned versions, cast, stage,
audit and commit. dbt (on DuckDB) reads the same files and makes tables in its
database, started once and warm. `--each` tells what the phases of every
job take.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import replace
from pathlib import Path

import duckdb
import polars as pl

from benchmarks.harness import compare
from tests.workers.engines.tpch import QUERIES, TABLES, Tpch
from workers.engines.sql import check_sql
from workers.executors.sql import run
from workers.ids import new_run_id
from workers.lake.table import open_table
from workers.specs import SqlSpec, from_json, to_json


def prepare(folder: Path, scale: float, engines: list[str]) -> None:
    """The data, raw and published, and what each side needs, so that nothing but the runs is on the clock."""
    data = Tpch.make(folder, scale)
    specs = {engine: [to_json(data.spec(query, engine)) for query in QUERIES] for engine in engines}
    known = {given.alias: open_table(given.uri, given.version).columns for given in data.inputs}
    statements = {query: check_sql(text, known, "polars").statement for query, text in QUERIES.items()}
    (folder / "specs.json").write_text(json.dumps(specs))
    (folder / "statements.json").write_text(json.dumps(statements))
    files = {given.alias: open_table(given.uri, given.version).files() for given in data.inputs}
    (folder / "files.json").write_text(json.dumps(files))
    (folder / "bare").mkdir()


def bare_polars(folder: str) -> None:
    """The text that Polars takes, which is the one that the job runs too."""
    statements = json.loads(Path(folder, "statements.json").read_text())
    files = json.loads(Path(folder, "files.json").read_text())
    for query, statement in statements.items():
        frames = {name: pl.scan_parquet(files[name]) for name in TABLES}
        rows = pl.SQLContext(frames).execute(statement)
        rows.sink_parquet(f"{folder}/bare/{query}.parquet", compression="snappy")


def bare_duckdb(folder: str) -> None:
    files = json.loads(Path(folder, "files.json").read_text())
    for query, text in QUERIES.items():
        with duckdb.connect() as connection:
            for name in TABLES:
                connection.execute(f"CREATE VIEW {name} AS FROM read_parquet({files[name]})")
            connection.execute(f"COPY ({text}) TO '{folder}/bare/{query}.parquet' (FORMAT parquet)")


def jobs_polars(folder: str) -> None:
    for spec in specs_of(folder, "polars"):
        run(spec)


def jobs_duckdb(folder: str) -> None:
    for spec in specs_of(folder, "duckdb"):
        run(spec)


def specs_of(folder: str, engine: str) -> list[SqlSpec]:
    stored = json.loads(Path(folder, "specs.json").read_text())[engine]
    return [replace(from_json(SqlSpec, spec), run_id=str(new_run_id())) for spec in stored]


def tell_each(folder: str, engine: str) -> None:
    """Seconds in each phase of each job, warm."""
    for warm in (True, False):
        for spec in specs_of(folder, engine):
            phases = run(spec).phases
            if not warm:
                print(f"{spec.job} {engine:<8}" + "".join(f"{name:>10} {took:.3f}" for name, took in phases.items()))


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--scale", type=float, default=1)
    options.add_argument("--repeat", type=int, default=3)
    options.add_argument("--engines", nargs="*", default=["polars", "duckdb"])
    options.add_argument("--no-dbt", action="store_true")
    options.add_argument("--each", action="store_true")
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        prepare(folder, given.scale, given.engines)
        for engine in given.engines:
            sides = {f"bare {engine}": f"benchmarks.tpch:bare_{engine}", "jobs": f"benchmarks.tpch:jobs_{engine}"}
            if engine == "duckdb" and not given.no_dbt:
                sides["dbt-duckdb"] = "dbt:benchmarks.dbt_tpch:run"
                write_models(folder)
            compare(f"TPC-H, 22 queries, scale {given.scale:g}, {engine}", sides, {"folder": place}, given.repeat)
            if given.each:
                tell_each(place, engine)


def write_models(folder: Path) -> None:
    """A dbt project with a model for each query over the generated files."""
    project, files = folder / "dbt", json.loads((folder / "files.json").read_text())
    (project / "models").mkdir(parents=True)
    for query, text in QUERIES.items():
        views = ", ".join(f"{name} AS (SELECT * FROM read_parquet({files[name]}))" for name in TABLES)
        body = text[text.index("\n") + 1 :]  # behind the comment that names it
        own = body.lstrip().removeprefix("with ")
        glue = ", " if body.lstrip().startswith("with ") else " "
        (project / "models" / f"{query}.sql").write_text(f"WITH {views}{glue}{own}")


if __name__ == "__main__":
    main()
