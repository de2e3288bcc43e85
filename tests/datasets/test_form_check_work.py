"""What the live check of a form costs: each engine is asked once, and what all of them share is found out once."""

import pytest

from tests.datasets.test_jobs_under_change import fields_of, make, orders, page  # noqa: F401  (fixtures)
from workers.engines.sql import check, dry_run

pytestmark = pytest.mark.django_db


def misses() -> tuple[int, int]:
    """Checks that were not known yet, and statements that DuckDB was asked about."""
    return check._checked.cache_info().misses, dry_run._described.cache_info().misses


@pytest.mark.parametrize("types", ["query", "person"])
def test_a_check_asks_each_engine_once_and_duckdb_binds_the_query_once(make, page, types):  # noqa: F811
    sql = f"select order_id, amount * 7 as {types}_total from orders"
    columns = {"column_name": ["order_id", f"{types}_total"], "column_type": ["int64", "float64"]}
    sent = fields_of(make(), name="fresh", sql_text=sql, types_from=types, column_nullable=["yes", "yes"], **columns)
    before = misses()
    shown = page.post("/workflows/shop/silver-form/check/", sent)
    checked, bound = (after - was for after, was in zip(misses(), before, strict=True))
    assert "This can be saved" in shown.content.decode()
    assert (checked, bound) == (3, 1)
