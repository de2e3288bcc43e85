"""Training and feature sets over HTTP and on their page: refused when they cannot be right, run, shown, rebuilt."""

from __future__ import annotations

import pytest

from catalog.models import Dataset
from datasets import services
from datasets.models import DatasetJob
from tests.training_jobs import CONFIG, GOLD, JOB, make_shop, run_of
from workers.ids import new_run_id

pytestmark = pytest.mark.django_db


@pytest.fixture
def shop():
    make_shop()


@pytest.fixture
def job(shop, api):
    answer = api.post(GOLD, JOB)
    assert answer.status_code == 201, answer.json()
    return DatasetJob.objects.get(name="churn")


def refused(api, change, **job) -> dict[str, str]:
    answer = api.post(GOLD, JOB | {"config": CONFIG | change} | job)
    assert answer.status_code == 400, answer.json()
    return {error["attr"]: error["detail"] for error in answer.json()["errors"]}


def test_a_job_declares_the_columns_of_its_set(job):
    assert [(column["name"], column["type"]) for column in job.target_schema] == [
        ("customer_id", "int64"),
        ("as_of", "timestamptz"),
        ("amount", "float64"),
        ("segment", "string"),
        ("label", "boolean"),
        ("split", "string"),
    ]
    assert Dataset.objects.get(name="gold.shop.churn").type == "ml_training_set"


def test_a_feature_set_has_neither_label_nor_split(shop, api):
    config = {name: CONFIG[name] for name in ("entity", "features")}
    body = {**JOB, "config": config, "dataset_type": "feature_set", "transform_type": "feature_set"}
    answer = api.post(GOLD, body)
    assert [column["name"] for column in answer.json()["target_schema"]] == [
        "customer_id",
        "as_of",
        "amount",
        "segment",
    ]


ENTITY, LABEL, (ORDERS, CUSTOMERS) = CONFIG["entity"], CONFIG["label"], CONFIG["features"]


@pytest.mark.parametrize(
    ("change", "attr", "words"),
    [
        ({"entity": {**ENTITY, "alias": "nobody"}}, "config.entity.alias", "no input “nobody”"),
        ({"entity": {**ENTITY, "as_of_column": "customer_id"}}, "config.entity.as_of_column", "is int64, not a date"),
        ({"entity": {**ENTITY, "key_columns": ["id"]}}, "config.entity.key_columns.0", "no column “id”"),
        ({"entity": {**ENTITY, "columns": ["as_of"]}}, "config.entity.columns.0", "there already"),
        ({"features": [{**ORDERS, "columns": ["nothing"]}]}, "config.features.0.columns.0", "no column “nothing”"),
        ({"features": [{**ORDERS, "ttl": "2 months"}]}, "config.features.0.ttl", "months have no fixed length"),
        ({"features": [{**ORDERS, "knowledge_column": "amount"}]}, "config.features.0.knowledge_column", "not a date"),
        (
            {"features": [{**CUSTOMERS, "key_columns": ["segment"]}]},
            "config.features.0.key_columns.0",
            "customer_id int64",
        ),
        ({"features": [{**CUSTOMERS, "ttl": "1d"}]}, "config.features.0.ttl", "needs a time_column"),
        ({"features": [ORDERS, {**ORDERS, "prefix": ""}, ORDERS]}, "config.features.2.columns.0", "prefix"),
        ({"label": {**LABEL, "expression": "amount > 1"}}, "config.label.expression", "does not aggregate"),
        ({"label": {**LABEL, "expression": "count(*), 1"}}, "config.label.expression", "not one expression"),
        ({"label": {**LABEL, "expression": "max(now())"}}, "config.label.expression", ""),
        ({"label": {**LABEL, "expression": "max((select 1))"}}, "config.label.expression", ""),
        ({"label": {**LABEL, "expression": "max(read_text('/etc/passwd'))"}}, "config.label.expression", ""),
        ({"label": {**LABEL, "expression": "max(nothing)"}}, "config.label.expression", "nothing"),
        ({"label": {**LABEL, "column": "amount"}}, "config.label", "either a column or an expression"),
        ({"label": {"alias": "orders", "column": "amount"}}, "config.label.alias", "one of the entity's input"),
        ({"label": {**LABEL, "name": "AMOUNT", "time_column": "amount"}}, "config.label.time_column", "not a date"),
        ({"split": {"train": 0.9}}, "config.split", "add up to 1"),
        ({"split": {"key": ["segment"]}}, "config.split.key.0", "no column of the result's entity"),
        ({"split": {"method": "time", "test_from": "2026-01-01"}}, "config.split.validation_from", "both"),
        ({"split": {"gap": "7 days"}}, "config.split.gap", "for method time"),
        ({"split": {"method": "time", "gap": "1 month"}}, "config.split.gap", "months have no fixed length"),
        ({"colour": "red"}, "config.colour", "no option"),
    ],
)
def test_a_config_that_cannot_be_right_is_refused_at_its_field(shop, api, change, attr, words):
    found = refused(api, change)
    assert attr in found
    assert words in found[attr]


def test_what_a_template_does_not_claim_is_refused(shop, api):
    assert "polars or duckdb" in refused(api, {}, engine="spark")["engine"]
    assert "refresh_mode" in refused(api, {}, refresh_mode="merge", merge_keys=["customer_id"])
    shares = {"split": {"method": "time"}}
    assert "config.split.validation_from" in refused(api, shares, refresh_mode="append")


def test_columns_of_one_name_are_told_apart_by_their_input(shop, api):
    twice = [ORDERS, {**CUSTOMERS, "columns": ["id"]}, {"alias": "orders", "columns": ["amount"], "prefix": "first_"}]
    answer = api.post(GOLD, JOB | {"config": CONFIG | {"features": [*twice, {**ORDERS, "ttl": "1d"}]}})
    names = [column["name"] for column in answer.json()["target_schema"]]
    assert names == ["customer_id", "as_of", "amount", "id", "first_amount", "orders__amount", "label", "split"]


def test_knowledge_time_counts_where_there_is_one_unless_it_is_refused(job, api):
    def features():
        return services.spec_of(DatasetJob.objects.get(pk=job.pk), str(new_run_id())).features

    assert [each.knowledge_column for each in features()] == ["_ingested_at", ""]
    changed = [{**ORDERS, "knowledge_column": None}, CUSTOMERS]
    assert api.patch(f"{GOLD}churn/", {"config": CONFIG | {"features": changed}}).status_code == 200
    assert [each.knowledge_column for each in features()] == ["", ""]


def test_a_split_by_time_is_purged_unless_that_is_refused(job, api):
    def split(**changes):
        assert (
            api.patch(f"{GOLD}churn/", {"config": CONFIG | {"split": {"method": "time"} | changes}}).status_code == 200
        )
        return services.spec_of(DatasetJob.objects.get(pk=job.pk), str(new_run_id())).split

    assert (split().purge, split().gap) == (True, "")
    assert (split(purge=False).purge, split(gap="7 days").gap) == (False, "7 days")
    assert "assay_kept" in api.get(f"{GOLD}churn/sql/").json()["sql"]


def test_the_sql_is_there_to_be_read(job, api):
    body = api.get(f"{GOLD}churn/sql/").json()
    assert "ASOF LEFT JOIN" in body["sql"]
    assert ":run_time" in body["sql"]
    assert [each["error"] is None for each in body["engines"]][:2] == [True, True]


def test_a_run_tells_its_card(job, api):
    assert api.get(f"{GOLD}churn/card/").status_code == 404
    run = run_of(job)
    card = api.get(f"{GOLD}churn/card/").json()
    assert (card["dataset"], card["table_version"], card["run_id"]) == ("gold.shop.churn", 0, str(run.pk))
    assert card["rows"] + sum(card["dropped"].values()) == card["read"] == 40
    assert [each["name"] for each in card["features"]] == ["amount", "segment"]
    assert card["label"]["definition"].lower() == "count(*) = 0"
    assert card["repeat_of"] is None is card["rebuilt_the_same"]


def test_the_card_is_a_markdown_file_too(job, api):
    run = run_of(job)
    answer = api.get(f"{GOLD}churn/card.md")
    text = answer.content.decode()
    assert answer.status_code == 200
    assert answer["Content-Type"].startswith("text/markdown")
    assert 'filename="gold.shop.churn-v0.md"' in answer["Content-Disposition"]
    assert "| segment | string | customers.segment |" in text
    assert "`COUNT(*) = 0` over `orders`, within 30 days after `as_of`" in text
    assert run.facts["digest"] in text


def test_values_on_the_card_are_written_as_people_write_them(job, api, client, engineer):
    run_of(job)
    client.force_login(engineer)
    for text in (
        client.get("/workflows/shop/gold-jobs/churn/card/").content.decode(),
        api.get(f"{GOLD}churn/card.md").content.decode(),
    ):
        assert "2026-03-01" in text
        assert "T00:00:00" not in text
        assert "None" not in text
        assert "False" not in text


def test_a_repetition_is_compared_with_what_it_repeats(job, api):
    first = run_of(job)
    run_of(job, repeat_of=first)
    card = api.get(f"{GOLD}churn/card/").json()
    assert (card["repeat_of"], card["rebuilt_the_same"]) == (str(first.pk), True)


def test_other_jobs_have_no_card(shop, api):
    body = {
        "name": "plain",
        "dataset_type": "mart",
        "inputs": [{"dataset": "bronze.shop.orders"}],
        "sql_text": "select amount from orders",
    }
    assert api.post(GOLD, body).status_code == 201
    assert api.get(f"{GOLD}plain/card/").status_code == 404


def test_the_page_shows_the_card(job, client, engineer):
    client.force_login(engineer)
    address = "/workflows/shop/gold-jobs/churn/"
    assert b"gold-jobs/churn/card/" in client.get(address).content
    empty = client.get(f"{address}card/").content.decode()
    assert "written by the first run" in empty
    run_of(job)
    text = client.get(f"{address}card/").content.decode()
    assert "leak test passed" in text
    assert "s&lt;0&gt;" in text
    assert "not yet labelled" in text
    assert "/api/workflows/shop/gold-jobs/churn/card.md" in text


def test_a_preview_shows_rows_without_writing(job, api):
    body = api.post(f"{GOLD}churn/preview/").json()
    assert {"customer_id", "as_of", "amount", "segment", "label", "split"} == set(body["rows"][0])
    assert Dataset.objects.get(name="gold.shop.churn").version is None
