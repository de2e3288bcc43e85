"""Flattening and child tables lose nothing: the records can be put together again from what the tables hold."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.workers.nested.conftest import ADDED, Loading

words = st.text('abé "\\\n', max_size=4)
items = st.fixed_dictionaries(
    {"sku": words}, optional={"qty": st.integers(-5, 5), "rates": st.lists(st.integers(0, 9), max_size=3)}
)
customers = st.fixed_dictionaries(
    {"name": words}, optional={"address": st.none() | st.fixed_dictionaries({"city": words, "geo": st.integers()})}
)
orders = st.fixed_dictionaries(
    {}, optional={"customer": st.none() | customers, "items": st.none() | st.lists(items, max_size=4)}
)
NESTED = {"customer": "flatten", "items": "child_table", "items.rates": "child_table"}


def without_nothing(value: Any) -> Any:
    """The value without what says nothing: keys that hold null, an empty object or an empty list."""
    if isinstance(value, dict):
        told = {key: without_nothing(inner) for key, inner in value.items()}
        return {key: inner for key, inner in told.items() if inner not in (None, {}, [])}
    return [without_nothing(inner) for inner in value] if isinstance(value, list) else value


def rows_of(path: Path) -> list[dict[str, Any]]:
    return pl.read_delta(str(path)).drop(ADDED, strict=False).to_dicts() if path.exists() else []


def put_together(folder: Path) -> dict[int, dict[str, Any]]:
    """The records, from the table's columns and the children's keys and places."""
    bronze = folder / "lake/bronze/shop"
    rates: dict[tuple[int, int], dict[int, int]] = {}
    for row in rows_of(bronze / "orders__items_rates"):
        rates.setdefault((row["id"], row["_items_index"]), {})[row["_index"]] = row["value"]
    found: dict[int, dict[int, dict[str, Any]]] = {}
    for row in rows_of(bronze / "orders__items"):
        own = rates.get((row["id"], row["_index"]), {})
        item = {"sku": row["sku"], "qty": row.get("qty"), "rates": [own[place] for place in sorted(own)]}
        found.setdefault(row["id"], {})[row["_index"]] = item
    records = {}
    for row in rows_of(bronze / "orders"):
        address = {"city": row.get("customer_address_city"), "geo": row.get("customer_address_geo")}
        own = found.get(row["id"], {})
        assert sorted(own) == list(range(len(own)))
        records[row["id"]] = {
            "id": row["id"],
            "customer": {"name": row.get("customer_name"), "address": address},
            "items": [own[place] for place in sorted(own)],
        }
    return records


@given(st.lists(orders, min_size=1, max_size=12), st.sampled_from([2**40, 10]))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_records_can_be_put_together_again(records, largest):
    records = [order | {"id": number} for number, order in enumerate(records)]
    for order in records:
        if (order.get("customer") or {}).get("address"):
            order["customer"]["address"]["geo"] %= largest
    with TemporaryDirectory() as folder:
        Loading(Path(folder), NESTED).run(records)
        told = {key: without_nothing(record) for key, record in put_together(Path(folder)).items()}
    assert told == {order["id"]: without_nothing(order) for order in records}
