import pytest

from catalog import services as catalog
from ops.models import Workflow
from workers.specs import Column


@pytest.fixture
def shop(db):
    return Workflow.objects.create(slug="shop", name="Shop")


@pytest.fixture
def orders(shop):
    """`bronze.shop.orders`, as the catalog knows it after a first run."""
    return catalog.declare(
        "bronze.shop.orders",
        layer="bronze",
        workflow="shop",
        type="",
        path="bronze/shop/orders",
        columns=[
            Column(name="order_id", type="int64"),
            Column(name="amount", type="decimal(10,2)"),
            Column(name="country", type="string"),
            Column(name="ordered_on", type="date"),
        ],
        job="orders",
    )


@pytest.fixture
def landing(shop):
    return catalog.declare(
        "landing.shop.orders", layer="landing", workflow="shop", type="csv", path="landing/shop/orders", job="orders"
    )


@pytest.fixture
def unknown_columns(shop):
    """A Bronze table that was never filled: nobody knows its columns."""
    return catalog.declare(
        "bronze.shop.new", layer="bronze", workflow="shop", type="", path="bronze/shop/new", job="new"
    )
