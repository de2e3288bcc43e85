"""A run done again exactly as it was, and two runs side by side: over HTTP and on the pages, on real tables."""

from pathlib import Path
from uuid import uuid4

import polars as pl
import pytest
from deltalake import DeltaTable
from django.contrib.auth.models import Permission
from django.test import Client
from rest_framework.test import APIClient

SQL = "select id, country, amount from orders where amount > 0"
FIRST = b"id,country,amount\n1,DE,10\n2,FR,20\n3,DE,30\n"
SECOND = b"id,country,amount\n1,DE,10\n2,IT,20\n4,ES,40\n"


@pytest.fixture
def load(shop, upload, make, api):
    """Replaces the orders by those of a file."""

    def loaded(content: bytes) -> None:
        config = {"file": {"upload": upload("orders.csv", content)}}
        job = {"name": "orders", "source_type": "file_upload", "config": config, "write_mode": "overwrite",
               "partition_mode": "none"}  # fmt: skip
        if api.get(f"{shop}/ingest-jobs/orders/").status_code == 404:
            make(f"{shop}/ingest-jobs/", job)
        else:
            assert api.patch(f"{shop}/ingest-jobs/orders/", {"config": config}).status_code == 200
        assert make(f"{shop}/ingest-jobs/orders/run/?wait=30", {}, 200)["status"] == "success"

    return loaded


@pytest.fixture
def run(shop, make):
    def ran(name="fact") -> dict:
        done = make(f"{shop}/silver-jobs/{name}/run/?wait=30", {}, 200)
        assert done["status"] == "success", done
        return done

    return ran


@pytest.fixture
def fact(shop, load, make):
    load(FIRST)
    job = {
        "name": "fact",
        "dataset_type": "fact",
        "inputs": [{"dataset": "bronze.shop.orders", "alias": "orders"}],
        "sql_text": SQL,
        "refresh_mode": "merge",
        "merge_keys": ["id"],
    }
    return make(f"{shop}/silver-jobs/", job)


def table_rows(settings, version=None) -> list[tuple]:
    table = DeltaTable(f"{settings.ASSAY_LAKE_URL}/silver/shop/fact", version=version)
    return sorted(pl.DataFrame(pl.from_arrow(table.to_pyarrow_table())).select("id", "country").rows())


def person(django_user_model, *permissions: str):
    user = django_user_model.objects.create_user("viewer")
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    return user


def test_a_repetition_reads_the_versions_of_the_run_with_its_configuration(fact, load, run, api, make, shop, settings):
    first = run()
    load(SECOND)
    change = {"sql_text": "select id, upper(country) as country, amount * 2 as amount from orders",
              "refresh_mode": "full_refresh", "merge_keys": []}  # fmt: skip
    assert api.patch(f"{shop}/silver-jobs/fact/", change).status_code == 200
    run()
    assert table_rows(settings) == [(1, "DE"), (2, "IT"), (4, "ES")]

    again = make(f"/api/dataset-runs/{first['id']}/repeat/", {}, 202)
    done = api.get(f"/api/dataset-runs/{again['id']}/").json()
    assert (done["status"], done["repeat_of"], done["trigger"]) == ("success", first["id"], "api")
    assert done["input_versions"] == first["input_versions"] == {"bronze.shop.orders": 0}
    # It merged the old orders by their id, as the first run did.
    assert table_rows(settings) == [(1, "DE"), (2, "FR"), (3, "DE"), (4, "ES")]
    assert done["facts"] == {"merge": {"inserted": 1, "updated": 2, "unchanged": 0}}


def test_a_repetition_of_a_repetition_is_one_of_the_first(fact, run, api, make, load):
    first = run()
    load(SECOND)
    second = make(f"/api/dataset-runs/{first['id']}/repeat/?wait=30", {}, 200)
    assert second["status"] == "success"
    third = make(f"/api/dataset-runs/{second['id']}/repeat/", {}, 202)
    found = api.get(f"/api/dataset-runs/{first['id']}/compare/", {"with": third["id"]}).json()
    assert (found["configuration"], found["sql_diff"], found["schema"]) == ([], [], [])
    assert found["old"]["run_time"] == found["new"]["run_time"]
    assert found["table"]["equal"] is True
    assert found["table"]["old_digest"] == found["table"]["new_digest"]


def test_what_would_double_rows_or_cannot_be_read_any_more_is_refused(fact, run, api, shop, load, settings):
    merged = run()
    assert api.patch(f"{shop}/silver-jobs/fact/", {"refresh_mode": "append", "merge_keys": []}).status_code == 200
    appended = run()
    answer = api.post(f"/api/dataset-runs/{appended['id']}/repeat/", {})
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (409, "not_repeatable")
    assert "a second time" in answer.json()["errors"][0]["detail"]

    for file in Path(settings.ASSAY_LAKE_URL, "bronze/shop/orders").rglob("*.parquet"):
        file.unlink()
    answer = api.post(f"/api/dataset-runs/{merged['id']}/repeat/", {})
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (409, "not_repeatable")
    assert "version 0 of bronze.shop.orders" in answer.json()["errors"][0]["detail"]


def test_a_comparison_says_what_differs_and_counts_the_rows(fact, load, run, api, shop):
    first = run()
    load(SECOND)
    change = {"sql_text": "select id, country, amount from orders where amount > 10", "refresh_mode": "full_refresh",
              "compression": "snappy", "engine": "duckdb"}  # fmt: skip
    assert api.patch(f"{shop}/silver-jobs/fact/", change).status_code == 200
    second = run()
    # Whichever is asked about, the earlier run is the old one.
    found = api.get(f"/api/dataset-runs/{second['id']}/compare/", {"with": first["id"]}).json()
    assert (found["old"]["id"], found["new"]["id"]) == (first["id"], second["id"])
    assert {each["field"]: (each["old"], each["new"]) for each in found["configuration"]} == {
        "engine": ("polars", "duckdb"),
        "refresh_mode": ("merge", "full_refresh"),
        "compression": ("zstd", "snappy"),
    }
    assert [line["kind"] + line["text"] for line in found["sql_diff"] if line["kind"] in "+-"] == [
        "-  amount > 0",
        "+  amount > 10",
    ]
    assert found["inputs"] == [{"dataset": "bronze.shop.orders", "old": 0, "new": 1}]
    # Of 1, 2, 3 there are 2 with another country, 4 for the first time, and neither 1 nor 3.
    table = found["table"]
    assert (table["same"], table["changed"], table["added"], table["removed"]) == (0, 1, 1, 2)
    assert (table["compared"], table["equal"]) == (True, False)
    assert {each["phase"] for each in found["phases"]} == {"check", "read", "audit", "publish"}


def test_a_column_that_came_later_is_told(fact, run, api, shop):
    first = run()
    wider = {"sql_text": SQL.replace("amount from", "amount, amount * 2 as double_amount from"), "target_schema": []}
    answer = api.patch(f"{shop}/silver-jobs/fact/", wider)
    assert answer.status_code == 200, answer.json()
    second = run()
    found = api.get(f"/api/dataset-runs/{first['id']}/compare/", {"with": second["id"]}).json()
    assert [(each["column"], each["old"]) for each in found["schema"]] == [("double_amount", None)]
    assert (found["table"]["equal"], found["table"]["columns"]) == (True, ["amount", "country", "id"])


def test_only_runs_of_the_same_job_are_compared(fact, run, api, make, shop):
    first = run()
    address = f"/api/dataset-runs/{first['id']}/compare/"
    for given in ({}, {"with": "x"}, {"with": str(uuid4())}, {"with": first["id"], "wiht": "x"}):
        assert api.get(address, given).status_code == 400
    make(f"{shop}/silver-jobs/", {**fact, "name": "other"})
    assert api.get(address, {"with": run("other")["id"]}).status_code == 400


def test_who_may_not_run_jobs_may_compare_and_not_repeat(fact, run, django_user_model, engineer):
    first, second = run(), run()
    viewer = person(django_user_model)
    reader, browser = APIClient(), Client()
    reader.force_authenticate(viewer)
    browser.force_login(viewer)
    assert reader.post(f"/api/dataset-runs/{first['id']}/repeat/", {}).status_code == 403
    assert reader.get(f"/api/dataset-runs/{first['id']}/compare/", {"with": second["id"]}).status_code == 200
    page = "/workflows/shop/silver-jobs/fact/runs/"
    assert browser.post(f"{page}{first['id']}/repeat/").status_code == 403
    shown = browser.get(f"{page}compare/", {"run": [first["id"], second["id"]]})
    assert shown.status_code == 200
    assert "Repeat" not in shown.content.decode()
    browser.force_login(engineer)
    assert "Repeat" in browser.get(f"{page}compare/", {"run": [first["id"], second["id"]]}).content.decode()


def test_two_runs_are_chosen_on_the_page_of_the_job_and_compared(fact, load, run, engineer):
    first = run()
    load(SECOND)
    second = run()
    browser = Client()
    browser.force_login(engineer)
    job = browser.get("/workflows/shop/silver-jobs/fact/").content.decode()
    assert job.count('name="run"') == 2
    page = browser.get("/workflows/shop/silver-jobs/fact/runs/compare/", {"run": [second["id"], first["id"]]})
    text = page.content.decode()
    assert "nothing of the configuration differs" in text.lower()
    assert "bronze.shop.orders" in text
    rows = browser.get("/workflows/shop/silver-jobs/fact/runs/compare/rows/", {"run": [second["id"], first["id"]]})
    assert "<strong>1</strong> changed" in rows.content.decode()


def test_a_page_that_was_asked_for_one_run_or_for_three_says_what_to_do(fact, run, engineer):
    browser = Client()
    browser.force_login(engineer)
    ids = [run()["id"] for _ in range(3)]
    for chosen in (ids[:1], ids, [ids[0], str(uuid4())], ["x", ids[0]]):
        answer = browser.get("/workflows/shop/silver-jobs/fact/runs/compare/", {"run": chosen}, follow=True)
        assert "Choose two runs" in answer.content.decode()


def test_the_page_repeats_a_run_or_says_why_not(fact, run, engineer, api, shop):
    browser = Client()
    browser.force_login(engineer)
    first = run()
    answer = browser.post(f"/workflows/shop/silver-jobs/fact/runs/{first['id']}/repeat/", follow=True)
    assert answer.status_code == 200
    runs = api.get(f"{shop}/silver-jobs/fact/runs/").json()["results"]
    assert runs[0]["repeat_of"] == first["id"]
    assert api.patch(f"{shop}/silver-jobs/fact/", {"refresh_mode": "append", "merge_keys": []}).status_code == 200
    appended = run()
    answer = browser.post(f"/workflows/shop/silver-jobs/fact/runs/{appended['id']}/repeat/", follow=True)
    assert "a second time" in answer.content.decode()
