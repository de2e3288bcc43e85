"""CSV whose last column is sometimes empty: read at full speed, and still no short row passes for one with a null."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from workers.executors.ingest.run import run_ingest
from workers.ids import new_run_id
from workers.readers import READERS
from workers.readers.base import PlainFile
from workers.specs import Column, CsvOptions, FilesSource, IngestSpec, SourceFile, TableTarget


def spec_of(folder: Path, content: bytes, **changes: object) -> IngestSpec:
    source = folder / "f.csv"
    source.write_bytes(content)
    facts = {
        "run_id": str(new_run_id()),
        "workflow": "w",
        "job": "j",
        "source": FilesSource(files=(SourceFile(uri=str(source), name="f.csv"),)),
        "format": "csv",
        "schema_mode": "user",
        "columns": (Column(name="id", type="int64"), Column(name="note", type="string")),
        "landing_uri": f"{folder}/lake/landing/w/j",
        "quarantine_uri": f"{folder}/lake/quarantine/w/j",
        "target": TableTarget(dataset="bronze.w.j", uri=f"{folder}/lake/bronze/w/j"),
        "error_handling": "quarantine",
        "bad_row_threshold": 1.0,
        "ingested_at": datetime(2026, 11, 22, tzinfo=UTC),
    }
    return IngestSpec(**facts | changes)


def is_proven(spec: IngestSpec) -> bool:
    file = PlainFile(path=Path(spec.source.files[0].uri), number=0, name="f.csv")
    return READERS["csv"].open_files([file], spec, file.path.parent)[0].is_even


@pytest.mark.parametrize(
    ("content", "options", "proven"),
    [
        (b"id,note\n1,\n2,b\n3,\n", {}, True),
        (b"id,note\n1,\n2,b\n3,", {}, True),
        (b"id,note\r\n1,\r\n2,b\r\n3,\r\n", {}, True),
        (b"id;note\n1;NA\n2;b\n3;NA\n", {"delimiter": ";", "null_values": ("NA",)}, True),
        (b"1,\n2,b\n3,\n", {"has_header": False}, True),
        (b'id,note\n1,\n2,"b"\n3,\n', {}, False),
        (b"id,note\n1,\n2,b\n\n3,\n", {}, False),
    ],
)
def test_nulls_at_the_end_of_lines_are_nulls(tmp_path, content, options, proven):
    spec = spec_of(tmp_path, content, csv=CsvOptions(**options))
    result = run_ingest(spec)
    assert pl.read_delta(spec.target.uri).sort("id").select("id", "note").rows() == [(1, None), (2, "b"), (3, None)]
    assert result.quarantined_rows == 0
    assert is_proven(spec) is proven


@pytest.mark.parametrize(
    ("content", "rules"),
    [
        (b"id,note\n1,\n2\n3,c\n", [(3, "too_few_fields")]),
        (b"id,note\n1,\n2\n3,c,d\n", [(3, "too_few_fields"), (4, "too_many_fields")]),
        (b"id,note\n1,\n\n3,c,d\n4,\n", [(3, "too_many_fields")]),
    ],
)
def test_a_short_row_is_found_also_where_a_long_one_makes_up_for_it(tmp_path, content, rules):
    spec = spec_of(tmp_path, content)
    run_ingest(spec)
    rows = pl.read_parquet(f"{spec.quarantine_uri}/2026/11/22/{spec.run_id}.parquet").sort("_line")
    assert rows.select("_line", "_rule").rows() == rules


def test_a_single_column_proves_nothing_by_counting(tmp_path):
    spec = spec_of(tmp_path, b"id\n1\n\n3\n", columns=(Column(name="id", type="int64"),))
    assert run_ingest(spec).rows_read == 2
    assert not is_proven(spec)
