"""Files in, one Bronze version out: the whole road, on real files and tables."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest

from workers import errors
from workers.executors.ingest_file import run_ingest_file
from workers.ids import new_run_id
from workers.specs import Column, CsvOptions, IngestFileSpec, SourceFile, TableTarget

AT = datetime(2026, 11, 22, 10, 30, tzinfo=UTC)
PROVENANCE = ["_ingested_at", "_run_id", "_source_file"]


@pytest.fixture
def lake(tmp_path):
    return tmp_path / "lake"


@pytest.fixture
def job(tmp_path, lake):
    """Makes a spec: the files' contents by name, then whatever differs from the defaults."""

    def make(files: dict[str, bytes], **changes: object) -> IngestFileSpec:
        run_id = str(new_run_id())
        folder = tmp_path / "inbox" / run_id
        folder.mkdir(parents=True)
        for name, content in files.items():
            (folder / name).write_bytes(content)
        facts = {
            "run_id": run_id,
            "workflow": "shop",
            "job": "orders",
            "files": tuple(SourceFile(uri=str(folder / name), name=name) for name in files),
            "format": "csv",
            "landing_uri": f"{lake}/landing/shop/orders",
            "quarantine_uri": f"{lake}/quarantine/shop/orders",
            "target": TableTarget(dataset="bronze.shop.orders", uri=f"{lake}/bronze/shop/orders"),
            "ingested_at": AT,
        }
        return IngestFileSpec(**facts | changes)

    return make


def table(spec: IngestFileSpec, *, provenance: bool = False) -> pl.DataFrame:
    rows = pl.read_delta(spec.target.uri)
    return rows if provenance else rows.drop(*PROVENANCE, strict=False)


def quarantine(spec: IngestFileSpec) -> list[dict]:
    path = Path(spec.quarantine_uri) / f"2026/11/22/{spec.run_id}.parquet"
    return pl.read_parquet(path).sort("_source_file", "_line").to_dicts()


def test_a_csv_file_becomes_typed_rows_with_their_provenance(job):
    spec = job({"orders.csv": b"id,amount,paid,day\n1,1.5,true,2026-01-02\n2,,false,\n"})
    result = run_ingest_file(spec)
    assert (result.rows_read, result.rows_written, result.quarantined_rows) == (2, 2, 0)
    assert [(column.name, column.type) for column in result.columns] == [
        ("id", "int64"),
        ("amount", "float64"),
        ("paid", "boolean"),
        ("day", "date"),
        ("_ingested_at", "timestamptz"),
        ("_run_id", "string"),
        ("_source_file", "string"),
    ]
    assert table(spec, provenance=True).sort("id").rows() == [
        (1, 1.5, True, date(2026, 1, 2), AT, spec.run_id, "orders.csv"),
        (2, None, False, None, AT, spec.run_id, "orders.csv"),
    ]


def test_rows_that_are_no_rows_go_to_quarantine_with_line_column_and_reason(job):
    content = b'id,amount\n1,1.5\n2,abc\n3\n4,1,1\n5,"x"y\n6,\xff\n\n7,7\n8,oops\n'
    columns = (Column(name="id", type="int64"), Column(name="amount", type="float64"))
    spec = job(
        {"orders.csv": content}, schema_mode="user", columns=columns, error_handling="quarantine", bad_row_threshold=1.0
    )
    result = run_ingest_file(spec)
    assert (result.rows_read, result.rows_written, result.quarantined_rows) == (8, 2, 6)
    assert table(spec).sort("id").rows() == [(1, 1.5), (7, 7.0)]
    assert [(row["_line"], row["_rule"], row["_column"]) for row in quarantine(spec)] == [
        (3, "type", "amount"),
        (4, "too_few_fields", None),
        (5, "too_many_fields", None),
        (6, "quote", None),
        (7, "encoding", None),
        (9, "type", "amount"),
    ]
    assert result.reasons == {
        "amount: type": 2,
        "encoding": 1,
        "quote": 1,
        "too_few_fields": 1,
        "too_many_fields": 1,
    }
    assert result.quarantine_path == f"quarantine/shop/orders/2026/11/22/{spec.run_id}.parquet"
    first, second = quarantine(spec)[:2]
    assert first["_raw"] == '{"id":"2","amount":"abc"}'
    assert first["_reason"] == "“abc” is no float64"
    assert (second["_raw"], second["_offset"]) == ("3", 22)


def test_a_bad_row_fails_the_job_with_its_line_column_and_value_unless_quarantine_is_on(job):
    columns = (Column(name="id", type="int64"), Column(name="amount", type="float64"))
    spec = job({"orders.csv": b"id,amount\n1,1.5\n2,abc\n"}, schema_mode="user", columns=columns)
    with pytest.raises(errors.BadRows, match=r"orders.csv, line 3: amount: “abc” is no float64") as caught:
        run_ingest_file(spec)
    assert "quarantine" in caught.value.hint
    assert not Path(spec.target.uri, "_delta_log").exists()
    assert not list(Path(spec.target.uri).rglob("*.parquet"))
    assert CsvOptions() == spec.csv
