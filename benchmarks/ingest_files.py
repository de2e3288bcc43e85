"""Ingest of files against the bare library call on the same data.

    python -m benchmarks.ingest_files [--rows 5000000] [--records 500000] [--faults 0.001] [--repeat 3]

"bare" is `scan → sink_parquet` with the schema and the date formats known
beforehand. "read to publish" is everything from the landed bytes on:
inference, cast, quarantine, audit and commit; "whole job" also copies the
files to the landing and hashes them.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import tempfile
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl

from benchmarks.harness import compare
from workers.access import Access
from workers.executors.ingest.run import land, run_ingest
from workers.ids import new_run_id
from workers.specs import FilesSource, IngestSpec, SourceFile, TableTarget

WARM_UP_ROWS = 100_000
STAMP = "%Y-%m-%dT%H:%M:%S"
CSV_TYPES = {
    "order_id": pl.Int64, "customer_id": pl.Int64, "product": pl.String, "quantity": pl.Int64,
    "unit_price": pl.Float64, "discount": pl.Float64, "country": pl.String, "status": pl.String,
    "is_gift": pl.Boolean, "order_date": pl.String, "created_at": pl.String, "note": pl.String,
}  # fmt: skip
JSON_TYPES = {
    "id": pl.Int64,
    "user": pl.Struct({"id": pl.Int64, "name": pl.String, "tags": pl.List(pl.String)}),
    "items": pl.List(pl.Struct({"sku": pl.String, "qty": pl.Int64})),
    "total": pl.Float64,
    "at": pl.String,
    "ok": pl.Boolean,
}


def bare_csv(path: str, folder: str) -> None:
    days = pl.col("order_date").str.to_date("%Y-%m-%d"), pl.col("created_at").str.to_datetime(STAMP, time_unit="us")
    pl.scan_csv(path, schema=CSV_TYPES).with_columns(days).sink_parquet(f"{folder}/bare.parquet", compression="snappy")


def bare_ndjson(path: str, folder: str) -> None:
    rows = pl.scan_ndjson(path, schema=JSON_TYPES)
    moment = pl.col("at").str.to_datetime(f"{STAMP}%#z", time_unit="us", time_zone="UTC")
    rows.with_columns(moment).sink_parquet(f"{folder}/bare.parquet", compression="snappy")


def ingest(path: str, folder: str) -> None:
    """The whole job, in a lake of its own: runs that were landed before it could no longer publish to its table."""
    run_ingest(_spec(path, f"{folder}/whole", str(new_run_id())))


def ingest_landed(path: str, folder: str) -> None:
    """From the landed bytes on: `prepare_landing` has landed them for the runs that will be asked for."""
    runs = sorted(Path(folder, "landed").iterdir())
    run_id = runs[0].read_text()
    runs[0].unlink()
    run_ingest(_spec(path, f"{folder}/lake", run_id))


def _spec(path: str, lake: str, run_id: str) -> IngestSpec:
    return IngestSpec(
        run_id=run_id,
        workflow="bench",
        job="orders",
        source=FilesSource(files=(SourceFile(uri=path, name=Path(path).name),)),
        format=Path(path).suffix.removeprefix("."),
        landing_uri=f"{lake}/landing/bench/orders",
        target=TableTarget(
            dataset="bronze.bench.orders", uri=f"{lake}/bronze/bench/orders", partition_by=("_ingest_date",)
        ),
        error_handling="quarantine",
        quarantine_uri=f"{lake}/quarantine/bench/orders",
        ingested_at=datetime(2026, 1, 1, tzinfo=UTC),
    )


def prepare_landing(path: str, folder: str, runs: int) -> None:
    """Land the file for so many later runs; the copies share their bytes on disk."""
    marks = Path(folder, "landed")
    marks.mkdir(exist_ok=True)
    for _ in range(runs):
        spec = _spec(path, f"{folder}/lake", str(new_run_id()))
        land(spec, Access())
        (marks / spec.run_id).write_text(spec.run_id)


def write_csv(path: Path, rows: int, faults: float) -> None:
    """12 columns, about 120 bytes a row, the same for the same arguments; a share of the rows is faulty."""
    with path.open("wb") as file:
        for start in range(0, rows, 1_000_000):
            frame = _orders(start, min(1_000_000, rows - start))
            if faults:
                is_faulty = pl.col("order_id").hash(99) % 1_000_000 < int(faults * 1_000_000)
                quantity = pl.when(is_faulty).then(pl.lit("many")).otherwise(pl.col("quantity").cast(pl.String))
                frame = frame.with_columns(quantity.alias("quantity"))
            frame.write_csv(file, include_header=start == 0)


def _orders(start: int, rows: int) -> pl.DataFrame:
    def some(seed: int, different: int) -> pl.Expr:
        return (pl.col("i").hash(seed) % different).cast(pl.Int64)

    def word(seed: int, *words: str) -> pl.Expr:
        return some(seed, len(words)).replace_strict(dict(enumerate(words)))

    days, seconds = pl.duration(days=some(9, 700)), pl.duration(seconds=some(10, 60_000_000))
    return pl.DataFrame({"i": pl.int_range(start, start + rows, eager=True)}).select(
        order_id=pl.col("i") + 1_000_000,
        customer_id=some(1, 250_000),
        product=pl.format("SKU-{}", some(2, 9_000) + 10_000),
        quantity=some(3, 20) + 1,
        unit_price=some(4, 50_000) / 100,
        discount=some(5, 40) / 100,
        country=word(6, "DE", "FR", "US", "GB", "NL", "ES", "IT", "PL"),
        status=word(7, "paid", "shipped", "returned", "open"),
        is_gift=some(8, 10) == 0,
        order_date=(pl.lit(date(2024, 1, 1)) + days).dt.strftime("%Y-%m-%d"),
        created_at=(pl.lit(datetime(2024, 1, 1)) + seconds).dt.strftime(STAMP),  # noqa: DTZ001
        note=pl.format("note {} for the order {}", some(11, 100_000), some(12, 10**9)),
    )


def write_ndjson(path: Path, records: int, faults: float) -> None:
    """Nested records of about 180 bytes, the same for the same arguments; a share of the lines is broken."""
    draw, spoil = random.Random(7), random.Random(8)
    with path.open("w", encoding="utf-8") as file:
        for number in range(records):
            tags = [draw.choice("abcdef") for _ in range(draw.randrange(4))]
            items = [{"sku": f"S{draw.randrange(9999)}", "qty": draw.randrange(9)} for _ in range(draw.randrange(3))]
            record = {
                "id": number,
                "user": {"id": draw.randrange(10**6), "name": f"user {draw.randrange(10**6)}", "tags": tags},
                "items": items,
                "total": draw.randrange(10**6) / 100,
                "at": f"2024-0{draw.randrange(1, 9)}-11T10:{draw.randrange(10, 60)}:00Z",
                "ok": draw.random() > 0.5,
            }
            line = json.dumps(record)
            file.write((line[:-5] if spoil.random() < faults else line) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--records", type=int, default=500_000)
    parser.add_argument("--faults", type=float, default=0.001)
    parser.add_argument("--repeat", type=int, default=3)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="assay-bench-") as folder:
        for name, write, amount in (("csv", write_csv, asked.rows), ("ndjson", write_ndjson, asked.records)):
            for size, place in ((amount, folder), (min(amount, WARM_UP_ROWS), f"{folder}/warm-up")):
                Path(place).mkdir(exist_ok=True)
                write(Path(place, f"clean.{name}"), size, 0)
                write(Path(place, f"faulty.{name}"), size, asked.faults)
                prepare_landing(f"{place}/clean.{name}", place, asked.repeat)
            _compare(name, amount, folder, asked.repeat)
            for place in (folder, f"{folder}/warm-up"):
                shutil.rmtree(f"{place}/lake")
                shutil.rmtree(f"{place}/whole")


def _compare(name: str, amount: int, folder: str, repeat: int) -> None:
    sides = {
        "bare Polars, types and formats known": f"benchmarks.ingest_files:bare_{name}",
        "Assay, read to publish": "benchmarks.ingest_files:ingest_landed",
        "Assay, whole job": "benchmarks.ingest_files:ingest",
        "Assay, whole job, rows in quarantine": "benchmarks.ingest_files:ingest_faulty",
        "dlt to Delta": f"dlt:benchmarks.dlt_side:load_{name}",
    }
    path = Path(folder, f"clean.{name}")
    title = f"{name}: {amount:,} rows, {path.stat().st_size / 1e6:.0f} MB"
    warm_up = {"path": f"{folder}/warm-up/clean.{name}", "folder": f"{folder}/warm-up"}
    compare(title, sides, {"path": str(path), "folder": folder}, repeat, warm_up)


def ingest_faulty(path: str, folder: str) -> None:
    """The whole job on the faulty twin of the clean file."""
    ingest(path.replace("clean.", "faulty."), folder)


if __name__ == "__main__":
    main()
