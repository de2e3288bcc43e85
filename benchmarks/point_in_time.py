"""A feature set against Polars' bare as-of join of the same Parquet files.

    python -m benchmarks.point_in_time [--entities 1000000] [--rows 10000000] [--repeat 3]

"bare" is what a person would write: sort both sides by time, `join_asof` by
key, write one file. It knows one clock. "job" is a whole run of the template:
two clocks, ties settled, sorted, split, its card, its leak test, audit, digest
and commit; once more without the knowledge time, which is what "bare" does.
"""

from __future__ import annotations

import argparse
import tempfile
import warnings
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from benchmarks.harness import compare
from workers.executors.point_in_time.plan import plan_of
from workers.executors.point_in_time.run import run
from workers.ids import new_run_id
from workers.lake.publish import publish
from workers.lake.stage import Staging
from workers.lake.table import open_table
from workers.schema import columns_of
from workers.specs import TableInput, TableTarget
from workers.template_specs import Entity, Feature, Label, PointInTimeSpec, Split

START = datetime(2025, 1, 1, tzinfo=UTC)
YEAR_SECONDS = 365 * 86_400
COLUMNS = ("amount", "items", "score", "channel")


def write_tables(lake: str, entities: int, rows: int) -> None:
    """Examples of half as many customers, and their events, known up to a day after they happened; in no order."""
    number = pl.int_range(entities, dtype=pl.Int64)
    examples = pl.LazyFrame().select(
        customer_id=(number * 7919) % (entities // 2),
        as_of=START + pl.duration(seconds=(number * 104_729) % YEAR_SECONDS),
        churned=(number * 31) % 5 == 0,
    )
    number = pl.int_range(rows, dtype=pl.Int64)
    happened = START + pl.duration(seconds=(number * 1_299_709) % YEAR_SECONDS)
    events = pl.LazyFrame().select(
        customer_id=(number * 6101) % (entities // 2),
        happened_at=happened,
        _ingested_at=happened + pl.duration(seconds=(number * 7907) % 86_400),
        amount=((number * 104_729) % 1_000_003) / 100,
        items=((number * 17) % 50 + 1).cast(pl.Int32),
        score=((number * 7_368_787) % 1_000_033) / 1_000_033,
        channel=pl.format("channel {}", number % 7),
    )
    for name, frame in {"examples": examples, "events": events}.items():
        target, run_id = _target(lake, name), str(new_run_id())
        with Staging(target, run_id) as staging:
            staging.sink(frame)
            columns = columns_of(frame.collect_schema())
            publish(target, staging.files, run_id=run_id, mode="overwrite", columns=columns)


def _target(lake: str, name: str) -> TableTarget:
    return TableTarget(dataset=f"silver.bench.{name}", uri=f"{lake}/silver/bench/{name}")


def bare(lake: str) -> None:
    examples, events = (pl.scan_parquet(open_table(_target(lake, name).uri).files()) for name in ("examples", "events"))
    events = events.select("customer_id", "happened_at", *COLUMNS).sort("happened_at")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sortedness")
        joined = examples.sort("as_of").join_asof(events, left_on="as_of", right_on="happened_at", by="customer_id")
        joined.sink_parquet(f"{lake}/bare.parquet", compression="zstd")


def job_polars(lake: str) -> None:
    _run(lake, "polars", "_ingested_at")


def job_polars_one_clock(lake: str) -> None:
    _run(lake, "polars", "")


def job_duckdb(lake: str) -> None:
    _run(lake, "duckdb", "_ingested_at")


def _run(lake: str, engine: str, knowledge: str) -> None:
    tables = {name: open_table(_target(lake, name).uri) for name in ("examples", "events")}
    entity = Entity(alias="examples", key_columns=("customer_id",), as_of_column="as_of")
    feature = Feature(
        alias="events",
        columns=COLUMNS,
        key_columns=("customer_id",),
        time_column="happened_at",
        knowledge_column=knowledge,
    )
    label = Label(alias="examples", name="churned", column="churned")
    plan = plan_of(entity, [feature], label, Split(), {name: table.columns for name, table in tables.items()})
    result = run(
        PointInTimeSpec(
            run_id=str(new_run_id()),
            workflow="bench",
            job="churn",
            inputs=tuple(
                TableInput(dataset=f"silver.bench.{name}", alias=name, uri=table.uri, version=table.version)
                for name, table in tables.items()
            ),
            columns=plan.columns,
            engine=engine,
            target=TableTarget(dataset="gold.bench.churn", uri=f"{lake}/gold/bench/churn_{engine}", compression="zstd"),
            run_time=datetime.now(UTC),
            memory_limit_mb=4096,
            entity=entity,
            features=(feature,),
            label=label,
            split=Split(),
        )
    )
    print(result.phases)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--entities", type=int, default=1_000_000)
    options.add_argument("--rows", type=int, default=10_000_000)
    options.add_argument("--repeat", type=int, default=3)
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        lake = str(Path(folder) / "lake")
        write_tables(lake, given.entities, given.rows)
        sides = {
            "bare join_asof, one clock": "benchmarks.point_in_time:bare",
            "job on polars, one clock": "benchmarks.point_in_time:job_polars_one_clock",
            "job on polars, two clocks": "benchmarks.point_in_time:job_polars",
            "job on duckdb, two clocks": "benchmarks.point_in_time:job_duckdb",
        }
        title = f"{given.entities:,} examples, {given.rows:,} feature rows"
        compare(title, sides, {"lake": lake}, given.repeat)


if __name__ == "__main__":
    main()
