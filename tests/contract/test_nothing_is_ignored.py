"""Whatever is sent and not known is refused by its name: in bodies, in filters, where nothing is taken at all."""

import pytest


@pytest.fixture
def estate(shop, upload, make):
    job = {"name": "orders", "source_type": "file_upload"}
    make(f"{shop}/ingest-jobs/", {**job, "config": {"file": {"upload": upload("orders.csv", b"id\n1\n")}}})
    query = {"inputs": [{"dataset": "bronze.shop.orders"}], "sql_text": "select id from orders"}
    make(f"{shop}/silver-jobs/", {"name": "fact", "dataset_type": "fact", **query})
    return make(f"{shop}/run/", {}, 200)["pipeline_run_id"]


def refused(answer) -> list[tuple[str, str]]:
    assert answer.status_code == 400, answer.json()
    return [(error["code"], error["attr"]) for error in answer.json()["errors"]]


@pytest.mark.parametrize(
    "address",
    [
        "/api/auth/token/",
        "/api/workflows/shop/run/",
        "/api/workflows/shop/ingest-jobs/orders/run/",
        "/api/workflows/shop/ingest-jobs/orders/preview/",
        "/api/workflows/shop/silver-jobs/fact/run/",
        "/api/workflows/shop/silver-jobs/fact/preview/",
        "/api/pipeline-runs/{run}/cancel/",
        "/api/pipeline-runs/{run}/retry/",
        "/api/catalog/datasets/bronze.shop.orders/rollback/",
    ],
)
def test_an_action_refuses_what_it_does_not_know(estate, api, address):
    assert ("unknown_field", "surprise") in refused(api.post(address.format(run=estate), {"surprise": 1}))


@pytest.mark.parametrize(
    "address",
    [
        "/api/workflows/",
        "/api/workflows/shop/ingest-jobs/",
        "/api/workflows/shop/silver-jobs/",
        "/api/workflows/shop/gold-jobs/",
        "/api/pipeline-runs/",
        "/api/ingest-runs/",
        "/api/dataset-runs/",
        "/api/uploads/",
        "/api/catalog/datasets/",
    ],
)
def test_a_list_refuses_a_filter_that_it_does_not_have_instead_of_showing_everything(estate, api, address):
    assert refused(api.get(f"{address}?surprise=1")) == [("unknown_field", "surprise")]
    assert api.get(f"{address}?page=1&page_size=5").status_code == 200


def test_jobs_are_searched_by_name_and_description(shop, estate, api):
    found = [api.get(f"{shop}/ingest-jobs/?search={term}").json()["count"] for term in ("order", "fact")]
    assert found == [1, 0]
