"""The figures of a dataset's columns over HTTP and on its page: computed once a version, and through the policy."""

import polars as pl
import pytest

from catalog import services as catalog
from catalog.models import Dataset
from catalog.statistics import services as statistics
from tests.workers.published import published

pytestmark = pytest.mark.django_db
NAME = "silver.shop.orders"
URL = f"/api/catalog/datasets/{NAME}/statistics/"
PAGE = f"/datasets/{NAME}/statistics/"


@pytest.fixture
def orders(settings):
    """A table of 40 rows and its record."""
    rows = pl.DataFrame({"id": range(40), "country": ["DE", "FR", "DE", None] * 10})
    catalog.declare(NAME, layer="silver", workflow="shop", type="fact", path="silver/shop/orders", job="orders")
    version = published(settings.ASSAY_LAKE_URL, NAME, rows).version
    Dataset.objects.filter(name=NAME).update(version=version, rows=40)
    return Dataset.objects.get(name=NAME)


def test_the_api_tells_what_each_column_holds(api, orders):
    body = api.get(URL).json()
    assert (body["version"], body["rows"], body["rows_looked_at"]) == (0, 40, 40)
    country = body["columns"][1]
    assert (country["name"], country["nulls"], country["null_share"], country["distinct"]) == ("country", 10, 0.25, 2)
    assert country["top"] == [{"value": "DE", "count": 20}, {"value": "FR", "count": 10}]


def test_the_page_draws_them(client, engineer, orders):
    client.force_login(engineer)
    text = client.get(PAGE).content.decode()
    assert "25 %" in text
    assert "FR" in text
    assert "Version 0, 40 rows." in text
    assert 'class="as-tag">unique' in text


def test_a_version_is_looked_at_once(api, orders, settings, tmp_path):
    first = api.get(URL).json()
    (tmp_path / "home" / "lake" / "silver").rename(tmp_path / "away")
    assert api.get(URL).json() == first
    Dataset.objects.filter(name=NAME).update(version=1)
    assert api.get(URL).status_code == 409


def test_a_table_without_rows_says_what_to_do(api, client, engineer, orders):
    Dataset.objects.filter(name=NAME).update(version=None)
    assert api.get(URL).json()["errors"][0]["code"] == "table_missing"
    client.force_login(engineer)
    assert "run the job first" in client.get(PAGE).content.decode()


def test_values_go_through_the_policy(api, orders, monkeypatch):
    hidden = lambda user, dataset, rows: [dict.fromkeys(row, "•") for row in rows]  # noqa: E731
    monkeypatch.setattr(statistics, "visible_rows", hidden)
    for column in api.get(URL).json()["columns"]:
        assert {column["min"], column["max"], column["mean"], *(top["value"] for top in column["top"])} == {"•"}
        assert column["nulls"] in (0, 10)


def test_what_a_person_may_not_see_has_no_figures(client, orders):
    assert client.get(PAGE).status_code == 302
    assert client.get(URL).status_code == 401
