"""TPC-H, loaded from the formats that its generator writes, holds what DuckDB reads in the files themselves."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest

from workers.executors.ingest.run import run_ingest
from workers.ids import new_run_id
from workers.lake.table import open_table
from workers.specs import Column, CsvOptions, FilesSource, IngestSpec, SourceFile, TableTarget

TABLES = ("customer", "lineitem", "nation", "orders", "part", "partsupp", "region", "supplier")
DECIMALS = {
    "lineitem": ("l_quantity", "l_extendedprice", "l_discount", "l_tax"),
    "orders": ("o_totalprice",),
    "customer": ("c_acctbal",),
    "supplier": ("s_acctbal",),
    "part": ("p_retailprice",),
    "partsupp": ("ps_supplycost",),
}
# The first of the benchmark's queries, over a table or file of any format.
PRICING_SUMMARY = """
    select l_returnflag, l_linestatus, sum(l_quantity), sum(l_extendedprice), sum(l_extendedprice * (1 - l_discount)),
           avg(l_discount), count(*)
    from {lineitem} where l_shipdate <= date '1998-09-02' group by all order by all
"""


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("tpch")
    generator = str(Path(sys.executable).with_name("tpchgen-cli"))
    for format_ in ("csv", "parquet"):
        subprocess.run([generator, format_, "-s", "0.01", "--output-dir", str(folder), "--quiet"], check=True)
    return folder


def load(table: str, file: Path, lake: Path) -> list[str]:
    """The addresses of the data files that a run over this file published."""
    format_ = file.suffix.removeprefix(".")
    declared = dict.fromkeys(DECIMALS.get(table, ()), "decimal(15,2)") if format_ == "csv" else {}
    spec = IngestSpec(
        run_id=str(new_run_id()),
        workflow="tpch",
        job=table,
        source=FilesSource(files=(SourceFile(uri=str(file), name=file.name),)),
        format=format_,
        csv=CsvOptions(),
        landing_uri=f"{lake}/landing/tpch/{table}",
        target=TableTarget(dataset=f"bronze.tpch.{table}", uri=f"{lake}/bronze/tpch/{table}"),
        schema_mode="evolve",
        columns=tuple(Column(name=name, type=kind) for name, kind in declared.items()),
        ingested_at=datetime(2026, 1, 1, tzinfo=UTC),
    )
    result = run_ingest(spec)
    assert (result.rows_read, result.quarantined_rows) == (result.rows_written, 0)
    return open_table(spec.target.uri).files()


@pytest.mark.parametrize("format_", ["csv", "parquet"])
def test_every_table_arrives_whole_and_the_pricing_summary_is_the_same(files, tmp_path, format_):
    loaded = {table: load(table, files / f"{table}.{format_}", tmp_path) for table in TABLES}

    with duckdb.connect() as plain:
        for table in TABLES:
            plain.execute(f"create view raw_{table} as from '{files / table}.parquet'")
            plain.execute(f"create view our_{table} as from read_parquet({loaded[table]})")
            columns = ", ".join(row[0] for row in plain.execute(f"describe raw_{table}").fetchall())
            missing = plain.execute(
                f"(select {columns} from raw_{table}) except all (select {columns} from our_{table})"
            )
            assert not missing.fetchall(), f"{table} lacks rows"
            counts = [plain.execute(f"select count(*) from {kind}_{table}").fetchone() for kind in ("raw", "our")]
            assert counts[0] == counts[1], table
        summaries = [
            plain.execute(PRICING_SUMMARY.format(lineitem=f"{kind}_lineitem")).fetchall() for kind in ("raw", "our")
        ]
        assert summaries[0] == summaries[1]
