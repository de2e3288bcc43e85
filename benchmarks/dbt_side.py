"""What dbt does with the same dimension: a snapshot in a DuckDB database. Runs in an environment of dbt's own.

    python -m benchmarks.dbt_side prepare PROJECT FOLDER   # a first snapshot of FOLDER/first.parquet
    python -m benchmarks.dbt_side snapshot PROJECT FOLDER  # the next one, of FOLDER/batch.parquet

`environments.py` makes the environment; nothing of Assay is imported here.
"""

from __future__ import annotations

import sys
from pathlib import Path

from dbt.cli.main import dbtRunner

PROJECT = "name: bench\nversion: '1.0'\nprofile: bench\nflags:\n  send_anonymous_usage_stats: false\n"
PROFILE = (
    "bench:\n  target: duckdb\n  outputs:\n    duckdb:\n      type: duckdb\n      path: {path}\n      threads: 2\n"
)
SNAPSHOT = """
{{% snapshot customers %}}
{{{{ config(target_schema='main', unique_key='customer_id', strategy='timestamp', updated_at='updated_at') }}}}
select customer_id, name, city, segment, credit, email, updated_at
from read_parquet('{{{{ var("rows") }}}}') where not is_deleted
{{% endsnapshot %}}
"""


def write_project(project: Path) -> None:
    (project / "snapshots").mkdir(parents=True, exist_ok=True)
    (project / "dbt_project.yml").write_text(PROJECT)
    (project / "snapshots" / "customers.sql").write_text(SNAPSHOT.format())


def snapshot(project: Path, rows: Path) -> None:
    (project / "profiles.yml").write_text(PROFILE.format(path=project / "bench.duckdb"))
    where = ["--project-dir", str(project), "--profiles-dir", str(project)]
    result = dbtRunner().invoke(["snapshot", *where, "--vars", f"{{rows: '{rows}'}}"])
    if not result.success:
        raise SystemExit(f"dbt failed: {result.exception or result.result}")


def main(action: str, project: str, folder: str) -> None:
    if action == "prepare":
        write_project(Path(project))
    snapshot(Path(project), Path(folder, "first.parquet" if action == "prepare" else "batch.parquet"))


if __name__ == "__main__":
    main(*sys.argv[1:])
