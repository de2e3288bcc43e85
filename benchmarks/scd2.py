"""A dimension brought up to date: Assay's whole run against Polars on Delta, delta-rs's MERGE and a dbt snapshot.

    python -m benchmarks.scd2 [--rows 1000000] [--repeat 3] [--no-dbt]

The batch changes 1 % of the keys and adds 0.1 % new ones, 0.1 % rows that
come late and 0.1 % deletions; once with keys from everywhere, once with keys
that lie together. "Polars on Delta" (benchmarks/scd2_bare.py) is the measure;
MERGE leaves out late rows, dbt (its `timestamp` strategy, into DuckDB) late
rows and deletions. dbt's figure includes its start.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks import environments
from benchmarks.harness import compare
from benchmarks.scd2_bare import FIRST_DAY, by_merge, by_polars
from workers.executors.scd2.run import run
from workers.ids import new_run_id
from workers.lake.publish import publish
from workers.lake.stage import Staging
from workers.lake.table import open_table
from workers.schema import columns_of
from workers.specs import Column, TableInput, TableTarget
from workers.template_specs import Scd2Spec

ROOT = Path(__file__).parents[1]
SOURCE = "bronze.bench.customers"
DIMENSION = "silver.bench.customers"


def customers(ids: pl.Series, city: str | None, when: datetime, extra: float = 0) -> pl.LazyFrame:
    key = pl.col("customer_id")
    return pl.LazyFrame({"customer_id": ids}).select(
        key,
        name=pl.format("Name {}", key),
        city=pl.format("City {}", key % 1000) if city is None else pl.lit(city),
        segment=(key % 5).cast(pl.String),
        credit=(key % 977).cast(pl.Float64) + extra,
        email=pl.format("u{}@example.test", key),
        updated_at=pl.lit(when, dtype=pl.Datetime("us")),
        is_deleted=pl.lit(False),
    )


def batch(rows: int, kind: str) -> pl.LazyFrame:
    """What changed: keys from everywhere (`random`) or from one range (`clustered`)."""
    few, some = rows // 1000, rows // 100
    generator = np.random.default_rng(3)
    if kind == "random":
        chosen = generator.choice(rows, some + 2 * few, replace=False)
    else:
        chosen = np.arange(rows // 2, rows // 2 + some + 2 * few)
    moved, late, gone = (pl.Series(part, dtype=pl.Int64) for part in np.split(chosen, [some, some + few]))
    new = pl.Series(np.arange(rows, rows + few), dtype=pl.Int64)
    day = FIRST_DAY + timedelta(days=40)
    return pl.concat(
        [
            customers(pl.concat([moved, new]), "Moved", day, 1),
            customers(late, "Earlier", FIRST_DAY - timedelta(days=3)),
            customers(gone, None, day).with_columns(is_deleted=pl.lit(True)),
        ]
    )


def prepare(folder: Path, rows: int, kind: str) -> None:
    """An input with its dimension, the same dimension for the bare sides, and what dbt reads."""
    lake = folder / "lake"
    everyone = customers(pl.int_range(rows, eager=True), None, FIRST_DAY)
    put(lake, everyone)
    run(spec_of(str(lake)))
    put(lake, batch(rows, kind))
    batch(rows, kind).sink_parquet(folder / "batch.parquet")
    everyone.sink_parquet(folder / "first.parquet")
    shutil.copytree(f"{lake}/silver/bench/customers", folder / "bare", copy_function=os.link)


def put(lake: Path, rows: pl.LazyFrame) -> None:
    target, run_id = TableTarget(dataset=SOURCE, uri=f"{lake}/bronze/bench/customers"), str(new_run_id())
    with Staging(target, run_id) as staging:
        staging.sink(rows)
        columns = columns_of(rows.collect_schema())
        publish(target, staging.files, run_id=run_id, mode="append", columns=columns)


def spec_of(lake: str) -> Scd2Spec:
    source = open_table(f"{lake}/bronze/bench/customers")
    kept = [column for column in source.columns if column.name not in ("updated_at", "is_deleted")]
    moments = [Column(name=name, type="timestamp") for name in ("effective_from", "effective_to")]
    return Scd2Spec(
        run_id=str(new_run_id()),
        workflow="bench",
        job="customers",
        inputs=(TableInput(dataset=SOURCE, alias="customers", uri=source.uri, version=source.version),),
        columns=(*kept, *moments, Column(name="is_current", type="boolean")),
        target=TableTarget(
            dataset=DIMENSION, uri=f"{lake}/silver/bench/customers", partition_by=("is_current",), compression="zstd"
        ),
        run_time=datetime.now(UTC),
        business_keys=("customer_id",),
        tracked=("name", "city", "segment", "credit", "email"),
        effective_time_column="updated_at",
        delete_mode="close",
        deleted_column="is_deleted",
    )


def _claimed(folder: str, what: str) -> str:
    """A copy that no call has changed yet; they were made beforehand, by linking."""
    for copy in sorted(Path(folder).glob(f"{what}-*")):
        taken = copy.with_name(f"taken-{copy.name}")
        copy.rename(taken)
        return str(taken)
    raise SystemExit(f"There is no copy of {what} left.")


def assay(folder: str) -> None:
    run(spec_of(_claimed(folder, "lake")))


def polars_on_delta(folder: str) -> None:
    by_polars(_claimed(folder, "bare"), f"{folder}/batch.parquet")


def merge(folder: str) -> None:
    by_merge(_claimed(folder, "bare"), f"{folder}/batch.parquet")


def dbt_snapshot(folder: str) -> None:
    command = [environments.python("dbt"), "-m", "benchmarks.dbt_side", "snapshot", _claimed(folder, "dbt"), folder]
    subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.DEVNULL)


def measure(rows: int, kind: str, repeat: int, with_dbt: bool) -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        prepare(folder, rows, kind)
        sides = {"Polars on Delta": "polars_on_delta", "Assay": "assay", "delta-rs MERGE": "merge"}
        if with_dbt:
            sides["dbt snapshot (DuckDB)"] = "dbt_snapshot"
            subprocess.run(
                [environments.python("dbt"), "-m", "benchmarks.dbt_side", "prepare", str(folder / "dbt"), place],
                check=True,
                cwd=ROOT,
                stdout=subprocess.DEVNULL,
            )
        for number in range(2 * repeat):
            shutil.copytree(folder / "lake", folder / f"lake-{number}", copy_function=os.link)
            for side in ("a", "b"):
                shutil.copytree(folder / "bare", folder / f"bare-{side}{number}", copy_function=os.link)
            if with_dbt:
                shutil.copytree(folder / "dbt", folder / f"dbt-{number}")
        named = {name: f"benchmarks.scd2:{function}" for name, function in sides.items()}
        compare(f"1 % of {rows:,} rows changed, {kind} keys", named, {"folder": place}, repeat)
        tell(folder / "lake")


def tell(lake: Path) -> None:
    """How much of the table one run wrote anew, and what each phase took."""
    result = run(spec_of(str(lake)))
    facts = result.facts
    share = facts["bytes_replaced"] / facts["bytes_before"]
    print(f"{'':<44}{share:.0%} of the table's bytes written anew; {facts['late_keys']:,} late keys; {result.phases}")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rows", type=int, nargs="*", default=[1_000_000])
    options.add_argument("--repeat", type=int, default=3)
    options.add_argument("--no-dbt", action="store_true")
    given = options.parse_args()
    for rows in given.rows:
        for kind in ("random", "clustered"):
            measure(rows, kind, given.repeat, not given.no_dbt)


if __name__ == "__main__":
    main()
