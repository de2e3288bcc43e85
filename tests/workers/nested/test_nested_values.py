"""Nested values: kept, flattened, kept as JSON, or taken out as rows of a child table."""

from __future__ import annotations

import json

import polars as pl
import pytest

from workers import errors
from workers.executors.ingest.run import run_ingest

ORDERS = [
    {
        "id": 1,
        "customer": {"id": 7, "address": {"city": "Bonn", "zip": "53111"}, "tags": ["a", "b"]},
        "items": [
            {"sku": "x", "qty": 2, "discounts": [{"rate": 0.5}, {"rate": 1}]},
            {"sku": "y", "qty": None, "discounts": []},
        ],
        "notes": ["first", None, "third"],
    },
    {"id": 2, "customer": None, "items": [], "notes": None},
    {"id": 3, "customer": {"id": 8}, "items": [{"sku": "z", "id": 99, "discounts": [{"rate": 2}]}]},
]


def columns_of(rows: pl.DataFrame) -> dict[str, str]:
    return {name: str(dtype) for name, dtype in rows.schema.items()}


def test_nested_values_stay_structs_and_lists_without_a_choice(loading):
    job = loading({})
    job.run(ORDERS)
    kept = columns_of(job.table())
    assert list(kept) == ["id", "customer", "items", "notes"]
    assert kept["customer"].startswith("Struct")
    assert job.table().sort("id")["notes"].to_list() == [["first", None, "third"], None, None]


def test_a_flattened_struct_becomes_a_column_for_each_value_in_it_at_any_depth(loading):
    job = loading({"customer": "flatten"})
    job.run([{name: value for name, value in order.items() if name in ("id", "customer")} for order in ORDERS])
    assert list(job.table().columns) == [
        "id",
        "customer_id",
        "customer_address_city",
        "customer_address_zip",
        "customer_tags",
    ]
    assert job.rows() == [
        (1, 7, "Bonn", "53111", ["a", "b"]),
        (2, None, None, None, None),
        (3, 8, None, None, None),
    ]


def test_a_flattened_value_gives_way_to_a_key_of_the_same_name_wherever_that_stands(loading):
    job = loading({"customer": "flatten"})
    job.run([{"id": 1, "customer": {"id": 7, "ID": 8}}, {"id": 2, "customer_id": "own"}])
    assert job.table().sort("id").rows(named=True) == [
        {"id": 1, "customer_id_2": 7, "customer_ID_3": 8, "customer_id": None},
        {"id": 2, "customer_id_2": None, "customer_ID_3": None, "customer_id": "own"},
    ]


def test_what_is_flattened_can_keep_parts_of_it_as_they_are(loading):
    job = loading({"a": "flatten", "a.b": "json", "a.c.d": "json"})
    job.run('{"id":1,"a":{"b":{"x": 1.50},"c":{"d":[1e2],"e":{"f":true}}}}')
    assert job.table().rows(named=True) == [{"id": 1, "a_b": '{"x": 1.50}', "a_c_d": "[1e2]", "a_c_e_f": True}]


def test_a_value_kept_as_json_is_the_text_that_came_sign_by_sign(loading):
    texts = {
        1: '{"b": 1.50, "a": [1E5,  12345678901234567890123.1], "\\u00e9": "\\ud83d\\ude00 \\" \\\\"}',
        2: '"text"',
        3: "-0.0",
        4: "[ ]",
        5: None,
        6: "true",
        7: '{"deep":{"meta":{"meta":null}},"b":1,"b":2}',
    }
    lines = [
        f'{{"meta" : {text}, "id":{key}}}' if text else f'{{"id":{key},"meta":null}}' for key, text in texts.items()
    ]
    job = loading({"meta": "json"})
    result = job.run("\n".join(lines))
    assert dict(job.table().select("id", "meta").rows()) == texts
    assert {column.name: column.type for column in result.columns}["meta"] == "json"


def test_every_nested_value_at_the_top_can_be_kept_as_json(loading):
    job = loading({"*": "json", "b": "flatten"})
    job.run('{"id":1,"a":{"x":[1.0]},"b":{"c":{"d":2}},"e":[{ }],"f":"text"}')
    assert job.table().rows(named=True) == [{"id": 1, "a": '{"x":[1.0]}', "b_c_d": 2, "e": "[{ }]", "f": "text"}]


def test_a_list_becomes_a_child_table_with_the_keys_of_its_parent(loading):
    job = loading({"items": "child_table", "items.discounts": "child_table", "notes": "child_table"})
    result = job.run(ORDERS)
    assert list(job.table().columns) == ["id", "customer"]
    assert job.table("items").sort("id", "_index").rows(named=True) == [
        {"id": 1, "_index": 0, "sku": "x", "qty": 2, "id_2": None},
        {"id": 1, "_index": 1, "sku": "y", "qty": None, "id_2": None},
        {"id": 3, "_index": 0, "sku": "z", "qty": None, "id_2": 99},
    ]
    assert job.table("items_discounts").columns == ["id", "_items_index", "_index", "rate"]
    assert job.rows("items_discounts") == [(1, 0, 0, 0.5), (1, 0, 1, 1.0), (3, 0, 0, 2.0)]
    assert job.table("notes").columns == ["id", "_index", "value"]
    assert job.rows("notes") == [(1, 0, "first"), (1, 1, None), (1, 2, "third")]
    assert (result.rows_read, result.rows_written) == (3, 3)
    assert [(child.dataset, child.path, child.published.rows) for child in result.children] == [
        ("bronze.shop.orders__items", "items", 3),
        ("bronze.shop.orders__notes", "notes", 3),
        ("bronze.shop.orders__items_discounts", "items.discounts", 3),
    ]


def test_child_rows_say_which_run_and_file_they_are_from(loading):
    job = loading({"notes": "child_table"})
    spec = job.spec(ORDERS)
    run_ingest(spec)
    rows = pl.read_delta(f"{spec.target.uri}__notes")
    assert rows.select("_ingested_at", "_run_id", "_source_file").unique().rows() == [
        (spec.ingested_at, spec.run_id, "orders.ndjson")
    ]


def test_items_can_be_flattened_and_keep_json_and_lists_inside(loading):
    job = loading({"items": "child_table", "items.product": "flatten", "items.raw": "json"})
    job.run('{"id":1,"items":[{"product":{"a":1,"b":{"c":"x"}},"raw":{"n":1.0},"tags":["t"]},{"raw":null}]}')
    assert job.table("items").sort("_index").rows(named=True) == [
        {"id": 1, "_index": 0, "product_a": 1, "product_b_c": "x", "raw": '{"n":1.0}', "tags": ["t"]},
        {"id": 1, "_index": 1, "product_a": None, "product_b_c": None, "raw": None, "tags": None},
    ]


def test_a_list_inside_a_struct_leaves_the_struct_for_its_child_table(loading):
    job = loading({"order.lines": "child_table"})
    job.run([{"id": 1, "order": {"no": "A", "lines": [{"n": 1}]}}, {"id": 2, "order": {"no": "B"}}])
    assert job.rows() == [(1, {"no": "A"}), (2, {"no": "B"})]
    assert job.rows("order_lines") == [(1, 0, 1)]


def test_a_value_of_another_kind_than_its_choice_needs_costs_its_own_row_only(loading):
    job = loading({"customer": "flatten", "items": "child_table"})
    records = [
        {"id": 1, "customer": {"id": 1}, "items": [{"sku": "a"}]},
        {"id": 2, "customer": "n/a", "items": [{"sku": "b"}]},
        {"id": 3, "customer": {"id": 3}, "items": {"sku": "c"}},
        {"id": 4, "customer": 4, "items": []},
        {"customer": {"id": 5}, "items": [{"sku": "e"}]},
    ]
    spec = job.spec(records, error_handling="quarantine", bad_row_threshold=1.0)
    result = run_ingest(spec)
    assert (result.rows_read, result.rows_written, result.quarantined_rows) == (5, 1, 4)
    assert job.rows() == [(1, 1)]
    assert job.rows("items") == [(1, 0, "a")]
    assert job.quarantine(spec) == [
        (2, "customer", "“n/a” is no object"),
        (3, "items", '“{"sku": "c"}” is no list'),
        (4, "customer", "“4” is no object"),
        (5, "id", "a row without its key cannot be merged or have child rows"),
    ]


def test_lists_of_different_kinds_of_items_are_no_child_table(loading):
    with pytest.raises(errors.SchemaChanged, match="items cannot become a child table"):
        loading({"items": "child_table"}).run([{"id": 1, "items": [{"a": 1}, "text"]}])


def test_without_its_key_a_source_has_no_child_tables(loading):
    with pytest.raises(errors.MissingColumns, match="no column order_id, by which child rows find their parent"):
        loading({"items": "child_table"}, changes={"key_columns": ("order_id",)}).run(ORDERS)


def test_a_list_that_was_never_filled_makes_no_column_and_no_table(loading):
    job = loading({"items": "child_table"})
    assert job.run([{"id": 1, "items": []}, {"id": 2, "items": None}]).children == ()
    assert job.rows() == [(1,), (2,)]
    job.run([{"id": 3, "items": [{"sku": "a"}]}], write_mode="append")
    assert (job.rows(), job.rows("items")) == ([(1,), (2,), (3,)], [(3, 0, "a")])


def test_a_whole_document_is_read_alike(loading, tmp_path):
    job = loading({"items": "child_table", "customer": "flatten", "meta": "json"})
    document = {"data": {"list": [order | {"meta": {"n": [1.0]}} for order in ORDERS]}}
    job.run(json.dumps(document, indent=1), format="json", records_path="data.list")
    assert job.table("items").height == 3
    assert job.table().sort("id")["customer_address_city"].to_list() == ["Bonn", None, None]
    assert [json.loads(text) for text in job.table()["meta"]] == [{"n": [1.0]}] * 3
