"""Silver and Gold jobs over HTTP."""

import pytest

from catalog.models import Dataset
from datasets.models import DatasetJob

pytestmark = pytest.mark.usefixtures("orders")

SILVER = "/api/workflows/shop/silver-jobs/"
GOLD = "/api/workflows/shop/gold-jobs/"
FACT = {
    "name": "orders_fact",
    "dataset_type": "fact",
    "inputs": [{"dataset": "bronze.shop.orders", "alias": "orders"}],
    "sql_text": "select order_id, amount, country from orders",
}


def errors(answer, status=400):
    body = answer.json()
    assert answer.status_code == status, body
    return {error["attr"]: error["code"] for error in body["errors"]}


@pytest.fixture
def fact(api):
    answer = api.post(SILVER, FACT)
    assert answer.status_code == 201, answer.json()
    return answer.json()


def test_a_job_has_the_defaults_of_the_contract(fact):
    assert {
        "workflow": "shop",
        "layer": "silver",
        "description": "",
        "grain": "",
        "change_pattern": "",
        "primary_use_case": "",
        "transform_type": "sql",
        "config": {},
        "engine": "default",
        "format": "parquet",
        "compression": "zstd",
        "refresh_mode": "full_refresh",
        "partition_by": [],
        "merge_keys": [],
        "data_quality": [],
        "enabled": True,
    }.items() <= fact.items()


def test_the_target_schema_is_proposed_and_stored(fact, api):
    assert [(column["name"], column["type"]) for column in fact["target_schema"]] == [
        ("order_id", "int64"),
        ("amount", "decimal(10,2)"),
        ("country", "string"),
    ]
    assert api.get(f"{SILVER}orders_fact/").json()["target_schema"] == fact["target_schema"]


def test_a_job_is_in_the_catalog_with_its_upstream(fact):
    dataset = Dataset.objects.get(name="silver.shop.orders_fact")
    assert (dataset.type, dataset.path) == ("fact", "silver/shop/orders_fact")
    assert [column["name"] for column in dataset.columns] == ["order_id", "amount", "country"]
    assert [each.name for each in dataset.upstream.all()] == ["bronze.shop.orders"]


def test_a_job_reads_what_another_job_will_make(fact, api):
    mart = {
        "name": "mart",
        "dataset_type": "mart",
        "inputs": [{"dataset": "silver.shop.orders_fact", "alias": "f"}],
        "sql_text": "select country, count(*) as orders from f group by country",
    }
    answer = api.post(GOLD, mart)
    assert answer.status_code == 201, answer.json()
    assert Dataset.objects.get(name="gold.shop.mart").upstream.get().name == "silver.shop.orders_fact"


def test_layers_are_kept_apart(fact, api):
    assert api.get(f"{GOLD}orders_fact/").status_code == 404
    assert api.get(GOLD).json()["count"] == 0
    assert errors(api.post(GOLD, FACT)) == {"name": "unique", "dataset_type": "not_allowed"}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"colour": "red"}, {"colour": "unknown_field"}),
        ({"dataset_type": "mart"}, {"dataset_type": "not_allowed"}),
        ({"dataset_type": "nothing"}, {"dataset_type": "invalid_choice"}),
        ({"inputs": [{"dataset": "bronze.shop.nothing"}]}, {"inputs.0.dataset": "unknown_dataset"}),
        ({"sql_text": "select nothing from orders"}, {"sql_text": "sql_rejected"}),
        ({"sql_text": "drop table orders"}, {"sql_text": "sql_rejected"}),
        ({"target_schema": [{"name": "nothing", "type": "int64"}]}, {"target_schema": "sql_rejected"}),
        ({"refresh_mode": "merge"}, {"merge_keys": "required"}),
        ({"refresh_mode": "overwrite_partition"}, {"partition_by": "required"}),
        ({"partition_by": ["nothing"]}, {"partition_by.0": "unknown_column"}),
        ({"transform_type": "metrics_aggregate"}, {"transform_type", "sql_text", "config.base"}),
    ],
)
def test_a_refusal_names_the_field_and_saves_nothing(api, change, expected):
    found = errors(api.post(SILVER, {**FACT, **change}))
    assert set(expected) <= set(found)
    assert not isinstance(expected, dict) or found == expected
    assert not DatasetJob.objects.exists()


def test_a_refused_query_is_told_with_its_place(api):
    body = api.post(SILVER, {**FACT, "sql_text": "select order_id,\n  nothing\nfrom orders"}).json()
    assert body["errors"][0]["detail"].startswith("Line 2, column 3: ")


def test_a_job_whose_input_has_changed_can_still_be_switched_off(fact, api):
    Dataset.objects.filter(name="bronze.shop.orders").update(columns=[{"name": "x", "type": "int64", "nullable": True}])
    assert errors(api.patch(f"{SILVER}orders_fact/", {"description": "new"})) == {"sql_text": "sql_rejected"}
    assert api.patch(f"{SILVER}orders_fact/", {"enabled": False}).status_code == 200
    change = {"enabled": False, "sql_text": "select y from orders", "target_schema": []}
    assert errors(api.patch(f"{SILVER}orders_fact/", change)) == {"sql_text": "sql_rejected"}


def test_an_empty_target_schema_is_proposed_anew(fact, api):
    change = {"sql_text": "select order_id from orders"}
    assert errors(api.patch(f"{SILVER}orders_fact/", change)) == {"target_schema": "sql_rejected"}
    answer = api.patch(f"{SILVER}orders_fact/", {**change, "target_schema": []})
    assert [column["name"] for column in answer.json()["target_schema"]] == ["order_id"]


def test_what_a_get_shows_can_be_put_back_unchanged(fact, api):
    answer = api.put(f"{SILVER}orders_fact/", fact)
    assert answer.status_code == 200, answer.json()
    assert {**answer.json(), "updated_at": None} == {**fact, "updated_at": None}


def test_the_sql_of_each_engine_is_shown(fact, api):
    body = api.get(f"{SILVER}orders_fact/sql/").json()
    assert [each["engine"] for each in body["engines"]] == ["polars", "duckdb", "spark"]
    assert all("orders" in each["statement"] for each in body["engines"])
    assert body["warnings"] == []


def test_a_job_over_unknown_columns_is_saved_with_a_warning(api, unknown_columns):
    body = {**FACT, "inputs": [{"dataset": "bronze.shop.new"}], "sql_text": "select id from new"}
    assert api.post(SILVER, body).json()["target_schema"] == []
    assert "bronze.shop.new" in api.get(f"{SILVER}orders_fact/sql/").json()["warnings"][0]


def test_a_job_whose_input_nobody_makes_is_not_started(fact, api):
    assert errors(api.post(f"{SILVER}orders_fact/run/")) == {None: "missing_input"}


CONTRACT = {
    *("id", "job", "status", "trigger", "start_time", "end_time", "duration", "rows_read", "rows_written"),
    *("quarantined_rows", "table_version", "schema_changes", "quality", "error"),
}


@pytest.mark.parametrize("address", ["/api/dataset-runs/", f"{SILVER}orders_fact/runs/"])
def test_a_list_of_runs_has_what_lists_need_and_the_run_itself_has_all(
    fact, api, address, django_assert_max_num_queries
):
    run = DatasetJob.objects.get().runs.create(facts={"inserted": 3}, options={"rebuild": True}, spec={"sql": "select"})
    with django_assert_max_num_queries(5) as asked:
        [row] = api.get(address).json()["results"]
    assert set(row) >= CONTRACT
    assert not {"facts", "options"} & set(row)
    selected = [query["sql"] for query in asked if '"rows_read"' in query["sql"]]
    assert selected
    assert not any(f'"{name}"' in sql for sql in selected for name in ("facts", "spec", "options"))
    whole = api.get(f"/api/dataset-runs/{run.pk}/").json()
    assert (whole["facts"], whole["options"]) == ({"inserted": 3}, {"rebuild": True})


def test_lists_take_the_same_few_queries_however_long_they_are(fact, api, django_assert_max_num_queries):
    job = DatasetJob.objects.get()
    for number in range(30):
        DatasetJob.objects.create(workflow=job.workflow, layer="silver", name=f"fact-{number}", dataset_type="fact")
        job.runs.create()
    with django_assert_max_num_queries(4):
        assert api.get(SILVER).json()["count"] == 31
    with django_assert_max_num_queries(5):
        assert api.get(f"{SILVER}orders_fact/runs/").json()["count"] == 30
    with django_assert_max_num_queries(4):
        assert api.get("/api/dataset-runs/").json()["count"] == 30
