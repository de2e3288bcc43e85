"""What dbt does with TPC-H's queries: each a table in a DuckDB database. Runs in an environment of dbt's own.

The models are written by `benchmarks.tpch`; nothing of Assay is imported here.
"""

from __future__ import annotations

from pathlib import Path

PROJECT = (
    "name: bench\nversion: '1.0'\nprofile: bench\nflags:\n  send_anonymous_usage_stats: false\n"
    "models:\n  +materialized: table\n"
)
PROFILE = (
    "bench:\n  target: duckdb\n  outputs:\n    duckdb:\n      type: duckdb\n      path: {path}\n      threads: 1\n"
)


def run(folder: str) -> None:
    """All models, one after the other, as the jobs run."""
    from dbt.cli.main import dbtRunner

    project = Path(folder, "dbt")
    (project / "dbt_project.yml").write_text(PROJECT)
    (project / "profiles.yml").write_text(PROFILE.format(path=project / "bench.duckdb"))
    result = dbtRunner().invoke(["--quiet", "run", "--project-dir", str(project), "--profiles-dir", str(project)])
    if not result.success:
        raise SystemExit(f"dbt failed: {result.exception or result.result}")
