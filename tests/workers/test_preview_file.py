"""A look at files before a job is made of them."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime

import pytest

from workers import errors
from workers.executors.ingest.preview import preview as preview_of
from workers.ids import new_run_id
from workers.specs import Column, FilesSource, IngestSpec, Nested, SourceFile, TableTarget


@pytest.fixture
def spec(tmp_path):
    def make(content: bytes, format_: str = "csv", **changes: object) -> IngestSpec:
        source = tmp_path / "orders"
        source.write_bytes(content)
        facts = {
            "run_id": str(new_run_id()),
            "workflow": "shop",
            "job": "orders",
            "source": FilesSource(files=(SourceFile(uri=str(source), name="orders"),)),
            "format": format_,
            "landing_uri": f"{tmp_path}/lake/landing/shop/orders",
            "target": TableTarget(dataset="bronze.shop.orders", uri=f"{tmp_path}/lake/bronze/shop/orders"),
            "ingested_at": datetime(2026, 11, 22, tzinfo=UTC),
        }
        return IngestSpec(**facts | changes)

    return make


def test_a_preview_tells_columns_profile_rows_and_what_would_be_refused(spec, tmp_path):
    columns = (Column(name="id", type="int64"), Column(name="day", type="date"))
    content = b"id,day\n1,2026-01-02\n2\nx,2026-01-03\n4,\n"
    preview = preview_of(spec(content, schema_mode="user", columns=columns))
    assert preview.columns == columns
    assert preview.rows == ({"id": 1, "day": "2026-01-02"}, {"id": 4, "day": None})
    assert [(row["_line"], row["_column"], row["_raw"]) for row in preview.rejected] == [
        (3, None, "2"),
        (4, "id", '{"id":"x","day":"2026-01-03"}'),
    ]
    assert preview.profile[1] == {
        "name": "day",
        "type": "date",
        "nulls": 1,
        "distinct": 1,
        "min": "2026-01-02",
        "max": "2026-01-02",
        "examples": ["2026-01-02"],
    }
    assert preview.rows_sampled == 4
    assert not (tmp_path / "lake").exists()


def test_a_preview_of_json_shows_nested_values(spec):
    preview = preview_of(spec(b'[{"id":1,"tags":["a"],"of":{"x":1.5}},{"id":2}]', "json"))
    assert [column.type for column in preview.columns] == ["int64", "list<string>", "struct<x: float64>"]
    assert preview.rows[0] == {"id": 1, "tags": ["a"], "of": {"x": 1.5}}


def test_a_preview_names_the_child_tables_with_their_columns(spec):
    content = b'{"id":1,"customer":{"id":7},"items":[{"sku":"a","id":2}]}\n{"id":2,"customer":"?"}\n'
    nested = (Nested(path="items", keep_as="child_table"), Nested(path="customer", keep_as="flatten"))
    preview = preview_of(spec(content, "ndjson", nested=nested, key_columns=("id",)))
    assert preview.rows == ({"id": 1, "customer_id": 7},)
    assert [(row["_line"], row["_reason"]) for row in preview.rejected] == [(2, "“?” is no object")]
    (child,) = preview.children
    assert (child["dataset"], child["path"]) == ("bronze.shop.orders__items", "items")
    assert [(column["name"], column["type"]) for column in child["columns"]] == [
        ("id", "int64"),
        ("_index", "int64"),
        ("sku", "string"),
        ("id_2", "int64"),
        ("_ingested_at", "timestamptz"),
        ("_run_id", "string"),
        ("_source_file", "string"),
    ]


def test_a_preview_of_a_large_packed_file_unpacks_only_its_beginning(spec):
    packed = gzip.compress(b"id,text\n" + b"1,some text that goes on for a while\n" * 400_000)
    preview = preview_of(spec(packed))
    assert len(preview.rows) == 50
    assert preview.rows_sampled <= 15_000
    assert preview.rejected == ()


def test_a_preview_of_what_is_no_such_file_says_why(spec, tmp_path):
    with pytest.raises(errors.UnreadableSource, match="no sound JSON"):
        preview_of(spec(b"id,name\n", "json"))
    missing = spec(b"")
    (tmp_path / "orders").unlink()
    with pytest.raises(errors.SourceMissing, match="orders is not there"):
        preview_of(missing)
